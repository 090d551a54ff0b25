"""Cuts the power under load, and looks what the next start makes of it: every acknowledged id once, in rows, rollups
and books.

All processes are stopped (SIGSTOP), the disk is kept as it is at that moment, they are killed, and `forebay up` starts
on what the disk had. Merges and a mutation are asked for all the time, because what they make replaces rows that were
stored long ago. Clients then send the events again that were not answered, under the same ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp

from forebay.clickhouse import ClickHouse, ClickHouseError
from tests.powercut.disk import Disk
from tests.support.system import ROOT, NewSystem, is_alive

CLIENTS = 3
EVENTS = 20  # of a body
PAUSE_SECONDS = 0.03
LOAD_SECONDS = (4.0, 7.0)
MERGE_SECONDS = 0.4
STORED_SECONDS = 60
AUDIT_SECONDS = 90
SETTINGS = {"FOREBAY_SHARDS": "2", "FOREBAY_BLOCK_AGE_MS": "60", "FOREBAY_LEASE_TTL_MS": "3000"}
MERGES = ("OPTIMIZE TABLE forebay.events FINAL", "OPTIMIZE TABLE forebay.blocks FINAL")
MUTATION = "ALTER TABLE forebay.events UPDATE title = concat(title, '.') WHERE 1"
# The engine looks for parts it may delete every 30 to 40 s: here every second, or each cut would need a minute of load.
HASTY = """<clickhouse><merge_tree>
 <cleanup_delay_period>1</cleanup_delay_period>
 <cleanup_delay_period_random_add>0</cleanup_delay_period_random_add>
 <cleanup_thread_preferred_points_per_iteration>0</cleanup_thread_preferred_points_per_iteration>
 <max_cleanup_delay_period>1</max_cleanup_delay_period>
</merge_tree></clickhouse>
"""
TOTALS = """
SELECT (SELECT count() FROM forebay.events WHERE late = 0), (SELECT sum(events) FROM forebay.daily),
    (SELECT sum(events) FROM forebay.sessions)
"""
PARTS = """
SELECT (SELECT count() FROM system.parts WHERE database = 'forebay' AND active AND level > 0),
    (SELECT count() FROM system.projection_parts WHERE database = 'forebay' AND active AND is_broken),
    (SELECT count() FROM system.detached_parts WHERE database = 'forebay')
