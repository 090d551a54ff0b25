"""flusher/shards/shard.py on fakes: blocks that are delivered again, standstills, the books, and clocks that
are wrong.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from flusher.blocks.block import BlockLimits
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.metrics import Metrics
from flusher.redis.lease import Leases
from flusher.redis.stream import RedisStream
from flusher.shards import ledger
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard, ShardStopped
from flusher.shards.standstill import Standstills
from schemas.entry import encode
from schemas.names import ORIGIN, BlockName
from schemas.redis.keys import Keys
from schemas.row import MINUTE_MS
from tests.fakes import clickhouse
from tests.fakes.clickhouse import Engine
from tests.fakes.redis import Server
from tests.fakes.redis_client import Connection
from tests.fakes.wire import Straight
from tests.support.entries import row
from tests.support.rows import columns_of
from tests.support.waiting import until

SHARD = 0
KEYS = Keys(SHARD)
NOVEMBER, DECEMBER = 1_795_996_800_000, 1_796_083_200_000
SECOND = "second"


class NoClaims:
    """Finds no copies, as no event was sent twice."""

    async def copies(self, *_: object, is_first: bool) -> list[int]:
        return []

    def stored(self, block: BlockName) -> None: ...


class Scene:
    """Holds one shard between a Redis and a ClickHouse."""

    def __init__(self) -> None:
        self.redis_ahead = 0.0  # seconds
        self.redis = Server(lambda: time.time() + self.redis_ahead)
        self.engine = Engine(time.time)
        self.client = cast(Any, Connection(self.redis, Straight()))
        self.stream = RedisStream(self.client)
        self.leases = Leases(redis=self.client, owner="a", ttl_ms=60_000)
        self.metrics = Metrics(CollectorRegistry())
        self.standstills = Standstills(self.metrics)
        table = cast(Any, clickhouse.Connection(self.engine, Straight()))
        self.room = Room(table=table, free_bytes_min=384 << 20, metrics=self.metrics)

    def append(self, *rows: tuple[str, int]) -> None:
        """Appends an entry of events with these ids and times."""
        made = [row(name, ts) for name, ts in rows]
        self.redis.add(KEYS.log, {b"d": encode(columns_of(made)), b"n": b"%d" % len(made)})

    async def serve(self, handing_over: asyncio.Event | None = None) -> None:
        """Takes the shard, stores all that is there, and leaves: at once, or when it is told to."""
        lease = await self.leases.take(SHARD)
        assert lease
        table = cast(Any, clickhouse.Connection(self.engine, Straight()))
        shard = Shard(
            lease,
            stream=self.stream,
            claims=NoClaims(),
            table=table,
            delivery=Delivery(table=table, room=self.room, metrics=self.metrics, retry_seconds_max=0.1),
            ledger=Ledger(lease, stream=self.stream, table=table, metrics=self.metrics),
            metrics=self.metrics,
            standstill=self.standstills.begin(SHARD),
            limits=BlockLimits(100, 1 << 20, 1),
            tail_ms=60_000,
            tail_bytes_max=1 << 20,
        )
        if handing_over is None:
            handing_over = asyncio.Event()
            handing_over.set()
        try:
            await shard.serve(handing_over)
        finally:
            await self.leases.release(lease)

    def ids(self) -> list[str]:
        """Returns the ids of the events that ClickHouse holds."""
        return sorted(name for part in self.engine.events for name in part.ids)

    def gap(self) -> float | None:
        """Returns what the metric of the ledger says; None when it is not there."""
        return self.metrics.registry.get_sample_value("forebay_ledger_gap_events", {"shard": str(SHARD)})

    def stalled(self) -> float | None:
        """Returns what the metric of standstills says; None when it is not there."""
        return self.metrics.registry.get_sample_value("forebay_flush_stalled_seconds", {"shard": str(SHARD)})

    def lag(self) -> float:
        return self.metrics.registry.get_sample_value("forebay_flush_lag_seconds", {"shard": str(SHARD)}) or 0.0

    def dead(self) -> int:
        return len(self.redis.log(KEYS.dead).entries)


async def test_rows_that_are_stored_do_not_die_in_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are stored do not become dead letters when the table changed and now refuses them."""
    scene = Scene()
    scene.append(("first", NOVEMBER), (SECOND, NOVEMBER))
    await scene.serve()
    before = await scene.stream.checkpoint(SHARD)
    scene.redis.hash(KEYS.checkpoint)["stored"] = b"0-0"
    monkeypatch.setattr(clickhouse, "BAD", SECOND)
    await scene.serve()
    assert (await scene.stream.checkpoint(SHARD)).stored == before.stored
    assert (scene.ids(), scene.dead()) == (["first", SECOND], 0)


