"""Holds one keep-alive HTTP/1.1 connection of the load test, with one request in flight.

It is our own code, because aiohttp's client does 9.7 k requests/s on a core, where this one does 38 k with the
generation of events: aiohttp would measure itself. The outcome of a request is told to the `Owner` exactly once: an
answer, or `cut` when the connection ended (or was ended, on a timeout) with the request still open. The server may have
handled a request that was cut, or not; this side can't know.

An answer of the same bytes as one already parsed is not parsed again: a server says 202 in the same words for a whole
second, and a look-up (0.2 us) replaces parsing (2.1 us). Only whole keep-alive answers whose body ends exactly where
the segment ends are remembered.

Not promised: pipelining, redirects, trailers, answers that end with the connection.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple, Protocol, cast

import httptools

ANSWER_BYTES_MAX = 1 << 20  # more than any answer to 500 events; a larger one ends the connection
REMEMBERED_MAX = 256
REMEMBERED_BYTES_MAX = 2_048


class Answer(NamedTuple):
    status: int
    body: bytes
    retry_after_s: float | None
    is_last: bool  # the server closes the connection after it


class Owner(Protocol):
    """Gets the outcome of what a connection sent."""

    def answered(self, connection: Connection, answer: Answer, now: float) -> None:
        """Takes the answer to the request in flight. The connection is free, or closing if the answer was its last."""

    def cut(self, connection: Connection, now: float) -> None:
        """Takes note that the connection is gone. A request that was in flight will never be answered."""


class Connection(asyncio.Protocol):
    """Sends requests and reads their answers. Times are `time.perf_counter` seconds."""

    def __init__(self, owner: Owner, remembered: dict[bytes, Answer]) -> None:
        self._owner = owner
        self._remembered = remembered  # shared by all connections to one server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_between = True  # the parser is before the first byte of an answer
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._retry_after = b""
        self._answer: Answer | None = None
        self.is_busy = False
        self.is_closing = False  # nothing may be sent any more
        self.has_answered = False
        self.closed = asyncio.Event()
        self.free_since = 0.0
        self.deadline = 0.0  # of the request in flight

    def send(self, request: bytes, deadline: float) -> None:
        """Hands a request to the socket; only while the connection is free."""
        transport = self._transport
        assert transport is not None, "a connection is not used before it is made"
        assert not self.is_busy, "one request at a time"
        self.is_busy = True
        self.deadline = deadline
        transport.write(request)

    def abort(self) -> None:
        """Ends the connection at once; `cut` is called after that."""
        self.is_closing = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.free_since = time.perf_counter()

    def eof_received(self) -> None:
        self.is_closing = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closing = True
        self._transport = None
        self.closed.set()
        self._owner.cut(self, time.perf_counter())

    def data_received(self, data: bytes) -> None:
        if not self.is_busy:
            self.abort()  # there was no request, so these bytes could be taken for the answer to the next one
            return
        now = time.perf_counter()
        if self._is_between:
            known = self._remembered.get(data)
            if known is not None:
                self._settle(known, now)
                return
        was_between = self._is_between
        self._is_between = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()
            return
        answer = self._answer
        if answer is None:
            return
        self._answer = None
        self._is_between = True
        if was_between:
            self._remember(data, answer)
        self._settle(answer, now)

    def _settle(self, answer: Answer, now: float) -> None:
        self.is_busy = False
        self.has_answered = True
        self.free_since = now
        if answer.is_last and self._transport is not None:
            self.is_closing = True
            self._transport.close()
        self._owner.answered(self, answer, now)

    def _remember(self, data: bytes, answer: Answer) -> None:
        head_bytes = data.find(b"\r\n\r\n") + 4
        is_whole = head_bytes + len(answer.body) == len(data)
        if is_whole and not answer.is_last and len(data) <= REMEMBERED_BYTES_MAX:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()  # a Date header makes each second's answers new
            self._remembered[data] = answer

    # httptools calls these while it is fed; what they raise ends the connection.

    def on_message_begin(self) -> None:
        if self._answer is not None:
            raise ValueError("a second answer to one request")
        self._body.clear()
        self._body_bytes = 0
        self._retry_after = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = value

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > ANSWER_BYTES_MAX:
            self.abort()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return  # 100 Continue and its like only announce the answer
        self._answer = Answer(
            status,
            b"".join(self._body),
            _seconds(self._retry_after),
            not self._parser.should_keep_alive(),
        )


def _seconds(value: bytes) -> float | None:
    """Returns a Retry-After in whole seconds, the form that our servers use; a date counts as absent."""
    return float(value) if value.isdigit() else None
