"""Parts that ClickHouse lost come again from Redis by themselves, while `forebay up` runs and when it starts."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.posting import Client, Posted, assert_once
from tests.support.system import ROOT, System, is_alive, running

EVENTS = 60
UUID = "SELECT toString(uuid) FROM system.tables WHERE database = 'forebay' AND name = '{}'"


class Scene:
    """Holds a system that has stored some blocks, and what was sent."""

    def __init__(self, system: System, posted: Posted) -> None:
        self.system = system
        self.posted = posted

    async def post(self) -> None:
        """Posts events as blocks of their own; returns once they are stored."""
        client = Client(self.posted, is_kept=True)
        for _ in range(EVENTS):
            await client.post()
            await asyncio.sleep(0.02)
        await client.close()
        await self.system.stored("1", len(self.posted.acknowledged))

    async def parts(self, table: str) -> list[Path]:
        """Returns the directories of the table's parts."""
        uuid = str((await self.system.ask(UUID.format(table)))[0][0])
        store = self.system.data / "clickhouse" / "engine" / "store"
        return sorted((store / uuid[:3] / uuid).glob("2*_*_*_*"))

    async def is_whole(self) -> None:
        """Checks that each event is stored once and counted in `daily`, and that the books balance."""
        await assert_once(self.system, self.posted)
        counted = await self.system.ask("SELECT sum(events) FROM forebay.daily")
        assert counted == [(len(self.posted.acknowledged),)]
        words = [sys.executable, "-m", "forebay", "audit", "--data", str(self.system.data)]
        done = await asyncio.to_thread(subprocess.run, words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "they are delivered again from the replay tail" in self.system.log.read_text("utf-8")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Gives a system with small blocks, and therefore several parts."""
    async with running(tmp_path, FOREBAY_BLOCK_AGE_MS="100") as system:
        # What was merged leaves its parts behind: to lose one of those would be no loss.
        system.send("SYSTEM STOP MERGES forebay.events")
        scene = Scene(system, Posted(system.facts()["url"], "part"))
        await scene.post()
        # A block that is stored and not yet checked off would come again without a look at the tail.
        await system.checked_off(EVENTS)
        yield scene


async def test_while_it_runs(scene: Scene) -> None:
    """The engine alone dies and comes back without rows, and without what `forebay.blocks` said of them."""
    system = scene.system
    events, books = await scene.parts("events"), await scene.parts("blocks")
    pids = system.pids()
    os.kill(pids["up"], signal.SIGSTOP)  # it would start the engine at once
    try:
        os.kill(pids["clickhouse"], signal.SIGKILL)
        await system.until(lambda: not is_alive(pids["clickhouse"]))
        for part in (*events, *books):
            shutil.rmtree(part)
    finally:
        os.kill(pids["up"], signal.SIGCONT)
    await system.until(lambda: system.facts()["pids"]["clickhouse"] not in {None, pids["clickhouse"]})
    await scene.post()
    await scene.is_whole()


async def test_when_it_starts(scene: Scene) -> None:
    """All of it dies; when it starts, one part is gone and the others are there."""
    system = scene.system
    part = (await scene.parts("events"))[-1]
    pids = list(system.pids().values())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    system.kill()
    await system.until(lambda: not any(map(is_alive, pids)))
    shutil.rmtree(part)
    system.start()
    await system.ready()
    await scene.is_whole()
