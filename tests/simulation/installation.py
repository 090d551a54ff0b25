"""Puts the product's processes together as their __main__ modules do, and makes their clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

from redis.exceptions import TimeoutError as NoAnswer

import flusher.copies.id_filter
import flusher.delivery.deliver
import flusher.delivery.table
import flusher.redis.lease
import flusher.shards.ledger
import flusher.shards.shard
import forebay.erase.register
import ingest.commit.committer
import ingest.commit.spool
import ingest.commit.stream
import ingest.worker
import runtime.durable
import runtime.folders
from flusher.blocks.block import BlockLimits
from flusher.copies.claims import Claims
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.delivery.table import Unclear
from flusher.fleet import Fleet
from flusher.redis.lease import Lease, Leases
from flusher.redis.replicas import Replicas
from flusher.redis.stream import RedisStream
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard
from flusher.shards.standstill import Standstill
from ingest.commit.appender import Appender
from ingest.commit.pressure import Pressure
from ingest.commit.spool import Spool
from ingest.commit.stream import Done
from ingest.fates import Shed
from ingest.worker import Worker
from runtime.redis import doubt
from schemas.entry import decode
from schemas.names import EntryId
from schemas.redis.scripts import script
from schemas.replication import waiting
from schemas.row import INDEX, Row
from schemas.segment import Commit
from tests.fakes import clickhouse, redis_client
from tests.fakes.clickhouse import BAD
from tests.simulation.disk import Disk
from tests.simulation.loop import PROCESS, WORLD
from tests.simulation.process import Process
from tests.simulation.wire import SimulatedWire
from tests.simulation.world import EPOCH, LEASE_MS, METRICS, SeededSecrets, VirtualTime, World
from tests.support.committing import append, collecting
from tests.support.rows import plain

APPEND_SECONDS = 0.5
COMMIT_ROWS_MAX, COMMIT_BYTES_MAX = 8, 1 << 20
REDIS_SECONDS = 2.0
WINDOW_MS = 86_400_000
LIMITS = BlockLimits(rows_max=6, bytes_max=1 << 20, age_ms=150)


class Counts:
    """Takes counts that nobody reads."""

    def accepted(self, site: str, dialect: str, events: int) -> None: ...
    def committed(self, seconds: float, rows: int) -> None: ...
    def spool_bytes(self, held: int) -> None: ...
    def spool_damaged(self, records: int) -> None: ...
    def spool_torn(self) -> None: ...


class Looked(Ledger):
    """Records a fault when the books are off."""

    async def look(
        self, stored: EntryId, now_ms: int, *, confirm: Callable[[], Awaitable[None]] | None = None
    ) -> int | None:
        gap = await super().look(stored, now_ms, confirm=confirm)
        process = PROCESS.get()
        assert isinstance(process, Process)
        if gap and not process.world.has_lost_tail:
            process.world.faults.append(f"{process}: the books are off by {gap}")
        return gap


class IngestStream(ingest.commit.stream.RedisStream):
    """Is the product's class, on a connection to the fake Redis."""

    def __init__(self, connection: redis_client.Connection, replicas: int) -> None:
        self._redis = cast(Any, connection)
        self._durability = None
        self._replicas = replicas
        self._wait = waiting(None, replicas, int(APPEND_SECONDS * 1000))
        self._append = cast(Any, connection.register_script(script("append")))
        self._confirm = cast(Any, connection.register_script(script("confirm")))
        self._tasks = set()

    def send(self, shard: int, producer: str, commit: Commit, done: Done, *, is_confirmed: bool = False) -> None:
        """Takes the product's way without an open connection, because the fake's connection has coroutines only."""
        self._apart(self._appended(shard, producer, commit, is_confirmed=is_confirmed), done)

    async def _doubt(self) -> None:
        await doubt(self._redis)


