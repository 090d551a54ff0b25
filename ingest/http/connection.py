"""Serves one connection of the fast lane: reads requests, collects them, and answers them in their order.

    OPEN      It reads heads and bodies.
    FULL      It reads nothing, because PIPELINE_MAX requests wait for answers, or the client does not read its own.
    FOREIGN   The next request is for aiohttp, which gets the connection and all bytes from there on, for good,
              as soon as every request before it is answered.
    DONE      It takes no more requests, and ends when the last answer is written.

A request is answered when its rows are durable (I1). Answers that become ready in one turn of the
loop are written together. What a connection holds is bounded: one head (HEAD_BYTES_MAX), or a body
(its route's limit), or one read of the transport (256 KiB), all of them within the process's Budget,
and PIPELINE_MAX answers. A head and a body each have `body_seconds_max` to come; a client that sends
nothing, or reads nothing, is cut off by `Lane.sweep`.

Not promised: an answer to a request whose client left; its rows are kept all the same.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from time import perf_counter
from typing import Literal, cast

from ingest.collect.collector import Collected
from ingest.dialects.request import Request
from ingest.fates import Reason, Shed
from ingest.http.http1 import CHUNKED, HEAD_BYTES_MAX, HEAD_END, Begun, Chunked, Head, Malformed, Sized
from ingest.http.lane import FULL, LATE, LINGER_SECONDS, MALFORMED, Exchange, Lane

PIPELINE_MAX = 32  # browsers and proxies send 1; a commit's worth of a client that does pipeline
NEWLINES = b"\r\n"

State = Literal["open", "full", "foreign", "done"]


class Connection(asyncio.Protocol):
    """Reads requests and writes answers, as the module says. `_line` holds the requests that are not answered, in order."""

    __slots__ = (
        "_began",
        "_begun",
        "_body",
        "_head",
        "_held",
        "_is_choked",
        "_is_eof",
        "_is_paused",
        "_is_unread",
        "_line",
        "_peer",
        "_rest",
        "_since",
        "_state",
        "_timer",
        "_transport",
        "lane",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._state: State = "open"
        self._rest = b""  # not parsed yet: the beginning of a head, or what came while nothing was read
        self._line: deque[Exchange] = deque()
        self._begun: Begun | None = None  # the head whose beginning `_rest` is
        self._head: Head | None = None  # of the request whose body is being read
        self._body: Sized | Chunked | None = None
        self._began = 0.0
        self._held = 0  # of the budget, for `_rest`, or for `_head` and `_body`
        self._timer: asyncio.TimerHandle | None = None
        self._since = perf_counter()
        self._is_choked = False  # the client does not read
        self._is_eof = False  # the client will send nothing more
        self._is_paused = False
        self._is_unread = False  # the client sent, or may be sending, what will not be read

    @property
    def is_idle(self) -> bool:
        """Says whether no request is under way."""
        return self._state == "open" and not (self._line or self._rest or self._body)

    def is_silent(self, since: float) -> bool:
        """Says whether the client has neither sent anything nor read its answers since that time."""
        return self._since < since and not self._line and self._timer is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        # asyncio itself does this only for sockets that were made with IPPROTO_TCP
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self.lane.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lane.connections.discard(self)
        self._untime()
        if self._body is not None:
            self._refuse(Reason.BODY_INCOMPLETE)
        self._release()
        self._state = "done"
        self._write()

    def data_received(self, data: bytes) -> None:
        if self._state == "open":
            if self._rest:
                data, self._rest = self._rest + data, b""
            self._read(data)
        elif self._state != "done":
            self._keep(self._rest + data)

    def eof_received(self) -> bool:
        """Keeps the connection for the answers: a client may close its half and wait for them."""
        self._is_eof = True
        self._turn()
        return True

    def pause_writing(self) -> None:
        self._is_choked = True
        if self._state == "open":
            self._state = "full"

    def resume_writing(self) -> None:
        self._is_choked = False
        self.flush()

    def flush(self) -> None:
        """Writes the answers that are ready, and goes on with what had to wait for them."""
        self._write()
        if self._state == "full" and self._has_room():
            rest, self._state = self._release(), "open"
            self._read(rest)
        else:
            self._turn()

    def end(self, *, is_abrupt: bool = False) -> None:
        """Closes the connection. If `is_abrupt`, answers that the client does not read are dropped."""
        self._release()
        self._state = "done"
        self._untime()
        if self._transport is None:
            return
        if is_abrupt and (self._is_choked or self._transport.is_closing()):
            self._transport.abort()
        elif self._is_unread and not self._is_eof and not self._transport.is_closing():
            # A close with bytes unread resets the connection, and a reset can overtake the answer.
            self._is_unread = False
            self._transport.write_eof()
            self._timer = self.lane.loop.call_later(LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()

    def _keep(self, data: bytes) -> None:
        """Keeps what can't be parsed yet. If there is no room for it, the connection ends with a 503."""
        if self._hold(len(data)):
            self._rest = data
        else:
            self._release()
            self.lane.metrics.shed(Shed.MEMORY, 1)
            self._last(FULL, perf_counter())

    def _hold(self, count: int) -> bool:
        """Holds so many bytes of the budget from now on. Returns False, and changes nothing, if there is no room for them."""
        if count > self._held and not self.lane.budget.take(count - self._held):
            return False
        if count < self._held:
            self.lane.budget.give(self._held - count)
        self._held = count
        return True

    def _release(self) -> bytes:
        """Returns the bytes that were kept, and gives back what was held for them."""
        rest, self._rest = self._rest, b""
        self._hold(0)
        return rest

    def _has_room(self) -> bool:
        return not self._is_choked and len(self._line) < PIPELINE_MAX

    def _read(self, data: bytes) -> None:
        """Takes all requests out of the data, as long as there is room for them."""
        while True:
            try:
                while data and self._state == "open":
                    data = self._next(data) if self._body is None else self._fill(data)
            except Malformed:
                self.lane.metrics.rejected("", Reason.MALFORMED_REQUEST)
                self._last(MALFORMED, perf_counter())
            is_under_way = self._line and not self._line[0].is_ready
            if is_under_way and self._state == "open" and not (self._is_eof or self._is_paused):
                return  # the most common end: all bytes are taken, and their rows are on their way
            self._write()
            if not (self._state == "full" and data and self._has_room()):
                break
            self._state = "open"
        if self._state == "done":
            self._is_unread |= bool(data)
        elif data:
            self._keep(data)
        self._turn()

    def _next(self, data: bytes) -> bytes:
        """Takes one request, or the beginning of one, and returns the rest of the data. Raises Malformed."""
        if data[0] in NEWLINES:  # some clients end a body with a line's end (RFC 9112, 2.2)
            return data.lstrip(NEWLINES)
        began = perf_counter()
        end = data.find(HEAD_END) + 4
        if end < 4:
            if self._begun is None:
                self._begun = Begun()
            self._begun.check(data)
            if self._timer is None:
                self._time()
            self._keep(data)
            return b""
        if end > HEAD_BYTES_MAX:
            raise Malformed
        read = self.lane.heads.read(data[:end], self._peer)
        if self._begun is not None:
            self._begun = None
            self._hold(0)
        if self._timer is not None:
            self._untime()
        if read is None:
            self._state = "foreign"
            return data
        head, length = read
        whole = end + length
        if end <= whole <= len(data) and whole - end <= head.route.body_bytes_max:
            self._take(head, data[end:whole], began, 0)
            return data[whole:]
        self._head, self._began = head, began
        self._body = Chunked() if length == CHUNKED else Sized(length)
        if length > head.route.body_bytes_max:
            self._refuse(Reason.BODY_TOO_LARGE)
            return b""
        if not self._hold(head.weight):
            self._refuse(Shed.MEMORY)
            return b""
        self._time()
        return data[end:]

    def _fill(self, data: bytes) -> bytes:
        """Takes a piece of a body, and returns the rest of the data. Raises Malformed."""
        head, body = self._head, self._body
        assert head is not None
        assert body is not None
        rest = body.feed(data)
        size = len(body.content)
        if size > head.route.body_bytes_max:
            self._refuse(Reason.BODY_TOO_LARGE)
            return b""
        if not self._hold(head.weight + size):
            self._refuse(Shed.MEMORY)
            return b""
        if rest is None:
            return b""
        self._untime()
        self._hold(size)
        held, self._held, self._head, self._body = self._held, 0, None, None
        self._take(head, bytes(body.content), self._began, held)
        return rest

    def _take(self, head: Head, body: bytes, began: float, held: int) -> None:
        """Collects a whole request and begins to make its rows durable."""
        lane = self.lane
        if not held and body:
            held = len(body)
            if not lane.budget.take(held):
                self._head, self._began = head, began
                self._refuse(Shed.MEMORY)
                return
        request = Request(head.method, head.path, head.query, head.fields, head.headers, body, self._peer)
        collected = lane.collector.collected(request, head.route.dialects, head.sender)
        exchange = Exchange(self, collected, began, held, head.is_last)
        self._line.append(exchange)
        if collected.rows:
            shed: Shed | None = None
            more = collected.size - held
            if more > 0:
                if lane.budget.take(more):
                    exchange.held = collected.size
                else:
                    shed = Shed.MEMORY
            if shed is None:
                shed = lane.submit(collected.rows, exchange.settled)
            if shed is None:
                exchange.is_ready = False
            else:
                exchange.collected = lane.collector.shed(collected, shed)
        if head.is_last:
            self._state = "done"
        elif self._is_choked or len(self._line) >= PIPELINE_MAX:
            self._state = "full"

    def _refuse(self, reason: Reason | Shed) -> None:
        """Refuses the request at hand, which is not read to its end."""
        head = self._head
        assert head is not None
        self._last(self.lane.collector.refuse(head.method, head.target, head.headers, reason), self._began)

    def _last(self, collected: Collected, began: float) -> None:
        """Ends the connection with this answer."""
        self._untime()
        self._line.append(Exchange(self, collected, began, self._held, is_last=True))
        self._head, self._body, self._begun, self._held, self._state, self._is_unread = (
            None,
            None,
            None,
            0,
            "done",
            True,
        )

    def _write(self) -> None:
        """Writes the answers that are ready, and counts them."""
        line, lane = self._line, self.lane
        if not line or not line[0].is_ready:
            return
        now = self._since = perf_counter()
        answers = []
        while line and line[0].is_ready:
            exchange = line.popleft()
            collected = exchange.collected
            is_last = exchange.is_last
            if lane.is_leaving and not line and self._state == "open" and not (self._rest or self._body):
                is_last = True
                self._state = "done"
            answers.append(lane.answers.of(collected, is_last))
            if exchange.held:
                lane.budget.give(exchange.held)
            if collected.route:
                lane.metrics.request(collected.route, collected.status, now - exchange.began)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))

    def _turn(self) -> None:
        """Does what follows from the state: ends, hands over, pauses or reads on."""
        if self._is_eof and self._state == "open":
            if self._body is not None:
                self._refuse(Reason.BODY_INCOMPLETE)
                self._write()
            self._state = "done"
        if self._transport is None:
            return
        if not self._line:
            if self._state == "done":
                if self._timer is None or self._is_eof:  # else it lingers
                    self.end()
                return
            if self._state == "foreign" and not self._is_choked:
                self._hand_over()
                return
        is_paused = self._state in {"full", "foreign"}
        if is_paused != self._is_paused and not self._transport.is_closing():
            self._is_paused = is_paused
            (self._transport.pause_reading if is_paused else self._transport.resume_reading)()

    def _hand_over(self) -> None:
        """Hands aiohttp the connection and all bytes from the first request that was not answered here."""
        transport, rest = self._transport, self._release()
        assert transport is not None
        self._transport, self._state = None, "done"
        self.lane.connections.discard(self)
        foreign = self.lane.foreign()
        transport.set_protocol(foreign)
        foreign.connection_made(transport)
        if self._is_paused:
            transport.resume_reading()
        foreign.data_received(rest)

    def _time(self) -> None:
        self._timer = self.lane.loop.call_later(self.lane.body_seconds_max, self._late)

    def _untime(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._body is not None:
            self._refuse(Reason.BODY_INCOMPLETE)
        else:
            self._release()
            self._last(LATE, perf_counter())
        self.flush()
