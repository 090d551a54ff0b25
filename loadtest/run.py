"""One run from begin to end: generators, watchers, a fault, the reconciliation, the result.

    generators ── seconds ──▶ fleet ──▶ result
    ClickHouse, /proc ──▶ watchers ──▶    "        until everything acknowledged is visible
    the logs against ClickHouse, id by id ─▶ "     when the watchers have ended, and cost nobody anything

`run` is the whole interface: it blocks, and may be called from a program (`make bench`) as from
the command line. The first SIGINT or SIGTERM ends the sending, the second the waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import signal
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loadtest.load.generate import Plan
from loadtest.load.generator import Orders
from loadtest.load.generators import Fleet
from loadtest.load.profile import PROFILES, Profile
from loadtest.processes import Processes
from loadtest.report.progress import Progress
from loadtest.report.result import Facts, Result, result_of
from loadtest.watch.cost import cost_of
from loadtest.watch.deployment import Deployment
from loadtest.watch.fault import Kind, Outage, victims
from loadtest.watch.store import Store
from loadtest.watch.verify import STALL_S, Verdict, Verifier, VerifyError

if TYPE_CHECKING:
    from loadtest.load.generator import Ended

COUNT_S = 0.25  # between two counts of ClickHouse's rows
COUNT_SENDING_S = 1.0  # while events are sent, it is for the picture alone, and each count reads all rows of the run
COUNT_DRAINING_S = 0.05  # after a fault: a backlog of 75 000 rows is gone in a second
DRAIN_S = 15.0
PROCESSES_S = 1.0
UNKNOWN_SITE = "403"


class RefusedError(Exception):
    """The server takes none of it; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that decides a run. `rate` and `duration_s` are the profile's unless given."""

    profile: Profile = PROFILES["smoke"]
    deployment: Deployment = field(default_factory=Deployment)
    rate: float | None = None
    duration_s: float | None = None
    sites: tuple[str, ...] = ("demo",)
    seed: int = 1
    arrivals: Literal["poisson", "fixed"] = "poisson"
    generators: int = 1
    connections: int = 64  # of all generators together
    timeout_s: float = 10.0
    warmup_s: int = 0
    resends: int | None = None  # the profile's unless given
    ahead_bytes: int = 256_000_000  # of bodies made before the clock starts, by all generators
    fault_kind: Kind = "pause"
    ack_log: Path | None = None
    fsync: bool = False
    verify: bool = True
    verify_timeout_s: float = 60.0
    freshness_s: float = 0.1  # between two looks; 0: not measured
    cost: bool = False  # merge the table and scan Redis, for bytes per event

    @property
    def events_per_s(self) -> float:
        return self.profile.rate if self.rate is None else self.rate

    @property
    def seconds(self) -> float:
        return self.profile.duration_s if self.duration_s is None else self.duration_s

    def plan(self) -> Plan:
        """What all generators together send."""
        return Plan(
            rate=self.events_per_s,
            duration_s=self.seconds,
            bodies=self.profile.bodies,
            stages=self.profile.stages,
            arrivals=self.arrivals,
            sites=self.sites,
            seed=self.seed,
            run=secrets.token_hex(8),
            base_ms=int(time.time() * 1000),
        )


def run(settings: Settings, progress: Progress | None = None) -> Result:
    """Blocks until it is over. Raises VerifyError before anything was sent when ClickHouse can't be asked,
    NoDeploymentError when a fault has no victim, GeneratorDiedError when the server takes no connection,
    RefusedError when it takes no event.
    """
    progress = Progress(is_quiet=True) if progress is None else progress
    with tempfile.TemporaryDirectory(prefix="loadtest-") as directory:
        trial = Trial(settings, progress, settings.ack_log or Path(directory) / "acknowledged")
        return asyncio.run(trial.run())


