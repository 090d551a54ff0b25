"""ingest/worker.py: what a worker keeps true while it runs, on a real Redis."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from forebay.command_line import main
from ingest import worker as worker_module
from ingest.commit.durability import Durability
from ingest.commit.spool import Chain, Spool
from ingest.commit.stream import RedisStream
from ingest.worker import ADOPT_SECONDS, KEYS_SECONDS, Worker, now_ms
from runtime.redis import url_of
from schemas.redis.keys import SALT_KEYS, SHARD_KEY_KEY, SHARDS_KEY, SITES_KEY, Keys
from schemas.settings import IngestSettings
from tests.support import redis_server
from tests.support.spooling import SHARD, commit, left_behind, opened
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks every hundredth of a second, not every two."""
    monkeypatch.setattr(worker_module, "AGREE_SECONDS", 0.01)


@asynccontextmanager
async def at_work(server: Path, left: asyncio.Event, **settings: object) -> AsyncIterator[Worker]:
    """A worker without a server, as `work` runs it; `left` when it asks to leave."""
    durability = Durability(is_trusted=False)
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000, durability=durability)
    shards, shard_key = await stream.layout(2)
    known = IngestSettings(**settings)  # type: ignore[arg-type]  # as the test says
    worker = Worker(known, stream=stream, durability=durability, shards=shards, shard_key=shard_key)
    await worker.prepare()
    running = asyncio.ensure_future(worker.run(lambda _: None, left.set))
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.wait([running])
        await worker.close()


async def kept(redis: Redis) -> dict[str, bytes | str | None]:
    """Layout and salts."""
    names = [SHARDS_KEY, SHARD_KEY_KEY, *sorted([name.decode() async for name in redis.scan_iter("forebay:salt:*")])]
    return {name: await redis.get(name) for name in names}


async def test_an_emptied_redis_is_told_what_it_knew(server: Path, redis: Redis) -> None:
    """Shards, their key and the salts, as they were: visitors stay who they are, and stay on their shards."""
    left = asyncio.Event()
    async with at_work(server, left):
        before = await kept(redis)
        assert len(before) >= 3
        await redis.flushall()

        async def is_kept() -> bool:
            return await kept(redis) == before

        await until(is_kept)
        assert not left.is_set()


