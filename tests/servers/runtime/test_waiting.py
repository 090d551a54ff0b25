"""A replica counts once it has fsynced, where its server can say so (WAITAOF), and once it has received elsewhere (WAIT)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import flusher.redis.replicas
from flusher.redis.replicas import Replicas
from flusher.redis.stream import RedisStream as FlusherStream
from forebay.erase import replicated
from forebay.erase.replicated import Replicated
from ingest.commit.answers import Unclear
from ingest.commit.durability import Durability
from ingest.commit.stream import RedisStream
from runtime.redis import blocking_client, client, url_of
from runtime.replicas import TooFew
from schemas.redis.keys import REPLICAS_KEY
from schemas.redis.scripts import script
from schemas.segment import Commit
from tests.support import redis_programs
from tests.support.redis_cluster import free_ports
from tests.support.redis_programs import socket_of
from tests.support.waiting import wait_until

FSYNCED = {"8", "valkey"}  # those that have WAITAOF
ASSURE = script("assure")
SHORT_MS, LONG_MS = 300, 20_000


class Pair(NamedTuple):
    """Holds a primary's name and URL, and the client of its replica, which keeps no append-only file."""

    name: str
    url: str
    replica: Any


@pytest.fixture(params=redis_programs.EVERY)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    first, second = (tmp_path / name for name in ("primary", "replica"))
    first.mkdir()
    second.mkdir()
    port, other = map(str, free_ports(2))
    with ExitStack() as stack:
        primary = stack.enter_context(redis_programs.running(first, request.param, port=port))
        primary.config_set("repl-diskless-sync-delay", 0)
        primary.set(REPLICAS_KEY, 1)
        settings = {"port": other, "appendonly": "no", "replicaof": f"127.0.0.1 {port}"}
        replica = stack.enter_context(redis_programs.running(second, request.param, **settings))
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        yield Pair(request.param, url_of(socket_of(first)), replica)


def fsync(replica: Any) -> None:
    """Has the replica keep an append-only file, and waits until it is whole."""
    replica.config_set("appendonly", "yes")
    wait_until(lambda: not replica.info("persistence")["aof_rewrite_in_progress"])


async def test_a_flusher_waits_until_it_is_fsynced(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the facts that it asks for at its start."""
    redis = client(pair.url, seconds=60)
    replicas = Replicas(redis, 1)
    monkeypatch.setattr(flusher.redis.replicas, "WAIT_MS", SHORT_MS if pair.name in FSYNCED else LONG_MS)
    await FlusherStream(redis, replicas).facts()
    if pair.name in FSYNCED:
        with pytest.raises(TooFew):
            await replicas.run(ASSURE, keys=["key"], args=[])
        fsync(pair.replica)
    monkeypatch.setattr(flusher.redis.replicas, "WAIT_MS", LONG_MS)
    await FlusherStream(redis, replicas).facts()
    await replicas.run(ASSURE, keys=["key"], args=[])
    await redis.aclose()


async def test_ingest_holds_a_commit_until_it_is_fsynced(pair: Pair) -> None:
    """By what each server says of itself when a connection begins."""
    stream = RedisStream(pair.url, timeout_ms=1_000, durability=Durability(is_trusted=False), replicas=1)
    await stream.look()
    if pair.name in FSYNCED:
        with pytest.raises(Unclear, match="0 of 1 replicas"):
            await stream.append(0, "p", Commit(1, b"d", 1, {}))
        fsync(pair.replica)
    await stream.close()
    stream = RedisStream(pair.url, timeout_ms=LONG_MS, durability=Durability(is_trusted=False), replicas=1)
    await stream.look()
    await stream.append(0, "p", Commit(1, b"d", 1, {}))
    await stream.append(0, "p", Commit(2, b"d", 1, {}))
    assert await stream.confirmed(0, "p") == 2
    await stream.close()


def test_an_erasure_waits_until_it_is_fsynced(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the server says of itself each time."""
    redis = blocking_client(pair.url, seconds=60)
    if pair.name in FSYNCED:
        monkeypatch.setattr(replicated, "WAIT_MS", SHORT_MS)
        with pytest.raises(TooFew), Replicated(redis).assuring("key"):
            redis.set("other", 1)
        fsync(pair.replica)
    monkeypatch.setattr(replicated, "WAIT_MS", LONG_MS)
    with Replicated(redis).assuring("key"):
        redis.set("other", 2)
    redis.close()


async def test_ingest_waits_by_a_command_that_every_server_knows() -> None:
    """While servers are replaced by newer ones, those that are still old would refuse WAITAOF, and nothing of theirs be confirmed."""
    stream = RedisStream("redis://127.0.0.1:1", timeout_ms=50, durability=Durability(is_trusted=True), replicas=1)
    for server, version in (("a:1", "7.0.15"), ("b:1", "8.2.3")):

        async def ask(*words: Any, said: str = version) -> Any:
            return {"redis_version": said, "role": "master"} if words == ("INFO",) else None

        await stream._hear(ask, server)
    assert stream._wait == ("WAIT", 1, 50)
    await stream.close()
