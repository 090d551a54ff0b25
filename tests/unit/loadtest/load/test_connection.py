"""One connection meets servers that write their answers in every way, right and wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from loadtest.load.connection import Answer, Connection

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Keeper:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: asyncio.Queue[Answer | None] = asyncio.Queue()

    def answered(self, connection: Connection, answer: Answer, now: float) -> None:
        self.outcomes.put_nowait(answer)

    def cut(self, connection: Connection, now: float) -> None:
        if connection.is_busy:
            self.outcomes.put_nowait(None)


@contextlib.asynccontextmanager
async def connected(segments: list[bytes], *, is_closed: bool = False) -> AsyncIterator[tuple[Connection, Keeper]]:
    """Makes a connection to a server that answers each request with these segments."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                for segment in segments:
                    writer.write(segment)
                    await writer.drain()
                    await asyncio.sleep(0)  # a turn of the loop: the segments leave one by one
                if is_closed:
                    break
            writer.close()
            await writer.wait_closed()
        done.set()

    keeper = Keeper()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(keeper, {}), "127.0.0.1", port)
        try:
            yield connection, keeper
        finally:
            connection.abort()
            await connection.closed.wait()
            await done.wait()


async def ask(connection: Connection, keeper: Keeper) -> Answer | None:
    connection.send(b"POST /f HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0.0)
    return await keeper.outcomes.get()


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([ACCEPTED], Answer(202, b"", None, False)),
        ([ACCEPTED[:9], ACCEPTED[9:40], ACCEPTED[40:]], Answer(202, b"", None, False)),
        ([bytes([byte]) for byte in ACCEPTED], Answer(202, b"", None, False)),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", ACCEPTED], Answer(202, b"", None, False)),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + ACCEPTED], Answer(202, b"", None, False)),
        ([b"HTTP/1.1 202 A\r\nContent-Length: 4\r\n\r\nok", b"ay"], Answer(202, b"okay", None, False)),
        (
            [b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b"2\r\nay\r\n0\r\n\r\n"],
            Answer(202, b"okay", None, False),
        ),
        (
            [b"HTTP/1.1 503 Shed\r\nRETRY-after: 7\r\nContent-Length: 0\r\n\r\n"],
            Answer(503, b"", 7.0, False),
        ),
        (
            [b"HTTP/1.1 503 Shed\r\nRetry-After: Fri, 07 Nov 2014 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"],
            Answer(503, b"", None, False),
        ),
        ([b"HTTP/1.1 204 None\r\n\r\n"], Answer(204, b"", None, False)),
        ([b"HTTP/1.1 202 A\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], Answer(202, b"", None, True)),
        ([b"HTTP/1.0 202 A\r\nContent-Length: 0\r\n\r\n"], Answer(202, b"", None, True)),
    ],
)
async def test_an_answer_is_read_however_it_is_spelt(segments: list[bytes], expected: Answer) -> None:
    """It is sent twice on one connection, if that may be used again: the second is read from memory or parsed alike."""
    async with connected(segments) as (connection, keeper):
        assert await ask(connection, keeper) == expected
        if not expected.is_last:
            assert await ask(connection, keeper) == expected


@pytest.mark.parametrize(
    "segments",
    [
        [b""],
        [ACCEPTED[:-2]],
        [b"HTTP/1.1 202 A\r\nContent-Length: 10\r\n\r\nhalf"],
        [b"HTTP/1.1 202 A\r\n\r\nuntil the end"],
        [b"SSH-2.0-OpenSSH_9.2\r\n"],
        [ACCEPTED + ACCEPTED],
        [ACCEPTED + b"HTTP/1.1 5"],
        [b"HTTP/1.1 202 A\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_000_000],
    ],
)
async def test_what_is_no_whole_answer_is_a_cut(segments: list[bytes]) -> None:
    """Nothing but one complete answer acknowledges a request."""
    async with connected(segments, is_closed=True) as (connection, keeper):
        assert await ask(connection, keeper) is None
        assert connection.is_closing


async def test_bytes_nobody_asked_for_end_the_connection() -> None:
    """They would be taken for the answer to the next request."""
    async with connected([ACCEPTED, b"HTTP/1.1 202 Late\r\nContent-Length: 0\r\n\r\n"]) as (connection, keeper):
        await ask(connection, keeper)
        await connection.closed.wait()


async def test_an_answer_known_by_heart_is_the_same_answer() -> None:
    """Only whole keep-alive answers are remembered, byte for byte."""
    async with connected([ACCEPTED]) as (connection, keeper):
        first = await ask(connection, keeper)
        assert connection._remembered == {ACCEPTED: first}
        assert await ask(connection, keeper) is first