"""


@dataclass(kw_only=True)
class Outcome:
    """Holds what one cut left behind: numbers of events since the disk was new, and what disagrees with them."""

    acknowledged: int
    stored: int
    lost: int
    doubled: int
    foreign: int
    totals: tuple[int, ...]  # rows, by `daily`, by `sessions`
    parts_merged: int
    projections_broken: int
    parts_detached: int
    audit: str  # "" when the books balance

    @property
    def faults(self) -> list[str]:
        """Returns every promise that is broken, in words."""
        found = [f"{getattr(self, name)} {name}" for name in ("lost", "doubled", "foreign") if getattr(self, name)]
        if set(self.totals) != {self.stored}:
            found.append(f"{self.stored} stored, but rows, daily and sessions say {self.totals}")
        if self.projections_broken:
            found.append(f"{self.projections_broken} projections are broken")
        return found + ([self.audit] if self.audit else [])

    def line(self) -> str:
        """Returns the outcome as a line of a report."""
        return (
            f"acknowledged {self.acknowledged}, stored {self.stored}, lost {self.lost}, doubled {self.doubled},"
            f" parts merged {self.parts_merged}, detached {self.parts_detached}; {'; '.join(self.faults) or 'whole'}"
        )


@dataclass
class Load:
    """Posts bodies of events with ids of their own, and knows what became of each id."""

    acknowledged: set[str] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def post(self, session: aiohttp.ClientSession, url: str, ids: list[str]) -> None:
        """Posts one body. Its ids are unclear until all of them are acknowledged."""
        self.unclear.update(ids)
        events = [{"url": f"https://cut.example/{hash(name) % 40}", "id": name} for name in ids]
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(f"{url}/f", json=events) as answer:
                if answer.status == 202 and (await answer.json(content_type=None))["accepted"] == len(ids):
                    self.unclear.difference_update(ids)
                    self.acknowledged.update(ids)

    async def keep_posting(self, url: str, client: int) -> None:
        """Posts as one client until cancelled. The client decides which shard the events go to."""
        async with aiohttp.ClientSession(headers={"User-Agent": f"client {client}"}) as session:
            while True:
                await self.post(session, url, [f"cut-{next(self._numbers)}" for _ in range(EVENTS)])
                await asyncio.sleep(PAUSE_SECONDS)

    async def send_again(self, url: str) -> None:
        """Sends the events again that were not answered, as clients do."""
        async with aiohttp.ClientSession() as session:
            ids = sorted(self.unclear)
            for at in range(0, len(ids), EVENTS):
                await self.post(session, url, ids[at : at + EVENTS])


class Cuts:
    """Runs one installation on one disk, and cuts its power as often as asked. It is used as an async context
    manager.
    """

    def __init__(self, directory: Path, disk: Disk, chance: random.Random) -> None:
        self.system = NewSystem(directory, **SETTINGS, **disk.environment)
        self.system.data = disk.path / "data"
        self.load = Load()
        self._disk = disk
        self._chance = chance

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.system.kill()
        self._disk.close()

    async def cut(self) -> Outcome:
        """Runs load for some seconds, cuts the power, starts again, and returns the verdict."""
        url = self.system.facts()["url"]
        tasks = [asyncio.create_task(self.load.keep_posting(url, client)) for client in range(CLIENTS)]
        tasks.append(asyncio.create_task(self._keep_merging()))
        try:
            await asyncio.sleep(self._chance.uniform(*LOAD_SECONDS))
            pids = self._stop_all()
            await asyncio.to_thread(self._disk.snapshot)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.system.kill()
        await self.system.until(lambda: not any(map(is_alive, pids)))
        await asyncio.to_thread(self._disk.power_on)
        await self._start()
        await self.load.send_again(self.system.facts()["url"])
        return await self._outcome()

    async def _start(self) -> None:
        directory = self.system.data / "clickhouse" / "config.d"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "hasty.xml").write_text(HASTY, "ascii")
        self.system.start()
        await self.system.ready()

    def _stop_all(self) -> list[int]:
        """Stops all processes in random order. The disk is looked at when all of them stand still."""
        pids = list(self.system.pids().values())
        self._chance.shuffle(pids)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    async def _keep_merging(self) -> None:
        """Asks for merges until cancelled, and some of the time for a mutation of every row."""
        client = ClickHouse(self.system.facts()["clickhouse_url"])
        for turn in itertools.count(self._chance.randrange(8)):
            for statement in (*MERGES, MUTATION) if turn % 8 == 0 else MERGES:
                with contextlib.suppress(ClickHouseError):
                    await asyncio.to_thread(client.run, statement)
            await asyncio.sleep(MERGE_SECONDS)

    async def _outcome(self) -> Outcome:
        known, sent = self.load.acknowledged, self.load.acknowledged | self.load.unclear
        found: Counter[str] = Counter()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORED_SECONDS):
                while not known <= found.keys():
                    await asyncio.sleep(0.2)
                    found = Counter(
                        str(name) for (name,) in await self.system.ask("SELECT event_id FROM forebay.events")
                    )
        audit = await asyncio.to_thread(self._audit)
        merged, broken, detached = (await self.system.ask(PARTS))[0]
        return Outcome(
            acknowledged=len(known),
            stored=found.total(),
            lost=len(known - found.keys()),
            doubled=sum(count > 1 for count in found.values()),
            foreign=len(found.keys() - sent),
            totals=tuple(map(int, (await self.system.ask(TOTALS))[0])),
            parts_merged=merged,
            projections_broken=broken,
            parts_detached=detached,
            audit=audit,
        )

    def _audit(self) -> str:
        """Returns what `forebay audit` finds; "" when the books balance."""
        words = [sys.executable, "-m", "forebay", "audit", "--data", str(self.system.data)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS)
        return "" if done.returncode == 0 else f"audit: {done.stdout[-500:]}{done.stderr[-500:]}"


async def cuts(directory: Path, disk: Disk, *, count: int, seed: int, say: Callable[[str], None]) -> list[Outcome]:
    """Makes so many cuts one after the other, each on what the previous one left. The log is beside the disk."""
    outcomes: list[Outcome] = []
    async with Cuts(directory, disk, random.Random(seed)) as installation:
        for number in range(1, count + 1):
            outcomes.append(await installation.cut())
            say(f"cut {number} of {count}: {outcomes[-1].line()}")
    return outcomes


def told(outcomes: list[Outcome]) -> str:
    """Returns all outcomes as JSON."""
    return json.dumps([vars(one) | {"faults": one.faults} for one in outcomes], indent=1)
