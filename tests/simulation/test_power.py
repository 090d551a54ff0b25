"""A ClickHouse comes back without parts that it had acknowledged: they are delivered again from the replay
tail, once.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flusher.redis.records import Checkpoint
from flusher.shards.tail import Tail
from tests.simulation.run import large
from tests.simulation.storms import SECONDS, jump_redis
from tests.simulation.world import TRIM_MS, World
from tests.support.volume import volume


def loses_parts(world: World) -> None:
    """Loses parts beside all other faults. Redis's clock is not set, as it is then unknown what the tail still has.

    No event is sent twice, because a copy that comes while its first is missing is taken for the first.
    """
    world.copy_share = 0.0
    world.spared = (jump_redis,)
    world.tail_ms = world.redis.tail_ms = TRIM_MS + 1_500
    for _ in range(3):
        world.loop.in_world(world.rng.uniform(0.5, SECONDS), World.lose_parts, world)


def test_what_clickhouse_lost_comes_again() -> None:
    """Nothing is lost or doubled when ClickHouse loses parts, and the books balance."""
    for seed in range(volume(40, 150)):
        broken = large(seed, change=loses_parts).broken
        assert not broken, f"seed {seed}: {broken}"


async def unlooked(_: Tail, checkpoint: Checkpoint) -> Checkpoint:
    """Recovers as if nothing were missing."""
    return checkpoint


async def unasked(_: Tail) -> None:
    """Trims as if the same ClickHouse were running."""


@pytest.mark.parametrize(
    ("name", "instead"), [("made_good", unlooked), ("must_be_compared", unasked)], ids=["who recovers", "who trims"]
)
def test_someone_must_look(name: str, instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed loses events when either of the two looks is left out."""
    monkeypatch.setattr(Tail, name, instead)
    assert any(large(seed, change=loses_parts).broken for seed in range(150))
