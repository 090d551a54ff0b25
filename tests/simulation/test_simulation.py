"""The promise of docs/architecture.md holds under every fault that we know, one seed at a time.

A failure prints the command that replays it with a trace.
"""

from collections.abc import Callable, Sequence

import pytest

from flusher.copies.claims import Claims
from schemas.names import BlockName
from tests.simulation import storms
from tests.simulation.fates import Fate, planned
from tests.simulation.installation import Flusher
from tests.simulation.pool import Case, every_fault, failures
from tests.simulation.run import large, small
from tests.simulation.world import World
from tests.support.volume import volume

# The first makes every kind of call but the judging of a refused row, also those by which a shard changes hands.
SMALL_SEEDS = (5, 1, 2, 3)
CALM_STORMS = (storms.kill, storms.stop_flusher, storms.pause, storms.crash_clickhouse)


def fail_over(world: World, behind: int) -> None:
    """Lets Redis lose its tail, without any unclear answer from it; its clock may then be behind by up to so many
    seconds.
    """
    world.spared = tuple(kind for kind in storms.STORMS if kind not in CALM_STORMS)
    world.fates = planned({})
    world.loop.in_world(
        0.5 + 3 * world.rng.random(), world.lose_tail, 1.5 * world.rng.random(), behind * world.rng.random()
    )


class _Unsearching(Flusher):
    class claims(Claims):  # noqa: N801  an attribute, by its base class
        async def copies(
            self,
            block: BlockName,
            sites: Sequence[str],
            ids: Sequence[str],
            received_at: Sequence[int],
            *,
            is_first: bool,
        ) -> list[int]:
            return []


def unsearched(world: World) -> None:
    """Sends no event twice and searches for none, so that a block that is stored twice is not taken for a copy."""
    world.copy_share = 0.0
    world.makers |= {name: _Unsearching for name in world.makers if name.startswith("flusher")}


def slow_inserts(world: World) -> None:
    """Makes INSERTs slow, so that Redis fails over while they run."""
    rng = world.rng
    world.fates = lambda _, what: Fate.SLOW if what.startswith("insert ") and rng.random() < 0.3 else Fate.NONE


def test_every_fault_at_every_call() -> None:
    """Whichever single call fails, and however, nothing acknowledged is lost and nothing is stored twice."""
    found = failures(case for seed in SMALL_SEEDS[: volume(1, 4)] for case in every_fault(seed))
    assert not found, "\n".join(found)


def test_many_seeds() -> None:
    """The promise holds under several faults, storms and restarts at once, as hundreds of seeds draw them."""
    found = failures(Case(seed) for seed in range(volume(350, 2_000)))
    assert not found, "\n".join(found)


def test_a_seed_is_one_order_of_events() -> None:
    """The same seed gives the same calls in the same order, so that its failure can be replayed."""
    first, second = large(77), large(77)
    assert first.calls == second.calls
    assert first.acknowledged == second.acknowledged > 0


def test_a_planned_fault_changes_nothing_before_it() -> None:
    """A run with a planned fault is like the run without it up to that fault, so every fault hits the call it is meant
    for.
    """
    plain = small(1, {})
    faulty = small(1, {30: Fate.DIE_AFTER})
    assert plain.calls[:31] == faulty.calls[:31]
    assert plain.calls != faulty.calls


def test_without_faults_all_is_acknowledged() -> None:
    """Without faults events are acknowledged and streams are trimmed, so a quiet simulation is not an idle one."""
    verdicts = [small(seed, {}) for seed in (1, 4, 7)]
    assert min(verdict.acknowledged for verdict in verdicts) >= 6
    assert any(call.startswith("trim") for verdict in verdicts for call in verdict.calls)


@pytest.mark.parametrize("also", [lambda _: None, unsearched, slow_inserts], ids=["", "unsearched", "slow inserts"])
@pytest.mark.parametrize("behind", [0, 60])
def test_a_redis_that_lost_its_tail(behind: int, also: Callable[[World], None]) -> None:
    """Events that Redis lost are lost, and it is said; later ones are stored exactly once, whatever the clock shows."""

    def change(world: World) -> None:
        fail_over(world, behind)
        also(world)

    for seed in range(volume(30, 100)):
        broken = large(seed, change=change).broken
        assert not broken, f"seed {seed}: {broken}"
