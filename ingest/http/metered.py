"""Takes the memory that aiohttp holds for connections from the process's Budget: heads, and bodies that were not read yet.

aiohttp bounds a header field and a body's buffer, but not a head as a whole, nor all connections
together; and it keeps an object for each chunk of a body, 100 bytes for a chunk of two. So bytes
are weighed here before aiohttp gets them. A request's head counts until its answer is written or,
if its body was not read to the end, until the connection is gone; the part of a body that our
handler has read, the handler counts itself (app.py). If there is no room for a head or a body, it
is answered 503, and nothing more of its connection is taken.

Not promised: an answer to a client that sends more while its request is being answered, if there is no room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from ingest.fates import Shed
from ingest.http.budget import Budget

OVER = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# Measured of heads: text is held as bytes and as str, and a field is some objects beside it. A chunk is two lines.
TEXT_WEIGHT, LINE_WEIGHT = 2, 320
UNREAD_BYTES_MAX = 512 << 10  # of one connection: twice what a transport reads at once


class Counters(Protocol):
    """Counts requests for which there was no room."""

    def shed(self, reason: Shed, events: int) -> None: ...


class Body(Protocol):
    """Tells whether a request's body was read to its end."""

    def is_eof(self) -> bool: ...


class _Uncounted:
    """Counts nothing, because nothing comes in that could be shed."""

    def shed(self, reason: Shed, events: int) -> None: ...


class Metered(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol."""

    __slots__ = (
        *("_budget", "_held", "_inner", "_is_busy", "_kept", "_metrics", "_reader", "_transport", "_unread", "is_full"),
    )

    def __init__(self, inner: asyncio.Protocol, *, budget: Budget, metrics: Counters) -> None:
        self._inner = inner
        self._budget = budget
        self._metrics = metrics
        self._transport: asyncio.Transport | None = None
        self._held = 0  # of the budget
        self._kept = 0  # of it, for the head of the request that is being answered
        self._unread = 0
        self._is_busy = False
        self._reader: asyncio.Timeout | None = None
        self.is_full = False  # something found no room: what still comes is dropped

    @classmethod
    def of_nothing(cls) -> Metered:
        """Returns one without a connection, which has no room and needs none."""
        return cls(asyncio.Protocol(), budget=Budget(0), metrics=_Uncounted())

    @contextmanager
    def busy(self, body: Body) -> Iterator[None]:
        """Keeps the head of the request with this body counted while it is being answered."""
        self._kept, self._unread, self._is_busy = self._held, 0, True
        try:
            yield
        finally:
            self._is_busy = False
            if body.is_eof():
                self._kept = 0
                self.read()

    @contextmanager
    def reading(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Lets a handler read a body within this time limit, which ends at once if there is no room for more."""
        self._reader = limit
        try:
            yield
        finally:
            self._reader = None

    def read(self) -> None:
        """Gives back what came of a body so far: the handler read it, and counts it itself."""
        self._budget.give(self._held - self._kept)
        self._held, self._unread = self._kept, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._kept = 0
        self.read()
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self.is_full:
            return
        weight = TEXT_WEIGHT * len(data) + LINE_WEIGHT * data.count(b"\n")
        self._unread += len(data)
        if self._unread <= UNREAD_BYTES_MAX and self._budget.take(weight):
            self._held += weight
            self._inner.data_received(data)
            return
        self.is_full = True
        if self._reader is not None:
            self._reader.reschedule(asyncio.get_running_loop().time())
            return
        self._metrics.shed(Shed.MEMORY, 1)
        if self._is_busy:
            self._transport.abort()
        else:
            self._transport.write(OVER)
            self._transport.close()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
