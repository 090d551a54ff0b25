"""Every process of `forebay up` is killed once under load, and every acknowledged event is there once."""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system import ROOT, System, is_alive, running

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
RATE = 250
VICTIMS = ("redis", "clickhouse", "ingest 0", "ingest tier", "flusher 0", "up")
SECONDS_EACH = 4.0  # a kill falls at a random moment of its span


async def generate(system: System, directory: Path, seed: int, seconds: float) -> asyncio.subprocess.Process:
    """The load tester as an outsider: its own fsynced log of what was acknowledged, and its own verdict."""
    facts = system.facts()
    words = ["--url", facts["url"], "--clickhouse-url", facts["clickhouse_url"], "--rate", str(RATE)]
    words += ["--duration", str(seconds), "--seed", str(seed), "--connections", "16", "--timeout", "8"]
    words += ["--ack-log", str(directory / "acknowledged"), "--fsync", "--json", str(directory / "result.json")]
    with (directory / "loadtest.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest", *words, cwd=ROOT, stdout=log, stderr=log
        )


async def kill(system: System, victim: str) -> None:
    """SIGKILL one process by pid; wait until everything answers again."""
    pids = system.pids()
    os.kill(pids[victim], signal.SIGKILL)
    if victim == "up":
        await system.ended()
        await system.until(lambda: not any(is_alive(pid) for pid in pids.values()))
        system.start()
        await system.ready()
    else:
        await system.until(lambda: not is_alive(pids[victim]))


async def test_kill_each(tmp_path: Path) -> None:
    """SIGKILL at random moments under load loses and doubles no acknowledged event, in rows and in rollups."""
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"replay with: SEED={seed} pytest tests/chaos/test_kill_each.py")
    chance = random.Random(seed)
    victims = chance.sample(VICTIMS, len(VICTIMS))
    async with running(tmp_path) as system:
        loadtest = await generate(system, tmp_path, seed, SECONDS_EACH * (len(victims) + 1))
        for victim in victims:
            before = chance.uniform(0.3, SECONDS_EACH - 0.5)
            await asyncio.sleep(before)
            await kill(system, victim)
            await asyncio.sleep(SECONDS_EACH - before)
        status = await asyncio.wait_for(loadtest.wait(), 120)
        result: dict[str, Any] = json.loads((tmp_path / "result.json").read_text())
        said = (tmp_path / "loadtest.log").read_text() + system.tail()
        assert status == 0, f"seed {seed}, order {victims}:\n{json.dumps(result, indent=1)}\n{said}"
        assert result["events"]["acknowledged"] > RATE * SECONDS_EACH, said
        assert await system.stop() == 0
