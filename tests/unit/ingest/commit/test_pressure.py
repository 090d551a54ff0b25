"""Appending stops before Redis is at a wall, and goes on when it is not."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from ingest.commit import pressure as pressure_module
from ingest.commit.answers import Refused, Unclear
from ingest.commit.pressure import Pressure
from tests.support.waiting import until


class Memory:
    """A Redis of which so much is in use, or that does not say."""

    def __init__(self, share: float = 0.1) -> None:
        self.share = share
        self.fault: Exception | None = None

    async def memory_shares(self) -> dict[str, float]:
        if self.fault is not None:
            raise self.fault
        return {"": self.share}


def watching(memory: Memory, disk: str = "", free_bytes_min: int = 1) -> Pressure:
    return Pressure(memory=memory, memory_share_max=0.85, disk=disk, free_bytes_min=free_bytes_min)


@pytest.mark.parametrize(("share", "is_on"), [(0.0, False), (0.85, False), (0.86, True), (1.2, True)])
async def test_memory(share: float, is_on: bool) -> None:
    """Above its share of maxmemory, and not at it."""
    pressure = watching(Memory(share))
    await pressure.look()
    assert pressure.is_on is is_on


@pytest.mark.parametrize(("more", "is_on"), [(-(1 << 28), False), (1 << 28, True)])
async def test_disk(tmp_path: Path, more: int, is_on: bool) -> None:
    """With less than the minimum free on the disk that holds Redis's data."""
    pressure = watching(Memory(), str(tmp_path), shutil.disk_usage(tmp_path).free + more)
    await pressure.look()
    assert pressure.is_on is is_on


async def test_a_disk_that_cannot_be_asked_is_pressure(tmp_path: Path) -> None:
    """Until it can be: nobody knows that appends would be kept."""
    disk = tmp_path / "redis"
    pressure = watching(Memory(), str(disk))
    await pressure.look()
    assert pressure.is_on
    disk.mkdir()
    await pressure.look()
    assert not pressure.is_on


@pytest.mark.parametrize("fault", [Unclear(), Refused()])
async def test_a_silent_redis_is_no_pressure(fault: Exception) -> None:
    """Appends find that out themselves; what was said of its memory is no longer known."""
    memory = Memory(0.9)
    pressure = watching(memory)
    await pressure.look()
    assert pressure.is_on
    memory.fault = fault
    await pressure.look()
    assert not pressure.is_on


async def test_it_looks_again_and_again_and_says_each_change_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Stopping is critical, and names what is short and how much is needed; going on is not."""
    monkeypatch.setattr(pressure_module, "LOOK_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    memory = Memory()
    pressure = watching(memory)
    running = asyncio.ensure_future(pressure.run())
    for share, is_on in ((0.9, True), (0.95, True), (0.1, False)):
        memory.share = share
        await until(lambda is_on=is_on: pressure.is_on is is_on)  # type: ignore[misc]  # mypy infers no type of a default
    running.cancel()
    await asyncio.wait([running])
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("CRITICAL", "appending to Redis stops: 90% of maxmemory in use, and memory_share_max is 85%"),
        ("INFO", "appending to Redis resumes"),
    ]


async def test_what_lasts_is_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log an hour later finds why nothing is stored, and how much room it would take."""
    pressure = watching(Memory(), disk=str(tmp_path), free_bytes_min=1 << 60)
    for _ in range(3):
        await pressure.look()
    assert len(caplog.records) == 1
    assert f"left on the disk of {tmp_path}, and redis_free_bytes_min is {1 << 40} MiB" in caplog.text
    monkeypatch.setattr(pressure_module, "SAY_SECONDS", 0.0)
    await pressure.look()
    assert len(caplog.records) == 2
