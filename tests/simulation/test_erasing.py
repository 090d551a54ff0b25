"""What a visitor had erased is gone for good under faults, and with any part of erasing broken, some seed notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from flusher.redis.records import Checkpoint
from flusher.redis.stream import RedisStream
from flusher.shards.erasing import Erasing
from flusher.shards.shard import Shard
from schemas.names import EntryId
from schemas.redis.records import Edge
from tests.simulation.erasing import erase
from tests.simulation.fates import Fate, by_chance
from tests.simulation.run import large
from tests.simulation.storms import kill_flushers, replay
from tests.simulation.world import World
from tests.support.volume import volume

Patch = pytest.MonkeyPatch


def much_erased(world: World) -> None:
    """Lets erasures, replays and deaths of flushers follow each other, while nothing is trimmed for its age."""
    world.tail_ms = 200_000  # longer than it is calm: an erasure that waits for it is never done
    for storm in (erase, replay, kill_flushers) * 3:
        world.loop.in_world(0.3 + 5 * world.rng.random(), storm, world)


def dying(world: World) -> None:
    """Lets any call fail, and a flusher that trims mostly die before it has."""
    any_call = by_chance(world.rng, 0.05)
    world.fates = lambda number, what: (
        Fate.DIE_BEFORE if what.startswith("trim") and world.rng.random() < 0.6 else any_call(number, what)
    )


def keep_the_tail(patch: Patch) -> None:
    async def untrimmed(self: Erasing, stored: EntryId, edges: Sequence[Edge]) -> bool:
        return bool(await look(self, stored, ()))

    look = Erasing.look
    patch.setattr(Erasing, "look", untrimmed)


def acknowledge_at_any_time(patch: Patch) -> None:
    async def hasty(self: Shard) -> None:
        await self._erasing.look(self._progress.stored, ())

    patch.setattr(Shard, "_look_for_erasures", hasty)


def forget_with_the_lease(patch: Patch) -> None:
    async def forgotten(self: Erasing, checkpoint: Checkpoint) -> None:
        self._version = await self._stream.erasures_version()

    patch.setattr(Erasing, "recover", forgotten)


def leave_it_in_the_stream(patch: Patch) -> None:
    async def left(self: Shard, edge_id: str) -> None:
        """Trims nothing before the replay tail does."""

    patch.setattr(Shard, "_let_go_of_erased", left)


def trim_once(patch: Patch) -> None:
    patch.setattr(Checkpoint, "last_erased", lambda self: None)


def count_nothing(patch: Patch) -> None:
    async def uncounted(self: RedisStream, *args: Any) -> None:
        await stored(self, *args[:5])

    stored = RedisStream.stored
    patch.setattr(RedisStream, "stored", uncounted)


SEEDS = range(450, 850)  # as those of test_mutations.py
MUTATIONS: dict[str, Callable[[Patch], None]] = {
    "the replay tail stays (rule 7)": keep_the_tail,
    "acknowledged while a recorded block waits (I5)": acknowledge_at_any_time,
    "a new holder of the lease knows of none": forget_with_the_lease,
    "entries stay for as long as the replay tail": leave_it_in_the_stream,
    "who died before it trimmed is not made up for": trim_once,
    "what is left out is not counted (I7)": count_nothing,
}


@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_broken_rule_is_found(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Some seed of a bounded number finds the broken rule, so a simulation that passes means something."""

    def both(world: World) -> None:
        dying(world)
        much_erased(world)

    mutate(monkeypatch)
    assert any(large(seed, change=both).broken for seed in SEEDS)


def test_what_was_erased_is_gone_and_nothing_else() -> None:
    """No row and no entry of an erased visitor is left, everything else is stored once, and the books balance."""
    broken = [(seed, found) for seed in range(volume(30, 100)) if (found := large(seed, change=much_erased).broken)]
    assert not broken
