"""What a salt leaves behind on disk (I8)."""

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit.stream import RedisStream, Refused
from schemas.redis.keys import salt_key
from tests.support import redis_server
from tests.support.waiting import wait_until

server = redis_server.server
redis = redis_server.redis
DAY = "2999-01-01"


@pytest.fixture
def files(server: Path) -> Path:
    """Where the server keeps its file."""
    return server.parent


def on_disk(files: Path, secret: bytes) -> bool:
    return any(secret in path.read_bytes() for path in files.rglob("*aof*") if path.is_file())


async def test_an_expired_salt_leaves_the_disk_with_the_rewrite_of_the_day(
    server: Path, redis: Redis, files: Path
) -> None:
    """A salt is readable in the AOF after it expired; the rewrite, asked for by many, happens once and removes it."""
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000)
    secret = (await stream.salts([DAY], {}))[DAY]
    await redis.delete(salt_key(DAY))
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
    secret = (await stream.salts([DAY], {}))[DAY]
    await redis.delete(salt_key(DAY))
    client: Any = redis  # its types are those of two clients
    await client.acl_setuser("default", commands=["-bgrewriteaof"])
    with pytest.raises(Refused):
        await stream.rewrite(DAY)
    await client.acl_setuser("default", commands=["+bgrewriteaof"])
    assert on_disk(files, secret)
    await stream.rewrite(DAY)
    wait_until(lambda: not on_disk(files, secret))
    await stream.close()
