"""The idempotent append on a real Redis, and the few keys that all ingest processes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit.answers import Gap, Refused, Unclear
from ingest.commit.stream import RedisStream
from schemas.redis.keys import (
    KEYS_KEY,
    PRODUCER_KEPT_SECONDS,
    PRODUCER_NOTED_SECONDS,
    SHARD_KEY_KEY,
    SHARDS_KEY,
    SITES_KEY,
    Keys,
)
from schemas.segment import Commit
from tests.support import redis_server

server = redis_server.each_server
redis = redis_server.redis

SHARD = 3
KEYS = Keys(SHARD)
TIMEOUT_MS = 5_000


@pytest.fixture
async def stream(server: Path, redis: Redis) -> AsyncIterator[RedisStream]:
    made = RedisStream(f"unix://{server}", timeout_ms=TIMEOUT_MS)
    yield made
    await made.close()


async def append(
    stream: RedisStream, number: int, *, producer: str = "p", shard: int = SHARD, rows: int = 2, **totals: int
) -> str:
    """Append a commit; what came of it."""
    accepted = {f"29833333 {site}": count for site, count in totals.items()} or {"29833333 a": rows}
    try:
        await stream.append(shard, producer, Commit(number, b"\x01\xff\x00" + str(number).encode(), rows, accepted))
    except (Gap, Refused, Unclear) as error:
        return type(error).__name__
    return "in"


async def numbers(redis: Redis, shard: int = SHARD) -> list[tuple[str, int]]:
    """Producers and commit numbers of the entries in a stream."""
    found: Any = await redis.xrange(Keys(shard).log)
    return [(fields[b"p"].decode(), int(fields[b"c"])) for _, fields in found]


async def totals(redis: Redis) -> dict[str, int]:
    found: Any = await redis.hgetall(KEYS.accepted)
    return {name.decode(): int(count) for name, count in found.items()}


async def test_a_commit_is_in_the_stream_as_it_was_sent(redis: Redis, stream: RedisStream) -> None:
    """Bytes, rows, producer and number are in one record; the mark and the totals moved with it."""
    assert await append(stream, 1, a=3, b=4) == "in"
    found: Any = await redis.xrange(KEYS.log)
    assert [fields for _, fields in found] == [{b"d": b"\x01\xff\x001", b"n": b"2", b"p": b"p", b"c": b"1"}]
    assert await redis.hgetall(KEYS.producers) == {b"p": b"1"}
    assert await totals(redis) == {"29833333 a": 3, "29833333 b": 4}


@pytest.mark.parametrize(
    ("sent", "said", "kept"),
    [
        ([1, 2, 3], "in in in", [1, 2, 3]),
        ([1, 1, 1], "in in in", [1]),
        ([1, 2, 1, 2, 3], "in in in in in", [1, 2, 3]),
        ([2], "Gap", []),
        ([1, 3, 2, 3], "in Gap in in", [1, 2, 3]),
        ([1, 99, 1, 2], "in Gap in in", [1, 2]),
        ([*range(1, 12), 9, 10, 11, 12], " ".join(["in"] * 15), list(range(1, 13))),
    ],
)
async def test_only_the_next_commit_is_taken(
    redis: Redis, stream: RedisStream, sent: list[int], said: str, kept: list[int]
) -> None:
    """An older number is done already, a higher one is a gap; each is in once and counted once."""
    assert " ".join([await append(stream, number) for number in sent]) == said
    assert await numbers(redis) == [("p", number) for number in kept]
    assert sum((await totals(redis)).values()) == 2 * len(kept)


async def test_producers_and_shards_count_for_themselves(redis: Redis, stream: RedisStream) -> None:
    """Every producer starts at 1 in every shard."""
    for shard in (SHARD, SHARD + 1):
        for producer in ("p", "q"):
            assert await append(stream, 1, producer=producer, shard=shard) == "in"
    assert await append(stream, 2, producer="p") == "in"
    assert await append(stream, 3, producer="q") == "Gap"
    assert await numbers(redis) == [("p", 1), ("q", 1), ("p", 2)]
    assert await numbers(redis, SHARD + 1) == [("p", 1), ("q", 1)]


async def age(redis: Redis, producer: str, seconds: int) -> None:
    """Have it be silent for so long."""
    now, _ = await redis.time()
    await redis.zadd(KEYS.seen, {producer: now - seconds})


async def test_a_producer_is_forgotten_after_a_week_of_silence(redis: Redis, stream: RedisStream) -> None:
    """By whoever appends next; one that was heard of within the week is not."""
    for producer, seconds in (
        ("gone", PRODUCER_KEPT_SECONDS + 2 * PRODUCER_NOTED_SECONDS),
        ("away", PRODUCER_KEPT_SECONDS),
    ):
        assert await append(stream, 1, producer=producer) == "in"
        await age(redis, producer, seconds)
    assert await append(stream, 1, producer="new") == "in"
    assert await redis.hgetall(KEYS.producers) == {b"away": b"1", b"new": b"1"}
    assert await redis.zrange(KEYS.seen, 0, -1) == [b"away", b"new"]
    assert await append(stream, 2, producer="away") == "in"
    assert await append(stream, 2, producer="gone") == "Gap"


async def test_a_producer_that_is_drained_again_is_heard_of(redis: Redis, stream: RedisStream) -> None:
    """What it sent is done already; it has a week again for the rest."""
    assert await append(stream, 1) == "in"
    await age(redis, "p", PRODUCER_KEPT_SECONDS)
    assert await append(stream, 1) == "in"
    assert (await redis.zscore(KEYS.seen, "p") or 0) > (await redis.time())[0] - 60


async def test_a_commit_forgets_two_at_most(redis: Redis, stream: RedisStream) -> None:
    """A thousand left behind are not one commit's work; every new producer outweighs itself."""
    for number in range(7):
        assert await append(stream, 1, producer=f"gone{number}") == "in"
        await age(redis, f"gone{number}", 2 * PRODUCER_KEPT_SECONDS)
    left = []
    for number in range(5):
        assert await append(stream, 1, producer=f"new{number}") == "in"
        assert await append(stream, 2, producer=f"new{number}") == "in"  # noted within the hour: forgets nobody
        known: Any = await redis.hkeys(KEYS.producers)
        left.append(sum(name.startswith(b"gone") for name in known))
    assert left[0] <= 5
    assert left[-1] == 0
    assert all(before - after <= 2 for before, after in pairwise(left))


