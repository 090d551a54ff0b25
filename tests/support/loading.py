"""Puts the fast lane, a collector and an appender together on loopback sockets, as a worker does, and sends them much at once.

The stream is scripted (committing.py), so that a test says when and how it fails. Each client has a connection of its own
and knows what it was answered for each of its events. `assert_balanced` holds the books against what is stored.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from ingest.collect.sites import Sites
from ingest.collect.visitor import SaltSource
from ingest.commit.appender import Appender
from ingest.http.app import AppServer, build_app
from ingest.http.budget import Budget
from ingest.http.connection import Connection
from ingest.http.lane import Lane
from ingest.server import TwoLanes
from schemas import entry
from schemas.row import Row
from tests.support.collecting import NOON, Bench, Counts
from tests.support.committing import LIMITS, SHARDS, Counted, ScriptedStream
from tests.support.serving import SECONDS, closed
from tests.support.waiting import until

SITES = ("example.com", "other.example", "third.example")


class Books(Counts, Counted):
    """Counts all that an ingest worker counts."""

    def __init__(self) -> None:
        Counts.__init__(self)
        Counted.__init__(self)


@dataclass
class Client:
    """Sends one request after the other on one connection, and opens another one when it was told that this one ends."""

    port: int
    number: int
    answers: dict[str, int] = field(default_factory=dict)  # the status of its request, for the title of each event
    _sent: int = 0
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, events: int = 1, site: str = "") -> int:
        """Sends a request with so many events, each of a site of its own if none is named, and returns its status."""
        titles = [f"{self.number} {self._sent} {at}" for at in range(events)]
        self._sent += 1
        said = [
            {"url": f"https://{site or SITES[at % len(SITES)]}/", "title": title} for at, title in enumerate(titles)
        ]
        body = msgspec.json.encode(said if events > 1 else said[0])
        head = f"POST /f HTTP/1.1\r\nHost: x\r\nUser-Agent: client {self.number}\r\nContent-Length: {len(body)}\r\n\r\n"
        await self.connect()
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(head.encode() + body)
        async with asyncio.timeout(SECONDS):
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length:")[2].split(b"\r\n")[0] or 0))
        status = int(answer.split()[1])
        self.answers |= dict.fromkeys(titles, status)
        if b"connection: close" in answer:
            await self.close()
        return status

    async def connect(self) -> None:
        """Opens a connection, unless there is one."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)

    async def close(self) -> None:
        """Ends its connection, and asserts that nothing more came on it: a request has one answer."""
        if self._streams is None:
            return
        (reader, writer), self._streams = self._streams, None
        if not writer.is_closing():
            writer.write_eof()
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b""
        await closed(writer)

    def abort(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()


@dataclass
class Load:
    """Holds what works together, and the clients."""

    stream: ScriptedStream
    books: Books
    bench: Bench
    appender: Appender
    lanes: TwoLanes
    clients: list[Client]
    sending: list[asyncio.Task[int]] = field(default_factory=list)

    def send(self, *clients: Client, many: int = 3, site: str = "") -> None:
        """Sends a request for each of these clients, or of all. Every third has `many` events. Waits for no answer."""
        for client in clients or self.clients:
            events = 1 if client.number % 3 else many
            self.sending.append(asyncio.ensure_future(client.send(events, site)))

    async def statuses(self) -> Counter[int]:
        """Waits for all answers that are due, and counts them by their status."""
        sending, self.sending = self.sending, []
        return Counter(await asyncio.gather(*sending))

    async def under_way(self, count: int) -> None:
        """Waits until so many requests wait for their answers."""
        await until(lambda: self.lanes.lane.under_way == count)

    @property
    def answers(self) -> Mapping[str, int]:
        """Returns the answer to each event."""
        return {title: status for client in self.clients for title, status in client.answers.items()}

    @property
    def rows(self) -> list[Row]:
        """Returns the rows that are stored."""
        return [
            Row._make(values)
            for one in self.stream.stored
            if one.rows
            for values in zip(*entry.decode(one.data), strict=True)
        ]

    def assert_balanced(self, rejected: Sequence[str] = ()) -> None:
        """Asserts that what was answered 2xx is stored once, without those that were `rejected`, and that the books say so.

        What was answered 503 may be stored, because the answer could not wait for it: once, and counted as accepted, too.
        """
        answers = self.answers
        stored = Counter(row.title for row in self.rows)
        assert set(stored.values()) <= {1}
        taken = {title for title, status in answers.items() if status == 202} - set(rejected)
        shed = {title for title, status in answers.items() if status == 503}
        assert taken <= set(stored)
        assert set(stored) <= taken | shed
        late = len(set(stored) & shed)
        accepted = sum(self.books.events.values())
        assert accepted == stored.total() == sum(self.books.commits)
        assert self.books.sheds.total() == len(shed)
        assert self.books.rejections.total() == len(answers) - len(taken) - len(shed)
        assert accepted - late + self.books.rejections.total() + self.books.sheds.total() == len(answers)
        assert self.appender.bytes_waiting == 0
        assert self.lanes.lane.budget.held == 0
        assert self.lanes.lane.under_way == 0


@asynccontextmanager
async def loaded(
    clients: int = 200,
    *,
    is_open: bool = False,
    sites: Sites | None = None,
    now_ms: int = NOON,
    source: SaltSource | None = None,
    **settings: Any,
) -> AsyncIterator[Load]:
    """Runs all of it inside the block, with so many clients, each of which is another visitor."""
    limits: dict[str, Any] = LIMITS | {"queue_bytes_max": 16 << 20} | settings
    stream, books = ScriptedStream(), Books()
    if is_open:
        stream.open()
    bench = await Bench(
        sites=sites or Sites(named=SITES, privacy="count"),
        shards=SHARDS,
        now_ms=now_ms,
        counts=books,
        source=source,
        rows_max=limits["commit_rows_max"],
    ).ready()
    appender = Appender(stream=stream, counts=books, collect=bench.collector.collect, shards=SHARDS, **limits)
    budget = Budget(64 << 20)
    app = build_app(
        collector=bench.collector, submit=appender.submit, metrics=books, budget=budget, scripts={}, demo_page=None,
        body_seconds_max=SECONDS,
    )  # fmt: skip
    behind = AppServer(app, drain_seconds=SECONDS, budget=budget, metrics=books)
    lane = Lane(
        collector=bench.collector, submit=appender.submit, metrics=books, budget=budget, body_seconds_max=SECONDS,
        foreign=behind.protocol,
    )  # fmt: skip
    appender.expected = lane.expected
    lanes = TwoLanes(lane, behind)
    await lanes.start()
    running = asyncio.ensure_future(appender.run())
    listener = socket.create_server(("127.0.0.1", 0), backlog=2 * clients)
    port = listener.getsockname()[1]
    server = await asyncio.get_running_loop().create_server(partial(Connection, lane), sock=listener)
    load = Load(stream, books, bench, appender, lanes, [Client(port, number) for number in range(clients)])
    try:
        for client in load.clients:
            await client.connect()
        yield load
        for client in load.clients:
            await client.close()
    finally:
        for client in load.clients:
            client.abort()
        server.close()
        await lanes.stop(drain_seconds=1)
        running.cancel()
        await asyncio.wait([running])
        await stream.end()
        if not running.cancelled():
            running.result()  # raises the error that ended it
        await asyncio.gather(*load.sending, return_exceptions=True)
