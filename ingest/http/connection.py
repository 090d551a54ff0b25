"""Serves one connection of the fast lane: reads a request, waits for its answer, and reads the next.

    OPEN      It reads heads and bodies, one request at a time. What comes while a request waits for its answer is kept,
              and nothing more is read until it is answered.
    FOREIGN   The next request is for aiohttp, which gets the connection and all bytes from there on, for good.
    DONE      It takes no more requests, and ends when its answer is written.

A request is answered when its rows are durable (I1). What a connection holds is bounded: one head
(HEAD_BYTES_MAX), or a body (its route's limit), or one read of the transport (256 KiB), all of them
within the process's Budget. A head and a body each have `body_seconds_max` to come; a client that
sends nothing, or reads nothing, is cut off by `Lane.sweep`.

Not promised: an answer to a request whose client left; its rows are kept all the same.
"""

from __future__ import annotations

import asyncio
import socket
from time import perf_counter
from typing import Literal, cast

from ingest.collect.exchange import Exchange, Reply, weight_of
from ingest.fates import Reason, Shed
from ingest.http.http1 import CHUNKED, HEAD_BYTES_MAX, HEAD_END, Begun, Chunked, Framed, Malformed, Sized
from ingest.http.lane import FULL, LATE, LINGER_SECONDS, MALFORMED, Lane

NEWLINES = b"\r\n"
AT_ONCE_MAX = 64  # steps of a connection in one turn of the loop: 3 000 pipelined requests that are shed took 0.15 s

State = Literal["open", "foreign", "done"]


