"""Many callers on one connection to Redis: answers in order, nothing sent twice, nobody left waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from ingest.commit.pipe import Pipe, Script
from tests.support import redis_server

server = redis_server.server
redis = redis_server.redis


@pytest.fixture
async def pipe(server: Path, redis: Redis) -> AsyncIterator[Pipe]:
    made = Pipe(f"unix://{server}", timeout_seconds=5)
    yield made
    await made.close()


@asynccontextmanager
async def listening(answers: list[bytes]) -> AsyncIterator[str]:
    """A server that answers the handshake, then each further read with the next of these, then nothing."""
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.ensure_future(speak(reader, writer)))

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if b"CLIENT" in data:
                writer.write(b"+OK\r\n" * data.count(b"CLIENT"))
            elif answers:
                writer.write(answers.pop(0))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        await asyncio.gather(*served)  # all clients are closed


async def test_answers_reach_those_who_asked(pipe: Pipe) -> None:
    """A thousand commands at once, of every kind of answer."""
    asked = [pipe.command("ECHO", f"{number}") if number % 3 else pipe.command("STRLEN", "no") for number in range(999)]
    answers = await asyncio.gather(*asked)
    assert answers == [f"{number}".encode() if number % 3 else 0 for number in range(999)]


async def test_one_error_is_one_caller_s(pipe: Pipe, redis: Redis) -> None:
    """Those beside it get their own answers."""
    await redis.set("text", "a")
    told = await asyncio.gather(
        pipe.command("GET", "text"),
        pipe.command("LPUSH", "text", 1),
        pipe.command("GET", "text"),
        return_exceptions=True,
    )
    assert told[0] == told[2] == b"a"
    assert isinstance(told[1], ResponseError)
    assert "WRONGTYPE" in str(told[1])


async def test_a_caller_that_leaves_takes_no_answer_along(pipe: Pipe) -> None:
    """Its answer is read and thrown away."""
    await pipe.command("PING")
    leaving = asyncio.ensure_future(pipe.command("ECHO", "for nobody"))
    staying = asyncio.ensure_future(pipe.command("ECHO", "for me"))
    await asyncio.sleep(0)  # both are sent
    leaving.cancel()
    assert await staying == b"for me"


async def test_callbacks_and_coroutines_share_the_order(pipe: Pipe) -> None:
    """Each hears its own answer, once, and none from inside `call`; an error of Redis is an answer."""
    await pipe.command("PING")
    assert pipe.is_open
    heard: list[object] = []
    asked = [asyncio.ensure_future(pipe.command("ECHO", f"asked {number}")) for number in range(3)]
    for number in range(3):
        pipe.call(("ECHO", f"called {number}"), heard.append)
    pipe.call(("NONSENSE",), heard.append)
    assert heard == []
    assert await asyncio.gather(*asked) == [f"asked {number}".encode() for number in range(3)]
    while len(heard) < 4:
        await asyncio.sleep(0.001)
    assert heard[:3] == [f"called {number}".encode() for number in range(3)]
    assert isinstance(heard[3], ResponseError)


async def test_a_connection_that_is_given_up_is_heard_of_once() -> None:
    """Silence, for all who wait; the connection is then no open one."""
    async with listening([b"+PONG\r\n"]) as url:
        pipe = Pipe(url, timeout_seconds=60)
        assert not pipe.is_open
        await pipe.command("PING")
        pipe.timeout_seconds = 0.2
        heard: list[object] = []
        for _ in range(3):
            pipe.call(("PING",), heard.append)
        waiting = asyncio.ensure_future(pipe.command("PING"))
        with pytest.raises(TimedOut):
            await waiting
        assert [type(error) for error in heard] == [TimedOut] * 3
        assert not pipe.is_open
        await pipe.close()
        assert len(heard) == 3


async def test_a_called_script_is_loaded_when_redis_forgot_it(pipe: Pipe, redis: Redis) -> None:
    """Those that were called together each get their own answer."""
    script = Script(pipe, "return {KEYS[1], ARGV[1]}")
    await pipe.command("PING")
    await redis.script_flush()
    heard: list[object] = []
    for number in range(3):
        script.call(heard.append, keys=["key"], args=[number])
    while len(heard) < 3:
        await asyncio.sleep(0.001)
    assert heard == [[b"key", b"%d" % number] for number in range(3)]


async def test_a_script_is_loaded_when_redis_forgot_it(pipe: Pipe, redis: Redis) -> None:
    """By a restart or SCRIPT FLUSH; the caller does not notice."""
    script = Script(pipe, "return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        await redis.script_flush()
        assert await script(keys=["key"], args=[b"\xff\x00"]) == [b"key", b"\xff\x00"]
    assert await script(keys=["key"], args=[7]) == [b"key", b"7"]


async def test_the_url_s_user_and_password_are_used(server: Path, redis: Redis) -> None:
    """redis-py opens the connection, with all that a URL may say."""
    await redis.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+get", "+select"])
    pipe = Pipe(f"unix://{server}?username=reader&password=secret", timeout_seconds=5)
    assert await pipe.command("GET", "nothing") is None
    with pytest.raises(ResponseError, match="NOPERM"):
        await pipe.command("SET", "a", "b")
    await pipe.close()


async def test_silence_is_an_error_for_all_who_wait_and_the_next_command_starts_anew() -> None:
    """Also for those whose own time was not yet up: answers come in order."""
    async with listening([]) as url:
        pipe = Pipe(url, timeout_seconds=0.2)
        told = await asyncio.gather(*(pipe.command("PING") for _ in range(3)), return_exceptions=True)
        await pipe.close()
        assert [type(error) for error in told] == [TimedOut] * 3
    async with listening([b"+PONG\r\n"]) as url:
        again = Pipe(url, timeout_seconds=60)
        assert await again.command("PING") == b"PONG"
        await again.close()


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+PONG\r\n+PONG\r\n", b"!7\r\n"])
async def test_what_is_not_an_answer_ends_the_connection(nonsense: bytes) -> None:
    """The command after it is not given an answer that was meant for none."""
    async with listening([nonsense, b"+FIRST\r\n", b"+SECOND\r\n"]) as url:
        pipe = Pipe(url, timeout_seconds=1)
        told = (await asyncio.gather(pipe.command("PING"), return_exceptions=True))[0]
        pipe.timeout_seconds = 60
        assert told == b"PONG" or isinstance(told, RedisError)
        assert await pipe.command("PING") == b"FIRST"
        assert await pipe.command("PING") == b"SECOND"
        await pipe.close()


async def test_a_closed_connection_is_opened_again(pipe: Pipe, redis: Redis) -> None:
    """Who waited hears of it; the next command goes through."""
    await pipe.command("PING")
    waiting = asyncio.ensure_future(pipe.command("BLPOP", "never", 0))
    while not any("blpop" in str(client.get("cmd")) for client in await redis.client_list()):
        await asyncio.sleep(0.01)
    for client in await redis.client_list():
        if "blpop" in str(client["cmd"]):
            await redis.client_kill_filter(_id=client["id"])
    with pytest.raises(NotConnected):
        await waiting
    assert await pipe.command("ECHO", "back") == b"back"


async def test_a_redis_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """And one that callers translate already."""
    pipe = Pipe(f"unix://{tmp_path}/none", timeout_seconds=0.5)
    with pytest.raises((RedisError, OSError)):
        await pipe.command("PING")
