"""Plans the faults of one round from a seed, and does them.

A plan says what happens to whom, and how long after the previous fault. The same seed gives the same plan, but not the
same course, because processes take the time they take. A fault whose process is dead and not yet started again takes
another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from tests.chaos.installation import LEASE_TTL_MS, LINKS, PROCESSES, SHARDS, Installation
from tests.chaos.proxy import Ambush
from tests.chaos.surroundings import ask, intrude

PATIENCE_SECONDS = 3.0  # for a process that is being started again
LAST_SECONDS = 240.0  # for one that has to be killed once, and may be starting on a busy machine
AMBUSH_SECONDS = 8.0  # for a request to come by
POLL_SECONDS = 0.02
GAPS_SECONDS = (0.8, 1.6, 3.0)  # the longest between two faults of a round: from all at once to some work between


class Kind(Enum):
    """Names the kinds of faults."""

    KILL = "kill"
    KILL_IN_INSERT = "kill in an insert"
    PAUSE = "pause"
    ZOMBIE = "zombie"  # a flusher paused in the middle of an INSERT for longer than its lease
    CUT = "cut"
    CUT_REQUEST = "cut request"
    LOSE = "lost answer"
    HOLD = "late request"
    HALF_CLOSE = "half-close"
    DELAY = "delay"
    POWER_CUT = "power cut"
    FULL_DISK = "full disk"
    READERS = "slow readers"
    FOREIGN = "foreign entry"
    CLOCK = "clock of Redis"


WEIGHTS = {
    Kind.KILL: 62, Kind.KILL_IN_INSERT: 12, Kind.PAUSE: 10, Kind.ZOMBIE: 3, Kind.CUT: 3, Kind.CUT_REQUEST: 2,
    Kind.LOSE: 3, Kind.HOLD: 2, Kind.HALF_CLOSE: 1, Kind.DELAY: 2, Kind.POWER_CUT: 2, Kind.FULL_DISK: 2, Kind.READERS: 3,
    Kind.FOREIGN: 2, Kind.CLOCK: 3,
}  # fmt: skip
READERS = (4, 30)  # at once: fewer than fill the engine's lanes, and more than it lets wait
CLOCK_SECONDS = 20.0  # at most, ahead or behind
# `up` takes everything of its own with it, and seconds to come back: more of it means less of all else.
VICTIMS = {
    "redis": 16, "clickhouse": 16, "flusher 0": 16, "flusher 2": 16, "ingest 0": 12, "ingest 2": 10, "ingest tier": 7,
    "ingest tier 2": 5, "up": 4,
}  # fmt: skip
# A Redis that was killed keeps flushers waiting for one lease time, so a round of everything has few INSERTs.
DELIVERY = {"clickhouse": 3, "flusher 0": 2, "flusher 2": 2}
THEMES = (VICTIMS, VICTIMS, DELIVERY)
IN_INSERT = ("clickhouse", "clickhouse", "flusher 2", "redis")
AROUND = {Kind.POWER_CUT, Kind.FULL_DISK, Kind.READERS, Kind.FOREIGN, Kind.CLOCK}
AMBUSHES = {
    Kind.CUT_REQUEST: Ambush.CUT,
    Kind.LOSE: Ambush.LOSE,
    Kind.HOLD: Ambush.HOLD,
    Kind.HALF_CLOSE: Ambush.HALF_CLOSE,
}


@dataclass(frozen=True)
class Fault:
    """Describes one fault: so many seconds after the previous one, to a process or link. `seconds` depends on
    the kind.
    """

    after: float
    kind: Kind
    victim: str
    seconds: float = 0.0


def plan(
    chance: random.Random, count: int, *, gap_seconds: float | None = None, victims: dict[str, int] | None = None
) -> list[Fault]:
    """Plans so many faults, at most `gap_seconds` apart, to `victims` by their weights. Both are chosen by chance if
    missing.
    """
    gap_seconds = gap_seconds or chance.choice(GAPS_SECONDS)
    victims = victims or chance.choice(THEMES)
    return [_fault(chance, chance.uniform(0.02, gap_seconds), victims) for _ in range(count)]


def _fault(chance: random.Random, after: float, victims: dict[str, int]) -> Fault:
    kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    lease_seconds = LEASE_TTL_MS / 1000
    if kind is Kind.KILL_IN_INSERT:
        among = [name for name in IN_INSERT if name in victims]
        return Fault(after, kind, chance.choice(among), chance.choice((0.0, chance.uniform(0, 0.03))))
    if kind in {Kind.KILL, Kind.PAUSE}:
        victim = chance.choices(list(victims), list(victims.values()))[0]
        seconds = chance.choice((chance.uniform(0.02, 1), chance.uniform(1, 2.5 * lease_seconds)))
        return Fault(after, kind, victim, seconds if kind is Kind.PAUSE else 0.0)
    if kind is Kind.ZOMBIE:
        return Fault(after, kind, "flusher 2", lease_seconds * chance.uniform(1.1, 2.5))
    if kind in AROUND:
        return Fault(after, kind, "", chance.uniform(0.5, 6))
    lasting = {Kind.DELAY: chance.uniform(0.01, 0.8), Kind.HOLD: chance.uniform(0.2, 2.5 * lease_seconds)}
    return Fault(after, kind, chance.choice(LINKS), lasting.get(kind, 0.0))


class Held:
    """Holds a process that lived when it was looked up, so that no other process can get its signals."""

    def __init__(self, name: str, pid: int) -> None:
        """Raises ProcessLookupError if there is no such process."""
        self.name = name
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal. Tells whether the process still lived."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)
            return True
        return False


class Killer:
    """Does faults to an installation and counts them."""

    def __init__(self, installation: Installation, chance: random.Random, *, say: Callable[[str], None]) -> None:
        self.kills: Counter[str] = Counter()
        self.kills_in_insert = 0
        self.others: Counter[str] = Counter()
        self._installation = installation
        self._chance = chance
        self._say = say

    @property
    def done(self) -> int:
        """Returns the number of faults so far."""
        return self.kills.total() + self.others.total()

    async def strike(self, faults: list[Fault], *, until: float) -> None:
        """Does all faults for which there is time before `until` (on the monotonic clock)."""
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(fault.after)
                if time.monotonic() > until:
                    break
                # one that waits for a request or lasts goes on beside the next ones
                doing = tasks.create_task(self._do(fault))
                if fault.kind in {Kind.KILL, Kind.POWER_CUT}:
                    await doing

    async def kill_the_rest(self) -> None:
        """Kills every process once that was not killed yet."""
        for name in PROCESSES:
            if not self.kills[name]:
                await self._kill(name, LAST_SECONDS)
                assert self.kills[name], f"{name} was not there to be killed"

    async def _do(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL:
                await self._kill(fault.victim, PATIENCE_SECONDS)
            case Kind.KILL_IN_INSERT:
                if await self._hit("flusher 2-clickhouse", Ambush.WATCH):
                    self.kills_in_insert += 1
                await asyncio.sleep(fault.seconds)
                await self._kill(fault.victim, 0.0, fault.kind.value)
            case Kind.ZOMBIE:
                # held while its sender sleeps: it arrives before or after its deadline
                await self._hit("flusher 2-clickhouse", Ambush.HOLD, self._chance.uniform(0, fault.seconds))
                await self._pause(fault)
            case Kind.PAUSE:
                await self._pause(fault)
            case Kind.CUT:
                self._cut(fault)
            case Kind.DELAY:
                self._installation.links[fault.victim].delay_seconds = fault.seconds
                self._note(fault.kind, fault.victim, f"up to {fault.seconds:.2f} s")
            case Kind.POWER_CUT | Kind.FULL_DISK | Kind.READERS | Kind.FOREIGN | Kind.CLOCK:
                await self._around(fault)
            case _:
                if await self._hit(fault.victim, AMBUSHES[fault.kind], fault.seconds):
                    self._note(fault.kind, fault.victim, f"{fault.seconds:.2f} s" if fault.seconds else "")
                else:
                    self._cut(fault)

    async def _around(self, fault: Fault) -> None:
        """Does a fault to the processes' surroundings. One that this machine can't do is left out and not counted."""
        installation = self._installation
        match fault.kind:
            case Kind.POWER_CUT if installation.disk is not None:
                await installation.cut_power()
                self._note(fault.kind, "everything", "")
            case Kind.FULL_DISK if installation.filler is not None:
                size = await asyncio.to_thread(installation.filler.fill)
                self._note(fault.kind, f"{size >> 20} MiB", f"{fault.seconds:.2f} s")
                await asyncio.sleep(fault.seconds)
                installation.filler.free()
            case Kind.READERS:
                readers = self._chance.randint(*READERS)
                self._note(fault.kind, f"{readers} readers", f"{fault.seconds:.2f} s")
                await ask(installation.clickhouse_url, self._chance, readers, fault.seconds)
            case Kind.FOREIGN:
                if done := await intrude(installation.redis_socket, self._chance, SHARDS):
                    self._note(fault.kind, done, "")
            case Kind.CLOCK if installation.clock.is_settable:
                off = self._chance.uniform(-CLOCK_SECONDS, CLOCK_SECONDS)
                installation.clock.set(off)
                self._note(fault.kind, f"{off:+.1f} s", f"{fault.seconds:.2f} s")
                await asyncio.sleep(fault.seconds)
                installation.clock.set(0)

    def _cut(self, fault: Fault) -> None:
        broken = self._installation.links[fault.victim].cut()
        self._note(Kind.CUT, fault.victim, f"{broken} connections")

    async def _kill(self, victim: str, patience_seconds: float, detail: str = "") -> None:
        held = await self._found(victim, patience_seconds)
        if held is None:
            return
        with held:
            if held.signal(signal.SIGKILL):
                self.kills[held.name] += 1
                self._say(f"kill: {held.name} {detail}")

    async def _pause(self, fault: Fault) -> None:
        held = await self._found(fault.victim, PATIENCE_SECONDS)
        if held is None:
            return
        with held:
            if held.signal(signal.SIGSTOP):
                self._note(fault.kind, held.name, f"{fault.seconds:.2f} s")
                await asyncio.sleep(fault.seconds)
                held.signal(signal.SIGCONT)

    async def _hit(self, link: str, ambush: Ambush, seconds: float = 0.0) -> bool:
        """Lays an ambush. Tells whether a request came by in time."""
        hit = self._installation.links[link].lay(ambush, seconds)
        try:
            async with asyncio.timeout(AMBUSH_SECONDS):
                return await hit.wait()
        except TimeoutError:
            return False

    async def _found(self, victim: str, patience_seconds: float) -> Held | None:
        """Returns the process, or another one if it is not there in time, or None if none is."""
        deadline = time.monotonic() + patience_seconds
        while True:
            pids = self._installation.pids()
            is_over = time.monotonic() >= deadline
            name = self._chance.choice(sorted(pids)) if is_over and pids and victim not in pids else victim
            if name in pids:
                with contextlib.suppress(ProcessLookupError):
                    return Held(name, pids[name])
            if is_over:
                return None
            await asyncio.sleep(POLL_SECONDS)

    def _note(self, kind: Kind, victim: str, detail: str) -> None:
        self.others[kind.value] += 1
        self._say(f"{kind.value}: {victim} {detail}")