class Connection(asyncio.Protocol):
    """Reads requests and writes answers, as the module says."""

    __slots__ = (
        "_began",
        "_begun",
        "_body",
        "_exchange",
        "_framed",
        "_held",
        "_is_choked",
        "_is_eof",
        "_is_full",
        "_is_last",
        "_is_later",
        "_is_paused",
        "_is_unread",
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
        self._exchange: Exchange | None = None  # the request that waits for its answer
        self._is_last = False  # its client asks for the connection's end
        self._begun: Begun | None = None  # the head whose beginning `_rest` is
        self._framed: Framed | None = None  # of the request whose body is being read
        self._body: Sized | Chunked | None = None
        self._began = 0.0
        self._held = 0  # of the budget, for `_rest`, or for `_framed` and `_body`
        self._timer: asyncio.TimerHandle | None = None
        self._since = perf_counter()
        self._is_choked = False  # the client does not read
        self._is_eof = False  # the client will send nothing more
        self._is_full = False  # there was no room for what came while a request waited
        self._is_later = False  # it goes on in the next turn of the loop
        self._is_paused = False
        self._is_unread = False  # the client sent, or may be sending, what will not be read

    @property
    def is_idle(self) -> bool:
        """Says whether no request is under way."""
        return self._state == "open" and self._exchange is None and not (self._rest or self._body)

    def is_silent(self, since: float) -> bool:
        """Says whether the client has neither sent anything nor read its answers since that time."""
        return self._since < since and self._exchange is None and self._timer is None

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
        if self._exchange is not None:
            self.lane.under_way -= 1  # it is answered to nobody
        if self._body is not None:
            self._refuse(Reason.BODY_INCOMPLETE)
        self._release()
        self._state = "done"

    def data_received(self, data: bytes) -> None:
        if self._is_free:
            if self._rest:
                data, self._rest = self._rest + data, b""
            self._read(data)
        elif self._state != "done":
            self._keep(self._rest + data)
            self._turn()

    def eof_received(self) -> bool:
        """Keeps the connection for the answer: a client may close its half and wait for it."""
        self._is_eof = True
        self._turn()
        return True

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        self._go_on()

    @property
    def _is_free(self) -> bool:
        """Says whether the next request may be read."""
        return self._exchange is None and self._state == "open" and not (self._is_choked or self._is_later)

    def hold(self, exchange: Exchange, size: int) -> bool:
        """Holds so many bytes of the budget for a request; returns False, and changes nothing, if there is no room."""
        has_room = self.lane.budget.take(size - exchange.held)
        exchange.held = size if has_room else exchange.held
        return has_room

    def settled(self, exchange: Exchange, shed: Shed | None) -> None:
        """Answers the request: None if its rows are durable, else why they are not. Then reads what waited for that."""
        lane = self.lane
        if self._transport is not None:
            lane.under_way -= 1
        self._exchange = None
        reply = exchange.reply if shed is None else lane.collector.shed(exchange, shed)
        self._send(reply, exchange.began, exchange.held, self._is_last)
        if self._is_full and self._state == "open":
            self._last(FULL, perf_counter())
        if self._rest or self._is_eof or self._is_paused or self._state != "open":
            self._is_unread |= self._state == "done" and bool(self._rest or self._is_paused)
            lane.loop.call_soon(self._go_on)  # apart: a fault in what a client sent on must not reach the commit

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
            self._pause(is_paused=False)
            self._timer = self.lane.loop.call_later(LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()

    def _keep(self, data: bytes) -> None:
        """Keeps what can't be parsed yet. If there is no room for it, the connection ends with a 503."""
        if self._hold(len(data)):
            self._rest = data
            return
        self._release()
        if not self._is_full:
            self.lane.metrics.shed(Shed.MEMORY, 1)
        if self._exchange is None:
            self._last(FULL, perf_counter())
        else:
            self._is_full = True

    def _hold(self, count: int) -> bool:
        """Holds so many bytes of the budget from now on. Returns False, and changes nothing, if there is no room for them."""
        has_room = self.lane.budget.take(count - self._held)
        self._held = count if has_room else self._held
        return has_room

    def _release(self) -> bytes:
        """Returns the bytes that were kept, and gives back what was held for them."""
        rest, self._rest = self._rest, b""
        self._hold(0)
        return rest

    def _go_on(self) -> None:
        """Goes on with what had to wait."""
        self._is_later = False
        try:
            if self._is_free and self._rest:
                self._read(self._release())
            else:
                self._turn()
        except Exception:  # the outermost loop: it logs a fault of ours, and costs others nothing
            self._state = "done"
            if self._transport is not None:
                self._transport.abort()
            raise

    def _read(self, data: bytes) -> None:
        """Takes requests out of the data until one has to wait for its answer, or many were answered at once."""
        left = AT_ONCE_MAX
        try:
            while data and self._is_free and left:
                left -= 1
                data = self._next(data) if self._body is None else self._fill(data)
        except Malformed:
            self.lane.metrics.rejected("", Reason.MALFORMED_REQUEST)
            self._last(MALFORMED, perf_counter())
        if data:
            if self._is_free:
                self._is_later = True
                self.lane.loop.call_soon(self._go_on)
            if self._state == "done":
                self._is_unread = True
            else:
                self._keep(data)
        elif self._exchange is not None and not (self._is_eof or self._is_paused):
            return  # the most common end: all bytes are taken, and their rows are on their way
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
        framed, length = read
        whole = end + length
        body_bytes_max = framed.asked.route.body_bytes_max
        if end <= whole <= len(data) and length <= body_bytes_max:
            self._take(framed, data[end:whole], began, 0)
            return data[whole:]
        self._framed, self._began = framed, began
        self._body = Chunked() if length == CHUNKED else Sized(length)
        if length > body_bytes_max:
            self._refuse(Reason.BODY_TOO_LARGE)
            return b""
        if not self._hold(framed.weight):
            self._refuse(Shed.MEMORY)
            return b""
        self._time()
        return data[end:]

    def _fill(self, data: bytes) -> bytes:
        """Takes a piece of a body, and returns the rest of the data. Raises Malformed."""
        framed, body = self._framed, self._body
        assert framed is not None
        assert body is not None
        rest = body.feed(data)
        size = len(body.content)
        if size > framed.asked.route.body_bytes_max:
            self._refuse(Reason.BODY_TOO_LARGE)
            return b""
        if not self._hold(framed.weight + size):
            self._refuse(Shed.MEMORY)
            return b""
        if rest is None:
            return b""
        self._untime()
        held, self._held, self._framed, self._body = self._held, 0, None, None
        self._take(framed, bytes(body.content), self._began, held)
        return rest

    def _take(self, framed: Framed, body: bytes, began: float, held: int) -> None:
        """Lets a whole request wait for a commit; answers at once what collects nothing, or can't be taken."""
        lane, asked = self.lane, framed.asked
        if not held:
            held = framed.weight + len(body)  # the head waits with its body
            if not lane.budget.take(held):
                self._framed, self._began = framed, began
                self._refuse(Shed.MEMORY)
                return
        collector = lane.collector
        if asked.dialect is None:
            self._send(collector.without_dialect(asked), began, held, framed.is_last)
            return
        exchange = Exchange(self, asked, body, self._peer, collector.now_ms(), began, held, weight_of(body))
        lane.under_way += 1  # `submit` asks how many more can come
        shed = lane.submit(exchange)
        if shed is None:
            self._exchange, self._is_last = exchange, framed.is_last
        else:
            lane.under_way -= 1
            self._send(collector.shed(exchange, shed), began, exchange.held, framed.is_last)

    def _refuse(self, reason: Reason | Shed) -> None:
        """Refuses the request at hand, which is not read to its end."""
        assert self._framed is not None
        self._last(self.lane.collector.refused(self._framed.asked, reason), self._began)

    def _last(self, reply: Reply, began: float) -> None:
        """Ends the connection with this answer."""
        self._untime()
        held = self._held
        self._framed = self._body = self._begun = None
        self._held, self._is_full, self._is_unread = 0, False, True
        self._send(reply, began, held, is_last=True)

    def _send(self, reply: Reply, began: float, held: int, is_last: bool) -> None:
        """Writes an answer, counts it, and gives back what was held for its request."""
        lane, transport = self.lane, self._transport
        now = self._since = perf_counter()
        if is_last or (lane.is_leaving and self._state == "open" and not (self._rest or self._body)):
            is_last = True
            self._state = "done"
        if held:
            lane.budget.give(held)
        if reply.route:
            lane.metrics.request(reply.route, reply.status, now - began)
        if transport is not None and not transport.is_closing():
            transport.write(lane.answers.of(reply, is_last))

    def _turn(self) -> None:
        """Does what follows from the state: ends, hands over, pauses or reads on."""
        if self._exchange is None and not self._is_later:
            if self._is_eof and self._state == "open":
                if self._body is not None:
                    self._refuse(Reason.BODY_INCOMPLETE)
                self._state = "done"
            if self._transport is None:
                return
            if self._state == "done":
                if self._timer is None or self._is_eof:  # else it lingers
                    self.end()
                return
            if self._state == "foreign" and not self._is_choked:
                self._hand_over()
                return
        is_waiting = self._exchange is not None or self._is_later
        self._pause(is_paused=self._is_choked or self._state == "foreign" or (is_waiting and bool(self._rest)))

    def _pause(self, *, is_paused: bool) -> None:
        """Stops reading from the client, or goes on with it."""
        if self._transport is not None and is_paused != self._is_paused and not self._transport.is_closing():
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
        self._go_on()
