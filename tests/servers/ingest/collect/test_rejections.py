"""What was rejected lately: which names are kept, how many, and what of it reaches a terminal."""

import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit.stream import RedisStream
from schemas import rejected
from schemas.redis.keys import REJECTED_KEPT_SECONDS
from schemas.rejected import OTHER, added_up
from tests.support import redis_server

server = redis_server.server

redis = redis_server.redis


async def test_redis_keeps_a_bounded_number_for_a_while(
    server: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workers add up; names beyond the bound fold; all of it goes by itself."""
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000)
    await stream.tell_rejected({("unknown_site", "shop.example"): 3})
    await stream.tell_rejected({("unknown_site", "shop.example"): 4, ("privacy", "shop.example"): 1})
    await stream.tell_rejected({("unknown_site", f"site{at}"): 1 for at in range(rejected.NAMES_MAX + 100)})
    (key,) = [name async for name in redis.scan_iter("forebay:rejected:*")]
    assert 0 < await redis.ttl(key) <= REJECTED_KEPT_SECONDS
    assert await redis.hlen(key) <= 2 * rejected.NAMES_MAX + 4
    held: Any = await redis.hgetall(key)
    found = added_up([{name.decode(): value.decode() for name, value in held.items()}])
    assert sum(one.events for one in found) == 8 + rejected.NAMES_MAX + 100
    assert (found[0].site, found[1].site, found[1].events) == (OTHER, "shop.example", 7)
    assert abs(found[1].last - time.time()) < 60
    await stream.close()
