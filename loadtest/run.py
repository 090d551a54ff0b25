"""Does one run from begin to end: generators, watchers, a fault, the reconciliation, the result.

    generators ── seconds ──▶ merged ──▶ result
    ClickHouse, /proc ──▶ watchers ──▶   "         until everything acknowledged is visible
    the logs against ClickHouse, id by id ─▶ "     once the watchers have ended, so that it disturbs no figure

`run` is the whole interface: it blocks, and may be called from a program (`make bench`) as from the command line. The
first SIGINT or SIGTERM ends the sending, the second the waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.load.generator import Orders
from loadtest.load.generators import Generators
from loadtest.processes import Processes
from loadtest.report.progress import Progress
from loadtest.report.result import Facts, Result, result_of
from loadtest.settings import Settings
from loadtest.watch.cost import cost_of
from loadtest.watch.fault import Outage, victims
from loadtest.watch.reconcile import STALL_S, Verdict, Verifier, VerifyError
from loadtest.watch.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.load.generate import Plan
    from loadtest.load.generator import Ended

COUNT_S = 0.25  # between two counts of ClickHouse's rows
COUNT_SENDING_S = 1.0  # while events are sent: counts are only for the picture then, and each reads all rows of the run
COUNT_DRAINING_S = 0.05  # after a fault, because a backlog of 75 000 rows is gone in a second
DRAIN_S = 15.0
PROCESSES_S = 1.0
UNKNOWN_SITE = "403"


class RefusedError(Exception):
    """Reports that the server accepts no event. Its text says why."""


def run(settings: Settings, progress: Progress | None = None) -> Result:
    """Does a run and returns its result. Blocks until it is over.

    Raises VerifyError before anything was sent if ClickHouse can't be asked, NoDeploymentError if a fault has no
    victim, GeneratorDiedError if the server accepts no connection, RefusedError if it accepts no event.
    """
    progress = Progress(is_quiet=True) if progress is None else progress
    with tempfile.TemporaryDirectory(prefix="loadtest-") as directory:
        trial = Trial(settings, progress, settings.ack_log or Path(directory) / "acknowledged")
        return asyncio.run(trial.run())


class Trial:
    """Does one run; a trial is used once."""

    def __init__(self, settings: Settings, progress: Progress, log: Path) -> None:
        self._settings = settings
        self._progress = progress
        self._plan = settings.plan()
        self._logs = logs(log, settings.generators)
        self._generators = Generators(orders(settings, self._plan, self._logs), self._on_second)
        self._store = Store(settings.deployment, sites=settings.sites) if settings.verify else None
        self._asking = asyncio.Lock()  # the store takes one question at a time
        self._processes = Processes(self._pids)
        self._looks: list[tuple[float, dict[str, dict[str, float]]]] = []
        self._markers: list[tuple[float, str]] = []
        self._outage: Outage | None = None
        self._acknowledged = 0
        self._signals = 0
        self._sending = asyncio.Event()  # set until the sending is over
        self._refused = ""

    async def run(self) -> Result:
        settings, generators = self._settings, self._generators
        if settings.profile.fault is not None:
            self._outage = Outage(settings.deployment, settings.profile.fault.victim, settings.fault_kind)
            victims(settings.deployment, settings.profile.fault.victim)
        loop = asyncio.get_running_loop()
        if self._store is not None:
            await asyncio.to_thread(self._store.begin)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            self._progress.begin(f"{settings.profile.name}: making requests ahead", settings.seconds)
            await generators.start()
            ended, stored_at = await self._watched()
        finally:
            if self._outage is not None:
                self._outage.end()
            await generators.close()
            if self._store is not None:
                self._store.close()
        if self._refused:
            raise RefusedError(self._refused)
        verdict, fault = await asyncio.to_thread(self._verify, ended, stored_at)
        facts = Facts(
            plan=self._plan,
            settings=settings,
            generators=generators,
            ended=ended,
            store=self._store,
            usage=self._processes.usage,
            looks=self._looks,
            markers=self._markers,
            verdict=verdict,
            unverified=fault,
        )
        rows = generators.total().acknowledged
        extra = await asyncio.to_thread(cost_of, settings.deployment, settings.cost) if rows else {}
        return result_of(facts, extra)

    async def _watched(self) -> tuple[list[Ended], float | None]:
        """Sends, then waits; returns the reports, and when everything acknowledged was visible (perf_counter)."""
        self._sending.set()
        self._processes.look(is_first=True)
        watchers = [asyncio.create_task(self._watch_processes())]
        if self._store is not None:
            self._store.clock(self._generators.started, self._settings.warmup_s)
            watchers.append(asyncio.create_task(self._watch_store(self._store)))
        if self._outage is not None:
            watchers.append(asyncio.create_task(self._break_for_a_while(self._outage)))
        try:
            ended = await self._generators.end()
            self._sending.clear()
            stored_at = await self._until_stored()
            self._looks.append((self._now(), self._processes.look()))
        finally:
            for one in watchers:
                one.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
        for one in watchers:
            if not one.cancelled() and (error := one.exception()) is not None:
                raise error
        return ended, stored_at

    async def _until_stored(self) -> float | None:
        store, owed = self._store, self._generators.total().acknowledged
        if store is None or self._refused:
            return None
        self._progress.say("waiting until everything acknowledged is visible")
        over = time.perf_counter() + self._settings.verify_timeout_s
        count, grown_at = -1, time.perf_counter()
        while (now := time.perf_counter()) < over and self._signals < 2 and now - grown_at < STALL_S:
            if store.counts and store.counts[-1][1] != count:
                count, grown_at = store.counts[-1][1], now
            if count >= owed:
                return next(at for at, rows in store.counts if rows >= owed)
            await asyncio.sleep(COUNT_S / 5)
        return None

    async def _watch_store(self, store: Store) -> None:
        counted = 0.0
        while True:
            began = time.perf_counter()
            is_draining = len(self._markers) > 1 and self._now() - self._markers[-1][0] < DRAIN_S
            count_s = COUNT_DRAINING_S if is_draining else COUNT_SENDING_S if self._sending.is_set() else COUNT_S
            interval = min(self._settings.freshness_s or COUNT_S, COUNT_S, count_s)
            with contextlib.suppress(VerifyError):  # ClickHouse may be the victim of the fault
                if self._settings.freshness_s and not store.fault and store.is_due():
                    await self._ask(store.look)
                if began - counted >= count_s - 0.01:
                    await self._ask(store.count)
                    counted = began
            await asyncio.sleep(max(interval - (time.perf_counter() - began), interval / 4))

    async def _ask(self, question: Callable[[], object]) -> None:
        """Lets the store ask ClickHouse one question, in a thread, after those that came earlier."""
        async with self._asking:
            await asyncio.to_thread(question)

    async def _watch_processes(self) -> None:
        second = 0
        while True:
            second += 1
            await asyncio.sleep(max(0.0, self._generators.started + second * PROCESSES_S - time.perf_counter()))
            self._looks.append((self._now(), self._processes.look()))

    async def _break_for_a_while(self, outage: Outage) -> None:
        fault = self._settings.profile.fault
        assert fault is not None
        is_killed = self._settings.fault_kind == "kill"
        await asyncio.sleep(max(0.0, fault.at * self._settings.seconds - self._now()))
        if self._store is not None:
            with contextlib.suppress(VerifyError):
                await self._ask(self._store.count)  # what the backlog is compared with, on however slow a machine
        if not self._sending.is_set():
            return
        outage.begin()
        self._mark(f"{fault.victim} {'killed' if is_killed else 'paused'}")
        try:
            until = fault.until * self._settings.seconds
            while self._now() < until and not outage.is_over():  # noqa: ASYNC110 - another process's life has no event
                await asyncio.sleep(min(max(0.0, until - self._now()), COUNT_S / 5))
        finally:
            outage.end()
            self._mark(f"{fault.victim} {'back' if is_killed else 'resumed'}")

    def _mark(self, text: str) -> None:
        self._markers.append((self._now(), text))
        self._progress.say(f"{self._markers[-1][0]:.1f} s: {text}")

    def _now(self) -> float:
        """Returns the seconds since offset 0."""
        return time.perf_counter() - self._generators.started

    def _pids(self) -> dict[str, list[int]]:
        ours = {"generators": self._generators.pids(), "watcher": [os.getpid()]}
        return self._settings.deployment.pids() | ours

    def _on_second(self, row: dict[str, Any]) -> None:
        self._acknowledged += row["acknowledged"]
        self._progress.second(row)
        if not self._acknowledged and set(row["errors"]) == {UNKNOWN_SITE} and not self._refused:
            named = ", ".join(self._settings.sites)
            self._refused = (
                f"{self._settings.deployment.url} answers 403 to every event, because it does not know the site {named}:"
                " register it with `forebay site add NAME`, or name a registered one with --site NAME"
            )
            self._generators.stop()

    def _on_signal(self) -> None:
        self._signals += 1
        self._generators.stop()

    def _verify(self, ended: list[Ended], stored_at: float | None) -> tuple[Verdict | None, str]:
        """Reconciles the logs with ClickHouse; returns the verdict, or None with the reason. Blocks."""
        store, deployment = self._store, self._settings.deployment
        if store is None:
            return None, "not asked for"
        self._progress.say("reconciling every id")
        elapsed_s = max(one.elapsed_s for one in ended)
        verifier = Verifier(
            deployment.clickhouse_url,
            sites=self._settings.sites,
            since_s=store.since_s,
            user=deployment.clickhouse_user,
            password=deployment.clickhouse_password,
            is_stopped=lambda: self._signals > 1,
        )
        after = None if stored_at is None else max(0.0, stored_at - self._generators.started - elapsed_s)
        try:
            return verifier.verify(
                *self._logs,
                ended_s=self._generators.started_s + elapsed_s,
                timeout_s=self._settings.verify_timeout_s,
                before=store.before,
                stored_after_s=after,
            ), ""
        except VerifyError as error:
            return None, str(error)
        finally:
            verifier.close()


def logs(path: Path, generators: int) -> list[Path]:
    """Returns the log file of each generator: the file itself if there is only one generator."""
    whole = path.resolve()
    if generators == 1:
        return [whole]
    return [whole.with_name(f"{whole.name}-{number}") for number in range(1, generators + 1)]


def orders(settings: Settings, plan: Plan, files: list[Path]) -> list[Orders]:
    """Divides the plan: each generator gets its share of rate and connections, and visitors and ids of its own."""
    count = len(files)
    resends = settings.profile.resends if settings.resends is None else settings.resends
    return [
        Orders(
            plan=replace(
                plan,
                rate=plan.rate / count,
                seed=plan.seed if count == 1 else plan.seed * 1_000 + number,
                run=f"{plan.run}-{number}",
            ),
            url=settings.deployment.url,
            log=str(file),
            fsync=settings.fsync,
            connections=math.ceil(settings.connections / count),
            timeout_s=settings.timeout_s,
            warmup_s=settings.warmup_s,
            resends=resends,
            ahead_bytes=settings.ahead_bytes // count,
        )
        for number, file in enumerate(files)
    ]
