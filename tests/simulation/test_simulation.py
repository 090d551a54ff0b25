"""The promise of docs/architecture.md, under every fault that can be thought of, one seed at a time.

A failure prints the command that replays it with a trace.
"""

from collections.abc import Callable, Sequence

import pytest

from flusher.copies.claims import Claims
from tests.simulation import storms
from tests.simulation.fates import Fate, planned
from tests.simulation.installation import Flusher
from tests.simulation.pool import Case, every_fault, failures
from tests.simulation.run import large, small
from tests.simulation.world import World

CALM_STORMS = (storms.kill, storms.stop_flusher, storms.pause, storms.crash_clickhouse)


def fail_over(world: World, behind: int) -> None:
    """Redis loses its tail and nothing that happens to it is unclear; its clock may then be behind by so many seconds."""
    world.spared = tuple(kind for kind in storms.STORMS if kind not in CALM_STORMS)
    world.fates = planned({})
    world.loop.in_world(
        0.5 + 3 * world.rng.random(), world.lose_tail, 1.5 * world.rng.random(), behind * world.rng.random()
    )


class _Unsearching(Flusher):
    class claims(Claims):  # noqa: N801  an attribute, by its base class
        async def copies(
            self, block: str, sites: Sequence[str], ids: Sequence[str], received_at: Sequence[int], *, is_first: bool
        ) -> list[int]:
            return []


def unsearched(world: World) -> None:
    """No event is sent twice, and none is searched for: what is delivered twice is not taken for a client's copy."""
    world.copy_share = 0.0
    world.makers |= {name: _Unsearching for name in world.makers if name.startswith("flusher")}


def slow_inserts(world: World) -> None:
    """Redis fails over while INSERTs run."""
    rng = world.rng
    world.fates = lambda _, what: Fate.SLOW if what.startswith("insert ") and rng.random() < 0.3 else Fate.NONE


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


@pytest.mark.parametrize("also", [lambda _: None, unsearched, slow_inserts], ids=["", "unsearched", "slow inserts"])
@pytest.mark.parametrize("behind", [0, 60])
def test_a_redis_that_lost_its_tail(behind: int, also: Callable[[World], None]) -> None:
    """What it lost is lost, and said; what came later is stored, and nothing twice or never, whatever the clock says."""

    def change(world: World) -> None:
        fail_over(world, behind)
        also(world)

    for seed in range(100):
        broken = large(seed, change=change).broken
        assert not broken, f"seed {seed}: {broken}"
