"""A primary of real processes is killed while its replica lags: what that loses, and that rule 17 of docs/delivery.md loses
nothing and stores nothing twice.

Events have no ids, so a copy would be a second row. ClickHouse is the fake, which the contract tests hold to the real one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from flusher.blocks.block import BlockLimits
from flusher.copies.claims import Claims
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.fleet import Fleet
from flusher.metrics import Metrics
from flusher.redis.lease import Lease, Leases
from flusher.redis.replicas import Replicas
from flusher.redis.stream import RedisStream
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard
from flusher.shards.standstill import Standstill
from ingest.commit import stream as ingest_stream
from ingest.commit.appender import Appender
from ingest.commit.durability import Durability
from ingest.commit.held import bytes_to_hold
from ingest.commit.spool import Spool
from runtime import redis
from tests.fakes import clickhouse
from tests.fakes.wire import Straight
from tests.support.committing import LIMITS, Counted, append, collecting
from tests.support.failing_over import Pair, pair
from tests.support.rows import plain
from tests.support.waiting import until

SHARDS = 2
TITLE = clickhouse.NAMED.index("title")
LAG_EVENTS = 60  # acknowledged while the replica hears nothing


@dataclass
class Installation:
    """Holds an ingest worker and a flusher, without what surrounds them, on a Redis that fails over."""

    pair: Pair
    appender: Appender
    durability: Durability
    engine: clickhouse.Engine
    metrics: Metrics
    is_flusher_waiting: bool
    acknowledged: set[str] = field(default_factory=set)
    sent: int = 0
    refused: int = 0
    with_ids: bool = False
    longest: float = 0.0  # seconds without an acknowledgement

    async def send(self, events: int) -> None:
        """Sends so many events, each when the one before was answered."""
        for _ in range(events):
            self.sent += 1
            title = f"event {self.sent}"
            row = plain(title=title, ts=now_ms(), received_at=now_ms(), event_id=title if self.with_ids else "")
            began = time.monotonic()
            if await append(self.appender, [(self.sent % SHARDS, row)]) is None:
                self.acknowledged.add(title)
            else:
                self.refused += 1
            self.longest = max(self.longest, time.monotonic() - began)

    @property
    def stored(self) -> Counter[str]:
        return Counter(row[TITLE] for part in self.engine.events for row in part.rows)

    @property
    def lost(self) -> set[str]:
        return self.acknowledged - self.stored.keys()

    @property
    def doubled(self) -> set[str]:
        return {title for title, count in self.stored.items() if count > 1}

    def gaps(self) -> list[float | None]:
        """Returns by how many events the books of each shard are off."""
        value = self.metrics.registry.get_sample_value
        return [value("forebay_ledger_gap_events", {"shard": str(shard)}) for shard in range(SHARDS)]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def installed(
    directory: Path, *, replicas: int, ack: str = "primary", flusher_replicas: int | None = None
) -> AsyncIterator[Installation]:
    """Runs ingest, a flusher and a Redis with one replica. Both wait for so many replicas, unless the flusher has its own."""
    waited = replicas if flusher_replicas is None else flusher_replicas
    async with pair(directory / "redis") as both:
        durability, metrics = Durability(is_trusted=False), Metrics(CollectorRegistry())
        engine = clickhouse.Engine(time.time)
        stream = ingest_stream.RedisStream(both.url, timeout_ms=500, durability=durability, replicas=replicas)
        counts = Counted()
        spool = Spool(directory / "spool", bytes_max=1 << 24, free_bytes_min=0, counts=cast(Any, counts))
        appender = Appender(
            stream=stream, counts=cast(Any, counts), collect=collecting(100, 1 << 20), shards=SHARDS, spool=spool,
            resend_bytes_max=bytes_to_hold(replicas, ack, 1 << 20), **{**LIMITS, "answer_seconds_max": 30.0},
        )  # fmt: skip
        stopping = asyncio.Event()
        client = redis.client(both.url, seconds=5)
        working = [
            asyncio.create_task(appender.run()),
            asyncio.create_task(fleet(client, engine, metrics, waited).run(stopping)),
        ]
        yield Installation(both, appender, durability, engine, metrics, waited > 0)
        stopping.set()
        await asyncio.wait([working[1]], timeout=60)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        spool.close()
        await stream.close()
        await client.aclose()


def fleet(client: Any, engine: clickhouse.Engine, metrics: Metrics, replicas: int) -> Fleet:
    """Returns a flusher, as flusher/__main__.py puts it together."""
    waiting = Replicas(client, replicas)
    stream = RedisStream(client, waiting)
    table = cast(Any, clickhouse.Connection(engine, Straight()))
    claims = Claims(stream=stream, table=table, metrics=metrics, window_ms=86_400_000, bytes_max=1 << 22)

    def shard(lease: Lease) -> Shard:
        return Shard(
            lease,
            stream=stream,
            claims=claims,
            table=table,
            delivery=Delivery(
                table=table,
                room=Room(table=table, free_bytes_min=1, metrics=metrics),
                metrics=metrics,
                retry_seconds_max=0.1,
            ),
            ledger=Ledger(lease, stream=stream, table=table, metrics=metrics, look_seconds=0.5),
            metrics=metrics,
            standstill=Standstill(),
            limits=BlockLimits(1_000, 1 << 24, 10),
            tail_ms=900_000,
            tail_bytes_max=1 << 28,
        )

    leases = Leases(redis=client, owner="a", ttl_ms=3_000, replicas=waiting)
    return Fleet(leases=leases, shards=SHARDS, serve=shard, metrics=metrics, stopped_seconds=0.5)


async def failed_over(scene: Installation, lagging: int) -> None:
    """Sends events, kills the primary while its replica lags, sends more, and waits until all that is left is stored."""
    await scene.send(20)
    await until(lambda: len(scene.stored) == scene.sent)
    scene.pair.link.is_holding = True
    await scene.send(lagging)
    if not scene.is_flusher_waiting:  # then blocks of the lost end are stored before it is lost
        await until(lambda: len(scene.stored) > 20)
    await scene.send(lagging // 2)
    await asyncio.gather(scene.pair.fail_over(), scene.send(20))
    await scene.send(20)
    last = set(sorted(scene.acknowledged, key=lambda title: int(title.split()[1]))[-20:])
    await until(lambda: last <= scene.stored.keys())


async def test_without_waiting_the_end_is_lost_and_counted(tmp_path: Path) -> None:
    """With redis_replicas of 0 events that a primary acknowledged are gone, none is stored twice, and it is counted."""
    async with installed(tmp_path, replicas=0) as scene:
        await failed_over(scene, LAG_EVENTS)
        assert scene.lost
        assert scene.durability.lost_commits >= 1
        assert not scene.doubled


async def test_sending_again_is_not_enough(tmp_path: Path) -> None:
    """What is sent again is stored twice where a flusher stored it without waiting for the replica."""
    async with installed(tmp_path, replicas=1, flusher_replicas=0) as scene:
        await failed_over(scene, LAG_EVENTS)
        await until(lambda: scene.doubled)


@pytest.mark.parametrize("times", [2])
async def test_a_failover_loses_nothing_and_doubles_nothing(tmp_path: Path, times: int) -> None:
    """Every acknowledged event is stored once, also when one failover follows another, and the books balance."""
    async with installed(tmp_path, replicas=1) as scene:
        for _ in range(times):
            scene.pair.link.is_holding = False
            await failed_over(scene, LAG_EVENTS)
        await until(lambda: not scene.lost)
        assert len(scene.acknowledged) == scene.sent
        assert not scene.doubled
        assert not scene.durability.lost_commits
        await until(lambda: scene.gaps() == [0, 0])


async def test_an_answer_that_waits_for_replicas(tmp_path: Path) -> None:
    """With redis_ack of replicas nothing is held, and what can't be confirmed waits in the spool."""
    async with installed(tmp_path, replicas=1, ack="replicas") as scene:
        await failed_over(scene, 4)
        await until(lambda: not scene.lost)
        assert not scene.doubled
        assert not any(committer.held for committer in scene.appender._committers)
