"""Holds everything of one simulated installation, made from one seed.

Two ingest processes and up to three flushers, made of the product's own classes, run on a fake Redis and a fake
ClickHouse; clients send rows with ids of their own; and faults befall all of them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from flusher.metrics import Metrics
from schemas.names import BlockName
from schemas.redis.keys import Keys
from schemas.redis.records import Edge
from tests.fakes import clickhouse, redis
from tests.simulation.fates import Fate, Fates, planned
from tests.simulation.loop import PROCESS, WORLD, Loop
from tests.simulation.process import Process
from tests.simulation.wire import Request

# Two seconds before a month ends: blocks of two parts, sessions of the month before.
EPOCH = dt.datetime(2026, 11, 30, 23, 59, 58, tzinfo=dt.UTC).timestamp()
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own is made in it
METRICS = Metrics(CollectorRegistry())  # counted in, never read: making one takes longer than a seed's half
LEASE_MS = 3_000
TRIM_MS = LEASE_MS + 300  # a trim that was decided comes so late at most


class World:
    """Holds the state that outlives processes, and decides the order in which things happen."""

    def __init__(self, seed: int, *, shards: int = 2, is_traced: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.shards = shards
        self.is_traced = is_traced
        self.trace: list[str] = []
        self.loop = Loop()
        self.loop.set_exception_handler(self._unhandled)
        self.clock_skew = {"redis": 0.0, "clickhouse": 0.0}
        self.redis = redis.Server(self.redis_seconds)
        self.clickhouse = clickhouse.Engine(lambda: EPOCH + self.loop.time() + self.clock_skew["clickhouse"])
        self.fates: Fates = planned({})
        self.calls: list[str] = []
        self.cuts: dict[tuple[str, str], Fate] = {}
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self.processes: dict[str, Process] = {}
        self.makers: dict[str, Callable[[World, str, int], Process]] = {}
        self.sent: dict[str, None] = {}  # ids, in order
        self.copied: set[str] = set()  # ids that a client sent again
        self.copy_share = 0.3  # of requests, that are sent again
        self.acknowledged: set[str] = set()
        self.waiting = 0  # requests of clients
        self.late = 0  # requests to servers that are still on their way
        self.has_pressure = self.rng.random() < 0.2
        self.insert_seconds = 4.0  # more than a lease: a client waits longer than its right to insert
        self.insert_seconds_may_be_short = True
        self.bad_share = 0.0  # of rows, that ClickHouse refuses
        self.has_lost_parts = False  # ClickHouse came back without some: they come again
        self.replicas = 0  # of each node of Redis, where there are nodes
        self.resend_bytes_max: int | None = None
        self.has_lost_tail = False  # Redis came back without its last entries: they are lost, and it is said so
        self.may_be_lost: set[str] = set()  # ids that were sent before that
        self.spared: tuple[Callable[[World], None], ...] = ()  # storms that don't come
        self.spool_bytes_max = 1 << 20  # 0: no spool at all
        self.crash_step: int | None = None  # of an INSERT whose fate it is; None: by chance
        self.tail_ms = 1_500
        self.redis.tail_ms = self.tail_ms
        self.erasures: list[Any] = []  # erasing.Asked, in order
        self.plans: dict[tuple[str, str], Any] = {}  # of erasures, in ClickHouse
        self.is_over = False
        self._folder = tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
        self.spool = Path(self._folder.name) / "spool"
        self.spool.mkdir()

    def redis_seconds(self) -> float:
        """Returns the time by the clock of Redis, in unix seconds."""
        return EPOCH + self.loop.time() + self.clock_skew["redis"]

    def close(self) -> None:
        self.loop.finish()
        self._folder.cleanup()

    def note(self, text: str) -> None:
        if self.is_traced:
            self.trace.append(f"{self.loop.time():9.4f} {text}")
            print(self.trace[-1])

    def _unhandled(self, _: Any, context: dict[str, Any]) -> None:
        self.faults.append(f"unhandled: {context.get('message')}: {context.get('exception')!r}")

    def fate(self, process: Process, what: str) -> Fate:
        """Decides what befalls this call, and notes the call."""
        number = len(self.calls)
        self.calls.append(what)
        fate = self.fates(number, what)
        if self.is_traced:
            self.note(f"{process} {what} [{number}]{'' if fate is Fate.NONE else '  <<<< ' + fate.value}")
        return fate

    def late_seconds(self) -> float:
        """Returns how late a late request is: often around a lease's end."""
        return self.rng.choice((0.0, 0.3, LEASE_MS / 1000)) + self.rng.random() * 3

    def pause(self, process: Process) -> float:
        """Stops a process, mostly for longer than its lease. Returns for how many seconds."""
        seconds = self.rng.uniform(0.5, 2.5) * LEASE_MS / 1000
        process.pause(seconds)
        return seconds

    def lose_power(self) -> None:
        """Ends ClickHouse's machine: the last records of tokens go, because they were never fsynced; the parts stay."""
        self.note("clickhouse loses power")
        self.clickhouse.table.forget_last(self.rng.randrange(6))
        self.crash("clickhouse")

    def lose_parts(self) -> None:
        """Ends ClickHouse's machine, whose disk had lied: parts go too, but only of blocks that the replay tail still
        has.
        """
        self.note("clickhouse loses power, and parts")
        kept = [part for part in self.clickhouse.events if not self._is_in_tail(part.block) or self.rng.random() < 0.5]
        self.clickhouse.table.parts = kept
        for key in [key for key in self.clickhouse.books if self.rng.random() < 0.3]:
            del self.clickhouse.books[key]
        self.has_lost_parts = True
        self.lose_power()

    def _is_in_tail(self, block: str) -> bool:
        """Tells whether the replay tail has the block, and no trim on its way takes it out."""
        name = BlockName.parse(block)
        is_old = name.upto.ms < self.redis.clock() * 1000 - self.tail_ms + TRIM_MS
        return not is_old and name.after in [Edge.parse(edge).id for edge in self.redis.edges(Keys(name.shard).edges)]

    def crash(self, server: str) -> None:
        """Kills a server in the middle of its work, and starts it again a little later."""
        self.note(f"{server} crashes")
        for request in [one for one in self.requests if one.server == server]:
            self.requests.remove(request)
            request.drop()
        state = self.redis if server == "redis" else self.clickhouse
        state.is_down = True
        self.loop.in_world(self.rng.random() * 1.5, self.start, server)

    def lose_tail(self, seconds: float, behind: float = 0.0) -> None:
        """Fails Redis over to a replica that lags: the entries of these seconds are lost, and its clock is behind."""
        self.has_lost_tail = True
        kept = self.redis.copy()

        def fail_over() -> None:
            self.note(f"redis loses its tail, and its clock is {behind} s behind")
            self.redis.restore(kept)
            self.clock_skew["redis"] -= behind
            if behind:
                self.redis.tail_ms = -1 << 40
            self.may_be_lost.update(self.sent)
            self.crash("redis")

        self.loop.in_world(seconds, fail_over)

    def start(self, server: str) -> None:
        self.note(f"{server} is back")
        if server == "redis":
            self.redis.restart()
            self.redis.is_down = False
        else:
            self.clickhouse.is_down = False
            self.clickhouse.started_ms += 10_000

    def begin(self, name: str, life: int = 0) -> None:
        """Starts a process."""
        self.processes[name] = self.makers[name](self, name, life)

    def buried(self, process: Process) -> None:
        """Starts the next life of a process that died, as its supervisor does."""
        if not self.is_over:
            self.loop.in_world(self.rng.uniform(0.05, 2), self.begin, process.name, process.life + 1)

    def watch(self, process: Process, task: asyncio.Task[Any]) -> None:
        """Restarts a process that ends by itself. An error that ends it is a fault of the product."""

        def ended(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                return
            if error := task.exception():
                self.faults.append(f"{process} ended: {error!r}: {getattr(error, 'exceptions', '')}")
            process.kill()

        task.add_done_callback(ended, context=WORLD.copy())

    def calm(self) -> None:
        """Lets nothing new befall anybody. Requests that were sent may still arrive late."""
        self.note("calm")
        self.fates = planned({})
        self.cuts.clear()
        self.redis.is_full = False
        self.redis.memory_share = 0.1
        for process in self.processes.values():
            process.resume()


class VirtualTime:
    """Stands where product modules have `time`: it is the wall clock of the process that asks."""

    def __init__(self, world: World) -> None:
        self._world = world

    def time(self) -> float:
        process = PROCESS.get()
        skew = process.skew if isinstance(process, Process) else 0.0
        return EPOCH + self._world.loop.time() + skew


class SeededSecrets:
    """Stands where product modules have `secrets`, and draws them from the seed."""

    def __init__(self, world: World) -> None:
        self._rng = random.Random(world.seed)

    def token_hex(self, count: int) -> str:
        return self._rng.randbytes(count).hex()
