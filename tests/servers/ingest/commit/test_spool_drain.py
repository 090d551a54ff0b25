"""From the spool back to Redis: in order, once, whoever dies on the way; and what requests see meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit import appender as appender_module
from ingest.commit import spool as spool_module
from ingest.commit.appender import Appender
from ingest.commit.spool import SpoolFull
from ingest.commit.stream import Gap, RedisStream, Refused, Unclear
from ingest.fates import Shed
from schemas.redis.keys import Keys
from schemas.segment import HEADER_BYTES
from tests.support import redis_server
from tests.support.committing import LIMITS, at_work
from tests.support.committing import Counted as Uncounted
from tests.support.spooling import SHARD, commit, flip, left_behind, opened, record_at
from tests.support.waiting import until

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
    monkeypatch.setattr(appender_module, "RETRY_SECONDS", 0.001)


async def entries(redis: Redis) -> list[tuple[str, int, bytes]]:
    """Producer, number and data of what is in the stream."""
    found: Any = await redis.xrange(Keys(SHARD).log)
    return [(fields[b"p"].decode(), int(fields[b"c"]), fields[b"d"]) for _, fields in found]


async def heir_drains(folder: Path, stream: Any, commits: int = 1 << 30) -> None:
    """A process adopts the folder, drains it, and leaves; or is gone before it has told the spool of one more."""
    spool, _ = opened(folder)
    appender = Appender(stream=Dying(stream, commits), counts=Uncounted(), shards=SHARD + 1, **LIMITS)
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

    async def append(self, shard: int, **said: Any) -> None:
        await self._stream.append(shard, **said)
        self._left -= 1
        if not self._left:
            raise DiedError


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
    tmp_path: Path, redis: Redis, stream: RedisStream, monkeypatch: pytest.MonkeyPatch, is_rolled: bool
) -> None:
    """Redis lost commits 1 to 3: the rest is in once, however often its drain starts over, and from which segment."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1 if is_rolled else 1 << 20)
    spool, _ = opened(tmp_path)
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
        await stream.append(SHARD, producer="producer", **commit(number)._asdict())
    await left_behind(tmp_path, range(4, 9))
    await redis.zadd(keys.seen, {"producer": 1})
    await stream.append(SHARD, producer="other", **commit(1)._asdict())
    assert await redis.hkeys(keys.producers) == [b"other"]
    for appends in (1, 2, 2, 3):
        await heir_drains(tmp_path, stream, appends)
    await heir_drains(tmp_path, stream)
    found = [data for producer, _, data in await entries(redis) if producer != "other"]
    assert found == [commit(number).data for number in range(1, 9)]
    assert not list(tmp_path.iterdir())


async def test_a_shard_silent_for_a_day_goes_on_as_a_new_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis forgets a silent one after a week: nobody alive is ever that silent."""
    async with at_work(is_open=True) as scene:
        for title in ("1", "2", "3"):
            assert await scene.request(title) is None
            monkeypatch.setattr(appender_module, "IDLE_SECONDS_MAX", -1 if title == "2" else 86_400)
        first, second, third = scene.stream.stored
        assert (second.producer, second.number) == (first.producer, 2)
        assert (third.producer != first.producer, third.number) == (True, 1)


class Moody:
    """A stream that answers with these faults first, and then takes everything."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.taken: list[int] = []

    async def append(self, shard: int, *, number: int, **_: Any) -> None:
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        self.taken.append(number)


async def test_a_drain_waits_for_a_redis_that_is_away(tmp_path: Path) -> None:
    """Unclear or refused, the same commit is sent until Redis is known to have it; then the next."""
    await left_behind(tmp_path)
    moody = Moody(Unclear(), Refused(), None, Unclear(), Unclear())
    await heir_drains(tmp_path, moody)
    assert moody.taken == [1, 2, 3, 4, 5]


