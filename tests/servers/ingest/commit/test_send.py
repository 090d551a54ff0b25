"""A commit sent with a callback, on a real Redis: it says what `append` would say, and it says it once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.commit import committer
from ingest.commit.stream import RedisStream
from schemas import entry
from schemas.redis.keys import Keys
from schemas.row import INDEX
from schemas.segment import Commit
from tests.support import redis_server
from tests.support.committing import SHARDS, Counted, append, made
from tests.support.rows import plain
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis

TIMEOUT_MS = 5_000


@pytest.fixture
async def stream(server: Path, redis: Redis) -> AsyncIterator[RedisStream]:
    """Yields a stream whose connection is open, so that sending is a call and no task."""
    stream = RedisStream(f"unix://{server}", timeout_ms=TIMEOUT_MS)
    await stream.look()
    assert await sent(stream, 1, producer="first") == "in"
    assert stream._pipe.reaches("any")
    yield stream
    await stream.close()


class Said:
    """Hears what became of one commit."""

    def __init__(self) -> None:
        self.answers: list[BaseException | None] = []

    def __call__(self, error: BaseException | None) -> None:
        self.answers.append(error)

    @property
    def word(self) -> str:
        (error,) = self.answers
        return "in" if error is None else type(error).__name__


def send(stream: RedisStream, number: int, *, producer: str = "p", shard: int = 0) -> Said:
    said = Said()
    stream.send(shard, producer, Commit(number, b"\x01\xff\x00", 2, {"29833333 a": 2}), said)
    assert not said.answers, "it is never called from inside"
    return said


async def sent(stream: RedisStream, number: int, *, producer: str = "p", shard: int = 0) -> str:
    said = send(stream, number, producer=producer, shard=shard)
    await until(lambda: said.answers)
    return said.word


async def numbers(redis: Redis, shard: int = 0) -> list[tuple[str, int]]:
    found: Any = await redis.xrange(Keys(shard).log)
    return [(fields[b"p"].decode(), int(fields[b"c"])) for _, fields in found if fields[b"p"] != b"first"]


async def test_on_an_open_connection_there_is_no_task(redis: Redis, stream: RedisStream) -> None:
    """The first commit opened it in a task; this one is a write, and a callback of the socket."""
    tasks = asyncio.all_tasks()
    said = send(stream, 1)
    assert not stream._tasks
    assert asyncio.all_tasks() == tasks
    await until(lambda: said.answers)
    assert said.word == "in"
    assert await numbers(redis) == [("p", 1)]


@pytest.mark.parametrize(
    ("numbered", "says", "kept"),
    [
        ([1, 2, 3], "in in in", [1, 2, 3]),
        ([1, 1, 2, 1], "in in in in", [1, 2]),
        ([2], "Gap", []),
        ([1, 3, 2, 3], "in Gap in in", [1, 2, 3]),
    ],
)
async def test_only_the_next_commit_is_taken(
    redis: Redis, stream: RedisStream, numbered: list[int], says: str, kept: list[int]
) -> None:
    """As by `append`: an older one is done already, a higher one is a gap. All of them are under way at once."""
    said = [send(stream, number) for number in numbered]
    await until(lambda: all(one.answers for one in said))
    assert " ".join(one.word for one in said) == says
    assert await numbers(redis) == [("p", number) for number in kept]


async def test_a_script_that_redis_forgot_is_sent_along(redis: Redis, stream: RedisStream) -> None:
    """By a restart or SCRIPT FLUSH. The commits that were under way meanwhile are in, once and in order."""
    await redis.script_flush()
    said = [send(stream, 1, shard=shard) for shard in range(3)]
    assert not stream._tasks
    await until(lambda: all(one.answers for one in said))
    assert [one.word for one in said] == ["in"] * 3
    assert await sent(stream, 2) == "in"
    assert await numbers(redis) == [("p", 1), ("p", 2)]


@pytest.mark.parametrize("answer", redis_server.REFUSALS)
async def test_an_answer_that_says_no_is_a_refusal(server: Path, redis: Redis, answer: bytes) -> None:
    """Redis spoke: the commit is not in, and its number is still the next."""
    async with redis_server.proxied(server) as proxy:
        stream = RedisStream(proxy.url, timeout_ms=TIMEOUT_MS)
        assert await sent(stream, 1) == "in"
        proxy.answer = answer
        assert await sent(stream, 2) == "Refused"
        proxy.answer = b""
        assert await sent(stream, 2) == "in"
        assert await numbers(redis) == [("p", 1), ("p", 2)]
        await stream.close()


async def in_flight(stream: RedisStream, proxy: redis_server.Proxy, seconds: float = 600.0) -> list[Said]:
    """Returns a commit for each shard that was sent on an open connection, and that nobody answers; for so long it is waited."""
    assert await sent(stream, 1, producer="first") == "in"
    proxy.is_mute = True
    stream._pipe.timeout_seconds = seconds
    return [send(stream, 1, shard=shard) for shard in range(SHARDS)]


async def test_silence_is_unclear_for_all_that_are_in_flight(server: Path, redis: Redis) -> None:
    """Of several shards, each is told once; sent again, each is in once."""
    async with redis_server.proxied(server) as proxy:
        stream = RedisStream(proxy.url, timeout_ms=TIMEOUT_MS)
        said = await in_flight(stream, proxy, seconds=0.3)
        await until(lambda: all(one.answers for one in said))
        assert [one.word for one in said] == ["Unclear"] * SHARDS
        proxy.is_mute = False
        stream._pipe.timeout_seconds = TIMEOUT_MS / 1000
        for shard in range(SHARDS):
            assert await sent(stream, 1, shard=shard) == "in"
            assert await numbers(redis, shard) == [("p", 1)]
        await stream.close()


async def test_a_lost_connection_is_unclear_for_all_that_are_in_flight(server: Path, redis: Redis) -> None:
    """At once, without waiting for the time that an answer may take."""
    async with redis_server.proxied(server) as proxy:
        stream = RedisStream(proxy.url, timeout_ms=600_000)
        said = await in_flight(stream, proxy)
        for end in list(proxy.ends):
            end.close()
        await until(lambda: all(one.answers for one in said))
        assert [one.word for one in said] == ["Unclear"] * SHARDS
        await stream.close()


async def test_a_redis_that_is_not_there_is_unclear(tmp_path: Path) -> None:
    """The task that would open a connection says so."""
    stream = RedisStream(f"unix://{tmp_path}/nobody.sock", timeout_ms=TIMEOUT_MS)
    assert await sent(stream, 1) == "Unclear"
    assert not stream._tasks
    await stream.close()


async def test_closing_ends_the_commits_that_wait_for_a_connection() -> None:
    """Somebody accepts and does not speak. What becomes of the commit is not known, and nobody is told."""
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with listener:
        stream = RedisStream(
            f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}", timeout_ms=600_000
        )  # fmt: skip
        said = send(stream, 1)
        await stream.close()
        assert not stream._tasks
        assert said.answers == []


@pytest.mark.parametrize("is_cut", [False, True])
async def test_requests_of_several_shards_outlive_a_connection(
    server: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    """An appender loses its connection, or its script, with a commit of each shard in flight: each row is in once."""
    monkeypatch.setattr(committer, "RETRY_SECONDS", 0.001)
    async with redis_server.proxied(server) as proxy:
        stream = RedisStream(proxy.url, timeout_ms=600_000)
        appender = made(stream, Counted(), answer_seconds_max=600.0)
        running = asyncio.ensure_future(appender.run())

        def requests(name: str) -> list[Any]:
            rows = [
                [(shard, plain(title=f"{name}-{shard}")), ((shard + 1) % 3, plain(title=name))] for shard in range(3)
            ]
            return [asyncio.ensure_future(append(appender, some)) for some in rows]

        assert await asyncio.gather(*requests("before")) == [None] * 3
        proxy.asked.clear()
        if is_cut:
            proxy.is_mute = True
        else:
            await redis.script_flush()
        during = requests("during")
        await until(lambda: proxy.asked.count(b"EVALSHA") >= SHARDS)
        if is_cut:
            assert not any(request.done() for request in during)
            for end in list(proxy.ends):
                end.close()
            proxy.is_mute = False
        assert await asyncio.gather(*during) == [None] * 3
        assert await asyncio.gather(*requests("after")) == [None] * 3
        for shard in range(SHARDS):
            found: Any = await redis.xrange(Keys(shard).log)
            titles = [title for _, fields in found for title in entry.decode(fields[b"d"])[INDEX["title"]]]
            assert len(titles) == 6
            assert [title.partition("-")[0] for title in titles] == ["before"] * 2 + ["during"] * 2 + ["after"] * 2
        running.cancel()
        await asyncio.wait([running])
        await stream.close()