async def test_one_commit_sent_by_many_is_in_once(server: Path, redis: Redis, stream: RedisStream) -> None:
    """A drain and its predecessor's late command may meet: the script is one step."""
    others = [RedisStream(f"unix://{server}", timeout_ms=TIMEOUT_MS) for _ in range(4)]
    assert set(await asyncio.gather(*(append(one, 1) for one in (stream, *others) for _ in range(3)))) == {"in"}
    assert await numbers(redis) == [("p", 1)]
    assert await totals(redis) == {"29833333 a": 2}
    for one in others:
        await one.close()


async def test_an_empty_commit_moves_the_number_alone(redis: Redis, stream: RedisStream) -> None:
    """It stands for one that a damaged spool lost: nothing for the flusher to read, and the next can follow."""
    await stream.append(SHARD, "p", Commit.empty(1))
    assert await append(stream, 2) == "in"
    assert await numbers(redis) == [("p", 2)]


async def test_a_lost_answer_is_unclear_and_the_commit_is_in_once(server: Path, redis: Redis) -> None:
    """The client does not send again by itself; we do, under the same number, and are told that it is in."""
    async with redis_server.proxied(server) as proxy:
        stream = RedisStream(proxy.url, timeout_ms=TIMEOUT_MS)
        assert await append(stream, 1) == "in"
        proxy.asked.clear()
        proxy.losing = 1
        stream._pipe.timeout_seconds = 0.4  # for the answer that is lost
        began = asyncio.get_running_loop().time()
        assert await append(stream, 2) == "Unclear"
        assert asyncio.get_running_loop().time() - began > 0.3
        stream._pipe.timeout_seconds = TIMEOUT_MS / 1000
        assert proxy.lost == b"$2\r\nok\r\n"
        assert proxy.asked.count(b"EVALSHA") == 1
        assert await numbers(redis) == [("p", 1), ("p", 2)]
        assert await append(stream, 2) == "in"
        assert await append(stream, 3) == "in"
        assert await numbers(redis) == [("p", 1), ("p", 2), ("p", 3)]
        assert await totals(redis) == {"29833333 a": 6}
        await stream.close()


async def test_nobody_there_is_unclear(tmp_path: Path) -> None:
    """Whether a socket is missing or a port refuses."""
    for url in (f"unix://{tmp_path}/nobody.sock", "redis://127.0.0.1:1/0"):
        stream = RedisStream(url, timeout_ms=TIMEOUT_MS)
        assert await append(stream, 1) == "Unclear"
        with pytest.raises(Unclear):
            await stream.layout(2)
        with pytest.raises(Unclear):
            await stream.memory_shares()
        await stream.close()


