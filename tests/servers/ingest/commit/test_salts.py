"""ingest/commit/salts.py: what processes agree on in a real Redis, and for how long it is there (I8)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit.answers import Refused
from ingest.commit.stream import RedisStream
from schemas.redis.keys import salt_key, salt_name
from tests.support import redis_server

server = redis_server.each_server
redis = redis_server.redis

TIMEOUT_MS = 5_000
DAY, HALF = 86_400, 1_800
AHEAD_SECONDS = 3_600  # far longer than from the moment at which this is read to the end of the last test
NOW = int(time.time()) + AHEAD_SECONDS
TODAY = NOW // DAY * DAY  # a UTC day that is not over in any test; right before midnight it is the next one
ABROAD = NOW // 3_600 * 3_600 - 5 * 3_600 + 900  # a day that began somewhere; none of UTC begins at a quarter past
UNTIL = {TODAY: TODAY + DAY + HALF, ABROAD: ABROAD + DAY + HALF}


@pytest.fixture
async def stream(server: Path, redis: Redis) -> AsyncIterator[RedisStream]:
    made = RedisStream(f"unix://{server}", timeout_ms=TIMEOUT_MS)
    yield made
    await made.close()


async def ends(redis: Redis, start: int) -> float:
    """Returns the unix second at which a salt expires, by Redis's clock."""
    (seconds, micros), left = await redis.time(), await redis.pttl(salt_key(start))
    assert left > 0
    return seconds + micros / 1e6 + left / 1e3


async def calls(redis: Any) -> int:
    """Returns how many commands the server has executed that read or write salts."""
    stats = await redis.info("commandstats")
    names = ("get", "set", "pttl", "expireat", "time")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)


def test_names_of_salts_are_those_of_the_first_release_at_a_midnight_of_utc() -> None:
    """Its ingest and ours must hash with one salt while both run."""

    def at(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())

    assert salt_key(at("2026-11-29")) == "forebay:salt:2026-11-29"
    assert salt_key(at("2026-11-28 18:15")) == "forebay:salt:2026-11-28T18:15Z"
    assert salt_key(at("2026-11-29 08:00")) == "forebay:salt:2026-11-29T08:00Z"
    assert salt_name(at("1970-06-01 00:44:30")) == "1970-06-01T00:44:30Z"


async def test_processes_that_ask_together_get_one_salt(server: Path, redis: Redis) -> None:
    """Whoever makes it, all hash with it; every day has its own."""
    streams = [RedisStream(f"unix://{server}", timeout_ms=TIMEOUT_MS) for _ in range(5)]
    found = await asyncio.gather(*(one.salts(UNTIL, {}) for one in streams))
    assert all(one == found[0] for one in found)
    assert found[0].keys() == UNTIL.keys()
    assert len({bytes(salt) for salt in found[0].values()}) == 2
    assert all(len(salt) == 32 for salt in found[0].values())
    for one in streams:
        await one.close()


async def test_a_salt_expires_half_an_hour_after_its_day(redis: Redis, stream: RedisStream) -> None:
    """Of whatever length the day is (I8)."""
    await stream.salts(UNTIL, {})
    for start, until in UNTIL.items():
        assert abs(await ends(redis, start) - until) < 1


async def test_an_emptied_redis_gets_a_salt_back_with_its_expiry(redis: Redis, stream: RedisStream) -> None:
    """The one a process hashes with; it is not kept longer for that (I8)."""
    first = await stream.salts(UNTIL, {})
    await redis.flushall()
    assert await stream.salts(UNTIL, first) == first
    assert abs(await ends(redis, ABROAD) - UNTIL[ABROAD]) < 1
    assert await stream.salts(UNTIL, dict.fromkeys(UNTIL, bytearray(b"x" * 32))) == first


