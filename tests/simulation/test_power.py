"""A ClickHouse that comes back without parts it had acknowledged: the replay tail makes up for it, once, by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flusher.redis.records import Checkpoint
from flusher.shards.tail import Tail
from tests.simulation.run import large
from tests.simulation.storms import SECONDS, jump_redis
from tests.simulation.world import TRIM_MS, World


def loses_parts(world: World) -> None:
    """Beside all that befalls it, but that Redis's clock is set: then nobody knows what the tail still has.

    No copies: one that comes while its first is away is taken for the first.
    """
    world.copy_share = 0.0
    world.spared = (jump_redis,)
    world.tail_ms = world.redis.tail_ms = TRIM_MS + 1_500
    for _ in range(3):
        world.loop.in_world(world.rng.uniform(0.5, SECONDS), World.lose_parts, world)


def test_what_clickhouse_lost_comes_again() -> None:
    """Nothing is lost or doubled, and the books balance."""
    for seed in range(150):
        broken = large(seed, change=loses_parts).broken
        assert not broken, f"seed {seed}: {broken}"


async def unlooked(_: Tail, checkpoint: Checkpoint) -> Checkpoint:
    """As if nothing were missing."""
    return checkpoint


async def unasked(_: Tail) -> None:
    """As if it were the same ClickHouse."""


@pytest.mark.parametrize(
    ("name", "instead"), [("made_good", unlooked), ("must_be_compared", unasked)], ids=["who recovers", "who trims"]
)
def test_someone_must_look(name: str, instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without either look some seed loses events."""
    monkeypatch.setattr(Tail, name, instead)
    assert any(large(seed, change=loses_parts).broken for seed in range(150))