class Ingest(Process):
    """Runs an ingest process without its HTTP."""

    def __init__(self, world: World, name: str, life: int) -> None:
        super().__init__(world, name, life)
        self.serial = 0
        self.is_drained = False  # so nothing that it held is excused
        wire = SimulatedWire(self, "redis", seconds_max=APPEND_SECONDS, lost=NoAnswer)
        stream = self.make_stream(redis_client.Connection(world.redis.seen_by(self), wire))
        self.spool = self.context.run(self._spool)
        pressure = Pressure(memory=stream, memory_share_max=0.85, disk="", free_bytes_min=0)
        self.appender = self.make_appender(
            stream=stream,
            counts=Counts(),
            collect=collecting(COMMIT_ROWS_MAX, COMMIT_BYTES_MAX),
            shards=world.shards,
            commit_rows_max=COMMIT_ROWS_MAX,
            commit_bytes_max=COMMIT_BYTES_MAX,
            queue_bytes_max=1 << 20,
            answer_seconds_max=1.5,
            spool=self.spool,
            resend_bytes_max=world.resend_bytes_max,
            pressed=lambda: Shed.MEMORY if pressure.is_on else None,
        )
        world.watch(self, self.spawn(self._run(pressure)))

    def make_stream(self, connection: redis_client.Connection) -> IngestStream:
        return IngestStream(connection, self.world.replicas)

    def make_appender(self, **parts: Any) -> Appender:
        return Appender(**parts)

    @property
    def held(self) -> set[str]:
        """Returns the ids of acknowledged events that perhaps not all replicas have, and that only this process has else."""
        commits = [commit for one in self.appender._committers if one.held for commit in one.held.commits]
        return {event_id for commit in commits for event_id in decode(commit.data)[INDEX["event_id"]]}

    def kill(self) -> None:
        """Ends it. If the primary dies within the same moments, what was held is lost, which is not promised otherwise."""
        if self.is_alive and not self.is_drained:
            self.world.may_be_lost.update(self.held)
        super().kill()

    def _spool(self) -> Spool | None:
        most = self.world.spool_bytes_max
        return Spool(self.world.spool, bytes_max=most, free_bytes_min=0, counts=Counts()) if most else None

    async def stop(self) -> None:
        """Drains and ends, as ingest.start.work does when it is told to leave."""
        self.is_drained = await self.appender.drain(2)
        if self.is_drained and self.held:
            self.world.faults.append(f"{self} says that it is drained, and holds {self.held}")
        if self.spool is not None:
            self.spool.close()
        self.kill()

    async def _run(self, pressure: Pressure) -> None:
        worker = cast(Worker, SimpleNamespace(appender=self.appender))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.appender.run())
            if self.spool is not None:
                tasks.create_task(Worker._adopt(worker, self.spool))
            if self.world.has_pressure:
                tasks.create_task(pressure.run())

    def submit(self, rows: Sequence[tuple[int, Row]]) -> None:
        """Submits a client's request. Once it is answered with success, its ids count as acknowledged."""
        world = self.world
        if not self.is_alive:
            return
        rows = [(shard, row._replace(title=f"{self!r} {self.serial}")) for shard, row in rows]
        world.sent.update(dict.fromkeys(row.event_id for _, row in rows))
        self.serial += 1
        world.waiting += 1

        def answered(task: asyncio.Task[Any]) -> None:
            world.waiting -= 1
            if not task.cancelled() and task.exception() is None and task.result() is None:
                world.acknowledged.update(row.event_id for _, row in rows)

        self.spawn(append(self.appender, rows)).add_done_callback(answered, context=WORLD)


class Flusher(Process):
    """Runs a flusher process without its internal port."""

    claims: type[Claims] = Claims
    delivery: type[Delivery] = Delivery

    def __init__(self, world: World, name: str, life: int) -> None:
        super().__init__(world, name, life)
        self.stopping = asyncio.Event()
        wire = SimulatedWire(self, "redis", seconds_max=REDIS_SECONDS, lost=NoAnswer)
        connection = cast(Any, redis_client.Connection(world.redis.seen_by(self), wire))
        self.replicas = self.make_replicas(connection)
        self.stream = self.make_stream(connection)
        table = cast(Any, self.make_table(world))
        delivery = self.make_delivery(table)
        claims = self.make_claims(table)

        def shard(lease: Lease) -> Shard:
            return Shard(
                lease,
                stream=self.stream,
                claims=claims,
                table=table,
                delivery=delivery,
                ledger=Looked(lease, stream=self.stream, table=table, metrics=METRICS),
                metrics=METRICS,
                standstill=Standstill(),
                limits=LIMITS,
                tail_ms=world.tail_ms,
                tail_bytes_max=1 << 20,
            )

        leases = self.context.run(
            lambda: Leases(redis=connection, owner=repr(self), ttl_ms=LEASE_MS, replicas=self.replicas)
        )
        fleet = Fleet(leases=leases, shards=world.shards, serve=shard, metrics=METRICS)
        world.watch(self, self.spawn(fleet.run(self.stopping)))

    def make_replicas(self, connection: Any) -> Replicas:
        return Replicas(connection, self.world.replicas)

    def make_stream(self, connection: Any) -> RedisStream:
        return RedisStream(connection, self.replicas)

    def make_claims(self, table: Any) -> Claims:
        return self.claims(stream=self.stream, table=table, metrics=METRICS, window_ms=WINDOW_MS, bytes_max=1 << 24)

    def make_table(self, world: World) -> clickhouse.Connection:
        wire = SimulatedWire(self, "clickhouse", seconds_max=world.insert_seconds, lost=Unclear)
        return clickhouse.Connection(world.clickhouse, wire)

    def make_delivery(self, table: Any) -> Delivery:
        room = Room(table=table, free_bytes_min=1, metrics=METRICS)
        return self.delivery(table=table, room=room, metrics=METRICS, retry_seconds_max=1.0)


