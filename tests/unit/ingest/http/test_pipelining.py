"""Requests behind one that waits for its answer: answered in order, not read meanwhile, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import uvloop

from ingest.collect.exchange import Exchange
from ingest.fates import Shed
from ingest.http.connection import Connection
from tests.support.collecting import URL
from tests.support.serving import GOOD, SECONDS, Served, closed, serving
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.:DeprecationWarning")
HEAD_WEIGHT = 2_000  # of the head of `asking`, at most
READ_BYTES = 256 << 10  # that a loop reads from a socket at one time
WRITTEN_BYTES = 64 << 10  # that a transport keeps before it asks for a pause


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """The transports of both loops pause and resume in their own ways."""
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


def asking(title: str, more: str = "") -> bytes:
    body = msgspec.json.encode({"url": URL, "title": title})
    return f"POST /f HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def answer(reader: asyncio.StreamReader) -> int:
    """Reads one answer, and returns its status."""
    async with asyncio.timeout(SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
    return int(head.split()[1])


def reset(writer: asyncio.StreamWriter) -> None:
    """Leaves, so that the server hears of it although an answer is due: a mere close could be a half of one."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def connection(served: Served) -> Connection:
    """Returns the server's end of the last connection."""
    last = served.made[-1]
    assert isinstance(last, Connection)
    return last


async def narrow(served: Served) -> tuple[socket.socket, Connection]:
    """Returns a client that has little room for answers, and the server's end of its connection, which has little, too."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", served.port))
    await until(lambda: served.lanes.connections)
    one = connection(served)
    assert one._transport is not None
    one._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    return client, one


def titles(served: Served) -> list[str]:
    return [str(row.title) for row in served.store.rows]


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(served: Served) -> None:
    """However they are cut into pieces, and whichever of them are refused."""
    at_once: list[int] = []
    submit = served.lanes.lane.submit

    def counted(exchange: Exchange) -> Shed | None:
        at_once.append(served.lanes.lane.under_way)
        return submit(exchange)

    served.lanes.lane.submit = counted
    bad = b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{}}"
    sent = [asking(f"{number:03d}") if number % 5 else bad for number in range(100)]
    wanted = [202 if number % 5 else 400 for number in range(100)]
    for pieces in (1, 7, 1_000):
        served.store.rows.clear()
        async with connected(served) as (reader, writer):
            whole = b"".join(sent)
            size = -(-len(whole) // pieces)
            for at in range(0, len(whole), size):
                writer.write(whole[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)
            assert [await answer(reader) for _ in sent] == wanted
        assert titles(served) == [f"{number:03d}" for number in range(100) if number % 5]
    assert set(at_once) == {1}


async def test_nothing_more_is_read_while_a_request_waits(served: Served) -> None:
    """The kernel keeps what comes, and the client has to stop; afterwards all of it is answered."""
    served.store.gate.clear()
    count = (4 << 20) // len(asking("000000"))  # more than one read and less than the kernel keeps for a reader
    async with connected(served) as (reader, writer):
        writer.write(asking("first"))
        await until(lambda: served.store.waiting == 1)
        for number in range(count):
            writer.write(asking(f"{number:06d}"))
        one = connection(served)
        await until(lambda: one._is_paused)
        kept = len(one._rest)
        assert 0 < kept <= READ_BYTES
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert len(one._rest) == kept
        assert served.budget.held <= kept + len(asking("first")) + HEAD_WEIGHT
        assert served.store.waiting == 1
        served.store.gate.set()
        assert {await answer(reader) for _ in range(200)} == {202}
        assert titles(served)[:200] == ["first", *(f"{number:06d}" for number in range(199))]


async def test_a_pause_ends_with_the_answer(served: Served) -> None:
    """Also if nothing more comes from the client that could wake the connection."""
    served.store.gate.clear()
    async with connected(served) as (reader, writer):
        writer.write(asking("1") + asking("2") + asking("3")[:30])
        await until(lambda: served.store.waiting == 1)
        assert connection(served)._is_paused
        served.store.gate.set()
        assert [await answer(reader), await answer(reader)] == [202, 202]
        assert not connection(served)._is_paused
        writer.write(asking("3")[30:])
        assert await answer(reader) == 202
    assert titles(served) == ["1", "2", "3"]


async def test_a_client_that_does_not_read_holds_bounded_memory(served: Served) -> None:
    """It sends and sends: requests are taken until its answers stay, and then nothing is read."""
    loop = asyncio.get_running_loop()
    client, one = await narrow(served)
    whole = b"".join(asking(f"{number:06d}") for number in range((1 << 20) // len(asking("000000"))))
    held, written = [], []

    def measure() -> bool:
        assert one._transport is not None
        held.append(served.budget.held)
        written.append(one._transport.get_write_buffer_size())
        return one._is_choked and one._is_paused

    sending = asyncio.ensure_future(loop.sock_sendall(client, whole * 8))
    try:
        await until(measure)
        taken = len(served.store.rows)
        for _ in range(50):
            await asyncio.sleep(0.001)
            assert measure()
        assert not sending.done()
        assert len(served.store.rows) == taken < 8 * len(whole) / len(asking("000000"))
        assert max(held) <= READ_BYTES + len(asking("000000"))
        assert max(written) <= WRITTEN_BYTES + 1_000
        assert served.lanes.lane.under_way == 0
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        client.close()
    await until(lambda: served.lanes.connections == 0)


async def test_a_client_that_reads_late_gets_all_its_answers(served: Served) -> None:
    """In order, for each request one."""
    client, one = await narrow(served)
    reader, writer = await asyncio.open_connection(sock=client)
    count = 10_000
    writer.write(b"".join(asking(f"{number:06d}") for number in range(count)))
    await until(lambda: one._is_choked)
    assert [await answer(reader) for _ in range(count)] == [202] * count
    assert titles(served) == [f"{number:06d}" for number in range(count)]
    await closed(writer)


async def test_a_fault_in_what_was_sent_on_is_one_connection_s(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, that connection ends, whoever settles hears nothing of it, and another connection is served."""
    lane = served.lanes.lane
    raised: list[Exception] = []
    settled = Exchange.settled
    read = lane.heads.read

    def settling(exchange: Exchange, shed: Shed | None) -> None:
        try:
            settled(exchange, shed)
        except Exception as error:
            raised.append(error)
            raise

    def reading(raw: bytes, peer: str) -> Any:
        if b"Faulty" in raw:
            raise RuntimeError("a fault of ours")
        return read(raw, peer)

    monkeypatch.setattr(Exchange, "settled", settling)
    monkeypatch.setattr(lane.heads, "read", reading)
    served.store.gate.clear()
    async with connected(served) as (reader, writer), connected(served) as (other_reader, other_writer):
        writer.write(asking("1") + asking("2", "Faulty: yes\r\n") + asking("3"))
        other_writer.write(asking("other") + asking("more"))
        await until(lambda: served.store.waiting == 2)
        with caplog.at_level(logging.ERROR):
            served.store.gate.set()
            assert await answer(reader) == 202
            async with asyncio.timeout(SECONDS):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                    await answer(reader)
        assert [await answer(other_reader), await answer(other_reader)] == [202, 202]
        await until(lambda: served.lanes.connections == 1)
    assert raised == []
    assert any("a fault of ours" in str(record.exc_info) for record in caplog.records)
    assert sorted(titles(served)) == ["1", "more", "other"]
    assert served.budget.held == 0


