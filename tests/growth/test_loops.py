"""Whole loops with rows of which no two have anything in common: a flusher's and a worker's.

Both are the real objects on fakes; a fake server's own work is done in a thread, as it would be another process's. Measured
is CPU time of this process for 10 000 and 100 000 rows, and `make thorough` also for 1 000 000 (tests/support/growth.py), and what the loop's own thread
used between two beats of a task that wants to run every hundredth of a second: for so long a lease could not
be renewed. CPU time of a thread does not grow when neighbours are busy.

Kept fewer by limits elsewhere: rows of a block (`block_rows_max` ends at 500 000), totals of Redis (TOTALS_MAX),
label values (SITES_MAX), rows of a commit (`commit_rows_max`), months (events are at most 30 days old).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry

from flusher.blocks.block import BlockLimits, Part
from flusher.copies.claims import Claims
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.metrics import Metrics
from flusher.redis.lease import Leases
from flusher.redis.stream import RedisStream
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard
from flusher.shards.standstill import Standstills
from ingest.commit.queue import Queue
from ingest.commit.share import Share
from ingest.commit.stream import Done
from ingest.metrics import Metrics as WorkerMetrics
from schemas.entry import encode
from schemas.ledger import KEYS_MAX, field_of
from schemas.redis.keys import Keys
from schemas.row import MINUTE_MS, Row
from schemas.segment import Commit
from tests.fakes import clickhouse
from tests.fakes.clickhouse import AT, Engine, Stored
from tests.fakes.redis import Server
from tests.fakes.redis_client import Connection
from tests.fakes.redis_erasures import add
from tests.support.committing import Request, made
from tests.support.growth import SIZES, STEEPNESS_MAX, measured, steepest, steepest_in_loop
from tests.support.rows import columns_of, plain

T = TypeVar("T")
EXPIRED = SIZES[:2]
BEAT_SECONDS = 0.01
# A third of the default lease, in which it is renewed, is 3.3 s. This is for the largest block; a smaller one has as much
# less as it has fewer rows.
STRETCH_SECONDS_MAX = 1.0
BLOCK_ROWS_MAX = 500_000
ENTRY_ROWS = 2_000
COPIES = 5  # every fifth event is sent twice
KEYS = Keys(0)
ROOMY: dict[str, Any] = {
    "commit_rows_max": 2_000, "commit_bytes_max": 4 << 20, "queue_bytes_max": 1 << 40, "answer_seconds_max": 600.0,
}  # fmt: skip


class Apart:
    """A server of its own: what it does, it does not do on the loop."""

    async def call(self, what: str, effect: Callable[[], T]) -> T:
        return await asyncio.to_thread(effect)

    async def run(self, what: str, stages: Callable[[], Generator[None, None, T]]) -> T:
        def work() -> T:
            steps = stages()
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    return cast(T, stop.value)

        return await asyncio.to_thread(work)


class Swallowing(Engine):
    """A table that looks at a block once: the fake's checks cost more than the flusher."""

    def insert(self, part: Part, *, block: str, token: str, attempt: int, deadline: int) -> Generator[None, None, None]:
        columns = part.columns
        rows = tuple(zip(*(columns[at] for at in AT.values()), strict=True))
        assert sum(map(len, part.encoded().pieces())) > part.rows
        self.table.parts.append(Stored(block, attempt, part.month, tuple(columns[AT["event_id"]]), rows))
        self.ids.update(((row[4], row[0]), row[5] // MINUTE_MS * MINUTE_MS) for row in rows)
        yield


class Beat:
    """The longest stretch of the loop's CPU in which nobody else had a turn."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now


async def costs(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds that it takes, and the longest stretch of the loop."""
    beat = Beat()
    beating = asyncio.create_task(beat.run())
    with measured() as found:
        await work()
    await asyncio.sleep(2 * BEAT_SECONDS)
    beating.cancel()
    return found.seconds, beat.longest


def row(number: int, now_ms: int) -> Row:
    """An event in which nothing is like in another; every fifth has the id and the site of the one before."""
    same = number - (number % COPIES == COPIES - 1)
    return plain(
        site=f"s{same}.example", name=f"name {number}", ts=now_ms - number % 20 * 86_400_000,
        received_at=now_ms - number % 600 * MINUTE_MS, event_id=f"id-{same}", visitor_id=number + 1,
        user_id=f"user {number}", url=f"https://s{number}.example/{number}", referrer_url=f"https://r{number}.example/",
        title=f"title {number}", language=f"l{number}", props={f"key {number}": f"value {number}"},
        browser=f"b{number}",
    )  # fmt: skip


class Flushing:
    """One shard of a flusher, between a Redis and a ClickHouse, with so many rows that wait."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.redis = Server(time.time)
        self.engine = Swallowing(time.time)
        self.metrics = Metrics(CollectorRegistry())
        now_ms = int(time.time() * 1000)
        accepted = self.redis.hash(KEYS.accepted)
        for at in range(0, rows, ENTRY_ROWS):
            made = [row(number, now_ms) for number in range(at, at + ENTRY_ROWS)]
            self.redis.add(KEYS.log, {b"d": encode(columns_of(made)), b"n": b"%d" % len(made)})
            for one in made:
                add(accepted, [field_of((one.received_at // MINUTE_MS, one.site)), 1])

    async def flush(self) -> None:
        """Stores all that is there, looks at the books, and leaves."""
        client = cast(Any, Connection(self.redis, Apart()))
        table = cast(Any, clickhouse.Connection(self.engine, Apart()))
        stream = RedisStream(client)
        lease = await Leases(redis=client, owner="a", ttl_ms=600_000).take(0)
        assert lease
        room = Room(table=table, free_bytes_min=1, metrics=self.metrics)
        shard = Shard(
            lease,
            stream=stream,
            claims=Claims(stream=stream, table=table, metrics=self.metrics, window_ms=86_400_000, bytes_max=1 << 28),
            table=table,
            delivery=Delivery(table=table, room=room, metrics=self.metrics, retry_seconds_max=0.1),
            ledger=Ledger(lease, stream=stream, table=table, metrics=self.metrics),
            metrics=self.metrics,
            standstill=Standstills(self.metrics).begin(0),
            limits=BlockLimits(BLOCK_ROWS_MAX, 1 << 30, 1),
            tail_ms=60_000,
            tail_bytes_max=1 << 20,
        )
        leaving = asyncio.Event()
        serving = asyncio.create_task(shard.serve(leaving))
        while self.stored() + self.copies() < self.rows or self.gap() is None:
            await asyncio.sleep(BEAT_SECONDS)
            assert not serving.done(), serving.exception()
        assert self.gap() == 0
        leaving.set()
        await serving

    def stored(self) -> float:
        return self._sum("forebay_events_stored_total")

    def copies(self) -> float:
        return self._sum("forebay_events_duplicate_total")

    def gap(self) -> float | None:
        gap = self.metrics.registry.get_sample_value("forebay_ledger_gap_events", {"shard": "0"})
        return None if gap is None or math.isnan(gap) else gap  # NaN until the first look

    def _sum(self, name: str) -> float:
        return sum(
            sample.value for family in self.metrics.registry.collect() for sample in family.samples
            if sample.name == name
        )  # fmt: skip


class Stream:
    """A Redis that takes all."""

    def __init__(self) -> None:
        self.rows = 0
        self.totals_most = 0

    async def append(self, shard: int, producer: str, commit: Commit) -> None:
        self.rows += commit.rows
        self.totals_most = max(self.totals_most, len(commit.accepted))
        await asyncio.sleep(0)

    async def confirmed(self, shard: int, producer: str) -> int:
        return 0

    def lost(self, commits: int) -> None: ...

    def send(self, shard: int, producer: str, commit: Commit, done: Done, *, is_confirmed: bool = False) -> None:
        self.rows += commit.rows
        self.totals_most = max(self.totals_most, len(commit.accepted))
        asyncio.get_running_loop().call_soon(done, None)


async def test_a_flusher_s_rows_cost_as_much_however_many_there_are() -> None:
    """Read, prepared, searched for copies, formed, counted, stored, and its books looked at; leases could be renewed."""

    async def seconds(rows: int) -> float:
        flushing = Flushing(rows)
        cost, stretch = await costs(flushing.flush)
        assert flushing.copies() == rows // COPIES
        assert stretch < STRETCH_SECONDS_MAX * min(1.0, max(rows, SIZES[1]) / BLOCK_ROWS_MAX)
        return cost

    assert await steepest_in_loop(seconds) < STEEPNESS_MAX


async def test_a_worker_s_rows_cost_as_much_however_many_there_are() -> None:
    """Gathered, collected, split, merged, sealed, appended, totalled and counted; all of them wait when the first commit begins."""

    async def seconds(rows: int) -> float:
        stream, metrics = Stream(), WorkerMetrics(CollectorRegistry())
        appender = made(stream, metrics, shards=4, **ROOMY)
        now_ms = int(time.time() * 1000)
        said: list[object] = []
        requests = [Request([(number % 4, row(number, now_ms))], said.append) for number in range(rows)]

        async def work() -> None:
            for request in requests:
                assert appender.submit(request) is None
            running = asyncio.create_task(appender.run())
            while len(said) < len(requests):
                await asyncio.sleep(BEAT_SECONDS)
            running.cancel()
            await asyncio.wait([running])

        cost, _ = await costs(work)
        assert (stream.rows, said.count(None)) == (rows, rows)
        assert stream.totals_most <= KEYS_MAX + 600  # and OTHER of each minute
        return cost

    assert await steepest_in_loop(seconds) < STEEPNESS_MAX


async def test_requests_that_wait_too_long_cost_as_much_however_many_there_are() -> None:
    """Each is told by itself, as each came at a moment of its own: uncollected ones, while Redis is away."""

    def work_of(count: int) -> Callable[[], None]:
        appender = made(Stream(), WorkerMetrics(CollectorRegistry()), shards=1, **ROOMY)
        said: list[object] = []
        one = row(0, 0)
        requests = [Request([(0, one)], said.append) for _ in range(count)]
        for request in requests:
            assert appender.submit(request) is None
        now = asyncio.get_running_loop().time()

        def work() -> None:
            for request in requests:
                request.due = now - 1
                appender._expire()
                # It sets the next timer, as when one has fired; here none fires, and thousands would lie in the loop.
                if appender._expiry is not None:
                    appender._expiry.cancel()
            assert len(said) == count
            assert appender.bytes_waiting == 0

        return work

    assert steepest(work_of, EXPIRED) < STEEPNESS_MAX


def test_collected_requests_that_wait_too_long_cost_as_much_however_many_there_are() -> None:
    """The same of those whose rows wait for a commit, each in a share of its own."""

    def work_of(count: int) -> Callable[[], None]:
        queue = Queue(rows_max=2_000, bytes_max=4 << 20)
        said: list[object] = []
        requests = [Request([], said.append) for _ in range(count)]
        for request in requests:
            request.due, request.shards_left = 600.0, 1
            queue.add(Share([], 1, 600, [request]))

        def work() -> None:
            for request in requests:
                request.due = 0.0
                queue.expire(1.0)
            assert len(said) == count

        return work

    assert steepest(work_of, EXPIRED) < STEEPNESS_MAX