async def test_a_full_redis_refuses(redis: Redis, stream: RedisStream) -> None:
    """At maxmemory nothing of the commit is in, not even its number; the same one is taken when there is room."""
    assert await append(stream, 1) == "in"
    await redis.config_set("maxmemory", 1)
    assert await append(stream, 2) == "Refused"
    assert await redis.hgetall(KEYS.producers) == {b"p": b"1"}
    await redis.config_set("maxmemory", redis_server.MEMORY_BYTES)
    assert await append(stream, 2) == "in"
    assert await totals(redis) == {"29833333 a": 4}


async def test_a_replica_refuses(redis: Redis, stream: RedisStream) -> None:
    """After a failover the old address may be read only: nothing was appended there."""
    await redis.replicaof("127.0.0.1", "1")
    try:
        assert await append(stream, 1) == "Refused"
    finally:
        await redis.replicaof("NO", "ONE")
    assert await numbers(redis) == []


async def test_a_wrong_password_is_no_success(server: Path, redis: Redis) -> None:
    """redis-py gives a failed handshake as a lost connection: Unclear, which is safe. Nothing was appended."""
    await redis.config_set("requirepass", "secret")
    stream = RedisStream(f"unix://:wrong@{server}", timeout_ms=TIMEOUT_MS)
    try:
        assert await append(stream, 1) == "Unclear"
    finally:
        await redis.config_set("requirepass", "")
        await stream.close()
    assert await numbers(redis) == []


@pytest.mark.parametrize("answer", redis_server.REFUSALS)
async def test_an_answer_that_says_no_is_a_refusal(server: Path, redis: Redis, answer: bytes) -> None:
    """Redis spoke: the commit is not in, and its number is still the next."""
    async with redis_server.proxied(server) as proxy:
        stream = RedisStream(proxy.url, timeout_ms=TIMEOUT_MS)
        assert await append(stream, 1) == "in"
        proxy.answer = answer
        assert await append(stream, 2) == "Refused"
        proxy.answer = b""
        assert await append(stream, 2) == "in"
        assert await numbers(redis) == [("p", 1), ("p", 2)]
        await stream.close()


async def test_the_first_to_come_decides_the_layout(server: Path, redis: Redis) -> None:
    """Processes with other settings that start together agree on one shard count and one key, for good."""
    streams = [RedisStream(f"unix://{server}", timeout_ms=TIMEOUT_MS) for _ in range(5)]
    found = await asyncio.gather(*(one.layout(shards) for shards, one in enumerate(streams, start=2)))
    assert len(set(found)) == 1
    shards, key = found[0]
    assert 2 <= shards <= 6
    assert 0 <= key < 2**32
    assert (await redis.get(SHARDS_KEY), await redis.get(SHARD_KEY_KEY)) == (b"%d" % shards, b"%d" % key)
    assert await streams[0].layout(99) == (shards, key)
    for one in streams:
        await one.close()


async def test_an_emptied_redis_learns_the_layout_from_those_who_know(redis: Redis, stream: RedisStream) -> None:
    """A process that runs says it; one with another is told what is there."""
    assert await stream.layout(5, 77) == (5, 77)
    assert await stream.layout(6, 78) == (5, 77)
    await redis.flushall()
    assert await stream.layout(5, 77) == (5, 77)


async def test_sites_are_read_as_they_were_registered(redis: Redis, stream: RedisStream) -> None:
    """Names as text, settings as they are."""
    assert await stream.sites() == {}
    await redis.hset(SITES_KEY, mapping={"münchen.example": b'{"domains": []}'})
    assert await stream.sites() == {"münchen.example": b'{"domains": []}'}


async def test_keys_are_read_as_they_were_written(redis: Redis, stream: RedisStream) -> None:
    """By their IDs."""
    assert await stream.keys() == {}
    await redis.hset(KEYS_KEY, mapping={"0123456789": b"{}"})
    assert await stream.keys() == {"0123456789": b"{}"}


async def test_memory_share_is_of_the_limit(redis: Redis, stream: RedisStream) -> None:
    """How full Redis is; 0 without a limit."""
    assert 0 < (await stream.memory_shares())[""] < 1
    await redis.config_set("maxmemory", 0)
    assert await stream.memory_shares() == {"": 0.0}
