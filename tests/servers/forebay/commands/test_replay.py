"""`forebay replay` against a real Redis: how far back each shard goes, and where it may not begin."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flusher.redis.lease import Lease, Leases
from flusher.redis.stream import RedisStream
from forebay.commands import replay
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import SHARDS_KEY, Keys
from schemas.redis.records import Edge
from tests.support import redis_server

server = redis_server.server
redis = redis_server.redis

SHARD = 0
KEYS = Keys(SHARD)


class Told:
    """Holds a shard with two stored blocks, and runs the command."""

    def __init__(self, redis: Redis, server: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.redis = redis
        self.log = RedisStream(redis)
        self.server = server
        self.capsys = capsys
        self.now_ms = 0

    async def begin(self) -> Lease:
        await self.redis.set(SHARDS_KEY, 1)
        self.now_ms = await self.log.now_ms(0)
        lease = await Leases(redis=self.redis, owner="a", ttl_ms=60_000).take(SHARD)
        assert lease
        stored = ORIGIN
        for edge in (self.edge(120), self.edge(60)):
            await self.redis.xadd(KEYS.log, {"d": b"", "n": 1}, id=str(edge))
            await self.log.cut(lease, stored, Edge(edge, 1, 10))
            await self.log.stored(lease, stored, edge)
            stored = edge
        return lease

    def edge(self, seconds_ago: int) -> EntryId:
        return EntryId(self.now_ms - seconds_ago * 1000, 0)

    async def replay(self, since: str) -> tuple[EntryId, str]:
        """Replays; returns where `stored` is afterwards, and what the command printed."""
        asked = argparse.Namespace(since=since, data=None, redis_url=f"unix://{self.server}", wait=False)
        assert replay.command(asked) == 0
        return (await self.log.checkpoint(SHARD)).stored, self.capsys.readouterr().out


@pytest.fixture
def told(redis: Redis, server: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(redis, server, capsys)


async def test_the_first_block_is_delivered_again(told: Told) -> None:
    """While nothing was trimmed, the log has its first entry, and all of it can be replayed."""
    await told.begin()
    assert await told.replay("15m") == (ORIGIN, "shard 0: delivering again from its first entry: 2 blocks, 2 events\n")
    assert not await told.redis.exists(KEYS.lease)
    assert (await told.log.checkpoint(SHARD)).counted == told.edge(60)


async def test_a_later_edge_is_enough_for_a_shorter_time(told: Told) -> None:
    """What was stored before the moment asked for stays; only without such an edge does a replay begin at the origin."""
    await told.begin()
    stored, said = await told.replay("90s")
    assert (stored, "the oldest" in said) == (told.edge(120), False), said


async def test_nothing_is_delivered_from_where_the_log_was_trimmed(told: Told) -> None:
    """The origin went with the first block's entries: from there the shard would stop at a block that is incomplete."""
    lease = await told.begin()
    await told.log.trim(lease, told.edge(120))
    stored, said = await told.replay("15m")
    assert (stored, said.endswith(", the oldest the replay tail holds: 1 blocks, 1 events\n")) == (
        told.edge(120),
        True,
    ), said


async def test_a_checkpoint_that_followed_clickhouse_has_no_beginning(told: Told) -> None:
    """The entries up to there are not those that ClickHouse holds under that edge, so there is nothing to replay."""
    lease = await told.begin()
    await told.log.follow(lease, told.edge(60), told.edge(30), told.edge(60))
    assert await told.replay("15m") == (told.edge(30), "shard 0: nothing to replay\n")


async def test_a_shard_that_stored_nothing_has_nothing_to_replay(told: Told) -> None:
    """Its first block may be under way, and is delivered anyway."""
    lease = await told.begin()
    await told.redis.delete(KEYS.edges)
    await told.redis.hdel(KEYS.checkpoint, "stored")
    await told.log.cut(lease, ORIGIN, Edge(told.edge(120), 1, 10))
    assert await told.replay("15m") == (ORIGIN, "shard 0: nothing to replay\n")
    assert await told.redis.exists(KEYS.lease)


def waiting(told: Told, seconds: float) -> asyncio.Task[int]:
    """Runs the command in a thread, where it waits as it does by default."""
    asked = argparse.Namespace(since="15m", data=None, redis_url=f"unix://{told.server}", wait=True, seconds=seconds)
    return asyncio.create_task(asyncio.to_thread(replay.command, asked))


async def test_it_waits_until_all_of_it_is_there(told: Told) -> None:
    """It prints a line for each shard that is done."""
    await told.begin()
    command = waiting(told, 30)
    while (await told.log.checkpoint(SHARD)).stored != ORIGIN:
        await asyncio.sleep(0.01)
    lease = await Leases(redis=told.redis, owner="b", ttl_ms=60_000).take(SHARD)
    assert lease
    stored = ORIGIN
    for edge in (told.edge(120), told.edge(60)):
        assert not command.done()
        await told.log.stored(lease, stored, edge)
        stored = edge
    assert await command == 0
    assert "shard 0: done: 2 blocks, 2 events are stored\n" in told.capsys.readouterr().out


async def test_what_is_not_there_in_time_is_said(told: Told) -> None:
    """The exit status is 1. The next replay waits for what is left of this one, though no older block is asked for."""
    await told.begin()
    for _ in range(2):
        assert await waiting(told, 0.3) == 1
        said = told.capsys.readouterr()
        assert ("2 blocks, 2 events" in said.out, "shard 0 is not done after 0.3 s" in said.err) == (True, True), said
