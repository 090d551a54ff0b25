"""flusher/shards/ahead.py on a scripted stream: what was prepared ahead is the next block, once, and of its entries alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from flusher.blocks.block import BlockLimits, EntryLike, Prepared, prepare
from flusher.metrics import Metrics
from flusher.redis.lease import Lease
from flusher.shards import ahead
from flusher.shards.ahead import Ahead
from schemas.aside import Aside
from schemas.names import ORIGIN, EntryId
from schemas.redis.records import Entry
from tests.support.entries import record, row

NOW = 1_795_996_800_000
ROWS = 3  # of a full block


class Stream:
    """Holds entries, and the ids of those that were set aside."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.aside: list[EntryId] = []

    def append(self, name: str, *, fields: dict[bytes, bytes] | None = None) -> None:
        """Appends an entry of one event with this id, or of these fields."""
        entry_id = str(EntryId(NOW + len(self.entries), 0))
        self.entries.append(Entry.of(entry_id, record(row(name, NOW)) if fields is None else fields))

    async def read(self, shard: int, after: EntryId, upto: EntryId | None = None) -> list[Entry]:
        return [entry for entry in self.entries if entry.id > after]

    async def set_aside(self, lease: Lease, from_id: EntryId, entry_id: EntryId, aside: Aside) -> None:
        self.aside.append(entry_id)
        self.entries = [entry for entry in self.entries if entry.id != entry_id]


class Scene:
    """Holds what waits in a scripted stream, and counts how often entries are prepared."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stream = Stream()
        self.prepared = 0
        monkeypatch.setattr(ahead, "prepare", self._prepare)
        self.ahead = Ahead(
            Lease(0, 1, "a", "cafe", math.inf),
            stream=self.stream,
            metrics=Metrics(CollectorRegistry()),
            limits=BlockLimits(ROWS, 1 << 20, 1_000),
        )

    def _prepare(self, entries: Sequence[EntryLike]) -> Prepared:
        self.prepared += 1
        return prepare(entries)

    async def take(self, stored: EntryId = ORIGIN) -> list[str] | None:
        """Takes the next block as a shard does. Returns the ids of its events; None when entries were set aside."""
        await self.ahead.read(stored)
        taken = await self.ahead.take(stored, self.ahead.due(NOW + 60_000, drain=True))
        return None if taken is None else taken.event_ids


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_a_block_that_was_prepared_ahead_is_not_prepared_again(scene: Scene) -> None:
    """A full block that was prepared while the one before was delivered is taken as it is, whatever came behind it."""
    for name in "abc":
        scene.stream.append(name)
    await scene.ahead.prepare_next(ORIGIN)
    scene.stream.append("d")
    assert await scene.take() == ["a", "b", "c"]
    assert scene.prepared == 1
    assert await scene.take(EntryId(NOW + 2, 0)) == ["d"]
    assert scene.prepared == 2


async def test_what_was_prepared_is_forgotten_with_its_entries(scene: Scene) -> None:
    """After an unclear answer the stream may hold other entries, and the next block is theirs."""
    for name in "abc":
        scene.stream.append(name)
    await scene.ahead.prepare_next(ORIGIN)
    scene.ahead.clear()
    scene.stream.entries.clear()
    for name in "xyz":
        scene.stream.append(name)
    assert await scene.take() == ["x", "y", "z"]


async def test_neighbours_of_an_entry_that_is_set_aside_are_the_next_block(scene: Scene) -> None:
    """An entry that can't be stored is set aside in place of a block, and then the block is its neighbours."""
    scene.stream.append("a")
    scene.stream.append("", fields={b"n": b"1"})
    scene.stream.append("c")
    assert await scene.take() is None
    assert scene.stream.aside == [EntryId(NOW + 1, 0)]
    assert await scene.take() == ["a", "c"]