async def test_rows_that_are_stored_in_part_do_not_die_in_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard stops if a block is stored in part and its rest is refused, because a dead letter might be a second
    fate.
    """
    scene = Scene()
    scene.append(("first", NOVEMBER), (SECOND, NOVEMBER))
    await scene.serve()
    before = await scene.stream.checkpoint(SHARD)
    (part,) = scene.engine.events
    scene.engine.events[:] = [replace(part, ids=part.ids[:1], rows=part.rows[:1])]
    scene.redis.hash(KEYS.checkpoint)["stored"] = b"0-0"
    monkeypatch.setattr(clickhouse, "BAD", SECOND)
    with pytest.raises(ShardStopped, match="the table now refuses them"):
        await scene.serve()
    assert (scene.ids(), scene.dead()) == (["first"], 0)
    monkeypatch.undo()
    await scene.serve()
    assert (await scene.stream.checkpoint(SHARD)).stored == before.stored
    assert (scene.ids(), scene.dead()) == (["first", SECOND], 0)


async def test_a_month_that_is_not_stored_is_judged_beside_one_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the flusher died between the INSERTs of two months, a bad row of the second month dies alone."""
    scene = Scene()
    scene.append(("first", NOVEMBER), (SECOND, DECEMBER), ("third", DECEMBER))
    await scene.serve()
    scene.engine.events[:] = [part for part in scene.engine.events if part.month != 202612]
    scene.engine.table.records.clear()
    scene.redis.hash(KEYS.checkpoint)["stored"] = b"0-0"
    monkeypatch.setattr(clickhouse, "BAD", SECOND)
    scene.engine._contents.clear()
    await scene.serve()
    assert (scene.ids(), scene.dead()) == (["first", "third"], 1)


@pytest.mark.parametrize(("accepted", "gap"), [(2, 0), (5, 3)])
async def test_the_books_are_looked_at_as_soon_as_a_shard_is_served(accepted: int, gap: int) -> None:
    """The metric of the books has no number before the first look, which comes when all that was accepted is stored."""
    scene = Scene()
    then = int(time.time() * 1000) - 5 * MINUTE_MS
    scene.append(("first", then), (SECOND, then))
    scene.redis.hash(KEYS.accepted)[f"{then // MINUTE_MS} a.example"] = b"%d" % accepted
    handing_over = asyncio.Event()
    serving = asyncio.create_task(scene.serve(handing_over))
    async with asyncio.timeout(60):
        while scene.gap() is None:
            await asyncio.sleep(0)
        assert math.isnan(scene.gap() or 0)
        while math.isnan(scene.gap() or 0):
            await asyncio.sleep(0.01)
    assert (scene.gap(), scene.ids()) == (gap, ["first", SECOND])
    handing_over.set()
    await serving
    assert math.isnan(scene.gap() or 0), "another serves it now, and knows better"


async def test_a_shard_that_stores_nothing_stands_still() -> None:
    """A standstill lasts from when something waits until all is stored, and ends with the lease."""
    scene = Scene()
    handing_over = asyncio.Event()
    serving = asyncio.create_task(scene.serve(handing_over))
    await until(lambda: scene.stalled() == 0)
    scene.engine.is_down = True
    scene.append(("first", NOVEMBER))
    await until(lambda: scene.standstills.over(0.3))
    assert (scene.stalled() or 0) > 0.3
    scene.engine.is_down = False
    await until(lambda: scene.ids() == ["first"] and scene.stalled() == 0)
    handing_over.set()
    await serving
    assert scene.standstills.over(0) == {}


async def test_a_shard_that_cannot_be_taken_up_stands_still() -> None:
    """A shard whose ClickHouse does not answer the first question stands still, although nothing is known to wait."""
    scene = Scene()
    scene.engine.is_down = True
    serving = asyncio.create_task(scene.serve(asyncio.Event()))
    await until(lambda: scene.standstills.over(0.3))
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert scene.standstills.over(0) == {}