class Trial:
    """One run; used once."""

    def __init__(self, settings: Settings, progress: Progress, log: Path) -> None:
        self._settings = settings
        self._progress = progress
        self._plan = settings.plan()
        self._logs = logs(log, settings.generators)
        self._fleet = Fleet(orders(settings, self._plan, self._logs), self._on_second)
        self._store = Store(settings.deployment, sites=settings.sites) if settings.verify else None
        self._processes = Processes(self._pids)
        self._looks: list[tuple[float, dict[str, dict[str, float]]]] = []
        self._markers: list[tuple[float, str]] = []
        self._outage: Outage | None = None
        self._acknowledged = 0
        self._signals = 0
        self._sending = asyncio.Event()  # set until the sending is over
        self._refused = ""

    async def run(self) -> Result:
        settings, fleet = self._settings, self._fleet
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
            await fleet.start()
            ended, stored_at = await self._watched()
        finally:
            if self._outage is not None:
                self._outage.end()
            await fleet.close()
            if self._store is not None:
                self._store.close()
        if self._refused:
            raise RefusedError(self._refused)
        verdict, fault = await asyncio.to_thread(self._verify, ended, stored_at)
        facts = Facts(
            plan=self._plan,
            settings=settings,
            fleet=fleet,
            ended=ended,
            store=self._store,
            usage=self._processes.usage,
            looks=self._looks,
            markers=self._markers,
            verdict=verdict,
            unverified=fault,
        )
        rows = fleet.total().acknowledged
        extra = await asyncio.to_thread(cost_of, settings.deployment, settings.cost) if rows else {}
        return result_of(facts, extra)

    async def _watched(self) -> tuple[list[Ended], float | None]:
        """The sending, then the waiting; and when everything acknowledged was visible (perf_counter)."""
        self._sending.set()
        self._processes.look(is_first=True)
        watchers = [asyncio.create_task(self._watch_processes())]
        if self._store is not None:
            self._store.clock(self._fleet.started, self._settings.warmup_s)
            watchers.append(asyncio.create_task(self._watch_store(self._store)))
        if self._outage is not None:
            watchers.append(asyncio.create_task(self._break_for_a_while(self._outage)))
        try:
            ended = await self._fleet.end()
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
        store, owed = self._store, self._fleet.total().acknowledged
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
            with contextlib.suppress(VerifyError):  # it may be the one that was stopped
                if self._settings.freshness_s and not store.fault and store.is_due():
                    await asyncio.to_thread(store.look)
                if began - counted >= count_s - 0.01:
                    await asyncio.to_thread(store.count)
                    counted = began
            await asyncio.sleep(max(interval - (time.perf_counter() - began), interval / 4))

    async def _watch_processes(self) -> None:
        second = 0
        while True:
            second += 1
            await asyncio.sleep(max(0.0, self._fleet.started + second * PROCESSES_S - time.perf_counter()))
            self._looks.append((self._now(), self._processes.look()))

    async def _break_for_a_while(self, outage: Outage) -> None:
        fault = self._settings.profile.fault
        assert fault is not None
        is_killed = self._settings.fault_kind == "kill"
        await asyncio.sleep(max(0.0, fault.at * self._settings.seconds - self._now()))
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
        """Seconds since offset 0."""
        return time.perf_counter() - self._fleet.started

    def _pids(self) -> dict[str, list[int]]:
        ours = {"generators": self._fleet.pids(), "watcher": [os.getpid()]}
        return self._settings.deployment.pids() | ours

    def _on_second(self, row: dict[str, Any]) -> None:
        self._acknowledged += row["acknowledged"]
        self._progress.second(row)
        if not self._acknowledged and set(row["errors"]) == {UNKNOWN_SITE} and not self._refused:
            named = ", ".join(self._settings.sites)
            self._refused = (
                f"{self._settings.deployment.url} answers 403 to every event: it does not know the site {named}."
                " `forebay site add NAME` makes one; --site NAME names one that is there"
            )
            self._fleet.stop()

    def _on_signal(self) -> None:
        self._signals += 1
        self._fleet.stop()

    def _verify(self, ended: list[Ended], stored_at: float | None) -> tuple[Verdict | None, str]:
        """The verdict, or why there is none. Blocking."""
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
        after = None if stored_at is None else max(0.0, stored_at - self._fleet.started - elapsed_s)
        try:
            return verifier.verify(
                *self._logs,
                ended_s=self._fleet.started_s + elapsed_s,
                timeout_s=self._settings.verify_timeout_s,
                before=store.before,
                stored_after_s=after,
            ), ""
        except VerifyError as error:
            return None, str(error)
        finally:
            verifier.close()


def logs(path: Path, generators: int) -> list[Path]:
    """Of each generator: the file itself if there is but one."""
    whole = path.resolve()
    if generators == 1:
        return [whole]
    return [whole.with_name(f"{whole.name}-{number}") for number in range(1, generators + 1)]


def orders(settings: Settings, plan: Plan, files: list[Path]) -> list[Orders]:
    """The plan divided: each generator its share of rate and connections, and visitors and ids of its own."""
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
