"""Disturbs what is around the processes: fills the disk, sends readers, appends foreign entries, sets a clock.

Each disturbance concerns the whole installation and ends by itself; `Installation.heal` ends those that still last.

Not promised: that every machine can do all of it. Without root there is no disk to fill, and without libfaketime no
clock is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.redis.keys import Keys
from tests.support.other_time import OtherTime

CHUNK_BYTES = 64 << 20
QUESTIONS = (
    "SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0",
    "SELECT uniqExact(cityHash64(number)) FROM numbers(400000000)",
    "SELECT count() FROM forebay.events AS a CROSS JOIN forebay.events AS b WHERE a.visitor_id + b.visitor_id = 1",
    "SELECT site, count(), uniq(visitor_id) FROM forebay.events GROUP BY site",
)
# What no ingest of any version writes: without the entry's bytes, with bytes that are none, with another count of rows.
FOREIGN: tuple[Mapping[str, bytes], ...] = (
    {"x": b"1"},
    {"d": b"", "n": b"1"},
    {"d": b"\x02not an entry", "n": b"3", "p": b"somebody", "c": b"1"},
    {"d": b"\x02", "n": b"many"},
    {"n": b"7"},
)


class Clock(OtherTime):
    """Is the time of day as Redis sees it. It can be set while Redis runs, where libfaketime is installed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "clock")
        self._program = directory / "redis-server"

    def settings(self, program: str) -> dict[str, str]:
        """Returns the settings with which `forebay up` starts this redis-server under this clock."""
        if not self.is_settable:
            return {}
        self.set(0)
        words = " ".join(f"{name}={value}" for name, value in self.environment.items())
        self._program.write_text(f'#!/bin/sh\nexec env {words} {program} "$@"\n', "ascii")
        self._program.chmod(0o755)
        return {"FOREBAY_REDIS_SERVER": str(self._program)}


class Filler:
    """Writes to a disk until nothing is left of it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "filler"

    def fill(self) -> int:
        """Takes every free byte. Returns how many there were."""
        size, chunk = 0, CHUNK_BYTES
        with self._file.open("wb") as file:
            while chunk:
                try:
                    os.posix_fallocate(file.fileno(), size, chunk)
                    size += chunk
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    chunk //= 2
        return size

    def free(self) -> None:
        self._file.unlink(missing_ok=True)


async def ask(clickhouse_url: str, chance: random.Random, readers: int, seconds: float) -> None:
    """Lets so many readers ask slow questions, and leave without their answers after so many seconds."""

    async def read(session: aiohttp.ClientSession) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(clickhouse_url, data=chance.choice(QUESTIONS)) as answer:
                await answer.read()

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session:
        await asyncio.gather(*(read(session) for _ in range(readers)))


async def intrude(redis_socket: Path, chance: random.Random, shards: int) -> str:
    """Appends an entry that ingest would not write to a shard's stream. Returns which one; "" if Redis did not
    take it.
    """
    key, fields = Keys(chance.randrange(shards)).log, dict(chance.choice(FOREIGN))
    client = Redis(unix_socket_path=str(redis_socket))
    try:
        await client.xadd(key, fields)  # type: ignore[arg-type]  # bytes are fields' values too
    except (RedisError, OSError):
        return ""
    finally:
        await client.aclose()
    return f"{key} {sorted(fields)}"
