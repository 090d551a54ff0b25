"""flusher/copies/claims.py on fakes: every way in which a copy can come, and which questions find it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from flusher.copies import claims
from flusher.copies.claims import Claims, pack, unpack
from flusher.delivery import held
from flusher.delivery.table import BLOCK_TYPES
from flusher.metrics import Metrics
from flusher.redis.stream import RedisStream
from schemas.entry import encode
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import Keys
from schemas.row import INDEX
from tests.fakes.clickhouse import Connection as ClickHouse
from tests.fakes.clickhouse import Engine, Stored
from tests.fakes.redis import Server
from tests.fakes.redis_client import Connection
from tests.fakes.wire import Straight
from tests.support.rows import columns_of, plain

NOW = 1_796_083_200_000
DAY_MS = 86_400_000


class Asked:
    """Answers as ClickHouse, and counts how often each question was asked."""

    def __init__(self, engine: Engine) -> None:
        self._table = ClickHouse(engine, Straight())
        self.counts: Counter[str] = Counter()
        self.held = asyncio.Event()  # the question about copies waits for it
        self.held.set()

    async def ask(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        self.counts[sql] += 1
        if sql in {held.HELD, held.KNOWN}:
            await self.held.wait()
        return await self._table.ask(sql, parameters)


class World:
    """Holds two servers, and flushers on them."""

    def __init__(self, redis_ahead_ms: int = 0, *, is_first: bool = True) -> None:
        self.is_first = is_first
        self.ahead_ms = redis_ahead_ms
        self.redis = Server(lambda: (NOW + redis_ahead_ms) / 1000)
        self.engine = Engine(time.time)
        self.asked = Asked(self.engine)
        self.edges = dict.fromkeys(range(3), ORIGIN)

    def flusher(self) -> Claims:
        stream = RedisStream(cast(Any, Connection(self.redis, Straight())))
        metrics = Metrics(CollectorRegistry())
        return Claims(stream=stream, table=self.asked, metrics=metrics, window_ms=DAY_MS, bytes_max=1 << 24)

    def cut(self, shard: int, *ids: str, site: str = "a.example") -> Block:
        """Returns a block of these rows, appended to its stream."""
        log = self.redis.log(Keys(shard).log)
        log.last = (NOW + self.ahead_ms + len(log.history), 0)
        rows = [plain(ts=NOW, received_at=NOW, event_id=one, site=site) for one in ids]
        fields = {b"d": encode(columns_of(rows)), b"n": b"%d" % len(rows)}
        log.entries[log.last] = log.history[log.last] = fields
        before, self.edges[shard] = self.edges[shard], EntryId(*log.last)
        name = BlockName(f"cafe{shard}", shard, before, self.edges[shard])
        return Block(name, shard, [site] * len(ids), list(ids), is_first=self.is_first)

    def store(self, block: Block, copies: list[int], *, received_at: int = NOW) -> None:
        """Stores a block as a flusher's INSERT and its books do."""
        kept = [at for at in range(len(block.ids)) if at not in copies]
        rows = tuple((block.ids[at], 1, 1, NOW, block.sites[at], received_at) for at in kept)
        self.engine.events.append(Stored(str(block.name), 0, 202612, tuple(block.ids[at] for at in kept), rows))
        self.engine.keep_ids(str(block.name))
        line = [NOW if name == "stored_at" else str(block.name) if name == "block_id" else 0 for name in BLOCK_TYPES]
        self.engine.books[str(block.name)] = line


class Block:
    def __init__(self, name: BlockName, shard: int, sites: list[str], ids: list[str], *, is_first: bool = True) -> None:
        self.is_first = is_first
        self.name = name
        self.shard = shard
        self.sites = sites
        self.ids = ids
        self.received_at = [NOW] * len(ids)

    async def copies(self, flusher: Claims) -> list[int]:
        return await flusher.copies(self.name, self.sites, self.ids, self.received_at, is_first=self.is_first)


@pytest.fixture(params=[True, False], ids=["first", "again"])
async def world(request: pytest.FixtureRequest) -> World:
    """Returns a world whose blocks are delivered for the first time, or perhaps not."""
    return World(is_first=request.param)


async def deliver(world: World, flusher: Claims, block: Block) -> list[int]:
    copies = await block.copies(flusher)
    world.store(block, copies)
    flusher.stored(block.name)
    return copies


