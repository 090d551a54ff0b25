"""Runs a fleet of one flusher in this process, on a real Redis and a real ClickHouse engine.

What surrounds a flusher's own process (signals, its internal port) is missing; what it stores with is put together as
in flusher/__main__.py. A stopped shard is tried again after half a second instead of ten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from flusher.blocks.block import BlockLimits
from flusher.copies.claims import Claims
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.delivery.table import Table
from flusher.fleet import Fleet
from flusher.metrics import Metrics
from flusher.redis.lease import Lease, Leases
from flusher.redis.stream import RedisStream
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard
from flusher.shards.standstill import Standstill
from forebay.clickhouse import ClickHouse
from schemas.names import EntryId
from schemas.redis.keys import SHARDS_KEY, Keys
from tests.support.engine import EngineProcess
from tests.support.entries import Fields
from tests.support.waiting import SECONDS, until

SHARDS = 2
AGAIN_SECONDS = 0.5  # a stopped shard is tried again, and the books are looked at again


class Flushing:
    """Holds two shards and the parts by which a flusher serves them."""

    def __init__(self, redis: Redis, engine: EngineProcess, table: Table) -> None:
        self.redis: Any = redis  # its types are those of two clients
        self.clickhouse = ClickHouse(f"http://127.0.0.1:{engine.port}")
        self.table = table
        self.stream = RedisStream(redis)
        self.metrics = Metrics(CollectorRegistry())
        self.room = Room(table=table, free_bytes_min=1, metrics=self.metrics)
        self.leases = Leases(redis=redis, owner="a", ttl_ms=3_000)
        self.fleet: Fleet | None = None

    async def append(self, fields: Fields, shard: int = 0) -> EntryId:
        """Appends a record, whatever it is. Returns its id."""
        added: Any = await self.redis.xadd(Keys(shard).log, dict(fields))
        return EntryId.parse(added)

    def shard(self, lease: Lease, claims: Claims) -> Shard:
        return Shard(
            lease,
            stream=self.stream,
            claims=claims,
            table=self.table,
            delivery=Delivery(table=self.table, room=self.room, metrics=self.metrics, retry_seconds_max=0.1),
            standstill=Standstill(),
            ledger=Ledger(
                lease, stream=self.stream, table=self.table, metrics=self.metrics, look_seconds=AGAIN_SECONDS
            ),
            metrics=self.metrics,
            limits=BlockLimits(1_000, 1 << 24, 10),
            tail_ms=900_000,
            tail_bytes_max=1 << 28,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs a flusher inside the block. It drains in the end."""
        claims = Claims(
            stream=self.stream, table=self.table, metrics=self.metrics, window_ms=86_400_000, bytes_max=1 << 24
        )
        self.fleet = Fleet(
            leases=self.leases,
            shards=SHARDS,
            serve=lambda lease: self.shard(lease, claims),
            metrics=self.metrics,
            stopped_seconds=AGAIN_SECONDS,
        )
        stopping = asyncio.Event()
        work = asyncio.create_task(self.fleet.run(stopping))
        try:
            yield
        finally:
            stopping.set()
            async with asyncio.timeout(SECONDS):
                await work

    async def stored(self, *ids: str) -> None:
        """Waits until ClickHouse holds events with exactly these ids, each once."""

        async def all_are() -> bool:
            return sorted(await self.ids()) == sorted(ids)

        try:
            await until(all_are)
        except AssertionError:
            assert sorted(await self.ids()) == sorted(ids)

    async def ids(self) -> list[str]:
        """Returns the ids of the events that ClickHouse holds."""
        return (await asyncio.to_thread(self.clickhouse.run, "SELECT event_id FROM forebay.events")).split()

    async def stopped(self, *shards: int) -> None:
        """Waits until exactly these shards wait for a person."""
        fleet = self.fleet
        assert fleet is not None
        await until(lambda: fleet.stopped == list(shards))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def flushing(redis: Redis, engine: EngineProcess) -> AsyncIterator[Flushing]:
    """Makes two shards that are empty in Redis and in ClickHouse."""
    await redis.set(SHARDS_KEY, SHARDS)
    table = await asyncio.to_thread(
        Table.connect, f"http://127.0.0.1:{engine.port}", user="default", password="", timeout_seconds=120
    )
    scene = Flushing(redis, engine, table)
    for name in ("events", "blocks"):
        await asyncio.to_thread(scene.clickhouse.run, f"TRUNCATE TABLE forebay.{name} SYNC")
    yield scene
    await table.close()
