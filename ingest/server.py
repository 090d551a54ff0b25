"""Serves the public port: HTTP/1.1 in two lanes behind one set of sockets.

A connection begins in the fast lane (ingest/http/connection.py), which speaks the collecting routes alone. The first
request for another route gives its connection to aiohttp (ingest/http/app.py) for good. A client can't tell them apart,
because aiohttp serves the collecting routes too, through the same Collector, and one suite tests both. Why there are two
is in docs/decisions/0009-two-lanes.md.

When a worker leaves, its sockets are closed, each answer says that its connection ends, idle connections are closed
after LEAVE_SECONDS, and requests under way are answered within `drain_seconds`.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from typing import Protocol

from ingest.http.app import AppServer, Refusal, build_app
from ingest.http.budget import Budget
from ingest.http.connection import Connection
from ingest.http.lane import KEEPALIVE_SECONDS, Lane
from ingest.http.tracker_files import tracker_scripts
from ingest.worker import Worker
from runtime.listen import BACKLOG
from schemas.snippet import snippet
from schemas.tracker_names import TrackerNames

FILES_KEPT = 64  # for Redis, the spool and what a request opens: connections must not take the last ones
# While a worker leaves, an answer says that its connection ends; one that stays silent so long is closed. Closed at
# once, 45 of 10 412 requests on busy connections met the close on their way, in 8 replacements.
LEAVE_SECONDS = 0.5
POLL_SECONDS = 0.01
SWEEPS = 15  # of silent connections, in KEEPALIVE_SECONDS


class Counters(Protocol):
    """Counts refused connections."""

    def connection_refused(self) -> None: ...


class Capped:
    """Makes connections up to a number; one more is answered 503 and closed."""

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        connections: Callable[[], int],
        connections_max: int,
        metrics: Counters,
    ) -> None:
        self._make = make
        self._connections = connections
        self._connections_max = connections_max
        self._metrics = metrics

    def __call__(self) -> asyncio.Protocol:
        if self._connections() < self._connections_max:
            return self._make()
        self._metrics.connection_refused()
        return Refusal()


class TwoLanes:
    """Holds the fast lane and the aiohttp behind it. It binds no socket."""

    def __init__(self, lane: Lane, app: AppServer) -> None:
        self.lane = lane
        self.app = app
        self._ticking: asyncio.TimerHandle | None = None
        self._ticks = 0

    @property
    def connections(self) -> int:
        """Returns how many connections are open."""
        return len(self.lane.connections) + self.app.connections

    def expected(self) -> int:
        """Returns from how many connections a request could come now. Of aiohttp's nobody knows which are busy."""
        return self.lane.expected() + self.app.connections

    async def start(self) -> None:
        await self.app.start()
        self._tick()

    async def stop(self, *, drain_seconds: float) -> None:
        """Ends every connection, the busy ones once they are answered. The sockets are closed before."""
        began = time.monotonic()
        self.lane.is_leaving = True
        self.app.leave()
        await _none_left(lambda: self.connections, began + LEAVE_SECONDS)
        for connection in [one for one in self.lane.connections if one.is_idle]:
            connection.end()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.app.stop())
            await _none_left(lambda: len(self.lane.connections), began + drain_seconds)
        for connection in list(self.lane.connections):
            connection.end(is_abrupt=True)
        if self._ticking is not None:
            self._ticking.cancel()

    def _tick(self) -> None:
        self._ticking = asyncio.get_running_loop().call_later(1, self._tick)
        self._ticks += 1
        self.lane.answers.tick()
        self.lane.heads.tick()
        self.lane.collector.places.tick()
        if self._ticks % (KEEPALIVE_SECONDS // SWEEPS) == 0:
            self.lane.sweep()


async def _none_left(count: Callable[[], int], until: float) -> None:
    while time.monotonic() < until:
        if not count():
            break
        await asyncio.sleep(POLL_SECONDS)


def demo_page(query: str, names: TrackerNames) -> bytes:
    """Returns the demo page, which tells its reader to ask ClickHouse by this command, with the tracker by its names."""
    page = files("forebay").joinpath("embedded").joinpath("demo.html").read_text("utf-8")
    page = page.replace(snippet("", "demo"), snippet("", "demo", names=names))
    return page.replace("forebay query", escape(query)).encode("utf-8", "replace")


class HttpServer:
    """Serves both lanes on inherited sockets, as a `worker.Server`."""

    def __init__(self, worker: Worker) -> None:
        settings = worker.settings
        names = TrackerNames.of(settings.tracker_path)
        budget = Budget(settings.body_bytes_in_flight_max)
        app = build_app(
            collector=worker.collector,
            submit=worker.appender.submit,
            metrics=worker.metrics,
            budget=budget,
            scripts=tracker_scripts(names),
            demo_page=demo_page(settings.demo_query, names) if settings.demo_page else None,
            body_seconds_max=settings.body_seconds_max,
        )
        rest = AppServer(app, drain_seconds=settings.drain_seconds, budget=budget, metrics=worker.metrics)
        lane = Lane(
            collector=worker.collector,
            submit=worker.appender.submit,
            metrics=worker.metrics,
            budget=budget,
            body_seconds_max=settings.body_seconds_max,
            foreign=rest.protocol,
        )
        self._lanes = TwoLanes(lane, rest)
        worker.appender.expected = self._lanes.expected
        self._drain_seconds = settings.drain_seconds
        self._factory = Capped(
            partial(Connection, lane),
            connections=lambda: self._lanes.connections,
            connections_max=min(settings.connections_max, open_files_max() - FILES_KEPT),
            metrics=worker.metrics,
        )
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        await self._lanes.start()
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(self._factory, sock=one, backlog=BACKLOG) for one in sockets]

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        await self._lanes.stop(drain_seconds=self._drain_seconds)


def open_files_max() -> int:
    """Raises this process's limit of open files as far as it may, and returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
