"""ingest/server.py and connection.py: both lanes on one connection, order, bounds, ends of connections, leaving."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import uvloop

from ingest.fates import Reason, Shed
from ingest.http.connection import AT_ONCE_MAX, Connection
from tests.support.serving import GOOD, LANES, Served, closed, head, serving
from tests.support.waiting import until

# The hook that replaces the fixture speaks for every test of the repository; these ask for one loop each.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.:DeprecationWarning")
SCRIPT = b"GET /f.js HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"Host: x\r\nConnection: close\r\n"


def event(name: str) -> bytes:
    body = b'{"url":"https://example.com/","name":"%b"}' % name.encode()
    return b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def chunked(name: str) -> bytes:
    body = b'{"url":"https://example.com/","name":"%b"}' % name.encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:9], body[9:]))
    return b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


def pixel(name: str) -> bytes:
    return b"GET /f.gif?site=example.com&name=%b HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode()


def statuses(answer: bytes) -> list[bytes]:
    return [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture(params=(asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy), ids=("asyncio", "uvloop"))
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Transports of both kinds differ in what they are and in when they call."""
    made: asyncio.AbstractEventLoopPolicy = request.param()
    return made


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


class Fed:
    """A connection whose bytes the test hands to its protocol itself, so that it knows where they were cut."""

    def __init__(self, served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made = served.made[-1]
        assert isinstance(made, Connection)
        self.connection = made
        self.transport: Any = made._transport
        self.reader, self.writer = reader, writer

    def feed(self, data: bytes) -> None:
        protocol: Any = self.transport.get_protocol()
        if data:
            protocol.data_received(data)

    async def rest(self) -> bytes:
        """All that is answered, until the server closes."""
        try:
            async with asyncio.timeout(60):
                return await self.reader.read()
        finally:
            await closed(self.writer)


async def fed(served: Served) -> Fed:
    streams = await asyncio.open_connection("127.0.0.1", served.port)
    count = len(served.made)
    await until(lambda: served.made[count - 1 :] and getattr(served.made[-1], "_transport", None))
    return Fed(served, *streams)


THREE = {
    "one for aiohttp between": (event("a") + SCRIPT + event("b"), [b"202", b"200", b"202"], ["a", "b"]),
    "first and last for aiohttp": (SCRIPT + event("a") + SCRIPT, [b"200", b"202", b"200"], ["a"]),
    "the last for aiohttp": (chunked("a") + pixel("b") + SCRIPT, [b"202", b"200", b"200"], ["a", "b"]),
    "all fast": (event("a") + chunked("b") + b"\r\n" + pixel("c"), [b"202", b"202", b"200"], ["a", "b", "c"]),
}


@pytest.mark.parametrize("three", THREE.values(), ids=THREE.keys())
async def test_three_requests_cut_anywhere(served: Served, three: tuple[bytes, list[bytes], list[str]]) -> None:
    """Wherever the bytes of both lanes' requests are cut, each is answered once and in order."""
    requests, answers, names = three
    requests += b"GET /f.gif HTTP/1.1\r\n" + LAST + b"\r\n"
    for at in range(len(requests)):
        served.store.rows.clear()
        one = await fed(served)
        one.feed(requests[:at])
        if at % 2:
            await asyncio.sleep(0)  # with and without a turn of the loop between
        one.feed(requests[at:])
        assert statuses(await one.rest()) == [*answers, b"400"], at
        assert [row.name for row in served.store.rows] == names, at


async def test_bytes_one_by_one(served: Served) -> None:
    """The slowest sender is understood as well."""
    one = await fed(served)
    for at in range(len(requests := event("a") + chunked("b") + SCRIPT + head(len(GOOD)) + GOOD)):
        one.feed(requests[at : at + 1])
    assert statuses(await one.rest()) == [b"202", b"202", b"200", b"202"]


async def test_aiohttp_waits_for_the_answers_before(served: Served) -> None:
    """It gets its connection only when all earlier requests are answered."""
    served.store.gate.clear()
    one = await fed(served)
    one.feed(event("a") + event("b") + SCRIPT)
    await until(lambda: served.store.waiting == 1)
    assert one.transport.get_protocol() is one.connection
    assert served.lanes.app.connections == 0
    served.store.gate.set()
    await until(lambda: served.lanes.app.connections == 1)
    one.feed(head(len(GOOD)) + GOOD)
    assert statuses(await one.rest()) == [b"202", b"202", b"200", b"202"]


async def test_answers_keep_the_order_of_requests(served: Served) -> None:
    """One that needs no append waits behind one that does."""
    served.store.gate.clear()
    one = await fed(served)
    one.feed(event("a") + b"POST /f HTTP/1.1\r\nHost: x\r\n\r\n" + event("b") + head(0))
    await until(lambda: served.store.waiting == 1)
    served.store.gate.set()
    assert statuses(await one.rest()) == [b"202", b"400", b"202", b"400"]


async def test_one_request_of_a_connection_is_under_way(served: Served) -> None:
    """Those that a client sends behind it wait unread until it is answered, and all are answered, in order."""
    served.store.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(event("a") * 1_000 + head(0))
    await until(lambda: served.store.waiting == 1)
    await asyncio.sleep(0.01)
    assert served.store.waiting == 1
    served.store.gate.set()
    assert statuses(await reader.read()) == [b"202"] * 1_000 + [b"400"]
    await closed(writer)


async def test_who_does_not_read_is_not_read_from(served: Served) -> None:
    """What a connection holds is bounded, and nothing is lost when its client reads again."""
    count = 5_000
    ours = socket.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    ours.connect(("127.0.0.1", served.port))
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=1_000)  # and so reads 2 kB ahead
    await until(lambda: served.lanes.lane.connections)
    [connection] = served.made
    assert isinstance(connection, Connection)
    transport = connection._transport
    assert transport is not None
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    sending = asyncio.ensure_future(_send(writer, pixel("a") * count + head(0)))
    await until(lambda: connection._is_choked)
    assert transport.get_write_buffer_size() < 100_000
    assert len(connection._rest) <= 300_000
    answer = bytearray()
    while piece := await reader.read(1 << 20):
        answer += piece
        assert transport.get_write_buffer_size() < 100_000
    assert bytes(answer).count(b"HTTP/1.1 200 ") == count
    assert len(served.store.rows) == count
    await sending
    await closed(writer)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def test_a_half_closed_client_is_answered(served: Served) -> None:
    """It has said all it wanted; its requests count, and one that is cut off is told so."""
    for more, answers in (
        (b"", [b"202", b"202"]),
        (head(9) + b"{", [b"202", b"202", b"408"]),
        (b"POST /f", [b"202"] * 2),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(event("a") + event("b") + more)
        writer.write_eof()
        assert statuses(await reader.read()) == answers
        await closed(writer)
    assert served.bench.reasons == {Reason.BODY_INCOMPLETE: 1}


@pytest.mark.parametrize("lane", LANES)
async def test_who_left_is_stored_all_the_same(lane: str) -> None:
    """The rows were on their way; nobody hears of it, and nothing is held any more."""
    async with serving(lane) as served:
        served.store.gate.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(event("a"))
        await until(lambda: served.store.waiting == 1)
        await closed(writer)
        served.store.gate.set()
        await until(lambda: served.budget.held == 0)
        assert [row.name for row in served.store.rows] == ["a"]


async def test_a_shed_row_is_answered_503(served: Served) -> None:
    """Also when it is refused at once, without a callback."""
    served.store.submit = lambda exchange: Shed.QUEUE_FULL  # type: ignore[method-assign]  # a queue that is full
    served.lanes.lane.submit = served.store.submit
    assert statuses(await served.raw(head(len(GOOD)) + GOOD)) == [b"503"]
    assert served.bench.counts.sheds == {Shed.QUEUE_FULL: 1}


async def test_a_slow_head_is_told_so() -> None:
    """408, and its connection ends; a request that came before is answered."""
    async with serving(body_seconds_max=0.05) as served:
        assert statuses(await served.raw(event("a") + b"POST /f HTTP/1.1\r\nHos")) == [b"202", b"408"]


async def test_the_silent_are_cut_off(served: Served) -> None:
    """An idle connection, after a time; a busy one never."""
    served.store.gate.clear()
    idle, busy = await fed(served), await fed(served)
    busy.feed(event("a"))
    for one in (idle, busy):
        one.connection._since -= 3_600
    served.lanes.lane.sweep()
    assert await idle.rest() == b""
    served.store.gate.set()
    busy.feed(head(0))
    assert statuses(await busy.rest()) == [b"202", b"400"]


async def test_an_answer_has_a_date_and_a_length(served: Served) -> None:
    """And is sent at once (TCP_NODELAY)."""
    one = await fed(served)
    assert one.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    one.feed(head(len(GOOD), "Origin: https://example.com\r\n") + GOOD)
    lines = (await one.rest()).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 202 Accepted"
    assert lines[1].startswith(b"date: ")
    assert lines[1].endswith(b" GMT")
    assert lines[2:] == [
        b"access-control-allow-origin: https://example.com",
        b"access-control-allow-credentials: true",
        b"vary: Origin",
        b"connection: close",
        b"content-length: 0",
        b"",
        b"",
    ]


@pytest.mark.parametrize("lane", LANES)
async def test_leaving_answers_what_is_under_way(lane: str) -> None:
    """With the word that the connection ends; an idle one is closed in silence."""
    async with serving(lane) as served:
        served.store.gate.clear()
        idle, _ = streams = await asyncio.open_connection("127.0.0.1", served.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(event("a"))
        await until(lambda: served.store.waiting == 1)
        leaving = asyncio.ensure_future(served.lanes.stop(drain_seconds=5))
        await asyncio.sleep(0)
        served.store.gate.set()
        answer = (await reader.read()).lower()
        assert answer.startswith(b"http/1.1 202 ")
        assert b"connection: close" in answer
        assert await idle.read() == b""
        await leaving
        for one in (writer, streams[1]):
            await closed(one)


async def test_a_request_that_comes_while_leaving_is_answered(served: Served) -> None:
    """A connection that was accepted in time is owed its first answer, aiohttp's too."""
    first, foreign = await fed(served), await fed(served)
    leaving = asyncio.ensure_future(served.lanes.stop(drain_seconds=5))
    await until(lambda: served.lanes.lane.is_leaving)
    first.feed(event("a") + event("b"))
    foreign.feed(event("c") + SCRIPT)
    assert statuses(await first.rest()) == [b"202", b"202"]
    assert statuses(await foreign.rest()) == [b"202", b"200"]
    await leaving


async def test_a_flood_that_is_shed_lets_the_loop_go_on(served: Served) -> None:
    """Thousands of requests that are answered at once are answered in many turns, all of them, in order."""
    served.store.submit = lambda exchange: Shed.QUEUE_FULL  # type: ignore[method-assign]  # a queue that is full
    served.lanes.lane.submit = served.store.submit
    sheds = [0]
    is_over = False

    def turn() -> None:
        sheds.append(served.bench.counts.sheds[Shed.QUEUE_FULL])
        if not is_over:
            asyncio.get_running_loop().call_soon(turn)

    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    turn()
    writer.write(event("a") * 3_000 + head(0))
    writer.write_eof()
    assert statuses(await reader.read()) == [b"503"] * 3_000 + [b"400"]
    is_over = True
    assert max(after - before for before, after in pairwise(sheds)) <= 2 * AT_ONCE_MAX
    await closed(writer)
