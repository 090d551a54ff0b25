"""Passes TCP between two of Forebay's processes, and delays, cuts, half-closes or loses answers.

The proxy doesn't speak the protocols. A request is a piece from the client that has a mark (bytes that are in every
INSERT of a block, or in every script call), and its answer is what comes back next. An ambush waits for the next such
request and says what becomes of it; `lay` returns the event that tells the moment, so that a process can be killed or
paused in the middle of an INSERT.

A held request is delivered even if its client has given up meanwhile: it is the late command of docs/delivery.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum

PIECE_BYTES = 1 << 16
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Ambush(Enum):
    """Names what befalls the next request."""

    WATCH = "watch"  # nothing: it is told
    CUT = "cut"  # half of it arrives, then both connections break
    LOSE = "lose"  # it has its effect, and the answer is lost
    HOLD = "hold"  # it arrives late
    HALF_CLOSE = "half-close"  # it arrives, and nothing more from this client ever will


@dataclass(eq=False)
class Connection:
    """Holds a client's connection, and the one to the server on its behalf."""

    client: Streams
    server: Streams
    loses_answer: bool = False

    def abort(self) -> None:
        """Ends both connections without another byte."""
        for _, writer in (self.client, self.server):
            writer.transport.abort()


@dataclass(kw_only=True)
class Proxy:
    """Listens on a loopback port and connects onwards with `connect`."""

    connect: Callable[[], Awaitable[Streams]]
    mark: bytes
    chance: random.Random
    port: int = 0
    delay_seconds: float = 0.0  # every piece waits up to so long
    _ambush: Ambush | None = None
    _hold_seconds: float = 0.0
    _hit: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[Connection] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Breaks every connection, and returns when none is left."""
        assert self._server is not None
        self._server.close()
        while self._connections:
            self.cut()
            await asyncio.sleep(0.01)

    def lay(self, ambush: Ambush, hold_seconds: float = 0.0) -> asyncio.Event:
        """Lays an ambush for the next request, in place of an earlier one. The event that it returns is set when it
        strikes.
        """
        self._ambush, self._hold_seconds, self._hit = ambush, hold_seconds, asyncio.Event()
        return self._hit

    def cut(self) -> int:
        """Breaks every connection. Returns how many there were."""
        broken = len(self._connections)
        for connection in self._connections:
            connection.abort()
        return broken

    def heal(self) -> None:
        """Does nothing but pass on from now on."""
        self.delay_seconds, self._ambush = 0.0, None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await self.connect()
        except OSError:
            writer.transport.abort()
            return
        connection = Connection((reader, writer), server)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(connection))
                tasks.create_task(self._answers(connection))
        except* OSError:
            pass
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _requests(self, connection: Connection) -> None:
        reader, _ = connection.client
        _, writer = connection.server
        while piece := await reader.read(PIECE_BYTES):
            await self._linger()
            if self._ambush is not None and self.mark in piece:
                if not await self._spring(connection, piece):
                    return
                continue
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _spring(self, connection: Connection, piece: bytes) -> bool:
        """Does the ambush to a request that starts with this piece. Tells whether its client is still listened to."""
        ambush, seconds = self._ambush, self._hold_seconds
        self._ambush = None
        _, writer = connection.server
        if ambush is Ambush.CUT:
            writer.write(piece[: self.chance.randrange(1, len(piece))])
            await writer.drain()
            self._hit.set()
            connection.abort()
            return False
        if ambush is Ambush.HOLD:
            self._hit.set()
            await asyncio.sleep(seconds)
        connection.loses_answer = ambush is Ambush.LOSE
        writer.write(piece)
        await writer.drain()
        if ambush is Ambush.HALF_CLOSE:
            writer.write_eof()
        self._hit.set()
        return ambush is not Ambush.HALF_CLOSE

    async def _answers(self, connection: Connection) -> None:
        reader, _ = connection.server
        _, writer = connection.client
        while piece := await reader.read(PIECE_BYTES):
            await self._linger()
            if connection.loses_answer:
                break
            writer.write(piece)
            await writer.drain()
        connection.abort()

    async def _linger(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.chance.uniform(0, self.delay_seconds))
