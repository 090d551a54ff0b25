"""A flusher on a Redis that may lose events: it warns and works on; of a replica it takes nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flusher.redis import durability
from flusher.redis.durability import Replica, faults, watch
from flusher.redis.lease import Leases, Unclear
from flusher.redis.stream import RedisStream
from schemas.durability import Setting
from tests.support.redis_programs import EVERY, running, socket_of
from tests.support.redis_server import connected
from tests.support.waiting import until


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("read_only", ["yes", "no"])
async def test_a_replica_is_refused(tmp_path: Path, name: str, read_only: str) -> None:
    """At the start, and when it becomes one; one that can be written to forgets leases at its next sync."""
    with running(tmp_path, name, replica_read_only=read_only) as client:
        redis: Redis = connected(socket_of(tmp_path))
        log, leases = RedisStream(redis), Leases(redis=redis, owner="a", ttl_ms=60_000)
        assert faults(await log.facts()) == ()
        assert await leases.take(0)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Replica, match=r"127\.0\.0\.1:1"):
            faults(await log.facts())
        with pytest.raises(Unclear, match="replica"):
            await leases.take(1)
        stopping = asyncio.Event()
        await watch(log, stopping)
        assert stopping.is_set()
        await redis.aclose()


def test_the_process_ends_on_a_replica(tmp_path: Path) -> None:
    """With a status of its own, and the master's name."""
    with running(tmp_path, replicaof="127.0.0.1 1"):
        environment = {**os.environ, "FOREBAY_REDIS_URL": f"unix://{socket_of(tmp_path)}"}
        command = [sys.executable, "-m", "flusher"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 4
        assert "its master, 127.0.0.1:1" in done.stderr + done.stdout


async def test_what_may_lose_events_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It works on: what is stored can't be lost any more."""
    monkeypatch.setattr(durability, "LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    with running(tmp_path, maxmemory_policy="allkeys-lru") as client:
        redis: Redis = connected(socket_of(tmp_path))
        log = RedisStream(redis)
        assert [fault.setting for fault in faults(await log.facts())] == [Setting.POLICY]
        watching = asyncio.ensure_future(watch(log, asyncio.Event()))
        await until(lambda: "maxmemory-policy: it is allkeys-lru" in caplog.text)
        client.config_set("maxmemory-policy", "noeviction")
        await until(lambda: "keeps what it holds again" in caplog.text)
        assert len(caplog.records) == 2
        watching.cancel()
        await asyncio.wait([watching])
        await redis.aclose()
