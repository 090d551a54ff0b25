"""Limits that several workers share through a real Redis: schemas/redis/limit.lua, and what is told and heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ingest.collect.limiter import SOON_SECONDS, Limiter
from ingest.collect.sites import Site
from ingest.commit.stream import RedisStream
from schemas.limits import limit_of
from schemas.redis.keys import LIMIT_DEBT_SECONDS, limit_key
from schemas.segment import Commit
from tests.support import redis_server

server = redis_server.each_server
redis = redis_server.redis

BUCKET = 0xC0FFEE
CLIENT = 7


class Now:
    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def stream(server: Path, redis: Redis) -> AsyncIterator[RedisStream]:
    made = RedisStream(f"unix://{server}", timeout_ms=5_000)
    await made.append(0, "p", Commit(1, b"x", 1, {"29833333 a": 1}))  # which opens its connection
    yield made
    await made.close()


async def left(stream: RedisStream, rate: float, burst: int, taken: int, most: float | None = None) -> float:
    [level] = await stream.take({BUCKET: (rate, burst, taken, burst if most is None else most)})
    assert level is not None
    return level


async def test_a_bucket_is_what_all_have_taken(redis: Redis, stream: RedisStream) -> None:
    """It owes what was taken too much, and its key ends when it would be full."""
    found = [await left(stream, 0.001, 10, taken) for taken in (4, 4, 7)]
    assert [round(level) for level in found] == [6, 2, -5]
    assert 14_900 <= await redis.ttl(limit_key(BUCKET)) <= 15_000


async def test_a_bucket_that_is_full_has_no_key(redis: Redis, stream: RedisStream) -> None:
    """So there are no more keys than there are buckets from which something was taken of late."""
    assert await left(stream, 1_000_000.0, 10, 8) == 2
    assert await left(stream, 1_000_000.0, 10, 0) == 10
    assert not await redis.exists(limit_key(BUCKET))


async def test_who_was_not_heard_says_what_it_holds(stream: RedisStream) -> None:
    """The shared bucket holds no more, and no less for its being told again."""
    assert [round(await left(stream, 0.001, 10, 0, most)) for most in (7, 4, 4, 9)] == [7, 4, 4, 4]


async def test_a_debt_has_an_end(redis: Redis, stream: RedisStream) -> None:
    """A batch of a thousand under a limit of one an hour does not keep its client away for a month."""
    assert round(await left(stream, 1 / 3_600, 1, 1_000)) == -24
    assert await redis.ttl(limit_key(BUCKET)) <= LIMIT_DEBT_SECONDS + 3_601


async def exchange(limiter: Limiter, stream: RedisStream, now: Now) -> None:
    now.seconds += SOON_SECONDS
    told = limiter.due()
    numbers = {one.bucket.key if isinstance(one.bucket.key, int) else BUCKET: one.said for one in told}
    limiter.heard(told, await stream.take(numbers))


async def test_two_workers_share_a_limit(redis: Redis, stream: RedisStream) -> None:
    """What one let in, the other does not; both know a bucket by the same number, and no key says more than that."""
    now = Now()
    workers = [Limiter(workers=2, now=now) for _ in range(2)]
    of = Site("example.com", 0, "count", limit=limit_of("1/h,burst=100"), client_limit=limit_of("1/h,burst=20"))
    taken = [0, 0]
    for _ in range(30):
        for at, worker in enumerate(workers):
            taken[at] += [worker.take(of, CLIENT, 1, now()) for _ in range(2)].count(None)
            await exchange(worker, stream, now)
    # Each takes half a burst before it tells, and what comes between two tellings.
    assert 20 <= sum(taken) <= 30
    assert all(worker.take(of, CLIENT, 1, now()) is not None for worker in workers)
    assert all(worker.take(of, CLIENT + 1, 1, now()) is None for worker in workers)
    assert await redis.keys("forebay:limit:*") == [limit_key(CLIENT).encode()]


async def test_without_redis_a_worker_decides_alone(server: Path) -> None:
    """It is not asked for where there is no connection, and nothing waits."""
    alone = RedisStream(f"unix://{server}", timeout_ms=5_000)
    assert await alone.take({BUCKET: (1.0, 1, 1, 1.0)}) == [None]
    await alone.close()