@pytest.mark.parametrize("behind", [b"", asking("behind"), asking("behind")[:40]])
async def test_a_client_that_leaves_while_its_request_waits_gives_its_budget_back(
    served: Served, behind: bytes
) -> None:
    """When the request has its end, because its rows are kept; what it sent on is taken, or dropped with it."""
    served.store.gate.clear()
    async with connected(served) as (_, writer):
        writer.write(asking("1") + behind)
        await until(lambda: served.store.waiting == 1)
        held = served.budget.held
        assert held >= len(GOOD) + len(behind)
        reset(writer)
    if not behind:  # a connection whose reading is paused hears of it when it answers
        await until(lambda: served.lanes.connections == 0)
    assert served.budget.held == held
    served.store.gate.set()
    await until(lambda: served.lanes.connections == 0 and served.budget.held == 0)
    await until(lambda: served.store.waiting == 0)
    assert titles(served)[0] == "1"
    assert served.lanes.lane.under_way == 0


async def test_how_many_requests_can_come(served: Served) -> None:
    """From each connection that has none under way: over its beginning, its request, its answer and its end."""
    lane = served.lanes.lane
    submit, said = lane.submit, []

    def asked(exchange: Exchange) -> Shed | None:
        said.append(lane.expected())
        return submit(exchange)

    lane.submit = asked
    served.store.gate.clear()
    assert lane.expected() == 0
    async with connected(served) as (reader, writer), connected(served) as (_, second), connected(served):
        await until(lambda: lane.expected() == 3)
        writer.write(asking("1")[:20])
        await until(lambda: not all(one.is_idle for one in lane.connections))
        assert lane.expected() == 3  # it is on its way
        writer.write(asking("1")[20:] + asking("2"))
        await until(lambda: served.store.waiting == 1)
        assert lane.expected() == 2
        second.write(asking("3"))
        await until(lambda: served.store.waiting == 2)
        assert lane.expected() == 1
        assert said == [2, 1]  # a request that is submitted is not one that can come
        served.store.gate.set()
        assert [await answer(reader), await answer(reader)] == [202, 202]
        await until(lambda: lane.expected() == 3)
        served.store.gate.clear()
        second.write(asking("4"))
        await until(lambda: served.store.waiting == 1)
        assert lane.expected() == 2
        reset(second)
        await until(lambda: served.lanes.connections == 2)
        assert lane.expected() == 2  # neither of the two has a request under way
        served.store.gate.set()
        await until(lambda: served.store.waiting == 0)
        assert lane.expected() == 2
        lane.submit = lambda _: Shed.QUEUE_FULL
        writer.write(asking("5"))
        assert await answer(reader) == 503
        assert lane.expected() == 2
    await until(lambda: served.lanes.connections == 0)
    assert lane.expected() == 0


async def test_what_is_answered_at_once_is_not_under_way(served: Served) -> None:
    """Preflights, wrong methods, bodies that are too long, what is not HTTP, and what goes to the other lane."""
    lane = served.lanes.lane
    for sent in (
        b"OPTIONS /f HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        assert (await served.raw(sent, is_refused=True)).startswith(b"HTTP/1.1 ")
        assert lane.under_way == 0
    await until(lambda: lane.expected() == 0)
