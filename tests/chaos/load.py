"""Runs the load tester as an outsider, with an fsynced log of acknowledged ids of its own, which only the verdict
reads.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from loadtest.load import acklog
from tests.support.system import ROOT, System

RATE = 250
WATCH_SECONDS = 0.02
END_SECONDS = 60


async def generate(system: System, directory: Path, seed: int, seconds: float) -> asyncio.subprocess.Process:
    """Starts a run of so many seconds against the system. Its exit status is its own verdict."""
    facts = system.facts()
    words = ["--url", facts["url"], "--clickhouse-url", facts["clickhouse_url"], "--rate", str(RATE)]
    words += ["--duration", str(seconds), "--seed", str(seed), "--connections", "16", "--timeout", "8"]
    words += ["--ack-log", str(directory / "acknowledged"), "--fsync", "--json", str(directory / "result.json")]
    return await _start(words, directory / "loadtest.log")


async def _start(words: list[str], log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as file:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest", *words, cwd=ROOT, stdout=file, stderr=file
        )


class Load:
    """Runs one generator until it is stopped, and watches it for stalls."""

    def __init__(self, directory: Path, *, url: str, site: str, seed: int, rate: float) -> None:
        self.log = directory / f"acknowledged-{site}"
        self.stall_seconds = 0.0
        self._directory = directory
        self._site = site
        self._words = ["--url", url, "--site", site, "--seed", str(seed), "--rate", str(rate)]
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        words = [*self._words, "--duration", "3600", "--connections", "16", "--timeout", "8", "--no-verify", "--fsync"]
        words += ["--ack-log", str(self.log), "--json", str(self._directory / f"{self._site}.json")]
        for earlier in acklog.paths(self.log):
            earlier.unlink(missing_ok=True)  # of another round: what is there from now on is ours
        self._process = await _start(words, self._directory / f"loadtest-{self._site}.log")
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Measures the longest time in which the log of acknowledged ids did not grow, once it had begun to."""
        size, grown_at = 0, time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now, found = time.monotonic(), self.bytes_logged()
            if size:
                self.stall_seconds = max(self.stall_seconds, now - grown_at)
            if found != size:
                size, grown_at = found, now

    def bytes_logged(self) -> int:
        """Returns the size of the log of acknowledged ids."""
        return self.log.stat().st_size if self.log.exists() else 0

    async def stop(self) -> dict[str, Any]:
        """Stops the generator in order. Returns what it counted."""
        assert self._process is not None
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.wait([self._watching])
        self._process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(self._process.wait(), END_SECONDS)
        said = (self._directory / f"loadtest-{self._site}.log").read_text()
        assert status == 0, said
        result: dict[str, Any] = json.loads((self._directory / f"{self._site}.json").read_text())
        return result

    def kill(self) -> None:
        """Kills the generator if it runs."""
        if self._watching is not None:
            self._watching.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def add_to(self, whole: Path) -> None:
        """Appends the logs of this run to those of the runs before."""
        for source, target in zip(acklog.paths(self.log), acklog.paths(whole), strict=True):
            with target.open("ab") as file:
                file.write(source.read_bytes())