async def test_copies_in_one_block(world: World) -> None:
    """The first of the same ids in a block is stored; rows without an id are no copies, nor is the same id of another
    site.
    """
    flusher = world.flusher()
    block = world.cut(0, "a", "", "b", "a", "", "a")
    assert await block.copies(flusher) == [3, 5]
    other = Block(block.name, 0, ["x.example", "y.example"], ["a", "a"])
    assert await other.copies(world.flusher()) == []


async def test_a_copy_of_what_is_stored(world: World) -> None:
    """A copy is found in the next block of its shard, in another shard's block, and after a restart."""
    flusher = world.flusher()
    assert await deliver(world, flusher, world.cut(0, "a", "b")) == []
    assert await deliver(world, flusher, world.cut(0, "b", "c")) == [0]
    assert await deliver(world, flusher, world.cut(1, "d", "a", "c")) == [1, 2]
    again = world.flusher()
    assert await deliver(world, again, world.cut(1, "a", "e", "d")) == [0, 2]
    assert await deliver(world, again, world.cut(0, "a", site="b.example")) == []


async def test_a_copy_of_what_is_on_its_way(world: World) -> None:
    """Of two blocks the one that claimed first keeps its rows, whichever flusher has it."""
    one, other = world.flusher(), world.flusher()
    first, second, third = world.cut(0, "a", "b"), world.cut(1, "b", "c"), world.cut(2, "c", "a", "d")
    assert await first.copies(one) == []
    assert await second.copies(one) == [0]
    assert await third.copies(other) == [0, 1]
    assert await first.copies(one) == []  # asked again: it does not see who came later
    assert await first.copies(world.flusher()) == []


async def test_another_flusher_s_blocks_are_followed(world: World) -> None:
    """Blocks that another flusher stored between two of our claims are known, also one that is trimmed already."""
    ours, theirs = world.flusher(), world.flusher()
    await deliver(world, ours, world.cut(0, "mine"))
    for number in range(4):
        await deliver(world, theirs, world.cut(1, f"their-{number}"))
    world.redis.log(Keys(1).log).entries.clear()
    block = world.cut(0, "their-0", "their-2", "their-3", "mine", "new")
    assert await block.copies(ours) == [0, 1, 2, 3]


async def test_an_old_block_is_not_searched(world: World) -> None:
    """A block that comes again by a replay has the copies that were recorded for it, and is not searched."""
    flusher = world.flusher()
    old = world.cut(0, "a")
    await deliver(world, flusher, old)
    await deliver(world, flusher, world.cut(0, "b", "a"))
    assert await old.copies(world.flusher()) == []


async def test_nothing_is_asked_when_nothing_is_suspect(world: World) -> None:
    """After its start, a single flusher claims blocks and asks ClickHouse nothing."""
    flusher = world.flusher()
    for number in range(20):
        await deliver(world, flusher, world.cut(number % 2, f"first-{number}", f"second-{number}"))
        await deliver(world, flusher, world.cut(number % 2, "", ""))
    assert world.asked.counts == {claims.STORED_BLOCKS: 1, claims.MINUTES: 1, claims.RECEIVED: 1}


async def test_a_block_that_is_stored_while_we_look(world: World) -> None:
    """Streams are asked before ClickHouse, so a block on its way is found in one or the other."""
    flusher = world.flusher()
    first, second = world.cut(0, "a"), world.cut(1, "a")
    assert await first.copies(flusher) == []
    world.asked.held.clear()
    looking = asyncio.create_task(second.copies(flusher))
    await asyncio.sleep(0)
    world.store(first, [])
    flusher.stored(first.name)
    world.asked.held.set()
    assert await looking == [0]


async def test_a_block_that_is_there_itself_is_no_copy_of_itself(world: World) -> None:
    """A block that is stored, and whose record Redis lost, is not taken for its own copy when it is delivered again."""
    block = world.cut(0, "a", "b")
    world.store(block, [])
    block.is_first = False
    assert await block.copies(world.flusher()) == []


async def test_any_number_of_suspects_is_asked_about_in_few_questions() -> None:
    """Ten thousand copies take one question and 40 000 take two, whatever the ids hold."""
    for count, text, questions in ((10_000, "{}", 1), (40_000, "{:036d}", 2), (10_000, "{}'\\\\ä", 1)):
        world = World()
        ids = [text.format(number) for number in range(count)]
        flusher = world.flusher()
        await deliver(world, flusher, world.cut(0, *ids))
        assert await world.cut(1, *ids).copies(flusher) == list(range(count))
        assert world.asked.counts[held.KNOWN] == questions
        assert held.HELD not in world.asked.counts