@contextlib.contextmanager
def replaced(world: World) -> Iterator[None]:
    """Gives the product's modules this world's clock, secrets and disk, and shorter waits between polls."""
    time, secrets = VirtualTime(world), SeededSecrets(world)
    places: list[tuple[Any, str, Any]] = [
        (flusher.delivery.table, "time", time),
        (flusher.redis.lease, "secrets", secrets),
        (forebay.erase.register, "secrets", SeededSecrets(world)),
        (ingest.commit.committer, "secrets", secrets),
        (ingest.commit.spool, "secrets", secrets),
        (ingest.commit.spool, "os", Disk()),
        (runtime.durable, "os", Disk()),
        (runtime.folders, "os", Disk()),
        (ingest.worker, "ADOPT_SECONDS", 1.0),
        (flusher.copies.id_filter, "ROOM_FIRST", 256),
        (flusher.shards.shard, "TRIM_EVERY", 2),
        (flusher.shards.shard, "IDLE_SECONDS", 0.25),
        (flusher.shards.ledger, "LOOK_SECONDS", 3),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def row_of(world: World, event_id: str, visitor: int) -> Row:
    """Returns a row as ingest makes them: mostly of now, sometimes of an earlier day, some with a session that an SDK
    owns.
    """
    rng = world.rng
    now = int((EPOCH + world.loop.time()) * 1000)
    late = rng.choice((0, 0, 0, 0, 2_000, 40 * 60_000, 3 * 86_400_000))
    given = (now // 1000 - 60) << 32 | 77 if rng.random() < 0.1 else 0
    before = visitor + 1_000 if rng.random() < 0.1 else 0
    return plain(
        site=f"site{visitor % 2}", ts=now - late, received_at=now, event_id=event_id, visitor_id=visitor,
        visitor_before=before, session_id=given, url="https://example.com/",
    )  # fmt: skip


async def client(world: World, name: str, requests: int, seconds: float) -> None:
    """Sends requests of one to three rows at random moments to a random process, and some of them again."""
    for number in range(requests):
        await asyncio.sleep(world.rng.random() * 2 * seconds / requests)
        rows = []
        for at in range(world.rng.choice((1, 1, 2, 3))):
            visitor = world.rng.randrange(1, 7)
            mark = BAD if world.bad_share and world.rng.random() < world.bad_share else ""
            rows.append((visitor % world.shards, row_of(world, f"{name}-{number}-{at}{mark}", visitor)))
        submit(world, rows)
        while world.rng.random() < world.copy_share:
            late = world.rng.choice((0.0, 0.0, 0.05, 0.3, 1.0, 3.0)) * world.rng.random()
            world.copied.update(row.event_id for _, row in rows)
            world.waiting += 1
            world.loop.in_world(late, submit_again, world, [copy_of(world, row) for _, row in rows])


def copy_of(world: World, row: Row) -> tuple[int, Row]:
    """Returns the same event again, as a client's retry; from another address it goes to another shard."""
    visitor = row.visitor_id if world.rng.random() < 0.5 else world.rng.randrange(1, 7)
    return visitor % world.shards, row._replace(visitor_id=visitor)


def submit_again(world: World, rows: Sequence[tuple[int, Row]]) -> None:
    world.waiting -= 1
    submit(world, rows)


def submit(world: World, rows: Sequence[tuple[int, Row]]) -> None:
    """Sends a request to a random ingest process."""
    now = int((EPOCH + world.loop.time()) * 1000)
    process = world.processes[world.rng.choice(("ingest-1", "ingest-2"))]
    assert isinstance(process, Ingest)
    process.submit([(shard, row._replace(received_at=now)) for shard, row in rows])