@pytest.mark.parametrize("kept", ["too short", "47 hours", "for ever"])
async def test_the_expiry_of_a_salt_that_is_there_is_corrected(redis: Redis, stream: RedisStream, kept: str) -> None:
    """The first release kept it for 47 hours; two zones may begin a day together, and the later end counts."""
    until = {"too short": int(time.time()) + 600, "47 hours": TODAY + 47 * 3_600, "for ever": None}[kept]
    await redis.set(salt_key(TODAY), b"theirs" * 6, exat=until)
    found = await stream.salts(UNTIL, {})
    assert found[TODAY] == b"theirs" * 6
    assert abs(await ends(redis, TODAY) - UNTIL[TODAY]) < 1


async def test_yesterdays_salt_of_an_old_ingest_goes_although_nobody_needs_it(
    redis: Redis, stream: RedisStream
) -> None:
    """It makes it again from its memory up to 01:00 UTC."""
    today = int(time.time() + 10) // DAY * DAY  # also at the end of the test
    yesterday = today - DAY
    await redis.set(salt_key(yesterday), b"theirs" * 6, exat=yesterday + 47 * 3_600)
    found = await stream.salts({ABROAD: UNTIL[ABROAD]}, {})
    assert found.keys() == {ABROAD}
    if time.time() >= today + HALF:
        assert not await redis.exists(salt_key(yesterday))
    else:
        assert abs(await ends(redis, yesterday) - today - HALF) < 1


async def test_the_salt_of_a_day_that_is_over_is_not_made_and_not_kept(redis: Redis, stream: RedisStream) -> None:
    """As when a clock was set back a day: it is missing from the answer, and from Redis, whoever knows it."""
    past = ABROAD - 3 * DAY
    asked = {past: past + DAY + HALF, **UNTIL}
    await redis.set(salt_key(past), b"theirs" * 6)
    assert (await stream.salts(asked, {past: bytearray(b"known" * 6)})).keys() == UNTIL.keys()
    assert not await redis.exists(salt_key(past))


async def test_an_agreement_that_changes_nothing_writes_nothing(redis: Redis, stream: RedisStream) -> None:
    """One script a salt, of three commands: a write would be fsynced, every two seconds, by every worker."""
    until = {TODAY + quarter * 900: TODAY + quarter * 900 + DAY + HALF for quarter in range(40)}
    first = await stream.salts(until, {})
    writes: Any = redis
    size = (await writes.info("persistence")).get("aof_current_size")
    changes = (await writes.info("persistence"))["rdb_changes_since_last_save"]
    before = await calls(redis)
    assert await stream.salts(until, first) == first
    assert await calls(redis) - before <= 3 * (len(until) + 1)
    said = await writes.info("persistence")
    assert (said["rdb_changes_since_last_save"], said.get("aof_current_size")) == (changes, size)


async def test_a_full_redis_says_what_it_has(
    redis: Redis, stream: RedisStream, caplog: pytest.LogCaptureFixture
) -> None:
    """The salt that it can't keep is missing, which is logged once, and costs no other."""
    first = await stream.salts({TODAY: UNTIL[TODAY]}, {})
    client: Any = redis  # its types are those of two clients
    most = (await client.config_get("maxmemory"))["maxmemory"]
    await client.config_set("maxmemory", 1)
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert await stream.salts(UNTIL, {}) == first
    finally:
        await client.config_set("maxmemory", most)
    assert len(caplog.records) == 1
    assert "Redis keeps no new salt" in caplog.text
    assert (await stream.salts(UNTIL, {})).keys() == UNTIL.keys()


async def test_what_is_no_salt_is_refused_and_other_salts_are_found(
    redis: Redis, stream: RedisStream, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that somebody wrote there: too long for a hash's key, or no text at all. It is logged once."""
    await stream.salts({TODAY: UNTIL[TODAY]}, {})
    for wrong in (b"x" * 65, b"x" * 100_000):
        await redis.set(salt_key(ABROAD), wrong, exat=UNTIL[ABROAD])
        assert (await stream.salts(UNTIL, {})).keys() == {TODAY}
    await redis.delete(salt_key(ABROAD))
    await redis.hset(salt_key(ABROAD), "a", "b")
    with pytest.raises(Refused, match="WRONGTYPE"):
        await stream.salts(UNTIL, {})
    assert {record.levelname for record in caplog.records} == {"WARNING"}