async def test_a_finding_is_said_once_and_what_was_erased_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A finding is logged once while the metric stays, and erased events are counted as metrics."""
    scene = Scene()
    lease = await scene.leases.take(SHARD)
    assert lease
    then = int(time.time() * 1000) - 5 * MINUTE_MS
    field = f"{then // MINUTE_MS} a.example"
    scene.redis.hash(KEYS.accepted)[field] = b"3"
    table = cast(Any, clickhouse.Connection(scene.engine, Straight()))
    looks = Ledger(lease, stream=scene.stream, table=table, metrics=scene.metrics, look_seconds=0)
    now_ms = int(time.time() * 1000)
    assert [await looks.look(ORIGIN, now_ms) for _ in range(3)] == [3, 3, 3]
    assert len(caplog.records) == 1
    scene.redis.hash(KEYS.erased)[field] = b"2"
    assert await looks.look(ORIGIN, now_ms) == 1
    assert len(caplog.records) == 2, "another finding"
    scene.redis.hash(KEYS.erased)[field] = b"3"
    assert await looks.look(ORIGIN, now_ms) == 0
    counted = scene.metrics.registry.get_sample_value("forebay_events_erased_total", {"site": "a.example"})
    assert counted == 3


async def test_a_clock_of_redis_that_is_set_back_makes_no_lag() -> None:
    """When Redis's clock is set back, the lag counts from when an entry came and not from the date in its id."""
    scene = Scene()
    scene.engine.is_down = True
    handing_over = asyncio.Event()
    serving = asyncio.create_task(scene.serve(handing_over))
    scene.redis_ahead = -3_600.0
    scene.redis.log(KEYS.log).last = (int(time.time() * 1000) - 600_000, 0)
    scene.append(("first", NOVEMBER))
    scene.engine.is_down = False
    await until(lambda: scene.ids() == ["first"])
    scene.engine.is_down = True
    scene.append((SECOND, NOVEMBER))
    await until(lambda: scene.lag() > 0)
    assert scene.lag() < 60
    scene.engine.is_down = False
    await until(lambda: scene.ids() == ["first", SECOND])
    assert (scene.metrics.registry.get_sample_value("forebay_freshness_seconds_sum") or 0) < 60
    handing_over.set()
    await serving


async def test_what_waits_is_drained_whatever_its_date() -> None:
    """Entries that are dated tomorrow were there when the flusher was told to leave, so all of them are stored."""
    scene = Scene()
    scene.redis_ahead = 90_000.0
    for number in range(5):
        scene.append((f"{number}", NOVEMBER))
    scene.redis_ahead = 0.0
    await scene.serve()
    assert scene.ids() == [f"{number}" for number in range(5)]


@pytest.mark.parametrize("ahead", [-90_000.0, 90_000.0])
async def test_the_books_of_another_day_are_looked_at(ahead: float) -> None:
    """With Redis's clock a day off ingest's, a gap is found all the same and no total is deleted."""
    scene = Scene()
    scene.redis_ahead = ahead
    then = int(time.time() * 1000) - 5 * MINUTE_MS
    scene.append(("first", then))
    scene.redis.hash(KEYS.accepted)[f"{then // MINUTE_MS} a.example"] = b"3"
    handing_over = asyncio.Event()
    serving = asyncio.create_task(scene.serve(handing_over))
    await until(lambda: scene.gap() == 2)
    assert len(scene.redis.hash(KEYS.accepted)) == 1
    handing_over.set()
    await serving


async def test_books_that_are_off_for_many_sites_are_said_in_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Books that are off for a thousand sites are logged in a few lines, because each line holds up the event loop."""
    scene = Scene()
    scene.append(("first", int(time.time() * 1000)))
    minute = int(time.time() * 1000) // MINUTE_MS - 5
    scene.redis.hash(KEYS.accepted).update({f"{minute} s{number}.example": b"2" for number in range(1_000)})
    leaving = asyncio.Event()
    serving = asyncio.create_task(scene.serve(leaving))
    await until(lambda: scene.gap() == 2_000)
    leaving.set()
    await serving
    assert sum("books of minute" in line for line in caplog.messages) == ledger.GAPS_SAID_MAX
    assert f"and {1_000 - ledger.GAPS_SAID_MAX} more" in caplog.text
