"""Which settings of a Redis make a failover safe, and what is said of those that don't."""

from __future__ import annotations

import pytest

from schemas.durability import Facts
from schemas.replication import acknowledged, judge, judge_replica, waiting
from tests.support.durable_facts import GOOD

CONFIG = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2", "cluster-node-timeout": "5000"}
CONFIG |= {"cluster-allow-replica-migration": "no"}
INFO = GOOD | {"connected_slaves": "1", "cluster_enabled": "1"}


def test_a_redis_that_is_ready_for_a_failover() -> None:
    """Nothing is said of it."""
    assert judge(Facts.of(INFO), CONFIG, 1) == []
    assert judge_replica(Facts.of(GOOD | {"aof_enabled": "1"})) == []


@pytest.mark.parametrize(
    ("info", "config", "setting", "mend"),
    [
        ({"connected_slaves": "0"}, {}, "replicas", "start them"),
        ({"connected_slaves": "2"}, {}, "replicas", "set FOREBAY_REDIS_REPLICAS=2"),
        ({}, {"min-replicas-to-write": "0"}, "min-replicas-to-write", "CONFIG SET min-replicas-to-write 1"),
        ({}, {"min-replicas-max-lag": "10"}, "min-replicas-max-lag", "CONFIG SET min-replicas-max-lag 2"),
        ({}, {"cluster-node-timeout": "2000"}, "cluster-node-timeout", "CONFIG SET cluster-node-timeout 5000"),
        (
            {}, {"cluster-allow-replica-migration": "yes"},
            "cluster-allow-replica-migration", "CONFIG SET cluster-allow-replica-migration no",
        ),
    ],
)  # fmt: skip
def test_what_is_named(info: dict[str, str], config: dict[str, str], setting: str, mend: str) -> None:
    """Each setting is named alone, with the command that mends it."""
    [found] = judge(Facts.of(INFO | info), CONFIG | config, 1)
    assert found.setting == setting
    assert mend in str(found)


def test_settings_of_a_cluster_are_of_a_cluster_only() -> None:
    """One server's settings for clusters say nothing."""
    config = CONFIG | {"cluster-node-timeout": "1", "cluster-allow-replica-migration": "yes"}
    assert judge(Facts.of(INFO | {"cluster_enabled": "0"}), config, 1) == []


def test_what_may_not_be_asked_is_said() -> None:
    """Where CONFIG GET is forbidden, that is named, with what allows it."""
    [found] = judge(Facts.of(INFO), None, 1)
    assert "+config|get" in str(found)


def test_a_replica_without_an_append_only_file() -> None:
    """It would lose what it holds once it is promoted."""
    [found] = judge_replica(Facts.of(GOOD | {"aof_enabled": "0"}))
    assert found.setting == "appendonly"


@pytest.mark.parametrize(
    ("version", "here", "command"),
    [
        ("7.0.15", 0, ("WAIT", 1, 50)),
        ("7.2.4", 0, ("WAITAOF", 0, 1, 50)),
        ("8.0.0", 1, ("WAITAOF", 1, 1, 50)),
    ],
)
def test_how_it_is_waited(version: str, here: int, command: tuple[str | int, ...]) -> None:
    """By WAITAOF where it is, because then a replica has fsynced what it counts for."""
    assert waiting(Facts.of({"redis_version": version}), 1, 50, here=here) == command
    assert waiting(None, 1, 50) == ("WAIT", 1, 50)


def test_answers_to_either_command() -> None:
    """WAIT answers a number, WAITAOF the server itself and the replicas."""
    assert acknowledged(2) == 2
    assert acknowledged([1, 2]) == 2
