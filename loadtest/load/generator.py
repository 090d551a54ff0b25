"""Runs one generator process: it gets its orders on stdin, sends, and reports each second on stdout.

    stdin    Orders · the moment of offset 0 (perf_counter, which all processes of a machine share) · nothing more
    stdout   Ready · one Second a second · Ended, or Failed

It is a process of its own, so that watching the run costs the sending nothing, and several can share a rate. When stdin
ends, so does the sending: a generator never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from loadtest.load.account import Account
from loadtest.load.acklog import AckLog
from loadtest.load.drive import Driver, ServerUnreachableError
from loadtest.load.generate import Plan, ahead, requests
from loadtest.load.tally import Tally
from loadtest.load.target import Target
from loadtest.processes import starved_s

FLAG = "--generator"  # the first word of such a process, after `-m loadtest`


class Orders(msgspec.Struct, kw_only=True):
    """Holds all that a generator needs to know."""

    plan: Plan
    url: str
    log: str
    fsync: bool
    connections: int
    timeout_s: float
    warmup_s: int
    resends: int
    ahead_bytes: int


class Ready(msgspec.Struct, tag=True):
    """Reports that the connections are open and the bodies are made: the generator waits for its moment."""

    ahead: int


class Second(msgspec.Struct, tag=True):
    """Reports what was settled in one second of the run, as states of two tallies."""

    measured: dict[str, Any]
    warmup: dict[str, Any]
    cpu_s: float  # CPU time used in this second


class Ended(msgspec.Struct, tag=True):
    elapsed_s: float
    cpu_s: float
    starved_s: float  # ready to run, and no core was free
    reconnects: int
    logged: int
    was_stopped: bool


class Failed(msgspec.Struct, tag=True):
    why: str


Report = Ready | Second | Ended | Failed


class Generator:
    def __init__(self, orders: Orders, stdin: asyncio.StreamReader) -> None:
        self._orders = orders
        self._stdin = stdin
        self._log = AckLog(Path(orders.log), fsync=orders.fsync)
        self._driver = Driver(
            Target.of(orders.url),
            Account(self._log, warmup_s=orders.warmup_s, on_second=self._on_second),
            connections=orders.connections,
            timeout_s=orders.timeout_s,
            resends=orders.resends,
        )
        self._ahead = 0
        self._cpu_first_s = self._cpu_s = self._starved_first_s = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Does everything after the orders: makes requests ahead, sends, reports."""
        with self._log:
            gc.disable()  # all that is made here stays, and looking for garbage in it took a sixth of the time
            self._ahead, stream = ahead(requests(self._orders.plan), self._orders.ahead_bytes)
            gc.freeze()  # a later collection would look through it, in a pause of tens of milliseconds
            gc.enable()
            try:
                await self._driver.run(stream, self._starts)
            except ServerUnreachableError as error:
                _tell(Failed(str(error)))
                return
            finally:
                if self._watching is not None:
                    self._watching.cancel()
        _tell(
            Ended(
                elapsed_s=self._driver.elapsed_s,
                cpu_s=time.process_time() - self._cpu_first_s,
                starved_s=starved_s() - self._starved_first_s,
                reconnects=self._driver.reconnects,
                logged=self._log.logged,
                was_stopped=self._driver.was_stopped,
            )
        )

    async def _starts(self) -> float:
        _tell(Ready(self._ahead))
        line = await self._stdin.readline()
        self._watching = asyncio.create_task(self._stop_with_stdin())
        self._cpu_first_s = self._cpu_s = time.process_time()
        self._starved_first_s = starved_s()
        return float(line) if line else time.perf_counter()

    async def _stop_with_stdin(self) -> None:
        await self._stdin.read()
        self._driver.stop()

    def _on_second(self, measured: Tally, warmup: Tally) -> None:
        now_s = time.process_time()
        _tell(Second(measured.state(), warmup.state(), now_s - self._cpu_s))
        self._cpu_s = now_s


async def serve() -> int:
    """Runs a generator to its end, and returns the exit status."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=1 << 20)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    try:
        line = await stdin.readline()
        if line:
            await Generator(msgspec.json.decode(line, type=Orders), stdin).run()
    finally:
        transport.close()
    return 0


_encode = msgspec.json.Encoder().encode


def _tell(report: Report) -> None:
    with contextlib.suppress(BrokenPipeError):  # the reader is gone, so stdin ends as well
        sys.stdout.buffer.write(_encode(report) + b"\n")
        sys.stdout.buffer.flush()
