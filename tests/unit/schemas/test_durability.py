"""Which settings of a Redis make it durable, and what is said of those that don't."""

from __future__ import annotations

import pytest

from schemas.durability import Facts, Fault, Proof, Setting, explain, judge, summary
from tests.support.durable_facts import ALWAYS, GOOD


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"redis_version": "6.0.16"}, Setting.VERSION),
        ({"redis_version": "5.0.3"}, Setting.VERSION),
        ({"role": "slave", "master_host": "10.0.0.1", "master_port": "6379"}, Setting.ROLE),
        ({"role": "sentinel"}, Setting.ROLE),
        ({"loading": "1"}, Setting.LOADING),
        ({"loading": "1", "aof_enabled": "0"}, Setting.LOADING),  # as Redis says while it loads its AOF
        ({"aof_last_write_status": "err"}, Setting.WRITE_STATUS),
        ({"maxmemory_policy": "allkeys-lru"}, Setting.POLICY),
        ({"aof_enabled": "0"}, Setting.AOF),
    ],
)
def test_facts_that_are_faults(said: dict[str, str], fault: Setting) -> None:
    """One at a time; those that pass by themselves are no reason to refuse a start."""
    verdict = judge(Facts.of(GOOD | said, ALWAYS))
    assert [found.setting for found in verdict.faults] == [fault]
    assert bool(verdict.lasting) != (fault in {Setting.LOADING, Setting.WRITE_STATUS})


@pytest.mark.parametrize(
    ("said", "proof"),
    [
        ({"redis_version": "8.0.0"}, Proof.WAITAOF),
        ({"redis_version": "10.1.2"}, Proof.WAITAOF),
        ({"redis_version": "7.4.2"}, None),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, None),
        ({"redis_version": "8.0.0", "valkey_version": "10.0.0"}, None),
        ({"redis_version": "255.255.x"}, None),
    ],
)
def test_whose_waitaof_is_believed(said: dict[str, str], proof: Proof | None) -> None:
    """Where CONFIG is forbidden; an unreadable version is no promise."""
    verdict = judge(Facts.of(GOOD | said, None, [1, 0]))
    assert (None if verdict.faults else verdict.proof) is proof


@pytest.mark.parametrize("field", sorted(set(GOOD) - {"run_id", "redis_version", "role", "aof_rewrite_in_progress"}))
def test_what_is_not_told_is_a_fault(field: str) -> None:
    """Some proxies and look-alikes leave fields out."""
    verdict = judge(Facts.of({name: value for name, value in GOOD.items() if name != field}, ALWAYS))
    assert len(verdict.faults) == 1


def test_an_empty_answer_to_config_tells_nothing() -> None:
    """Some managed servers allow the command and answer nothing."""
    assert [fault.setting for fault in judge(Facts.of(GOOD, [], None)).faults] == [Setting.FSYNC]


def test_the_explanation_names_setting_command_and_line() -> None:
    """Whoever reads it can paste it."""
    text = explain(judge(Facts.of(GOOD | {"maxmemory_policy": "allkeys-lru"}, ALWAYS)).faults)
    for part in (
        "maxmemory-policy: it is allkeys-lru",
        "redis-cli CONFIG SET maxmemory-policy noeviction",
        "maxmemory-policy noeviction ",
        "docs/operations.md#redis-not-durable",
    ):
        assert part in text


def test_a_fault_fits_on_a_line_of_a_log() -> None:
    """With its commands."""
    fault = Fault(Setting.AOF, "it is no", ("now: x", "for good: y"))
    assert summary((fault,)) == "appendonly: it is no | now: x | for good: y"
