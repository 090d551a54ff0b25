"""What a salt leaves behind on disk (I8)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit.answers import Refused
from ingest.commit.stream import RedisStream
from runtime import zones
from schemas.days import day_of
from schemas.redis.keys import SALT_BEHIND_SECONDS, salt_key
from tests.support import redis_server
from tests.support.waiting import wait_until

server = redis_server.server
redis = redis_server.redis
DAY_SECONDS = 86_400
DAY = "2999-01-01"
START = 32_472_144_000 + 18 * 3_600 + 900  # 2999-01-01 18:15 UTC, where it is midnight in Kathmandu
UNTIL = {START: START + 86_400 + 1_800}


@pytest.fixture
def files(server: Path) -> Path:
    """Where the server keeps its file."""
    return server.parent


def on_disk(files: Path, secret: bytearray) -> bool:
    return any(secret in path.read_bytes() for path in files.rglob("*aof*") if path.is_file())


async def test_an_expired_salt_leaves_the_disk_with_the_rewrite_of_the_day(
    server: Path, redis: Redis, files: Path
) -> None:
    """A salt is readable in the AOF after it expired; the rewrite, asked for by many, happens once and removes it."""
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000)
    secret = (await stream.salts(UNTIL, {}))[START]
    await redis.delete(salt_key(START))
    assert on_disk(files, secret)
    for _ in range(3):
        await stream.rewrite(DAY)
    wait_until(lambda: not on_disk(files, secret))
    calls = (await redis.info("commandstats"))["cmdstat_bgrewriteaof"]["calls"]
    assert calls == 1
    await stream.close()


async def test_a_rewrite_that_redis_refuses_is_asked_for_again(server: Path, redis: Redis, files: Path) -> None:
    """As while another child of Redis runs; the salt leaves the disk when it is asked the next time."""
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000)
    secret = (await stream.salts(UNTIL, {}))[START]
    await redis.delete(salt_key(START))
    client: Any = redis  # its types are those of two clients
    await client.acl_setuser("default", commands=["-bgrewriteaof"])
    with pytest.raises(Refused):
        await stream.rewrite(DAY)
    await client.acl_setuser("default", commands=["+bgrewriteaof"])
    assert on_disk(files, secret)
    await stream.rewrite(DAY)
    wait_until(lambda: not on_disk(files, secret))
    await stream.close()


async def test_every_salt_leaves_the_disk_within_a_day_after_it_expired() -> None:
    """One rewrite a day, from 23:05 UTC on, is enough for the days of every zone (I8).

    A salt expires half an hour after a local day, so at a quarter of an hour: at the latest five minutes before a rewrite
    begins, in which Redis deletes it, or after one.
    """
    first = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    expiries = set()
    for name in zones.names():
        zone, moment = zones.load(name), first
        while moment < first + 366 * DAY_SECONDS:
            moment = day_of(moment, zone).end
            expiries.add((moment + SALT_BEHIND_SECONDS) % DAY_SECONDS)
    assert len(expiries) > 24
    quarters = range(0, DAY_SECONDS, 900)
    assert expiries <= set(quarters)
    rewrite = 23 * 3_600 + 5 * 60
    waits = {(rewrite - expiry) % DAY_SECONDS for expiry in quarters}  # also of a zone that nobody has yet
    assert min(waits) == 5 * 60
    assert max(waits) == DAY_SECONDS - 10 * 60  # what a rewrite may take, and the minute in which it is asked for
