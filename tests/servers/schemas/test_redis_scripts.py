"""schemas/redis/*.lua on each Redis that `forebay up` may take: all compile, and order ids exactly."""

import pytest
from redis.asyncio import Redis

from schemas.redis import scripts
from tests.support import redis_server

server = redis_server.each_server
redis = redis_server.redis

IDS = (
    "0-0",
    "0-1",
    "5-9",
    "5-10",
    "10-0",
    "1732790000000-0",
    "9007199254740992-0",
    "9007199254740993-0",  # a number of Lua takes it for the one before
    "18446744073709551615-18446744073709551614",
    "18446744073709551615-18446744073709551615",
)


@pytest.mark.parametrize("name", scripts.names())
async def test_a_script_compiles(redis: Redis, name: str) -> None:
    """Redis takes the text, shared parts and constants in it."""
    assert await redis.script_load(scripts.script(name))


async def test_ids_are_compared_exactly(redis: Redis) -> None:
    """Of any two ids of 64 bits, the shared `order` puts first the one that Redis puts first."""
    lua = scripts.part("ids") + "return order(ARGV[1]) < order(ARGV[2])"
    for first, earlier in enumerate(IDS):
        for later in IDS[first + 1 :]:
            assert await redis.eval(lua, 0, earlier, later)
            assert not await redis.eval(lua, 0, later, earlier)
            assert not await redis.eval(lua, 0, earlier, earlier)