async def test_sites_have_salts_of_their_own_days(server: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every zone in use, before the first event, of a new site as well; an unknown zone is counted, and changes nothing."""
    registry = CollectorRegistry()
    monkeypatch.setattr(worker_module, "CollectorRegistry", lambda: registry)
    monkeypatch.setattr(worker_module, "SITES_SECONDS", 0.01)

    def failures() -> float | None:
        return registry.get_sample_value("forebay_reload_failed_total", {"what": "sites"})

    site = '{"settings":{"timezone":"%s"}}'
    await redis.hset(SITES_KEY, "nepal.example", site % "Asia/Kathmandu")
    async with at_work(server, asyncio.Event(), timezone="Pacific/Auckland") as worker:
        assert any(day.endswith("18:15Z") for day in worker.salts.days)
        assert worker.salts.at(worker.sites.calendar, now_ms())
        await redis.hset(SITES_KEY, "india.example", site % "Asia/Kolkata")
        await until(lambda: worker.sites.resolve("india.example") is not None)
        india, nepal = worker.sites.resolve("india.example"), worker.sites.resolve("nepal.example")
        assert india
        assert nepal
        assert worker.salts.at(india.calendar, now_ms())

        async def is_all_that_redis_has() -> bool:  # in the last two seconds of a salt it is there alone
            kept = {name.decode().removeprefix("forebay:salt:") async for name in redis.scan_iter(SALT_KEYS)}
            return kept == set(worker.salts.days)

        await until(is_all_that_redis_has)
        assert failures() == 0
        await redis.hset(SITES_KEY, "nepal.example", site % "Asia/Shangri-La")
        await until(failures)
        assert worker.sites.resolve("nepal.example") is nepal
        assert failures() == 1


async def test_what_a_worker_left_behind_has_an_heir_at_once(
    server: Path, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling restart while Redis is away leaves spools all the time: their events must not wait for ten seconds."""
    looks: list[Spool] = []
    adopt = Spool.adopt

    def looking(spool: Spool) -> list[Chain]:
        looks.append(spool)
        return adopt(spool)

    monkeypatch.setattr(Spool, "adopt", looking)
    async with at_work(server, asyncio.Event(), spool_dir=str(tmp_path)):
        await until(lambda: looks)  # the first finds nothing
        spool, _ = opened(tmp_path)
        await spool.open("leaving", SHARD).write(commit(1))
        spool.close()
        before = len(looks)

        async def has_arrived() -> bool:
            return bool(await redis.xlen(Keys(SHARD).log))

        await until(has_arrived)
        # By its looks and not by a clock, which goes on while a busy machine gives the worker no turn.
        assert (len(looks) - before) * ADOPT_SECONDS < 8
        await until(lambda: not list(tmp_path.iterdir()))


@pytest.mark.parametrize(("days", "said"), [(6, 0), (8, 1)])
async def test_a_spool_older_than_its_producer_is_said(
    server: Path, redis: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, said: int
) -> None:
    """Its events come back all the same; that some may come twice is for a person to know."""
    segment = await left_behind(tmp_path)
    written = time.time() - days * 86_400
    os.utime(segment, (written, written))
    async with at_work(server, asyncio.Event(), spool_dir=str(tmp_path)):
        await until(lambda: not list(tmp_path.iterdir()))
    assert await redis.xlen(Keys(SHARD).log) == 5
    assert sum(record.levelname == "CRITICAL" for record in caplog.records) == said


@pytest.mark.parametrize(("key", "value"), [(SHARDS_KEY, 1), (SHARD_KEY_KEY, 5)])
async def test_a_worker_of_another_layout_leaves(
    server: Path, redis: Redis, caplog: pytest.LogCaptureFixture, key: str, value: int
) -> None:
    """Its rows would go to shards nobody reads, or a client's to two; the log says what Redis says."""
    left = asyncio.Event()
    async with at_work(server, left) as worker:
        await redis.set(key, value)
        await until(left.is_set)
        assert worker.is_misplaced
    assert [record.levelname for record in caplog.records if "it leaves" in record.message] == ["CRITICAL"]


async def test_a_key_counts_and_a_revoked_one_is_refused_within_two_seconds(
    server: Path, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the command makes and revokes it, in a worker that runs; before a worker serves, it knows the keys that there are."""
    there = await asyncio.to_thread(made, server, capsys)
    async with at_work(server, asyncio.Event()) as worker:
        assert worker.keys.of(there)
        later = await asyncio.to_thread(made, server, capsys)
        await until(lambda: worker.keys.of(later) is not None)
        assert KEYS_SECONDS <= 1
        await asyncio.to_thread(main, ["key", "revoke", "--redis-url", url_of(server), later])
        await until(lambda: worker.keys.of(later) is None)
        assert worker.keys.of(there)


def made(server: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Makes a server key by the command, and returns it."""
    assert main(["key", "add", "--redis-url", url_of(server), "--site", "*", "--scope", "write"]) == 0
    return capsys.readouterr().out.strip()


async def test_a_worker_shares_what_it_took_of_a_limit(server: Path, redis: Redis) -> None:
    """And hears what others took, by keys that say nothing of who they are."""
    async with at_work(server, asyncio.Event(), sites=["example.com"], site_limit="1/h,burst=10") as worker:
        site = worker.sites.resolve("example.com")
        assert site
        assert worker.limiter.take(site, 0, 8, time.monotonic()) is None

        async def are_two_left() -> bool:
            return [await redis.hget(key, "level") async for key in redis.scan_iter("forebay:limit:*")] == [b"2.000"]

        await until(are_two_left)
        [key] = [key async for key in redis.scan_iter("forebay:limit:*")]
        assert re.fullmatch(rb"forebay:limit:[0-9a-f]{16}", key)
        await redis.hset(key, "level", "-5")
        await until(lambda: worker.limiter.take(site, 0, 0, time.monotonic()) is not None)
