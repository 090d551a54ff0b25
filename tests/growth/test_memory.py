"""What requests in flight take of a worker's memory, whoever sends them however: about what `body_bytes_in_flight_max` says."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
from pathlib import Path

import pytest

from ingest.http.http1 import HEAD_BYTES_MAX, Begun, Malformed
from tests.support.growth import STEEPNESS_MAX, steepest
from tests.support.serving import LANES, SECONDS, serving
from tests.support.waiting import until

BUDGET = 4 << 20
CONNECTIONS_MAX = 800
CONNECTION_BYTES = 6_000  # of one that is idle: measured 1.3 kB in the fast lane, 5 kB in aiohttp's
POST = b"POST /f HTTP/1.1\r\nHost: x\r\n"
FIELDS = b"".join(b"a%d: b\r\n" % number for number in range(90))
FLOODS = {
    "chunks of two bytes": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nxx\r\n" * 30_000,
    "a body that never ends": POST + b"Content-Length: 99999\r\n\r\n" + b"x" * 90_000,
    "small fields before a body": POST + FIELDS + b"Content-Length: 9\r\n\r\nx",
    "large fields before a body": POST + b"a: %b\r\n" % (b"x" * 8_000) * 3 + b"Content-Length: 9\r\n\r\nx",
    "heads that never end": POST + b"a: %b\r\n" % (b"x" * 8_000) * 3,
    "small fields of a head that never ends": POST + FIELDS,
}


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("flood", FLOODS)
async def test_what_is_in_flight_takes_no_more_than_twice_its_budget(lane: str, flood: str) -> None:
    """Connections send what takes twice the budget or more, and stay. What has no room is refused.

    Resident memory of this process, which serves and sends: noise is a megabyte or two. One object for each two bytes
    took 30 times the budget.
    """
    sent = FLOODS[flood]
    connections = min(CONNECTIONS_MAX, 3 * BUDGET // len(sent))
    async with serving(lane, budget_bytes=BUDGET, connections_max=connections) as served:
        gc.collect()
        before = most = resident()
        clients: list[socket.socket] = []
        try:
            for _ in range(connections):
                clients.append(await asyncio.to_thread(_client, served.port))
                await asyncio.to_thread(_send, clients[-1], sent)
                most = max(most, resident())
            assert most - before < 2 * BUDGET + connections * CONNECTION_BYTES
            assert served.budget.held <= BUDGET
        finally:
            for client in clients:
                client.close()
        await until(lambda: served.lanes.connections == 0)
        assert served.budget.held == 0
        async with served.session.post(served.url + "/f", data=b"{}") as answer:
            assert answer.status == 400


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _client(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def _send(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
    except ConnectionError:
        return  # refused: nothing more is taken


@pytest.mark.parametrize("lane", LANES)
async def test_what_came_in_small_pieces_is_given_back(lane: str) -> None:
    """A head and a body byte by byte are one event, and hold nothing afterwards."""
    async with serving(lane) as served:
        body = b'{"url": "https://example.com/"}'
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for byte in POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 202")
        writer.close()
        assert (len(served.store.rows), served.budget.held) == (1, 0)


def test_a_head_that_comes_byte_by_byte_costs_each_byte_once() -> None:
    """Read anew with every byte, a head of 32 kB would cost half a gigabyte."""
    head = POST + b"a: %b\r\n" % (b"x" * 1_000) * (HEAD_BYTES_MAX // 1_100)

    def work_of(size: int) -> object:
        def work() -> None:
            begun = Begun()
            for upto in range(1, size):
                begun.check(head[:upto])

        return work

    assert steepest(work_of, (3_000, 30_000)) < STEEPNESS_MAX  # type: ignore[arg-type]  # a function of nothing


def test_a_head_in_pieces_is_refused_as_soon_as_it_can_be_none() -> None:
    """By what is new in it, after any number of good pieces."""
    begun = Begun()
    begun.check(b"POST /f HT")
    begun.check(b"POST /f HTTP/1.1\r\nHos")
    with pytest.raises(Malformed):
        begun.check(b"POST /f HTTP/1.1\r\nHost\x00: x")
    for data in (b"POST /f\r\n", POST + b"x" * HEAD_BYTES_MAX):
        with pytest.raises(Malformed):
            Begun().check(data)
