"""From the spool back to Redis: in order, once, whoever dies on the way; and what requests see meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit import committer, returner
from ingest.commit.answers import Gap, Refused, Unclear
from ingest.commit.stream import RedisStream
from schemas.redis.keys import Keys
from schemas.segment import HEADER_BYTES, Commit
from tests.support import redis_server
from tests.support.committing import Counted as Uncounted
from tests.support.committing import made
from tests.support.spooling import SHARD, commit, flip, left_behind, opened, record_at

server = redis_server.server

redis = redis_server.redis


@pytest.fixture
async def stream(server: Path, redis: Redis) -> AsyncIterator[RedisStream]:
    made = RedisStream(f"unix://{server}", timeout_ms=5_000)
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again after a millisecond, not after a tenth of a second."""
    for module in (committer, returner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)


async def entries(redis: Redis) -> list[tuple[str, int, bytes]]:
    """Producer, number and data of what is in the stream."""
    found: Any = await redis.xrange(Keys(SHARD).log)
    return [(fields[b"p"].decode(), int(fields[b"c"]), fields[b"d"]) for _, fields in found]


async def heir_drains(folder: Path, stream: Any, commits: int = 1 << 30) -> None:
    """A process adopts the folder, drains it, and leaves; or is gone before it has told the spool of one more."""
    spool, _ = opened(folder)
    appender = made(Dying(stream, commits), Uncounted(), shards=SHARD + 1)
    try:
        for chain in spool.adopt():
            await appender.drain_chain(chain)
            await chain.close()
            spool.leave(chain.folder)
    except DiedError:
        pass
    spool.close()


class DiedError(Exception):
    """Of a process, right after an append."""


class Dying:
    """A stream whose user dies after so many appends, before it hears of the last."""

    def __init__(self, stream: Any, appends: int) -> None:
        self._stream = stream
        self._left = appends

    async def append(self, shard: int, producer: str, commit: Commit) -> None:
        await self._stream.append(shard, producer, commit)
        self._left -= 1
        if not self._left:
            raise DiedError

    def lost(self, commits: int) -> None: ...


async def test_drained_twice_is_in_once(tmp_path: Path, redis: Redis, stream: RedisStream) -> None:
    """Each heir dies one commit further on, and starts over: Redis has each commit once, in order, counted once."""
    await left_behind(tmp_path)
    for appends in (1, 2, 3, 5):
        await heir_drains(tmp_path, stream, appends)
        assert list(tmp_path.glob("*/*.spool")), "what was not drained to its end is still there"
    await heir_drains(tmp_path, stream)
    assert await entries(redis) == [("producer", number, commit(number).data) for number in range(1, 6)]
    assert await redis.hgetall(Keys(SHARD).accepted) == {b"1 a.example": b"10"}
    assert not list(tmp_path.iterdir())


async def test_a_damaged_commit_is_a_number_without_an_entry(tmp_path: Path, redis: Redis, stream: RedisStream) -> None:
    """Redis takes those behind it, and nothing of it."""
    segment = await left_behind(tmp_path)
    flip(segment, record_at(segment.read_bytes(), 3) + HEADER_BYTES + 7)
    await heir_drains(tmp_path, stream)
    assert [number for _, number, _ in await entries(redis)] == [1, 2, 4, 5]
    assert await redis.hgetall(Keys(SHARD).producers) == {b"producer": b"5"}
    assert await redis.hgetall(Keys(SHARD).accepted) == {b"1 a.example": b"8"}


@pytest.mark.parametrize("is_rolled", [False, True])
async def test_behind_a_gap_each_commit_has_one_name_in_every_drain(
    tmp_path: Path, redis: Redis, stream: RedisStream, is_rolled: bool
) -> None:
    """Redis lost commits 1 to 3: the rest is in once, however often its drain starts over, and from which segment."""
    spool, _ = opened(tmp_path, segment_bytes=1 if is_rolled else 1 << 20)
    chain = spool.open("producer", SHARD)
    for number in range(4, 9):
        await chain.write(commit(number))
    spool.close()
    for appends in (1, 2, 2, 3):
        await heir_drains(tmp_path, stream, appends)
    await heir_drains(tmp_path, stream)
    assert [data for _, _, data in await entries(redis)] == [commit(number).data for number in range(4, 9)]
    assert {producer for producer, _, _ in await entries(redis)} == {f"producer~{number}" for number in range(4, 9)}


async def test_a_spool_that_comes_back_after_more_than_a_week_is_in_once(
    tmp_path: Path, redis: Redis, stream: RedisStream
) -> None:
    """Redis forgot its producer meanwhile: each commit gets a name of its own, the same in every drain."""
    keys = Keys(SHARD)
    for number in range(1, 4):
        await stream.append(SHARD, "producer", commit(number))
    await left_behind(tmp_path, range(4, 9))
    await redis.zadd(keys.seen, {"producer": 1})
    await stream.append(SHARD, "other", commit(1))
    assert await redis.hkeys(keys.producers) == [b"other"]
    for appends in (1, 2, 2, 3):
        await heir_drains(tmp_path, stream, appends)
    await heir_drains(tmp_path, stream)
    found = [data for producer, _, data in await entries(redis) if producer != "other"]
    assert found == [commit(number).data for number in range(1, 9)]
    assert not list(tmp_path.iterdir())


class Moody:
    """A stream that answers with these faults first, and then takes everything."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.taken: list[int] = []

    async def append(self, shard: int, producer: str, commit: Commit) -> None:
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        self.taken.append(commit.number)

    def lost(self, commits: int) -> None: ...


async def test_a_drain_waits_for_a_redis_that_is_away(tmp_path: Path) -> None:
    """Unclear or refused, the same commit is sent until Redis is known to have it; then the next."""
    await left_behind(tmp_path)
    moody = Moody(Unclear(), Refused(), None, Unclear(), Unclear())
    await heir_drains(tmp_path, moody)
    assert moody.taken == [1, 2, 3, 4, 5]


async def test_a_gap_costs_a_drain_nothing_else(tmp_path: Path) -> None:
    """What Redis knows goes under the producer's own name, what is behind the gap alone."""
    await left_behind(tmp_path)
    moody = Moody(None, None, Gap("a gap", known=2, missing=1))
    await heir_drains(tmp_path, moody)
    assert moody.taken == [1, 2, 1, 1, 1]