async def test_the_ids_of_a_long_time_are_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of hours in which only another flusher stored are read in many answers, none of which holds them all."""
    monkeypatch.setattr(claims, "SLICE_ROWS", 10)
    world = World()
    ours, theirs = world.flusher(), world.flusher()
    await deliver(world, ours, world.cut(0, "mine"))
    world.redis.log(Keys(1).log).history.update({(NOW + number, 1): {} for number in range(100_000)})  # time goes by
    for number in range(20):
        await deliver(world, theirs, world.cut(1, *(f"{number}-{at}" for at in range(5))))
    world.redis.log(Keys(1).log).entries.clear()
    world.asked.counts.clear()
    assert await world.cut(0, "0-0", "9-4", "19-4", "new").copies(ours) == [0, 1, 2]
    assert world.asked.counts[claims.BLOCKS_BETWEEN] == 1
    assert world.asked.counts[claims.BETWEEN] >= 10


async def test_an_id_from_before_the_window_is_new(world: World) -> None:
    """An id that was received longer ago than the window is new."""
    old = world.cut(0, "a")
    world.store(old, [], received_at=NOW - 2 * DAY_MS)
    assert await world.cut(0, "a").copies(world.flusher()) == []


async def test_a_start_that_failed_is_made_again(world: World) -> None:
    """A filter whose filling failed is filled again, because a part of it would miss ids."""
    await deliver(world, world.flusher(), world.cut(0, "a"))
    flusher = world.flusher()
    block = world.cut(1, "a")
    world.engine.is_down = True
    with pytest.raises(Exception, match="connection refused"):
        await block.copies(flusher)
    world.engine.is_down = False
    assert await block.copies(flusher) == [0]


@pytest.mark.parametrize("ahead_ms", [-25 * 3_600_000, 25 * 3_600_000])
async def test_redis_s_clock_decides_nothing(ahead_ms: int) -> None:
    """Copies are found in every way while Redis's clock is a day off, and after it was set right."""
    world = World(ahead_ms)
    flusher = world.flusher()
    assert await deliver(world, flusher, world.cut(0, "a", "b")) == []
    assert await deliver(world, flusher, world.cut(1, "c", "b")) == [1]
    again = world.flusher()
    assert await deliver(world, again, world.cut(0, "a", "d", "c")) == [0, 2]
    world.ahead_ms = 0
    assert await deliver(world, flusher, world.cut(2, "d", "e")) == [0]
    assert await deliver(world, again, world.cut(2, "e", "f")) == [0]
    assert await deliver(world, world.flusher(), world.cut(2, "a", "f", "g")) == [0, 1]


async def test_an_ingest_whose_clock_is_ahead_forgets_nothing(world: World) -> None:
    """Copies are found after a block from an ingest whose clock is ahead, also by a flusher that began with it."""
    flusher = world.flusher()
    assert await deliver(world, flusher, world.cut(0, "a")) == []
    for one in (flusher, world.flusher()):
        ahead = world.cut(1, f"ahead-{id(one)}")
        ahead.received_at = [NOW + 25 * 3_600_000]
        assert await deliver(world, one, ahead) == []
        assert await deliver(world, one, world.cut(0, "a", f"b-{id(one)}")) == [0]


async def test_an_event_that_waited_in_a_spool(world: World) -> None:
    """The first of an event that waited in a spool is looked for around the time when the event was received."""
    first = world.cut(0, "a", "b")
    world.store(first, [], received_at=NOW - 20 * 3_600_000)
    late = world.cut(1, "a", "c")
    late.received_at = [NOW - 19 * 3_600_000, NOW]
    flusher = world.flusher()
    assert await deliver(world, flusher, world.cut(2, "z")) == []
    assert await deliver(world, flusher, late) == [0]


async def test_the_window_is_each_event_s_own(world: World) -> None:
    """An event that waited does not make the window of its neighbours longer."""
    world.store(world.cut(0, "old", "late"), [], received_at=NOW - DAY_MS - 3_600_000)
    block = world.cut(1, "old", "late")
    block.received_at = [NOW, NOW - 7_200_000]
    assert await deliver(world, world.flusher(), block) == [1]


def test_places_are_recorded_as_they_are() -> None:
    """Recorded places are read back the same: none, some, and numbers larger than a byte."""
    for places in ([], [0], [3, 70_000]):
        assert unpack(pack(places)) == places
    assert INDEX["event_id"] == claims.EVENT_ID
