"""Runs rounds of faults under load. After each, everything is healed and every acknowledged id is accounted for.

The verdict is cumulative: after each round all ids since the data directory was new are compared with what ClickHouse
holds, so a row that is doubled rounds later shows. Foreign rows are faults too, because the logs name every id that was
ever sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from forebay.embedded.redis import rest
from loadtest.watch.reconcile import Verdict, Verifier
from tests.chaos.faults import VICTIMS, Killer, plan
from tests.chaos.installation import Installation
from tests.chaos.load import Load
from tests.support.system import ROOT

RATE = 120.0  # events a second, to each of the two tiers
VERIFY_SECONDS = 240
LATE_SECONDS = 45  # what is missing then is looked for once more: late is not lost
AUDITS = 4  # spools of the dead may still be drained while the first ones look
FIGURES_SQL = """
SELECT (SELECT count() FROM forebay.events),
       (SELECT uniqExact(block_id, toYYYYMM(ts)) FROM forebay.events WHERE attempt > 0),
       (SELECT count() FROM forebay.blocks FINAL),
       (SELECT countIf(attempts != 1) FROM forebay.blocks FINAL)
"""
ALARMS = ("Traceback", '"trace"', "STOPPED", "Redis lost commits", "is damaged", "Redis only knows")


class Wrong(AssertionError):
    """Says that the product broke its promise. Its text is the evidence."""


@dataclass
class Figures:
    """Counts what was done and what came of it: events, except for the counters of faults. Times are in seconds."""

    faults: int = 0
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    kills_in_insert: int = 0
    others: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    unclear: int = 0
    refused: int = 0
    stored: int = 0
    lost: int = 0
    duplicated: int = 0
    foreign: int = 0
    blocks: int = 0
    blocks_delivered_again: int = 0  # in another number of INSERTs than one
    blocks_healed: int = 0
    late: int = 0  # stored only after a second look
    alarms: Counter[str] = field(default_factory=Counter)
    longest_stall: float = 0.0
    seconds: float = 0.0

    def text(self) -> str:
        """Returns the figures as JSON."""
        return json.dumps({**vars(self), "kills_in_all": self.kills.total(), "seconds": round(self.seconds)}, indent=1)


class Campaign:
    """Runs rounds against one installation."""

    def __init__(self, installation: Installation, *, say: Callable[[str], None]) -> None:
        self.figures = Figures()
        self._installation = installation
        self._say = say
        self._whole = installation.directory / "acknowledged"
        self._began = time.time()
        self._is_stopped = False

    async def round(
        self,
        seed: int,
        count: int,
        *,
        until: float = float("inf"),
        is_small: bool = False,
    ) -> None:
        """Runs one round: load, faults, healing, verdict. Raises Wrong.

        A small one kills each process at least once, and waits less between two faults.
        """
        installation, figures = self._installation, self.figures
        chance = random.Random(seed)
        killer = Killer(installation, chance, say=lambda text: self._say(f"  {text}"))
        loads = [
            Load(installation.directory, url=url, site=site, seed=seed, rate=RATE)
            for site, url in installation.urls.items()
        ]
        try:
            for load in loads:
                await load.start()
            await self._until_acknowledging(loads)
            faults = plan(chance, count, gap_seconds=1.2, victims=VICTIMS) if is_small else plan(chance, count)
            await killer.strike(faults, until=until)
            if is_small:
                await killer.kill_the_rest()
            await installation.heal()
            await self._until_acknowledging(loads)
            ended = time.time()
            results = [await load.stop() for load in loads]
        finally:
            for load in loads:
                load.kill()
        for load in loads:
            load.add_to(self._whole)
            figures.longest_stall = max(figures.longest_stall, round(load.stall_seconds, 2))
        figures.rounds += 1
        figures.faults += killer.done
        figures.kills += killer.kills
        figures.kills_in_insert += killer.kills_in_insert
        figures.others += killer.others
        figures.acknowledged += sum(result["events"]["acknowledged"] for result in results)
        await self._verify(ended)
        await self._audit()
        figures.seconds = time.time() - self._began

    async def _until_acknowledging(self, loads: list[Load]) -> None:
        """Waits until both tiers acknowledge events, or do so again."""
        before = [load.bytes_logged() for load in loads]
        await self._installation.system.until(
            lambda: all(load.bytes_logged() > size for load, size in zip(loads, before, strict=True)), 120
        )

    async def _verify(self, ended: float) -> None:
        figures = self.figures
        try:
            verdict = await asyncio.to_thread(self._verdict, ended)
        except asyncio.CancelledError:
            self._is_stopped = True  # the thread's wait ends too
            raise
        if verdict.lost or not verdict.rollups_agree:
            figures.late += verdict.lost
            first = asdict(verdict)
            self._say(f"  not whole yet: {first}")
            await asyncio.sleep(LATE_SECONDS)
            verdict = await asyncio.to_thread(self._verdict, ended)
        figures.lost, figures.duplicated, figures.foreign = verdict.lost, verdict.duplicated, verdict.foreign
        figures.unclear, figures.refused = verdict.sent["unclear"], verdict.sent["refused"]
        found = (await self._installation.system.ask(FIGURES_SQL))[0]
        figures.stored, figures.blocks_healed, figures.blocks, figures.blocks_delivered_again = map(int, found)
        figures.alarms = self._alarms()
        if verdict.sent["acknowledged"] != figures.acknowledged:
            raise Wrong(f"the generators counted {figures.acknowledged}, their logs hold {verdict.sent}")
        if not verdict.is_exact or verdict.foreign:
            # what still waits is stalled, not lost: another fault, in another place
            waiting = await asyncio.to_thread(rest, self._installation.redis_socket)
            told = json.dumps(asdict(verdict), indent=1)
            raise Wrong(f"not exactly once: {told}\nnot stored, of shards (entries, rows): {waiting}")

    def _verdict(self, ended: float) -> Verdict:
        sites = tuple(self._installation.urls)
        verifier = Verifier(
            self._installation.clickhouse_url,
            sites=sites,
            since_s=self._began,
            is_stopped=lambda: self._is_stopped,
        )
        try:
            return verifier.verify(self._whole, ended_s=ended, timeout_s=VERIFY_SECONDS)
        finally:
            verifier.close()

    async def _audit(self) -> None:
        said = ""
        for _ in range(AUDITS):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "forebay", "audit", "--data", str(self._installation.system.data),
                cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            output, _ = await process.communicate()
            if process.returncode == 0:
                return
            said = output.decode()
            self._say(f"  audit, exit status {process.returncode}: {said}")
            await asyncio.sleep(5)
        raise Wrong(f"the books do not balance:\n{said}")

    def _alarms(self) -> Counter[str]:
        """Counts the signs of trouble in the product's logs."""
        found: Counter[str] = Counter()
        for log in self._installation.logs():
            text = log.read_text("utf-8", "replace")
            found += Counter({alarm: text.count(alarm) for alarm in ALARMS})
        return found

    def line(self) -> str:
        """Returns a line that says how far the campaign is."""
        now: dict[str, Any] = vars(self.figures)
        names = ("faults", "acknowledged", "stored", "lost", "duplicated", "foreign", "blocks", "blocks_healed")
        told = "  ".join(f"{name} {now[name]:,}" for name in names)
        return f"round {self.figures.rounds}: kills {self.figures.kills.total():,}  {told}"
