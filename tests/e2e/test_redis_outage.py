"""Redis hangs or dies under load: every request is answered 202, and everything is stored once, in order."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import redis

from schemas.redis.keys import Keys
from tests.support.system import ROOT, System, is_alive, running

RATE = 250
LOAD_SECONDS_MAX = 60
SHARDS = 2
HANG_SECONDS = 9.0  # less than what a request may take in the load test, and more than a busy machine adds


class Load:
    """Holds a load test that runs."""

    def __init__(self, directory: Path, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._directory = directory

    async def result(self, system: System) -> dict[str, Any]:
        """Ends the load test; returns what it found. Fails unless everything was stored once."""
        self.process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(self.process.wait(), 120)
        result: dict[str, Any] = json.loads((self._directory / "result.json").read_text())
        said = (self._directory / "loadtest.log").read_text() + system.tail()
        assert status == 0, f"{json.dumps(result, indent=1)}\n{said}"
        return result


@asynccontextmanager
async def loaded(system: System, directory: Path) -> AsyncIterator[Load]:
    """Runs a load until its result is asked for; ends it by its pid if the test fails."""
    facts = system.facts()
    words = ["--url", facts["url"], "--clickhouse-url", facts["clickhouse_url"], "--rate", str(RATE)]
    words += ["--duration", str(LOAD_SECONDS_MAX), "--connections", "32", "--timeout", "10"]
    words += ["--json", str(directory / "result.json")]
    with (directory / "loadtest.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest", *words, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        yield Load(directory, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def connect(system: System) -> Any:
    return redis.Redis.from_url(system.facts()["redis_url"])


def pid(system: System, name: str) -> int:
    """Returns the pid of the part's present process, dead or alive."""
    found = system.facts()["pids"][name]
    return int(found[0] if isinstance(found, list) else found)


def has_another(system: System, name: str, than: int) -> bool:
    """Tells whether the part has another process, which is ready."""
    return pid(system, name) != than


def spooled(system: System) -> list[Path]:
    """Returns the segments that hold something."""
    found: list[Path] = []
    for folder in (system.data / "spool").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a worker renames its folder, and removes what is drained
            found += [path for path in folder.glob("*.spool") if path.stat().st_size]
    return found


def written(system: System) -> int:
    """Returns how many entries all streams hold."""
    client = connect(system)
    return sum(client.xlen(Keys(shard).log) for shard in range(SHARDS))


def producers(system: System) -> int:
    """Counts the producers of all shards; there is one more each time that a shard has drained its spool."""
    client = connect(system)
    return sum(client.hlen(Keys(shard).producers) for shard in range(SHARDS))


def assert_in_order(system: System) -> None:
    """Checks that each producer's commits are in its stream once, numbered without a gap."""
    client = connect(system)
    for shard in range(SHARDS):
        seen: dict[bytes, int] = {}
        for _, fields in client.xrange(Keys(shard).log):
            producer, number = fields[b"p"], int(fields[b"c"])
            assert number == seen.get(producer, 0) + 1, f"shard {shard}: commit {number} of {producer} after {seen}"
            seen[producer] = number
        assert {name: int(count) for name, count in client.hgetall(Keys(shard).producers).items()} == seen


async def test_a_hanging_redis_costs_a_request_an_append_timeout_at_most(tmp_path: Path) -> None:
    """While Redis hangs everything is spooled; afterwards it is drained in order, and new commits have new producers."""
    async with running(tmp_path, FOREBAY_SHARDS=str(SHARDS)) as system, loaded(system, tmp_path) as load:
        await system.until(lambda: written(system) > 100)
        assert not spooled(system)
        stopped = pid(system, "redis")
        os.kill(stopped, signal.SIGSTOP)
        hangs = time.monotonic()
        try:
            await system.until(lambda: spooled(system))
            await asyncio.sleep(HANG_SECONDS)  # it hangs so long
            hung = time.monotonic() - hangs
        finally:
            os.kill(stopped, signal.SIGCONT)
        began = time.monotonic()
        await system.until(lambda: producers(system) >= 2 * SHARDS)
        print(f"live again {time.monotonic() - began:.1f} s after it went on")
        result = await load.result(system)
        print(f"requests {result['requests']}, latency {result['latency_ms']}, service {result['service_ms']}")
        assert (result["events"]["refused"], result["events"]["unclear"], result["events"]["unsent"]) == ({}, {}, 0)
        assert result["service_ms"]["max"] / 1000 < hung, "a request waited for Redis to go on"
        await system.until(lambda: not spooled(system))
        assert_in_order(system)
        assert await system.stop() == 0


async def kill_redis(system: System) -> None:
    """Kills Redis once it has taken some more entries; returns when it is back and has what was spooled."""
    before = written(system)
    await system.until(lambda: written(system) > before + 50)
    killed = pid(system, "redis")
    os.kill(killed, signal.SIGKILL)
    await system.until(lambda: has_another(system, "redis", killed))
    await system.until(lambda: not spooled(system))


async def test_a_redis_killed_again_and_again_costs_no_request(tmp_path: Path) -> None:
    """Commits without an answer are spooled, and Redis knows afterwards which of them it has already."""
    async with running(tmp_path, FOREBAY_SHARDS=str(SHARDS)) as system, loaded(system, tmp_path) as load:
        for _ in range(4):
            await kill_redis(system)
        result = await load.result(system)
        print(f"requests {result['requests']}, latency {result['latency_ms']}")
        assert (result["events"]["refused"], result["events"]["unclear"], result["events"]["unsent"]) == ({}, {}, 0)
        assert_in_order(system)
        assert await system.stop() == 0


async def test_a_worker_killed_with_a_spool_has_an_heir(tmp_path: Path) -> None:
    """One worker is killed while it spools, the next while it drains: what they acknowledged is stored once, in order."""
    async with running(tmp_path, FOREBAY_SHARDS=str(SHARDS)) as system, loaded(system, tmp_path) as load:
        await system.until(lambda: written(system) > 100)
        store, worker = pid(system, "redis"), pid(system, "ingest")
        os.kill(store, signal.SIGSTOP)
        try:
            await system.until(lambda: sum(path.stat().st_size for path in spooled(system)) > 100_000)
            os.kill(worker, signal.SIGKILL)
            await system.until(lambda: not is_alive(worker))
            left = {path.parent for path in spooled(system)}
            assert left
        finally:
            os.kill(store, signal.SIGCONT)
        before = written(system)
        await system.until(lambda: has_another(system, "ingest", worker))
        await system.until(lambda: written(system) > before + 3)
        heir = pid(system, "ingest")
        os.kill(heir, signal.SIGKILL)
        is_half_drained = any(folder.exists() for folder in left)
        await system.until(lambda: not is_alive(heir))
        await system.until(lambda: has_another(system, "ingest", heir))
        await system.until(lambda: not any(folder.exists() for folder in left) and not spooled(system))
        print(f"killed half-way through the drain: {is_half_drained}")
        result = await load.result(system)
        assert result["events"]["acknowledged"] > RATE * 3
        assert result["events"]["refused"] == {}
        assert_in_order(system)
        assert await system.stop() == 0
