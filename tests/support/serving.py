"""Serves the public port, in either lane, on a loopback socket and on a Collector of plain parts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from aiohttp import ClientSession

from ingest.collect.collector import Collector
from ingest.collect.exchange import Exchange
from ingest.collect.keys import ServerKeys
from ingest.collect.sites import Sites
from ingest.dialects.event import Limits
from ingest.fates import Shed
from ingest.http.app import AppServer, build_app
from ingest.http.budget import Budget
from ingest.http.connection import Connection
from ingest.http.lane import Lane
from ingest.http.tracker_files import Script
from ingest.server import Capped, TwoLanes
from runtime.coded import Coded
from schemas.row import Row
from tests.support.collecting import URL, Bench, at_once

GOOD = msgspec.json.encode({"url": URL})
SCRIPT = b"(function(){/* the tracker */})();" * 20
SQUEEZED = b"what a build made of it"
SECONDS = 30.0  # before a test gives up
LANES = ("fast", "aiohttp")


class Store:
    """Makes the rows of requests durable, in the manner of an appender. It answers `answer`, once `gate` is open."""

    def __init__(self, collector: Collector) -> None:
        self.rows: list[Row] = []
        self.answer: Shed | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self._collector = collector
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, exchange: Exchange) -> Shed | None:
        task = asyncio.ensure_future(self._append(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _append(self, exchange: Exchange) -> None:
        batch = at_once(self._collector.collect(deque((exchange,))))
        if batch.finished:
            exchange.settled(None)
            return
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        if self.answer is None:
            self.rows += [Row._make(values) for values in zip(*batch.columns, strict=True)]
        exchange.settled(self.answer)


class Served:
    """Holds the server on its port, and the parts that it stands on."""

    def __init__(self, bench: Bench, port: int, session: ClientSession, budget: Budget) -> None:
        self.bench = bench
        self.store = Store(bench.collector)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.session = session
        self.budget = budget
        self.made: list[asyncio.Protocol] = []  # a protocol for each connection, as it was when it began
        self.lanes: TwoLanes

    async def raw(self, request: bytes, *, is_refused: bool = False) -> bytes:
        """Sends bytes and reads until the server closes.

        If the request is refused the client sends no more once the answer begins: the server would wait for the rest.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(SECONDS):
                begun = await reader.read(1) if is_refused else b""
                if is_refused:
                    writer.write_eof()
                return begun + await reader.read()
        finally:
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def serving(
    lane: str = "fast",
    *,
    body_seconds_max: float = SECONDS,
    budget_bytes: int = 64 << 20,
    connections_max: int = 100,
    host: str = "127.0.0.1",
    sites: Sites | None = None,
    keys: ServerKeys | None = None,
) -> AsyncIterator[Served]:
    """Serves inside the block. With `aiohttp` every connection begins in the lane to which the fast one hands over."""
    bench = await Bench(limits=Limits(body_bytes_max=100_000), sites=sites, keys=keys).ready()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, dualstack_ipv6=":" in host)
    async with ClientSession(auto_decompress=False, headers={"Content-Type": "text/plain"}) as session:
        served = Served(bench, listener.getsockname()[1], session, Budget(budget_bytes))
        app = build_app(
            collector=bench.collector,
            submit=served.store.submit,
            metrics=bench.counts,
            budget=served.budget,
            scripts={
                b"/f.js": Script(Coded(SCRIPT, SQUEEZED)),
                b"/f.debug.js": Script(Coded(SCRIPT)),
                b"/f.0.js": Script(Coded(SCRIPT), is_immutable=True),
            },
            demo_page=b"<html>demo</html>",
            body_seconds_max=body_seconds_max,
        )
        behind = AppServer(app, drain_seconds=1, budget=served.budget, metrics=bench.counts)
        fast = Lane(
            collector=bench.collector,
            submit=served.store.submit,
            metrics=bench.counts,
            budget=served.budget,
            body_seconds_max=body_seconds_max,
            foreign=behind.protocol,
        )
        lanes = served.lanes = TwoLanes(fast, behind)
        await lanes.start()
        make: Callable[[], asyncio.Protocol] = partial(Connection, fast) if lane == "fast" else behind.protocol

        def made() -> asyncio.Protocol:
            served.made.append(make())
            return served.made[-1]

        capped = Capped(
            made, connections=lambda: lanes.connections, connections_max=connections_max, metrics=bench.counts
        )
        server = await asyncio.get_running_loop().create_server(capped, sock=listener)
        try:
            yield served
        finally:
            server.close()
            await session.close()
            await lanes.stop(drain_seconds=1)
    assert served.budget.held == 0
    assert lanes.connections == 0


def head(length: int | str, more: str = "", method: str = "POST", target: str = "/f") -> bytes:
    """Returns the head of the only request on a connection."""
    return (
        f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n".encode()
    )
