"""The promise of docs/architecture.md, under every fault that can be thought of, one seed at a time.

A failure prints the command that replays it with a trace.
"""

import pytest

from tests.simulation import storms
from tests.simulation.fates import Fate, planned
from tests.simulation.pool import Case, every_fault, failures
from tests.simulation.run import large, small
from tests.simulation.world import World


@pytest.mark.slow
def test_every_fault_at_every_call() -> None:
    """Whichever single call fails, in whichever way, nothing acknowledged is lost and nothing is stored twice."""
    found = failures(case for seed in (1, 2, 3) for case in every_fault(seed))
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_two_thousand_seeds() -> None:
    """The same under several faults, storms and restarts at once, as 2 000 seeds draw them."""
    found = failures(Case(seed) for seed in range(2_000))
    assert not found, "\n".join(found)


def test_a_seed_is_one_order_of_events() -> None:
    """The same seed gives the same calls in the same order, so that its failure can be replayed."""
    first, second = large(77), large(77)
    assert first.calls == second.calls
    assert first.acknowledged == second.acknowledged > 0


def test_a_planned_fault_changes_nothing_before_it() -> None:
    """The exhaustive pass puts its faults where it says: up to them, all runs are alike."""
    plain = small(1, {})
    faulty = small(1, {30: Fate.DIE_AFTER})
    assert plain.calls[:31] == faulty.calls[:31]
    assert plain.calls != faulty.calls


def test_without_faults_all_is_acknowledged() -> None:
    """The simulation is not quiet because nothing happens."""
    verdicts = [small(seed, {}) for seed in (1, 4, 7)]
    assert min(verdict.acknowledged for verdict in verdicts) >= 6
    assert any(call.startswith("trim") for verdict in verdicts for call in verdict.calls)


def test_a_redis_that_lost_its_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lost is lost, and said; nothing is stored twice and nothing hangs (rule 8)."""
    monkeypatch.setattr(storms, "STORMS", (storms.kill, storms.stop_flusher, storms.pause, storms.crash_clickhouse))

    def fail_over(world: World) -> None:
        world.fates = planned({})
        world.loop.in_world(0.5 + 3 * world.rng.random(), world.lose_tail, 1.5 * world.rng.random())

    for seed in range(100):
        assert not large(seed, change=fail_over).broken, f"seed {seed}"