async def test_a_gap_costs_a_drain_nothing_else(tmp_path: Path) -> None:
    """What Redis knows goes under the producer's own name, what is behind the gap alone."""
    await left_behind(tmp_path)
    moody = Moody(None, None, Gap())
    await heir_drains(tmp_path, moody)
    assert moody.taken == [1, 2, 1, 1, 1]


@pytest.mark.parametrize("was_in", [False, True])
async def test_live_commits_queue_behind_spooled_ones(tmp_path: Path, was_in: bool) -> None:
    """All are answered from disk meanwhile; then each is in Redis once, in order, and a new producer goes on."""
    spool, counts = opened(tmp_path)
    async with at_work(is_open=True, spool=spool) as scene:
        assert await scene.request("0") is None
        scene.stream.lost_answers = was_in
        scene.stream.down = {0: Unclear("Redis is silent")}
        for title in ("1", "2", "3"):
            assert await scene.request(title) is None
        assert counts.bytes > 0
        assert await scene.request("other shard", shard=1) is None
        scene.stream.lost_answers, scene.stream.down = False, {}
        await until(lambda: not counts.bytes)
        assert await scene.request("4") is None
        assert scene.stream.titles() == ["0", "1", "2", "3", "4"]
        first, *spooled, last = [one for one in scene.stream.stored if one.shard == 0]
        assert [(one.producer, one.number) for one in spooled] == [(first.producer, number) for number in (2, 3, 4)]
        assert (last.producer != first.producer, last.number) == (True, 1)
    spool.close()
    assert not list(tmp_path.iterdir())


async def test_a_full_spool_is_a_503_and_serves_again_when_drained(tmp_path: Path) -> None:
    """At once, not after a wait; those before it stay accepted; nobody has to help."""
    spool, counts = opened(tmp_path, bytes_max=1_500)
    async with at_work(is_open=True, spool=spool) as scene:
        scene.stream.down = {0: Refused("full")}
        assert await scene.request("1") is None
        answers = [await scene.request(str(number)) for number in range(2, 30)]
        assert answers[-1] is Shed.SPOOL_FULL
        taken = ["1", *(str(number) for number, answer in enumerate(answers, 2) if answer is None)]
        scene.stream.down = {}
        await until(lambda: not counts.bytes)
        assert await scene.request("9") is None
        assert scene.stream.titles() == [*taken, "9"]
    spool.close()


@pytest.mark.parametrize("is_redis_first", [True, False])
async def test_a_disk_that_refuses_is_a_503_and_serves_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_redis_first: bool
) -> None:
    """Neither Redis nor the spool takes it: not answered before one does; new requests are refused at once."""
    spool, _ = opened(tmp_path)
    write = spool_module.Chain.write
    is_full = True

    async def refusing(self: spool_module.Chain, one: Any) -> None:
        if is_full:
            raise SpoolFull
        await write(self, one)

    monkeypatch.setattr(spool_module.Chain, "write", refusing)
    async with at_work(is_open=True, spool=spool) as scene:
        scene.stream.down = {0: Unclear("gone")}
        first = scene.request("1")
        await until(lambda: not scene.is_ready())
        assert await scene.request("2") is Shed.SPOOL_FULL
        assert not first.done()
        if is_redis_first:
            scene.stream.down = {}
        else:
            is_full = False
        assert await first is None
        assert scene.is_ready()
        assert await scene.request("3") is None
        scene.stream.down = {}
        await until(lambda: scene.stream.titles() == ["1", "3"])
    spool.close()


async def test_pressure_without_room_is_a_503_at_once(tmp_path: Path) -> None:
    """Redis is close to its wall and the disk has its minimum left: nothing is even tried."""
    spool, _ = opened(tmp_path, free_bytes_min=1 << 60)
    is_pressed = True
    async with at_work(is_open=True, spool=spool, pressed=lambda: Shed.MEMORY if is_pressed else None) as scene:
        assert await scene.request("1") is Shed.SPOOL_FULL
        assert scene.stream.asked == []
        is_pressed = False
        assert await scene.request("2") is None
    spool.close()
