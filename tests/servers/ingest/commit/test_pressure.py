"""ingest/commit/pressure.py asks a real Redis how full it is."""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis

from ingest.commit.pressure import Pressure
from ingest.commit.stream import RedisStream
from tests.support import redis_server

server = redis_server.server

redis = redis_server.redis


async def test_memory_of_a_real_redis(server: Path, redis: Redis) -> None:
    """Its limit is the one it has now; it resumes when there is room again."""
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000)
    pressure = Pressure(memory=stream, memory_share_max=0.85, disk="", free_bytes_min=1)
    for limit, is_on in ((redis_server.MEMORY_BYTES, False), (1 << 20, True), (0, False)):
        await redis.config_set("maxmemory", limit)
        await pressure.look()
        assert pressure.is_on is is_on
    await stream.close()
