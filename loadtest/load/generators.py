"""Runs several generator processes as one: starts them together, merges their seconds, stops them together.

Each has its share of the rate, and a seed, ids and an acknowledgement log of its own. A second of the run is whole once
every generator has reported it. One that dies ends the run: what it sent is in its log up to the last batch, but nobody
knows what it was about to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from loadtest.load.generator import FLAG, Ended, Failed, Orders, Ready, Report, Second
from loadtest.load.tally import Tally

START_IN_S = 0.1  # from the moment that all generators are told to offset 0
LINE_BYTES_MAX = 1 << 24  # the report of a second of a fast run is some 20 kB
ROOT = Path(__file__).resolve().parents[2]

OnSecond = Callable[[dict[str, Any]], None]


class GeneratorDiedError(Exception):
    """Reports that a generator could not begin, or ended without its report."""


class Generators:
    """Runs all generators of one run: `start`, then `end`; `stop` may be called at any time between."""

    def __init__(self, orders: list[Orders], on_second: OnSecond) -> None:
        self.started = 0.0  # perf_counter of offset 0
        self.started_s = 0.0  # and the same in unix time
        self.ahead = 0  # requests made before the clock started
        self.measured = Tally()
        self.warmup = Tally()
        self.by_generator: list[Tally] = [Tally() for _ in orders]
        self.cpu_shares: list[list[float]] = [[] for _ in orders]  # per second
        self.seconds: list[dict[str, Any]] = []
        self._orders = orders
        self._on_second = on_second
        self._processes: list[Process] = []
        self._told: list[list[Second | None]] = [[] for _ in orders]  # None: merged, and its histograms are dropped

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    async def start(self) -> None:
        """Returns when the clock is about to start. Raises GeneratorDiedError if the server accepts no connection."""
        for orders in self._orders:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "loadtest",
                FLAG,
                cwd=ROOT,
                stdin=PIPE,
                stdout=PIPE,
                limit=LINE_BYTES_MAX,
                start_new_session=True,  # a terminal's ctrl-C is ours to pass on
            )
            self._processes.append(process)
            _write(process, msgspec.json.encode(orders))
        reports = await asyncio.gather(*(_report(process) for process in self._processes))
        for report in reports:
            if not isinstance(report, Ready):
                raise GeneratorDiedError(report.why if isinstance(report, Failed) else "a generator does not start")
            self.ahead += report.ahead
        self.started = time.perf_counter() + START_IN_S
        self.started_s = time.time() + START_IN_S
        for process in self._processes:
            _write(process, str(self.started).encode("ascii"))

    async def end(self) -> list[Ended]:
        """Waits for the last outcome of every generator, and returns their reports; the figures are complete then."""
        ended = await asyncio.gather(*(self._listen(number) for number in range(len(self._processes))))
        self._merge(is_last=True)
        return list(ended)

    def stop(self) -> None:
        """Stops the sending; `end` returns once every request under way has its outcome."""
        for process in self._processes:
            if process.stdin is not None and not process.stdin.is_closing():
                process.stdin.close()

    async def close(self) -> None:
        """Ends every generator that still runs, whatever happened."""
        self.stop()
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()

    async def _listen(self, number: int) -> Ended:
        process = self._processes[number]
        while True:
            report = await _report(process)
            if isinstance(report, Second):
                self._told[number].append(report)
                self._merge()
            elif isinstance(report, Ended):
                self.stop_one(process)
                await process.wait()
                return report
            else:
                raise GeneratorDiedError(report.why if isinstance(report, Failed) else "a generator died")

    @staticmethod
    def stop_one(process: Process) -> None:
        if process.stdin is not None:
            process.stdin.close()

    def _merge(self, *, is_last: bool = False) -> None:
        """Adds up the seconds that every generator has reported, and at the end also those that only some have."""
        counts = [len(told) for told in self._told]
        for second in range(len(self.seconds), max(counts) if is_last else min(counts)):
            both = Tally()
            for number, told in enumerate(self._told):
                one = told[second] if second < len(told) else None
                if one is None:
                    continue
                told[second] = None
                measured, warmup = Tally.of(one.measured), Tally.of(one.warmup)
                self.measured.add(measured)
                self.warmup.add(warmup)
                self.by_generator[number].add(measured)
                both.add(measured)
                both.add(warmup)
                self.cpu_shares[number].append(one.cpu_s)
            row = both.row(second)
            self.seconds.append(row)
            self._on_second(row)

    def total(self) -> Tally:
        """Returns the tally of the whole run with its warm-up: what the logs hold."""
        both = Tally()
        both.add(self.warmup)
        both.add(self.measured)
        return both


def _write(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line + b"\n")


async def _report(process: Process) -> Report | None:
    """Returns a generator's next report, or None if it ended without one."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    return msgspec.json.decode(line, type=Report) if line.endswith(b"\n") else None
