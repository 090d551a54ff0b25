"""Serves every route of the public port through aiohttp, for requests that the fast lane does not speak itself.

A collecting request takes these steps: its body is read within its limits, it waits until a commit
has made its rows durable, and then it is answered. No answer is 2xx before `submit`'s request was
settled with None (I1). A body must arrive within `body_seconds_max`, its bytes count in the
process's `Budget` until its answer, and a body that declares more than the limit is refused unread.

The other routes are the tracker's files, compressed once and with an ETag, and the demo page if
there is one. Answers of collecting routes and of the tracker have CORS headers; others never do.

The log never contains a URL, an address, a user agent or a piece of a body, and there is no access log.

Not promised: speed. That is what the fast lane is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

from aiohttp import ClientError, web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from ingest.collect.collector import NOT_FOUND, Collector
from ingest.collect.exchange import Exchange, Reply, weight_of
from ingest.fates import Reason, Shed
from ingest.http.budget import Budget
from ingest.http.http1 import HEAD_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX
from ingest.http.lane import KEEPALIVE_SECONDS, LINGER_SECONDS, Submit
from ingest.http.metered import OVER, Metered
from ingest.http.tracker_files import Script

CHANGING = ("Cache-Control", "public, max-age=3600")  # a fix of the tracker reaches browsers within an hour
IMMUTABLE = ("Cache-Control", "public, max-age=31536000, immutable")  # its path has its hash
TRACKER_HEADERS = (
    ("Vary", "Accept-Encoding"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),  # pages with COEP may load it
    ("X-Content-Type-Options", "nosniff"),
)
DEMO_PATHS = frozenset((b"/", b"/pricing", b"/docs"))  # a page its own links lead to can be reloaded


class Counters(Protocol):
    """Counts requests and their fates."""

    def request(self, route: str, code: int, seconds: float) -> None: ...
    def rejected(self, site: str, reason: Reason, events: int = 1) -> None: ...
    def shed(self, reason: Shed, events: int) -> None: ...


class _Malformed(logging.Filter):
    """Counts a request that aiohttp can't parse; its own line would hold what the client sent, and its address."""

    def __init__(self, metrics: Counters) -> None:
        super().__init__()
        self._metrics = metrics

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._metrics.rejected("", Reason.MALFORMED_REQUEST)
            return False
        record.msg, record.args = "a request failed", ()
        return True


def _quiet(metrics: Counters) -> logging.Logger:
    quiet = logging.getLogger("ingest.http")
    quiet.filters[:] = [_Malformed(metrics)]
    return quiet


class _Unread(Exception):
    """Says why a body was not read to its end."""

    def __init__(self, reason: Reason | Shed) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Held:
    """Holds one request's share of the budget, and waits for its answer."""

    __slots__ = ("_budget", "_bytes", "_is_over", "_shed")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = 0
        self._is_over = False  # its handler was cancelled while its request waited
        self._shed: asyncio.Future[Shed | None] = asyncio.get_running_loop().create_future()

    def read(self, count: int) -> bool:
        """Holds so many bytes from now on; returns False, and holds as many as before, if there is no room."""
        has_room = self._budget.take(count - self._bytes)
        self._bytes = count if has_room else self._bytes
        return has_room

    def hold(self, exchange: Exchange, size: int) -> bool:
        """Holds so many bytes for its request, as `exchange.Lane` asks for it."""
        if not self._is_over and not self.read(size):
            return False
        exchange.held = size
        return True

    def settled(self, _exchange: Exchange, shed: Shed | None) -> None:
        if not self._shed.done():  # or its handler was cancelled
            self._shed.set_result(shed)

    async def shed(self) -> Shed | None:
        """Waits until the rows are durable, and returns None, or else why they are not."""
        return await self._shed

    def release(self) -> None:
        """Gives back what is held, for good."""
        self._budget.give(self._bytes)
        self._bytes, self._is_over = 0, True


class _Lane:
    """Handles every route."""

    def __init__(
        self,
        *,
        collector: Collector,
        submit: Submit,
        metrics: Counters,
        budget: Budget,
        body_seconds_max: float,
        scripts: Mapping[bytes, Script],
        demo_page: bytes | None,
    ) -> None:
        self._collector = collector
        self._submit = submit
        self._metrics = metrics
        self._budget = budget
        self._body_seconds_max = body_seconds_max
        self._scripts = scripts
        self._demo_page = demo_page

    async def handle(self, request: web.Request) -> web.StreamResponse:
        with _metered(request).busy(request.content):
            return await self._handle(request)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        if not _is_plain(request):
            self._metrics.rejected("", Reason.MALFORMED_REQUEST)
            refused = web.Response(status=400, text="this is not HTTP/1.1 as this server speaks it\n")
            refused.force_close()
            return refused
        target = _target(request)
        path = target.partition(b"?")[0]
        collecting = self._collector.route(path)
        if collecting is None:
            route, response = self._page(request, path)
        else:
            reply, is_read = await self._collect(request, target, collecting.body_bytes_max)
            route, response = reply.route, _response(reply.status, reply.headers, reply.body)
            if not is_read:
                response.force_close()
        if "Upgrade" in request.headers or request.method == "CONNECT":
            response.force_close()  # aiohttp reads no further requests behind such a one
        self._metrics.request(route, response.status, time.perf_counter() - began)
        return response

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """Answers `Expect: 100-continue`: a body that is refused by its length is never sent."""
        if request.headers.get("Expect", "").lower() != "100-continue":
            return web.Response(status=417)
        collecting = self._collector.route(_target(request).partition(b"?")[0])
        if collecting is not None and (request.content_length or 0) > collecting.body_bytes_max:
            return await self.handle(request)
        with contextlib.suppress(ConnectionError):  # it left: reading its body finds that out, and counts it
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own: the answer's head is still to come
        return None

    async def _collect(self, request: web.Request, target: bytes, bytes_max: int) -> tuple[Reply, bool]:
        """Returns what to answer, and whether the body was read to its end."""
        collector = self._collector
        asked = collector.asked(request.method, target, request.raw_headers)
        if asked is None:
            return NOT_FOUND, True
        began = time.perf_counter()
        held = _Held(self._budget)
        try:
            body = await self._body(request, bytes_max, held)
            if asked.dialect is None:
                return collector.without_dialect(asked), True
            peer, received_ms = request.remote or "", collector.now_ms()
            exchange = Exchange(held, asked, body, peer, received_ms, began, len(body), weight_of(body))
            shed = self._submit(exchange)
            if shed is None:
                shed = await held.shed()
            return exchange.reply if shed is None else collector.shed(exchange, shed), True
        except _Unread as unread:
            return collector.refused(asked, unread.reason), False
        finally:
            held.release()

    async def _body(self, request: web.Request, bytes_max: int, held: _Held) -> bytes:
        """Returns the body. Raises _Unread if it is too large, too slow or cut off, or if there is no room for it now."""
        if (request.content_length or 0) > bytes_max:
            raise _Unread(Reason.BODY_TOO_LARGE)
        if not request.body_exists:
            return b""
        body = bytearray()  # one object however it came: one for each 2 B took 30 times as much
        metered = _metered(request)
        try:
            async with asyncio.timeout(self._body_seconds_max) as limit:
                with metered.reading(limit):
                    async for piece in request.content.iter_any():
                        metered.read()
                        body += piece
                        if len(body) > bytes_max:
                            raise _Unread(Reason.BODY_TOO_LARGE)
                        if not held.read(len(body)):
                            raise _Unread(Shed.MEMORY)
        except (TimeoutError, ConnectionError, ClientError, web.RequestPayloadError):
            raise _Unread(Shed.MEMORY if metered.is_full else Reason.BODY_INCOMPLETE) from None
        return bytes(body)

    def _page(self, request: web.Request, path: bytes) -> tuple[str, web.Response]:
        """Answers the routes that collect nothing."""
        if (script := self._scripts.get(path)) is not None:
            return "tracker", self._script(request, script)
        if path in DEMO_PATHS and self._demo_page is not None and request.method in {"GET", "HEAD"}:
            headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
            return "demo", web.Response(
                body=self._demo_page, headers=headers, content_type="text/html", charset="utf-8"
            )
        return "other", web.Response(status=404, text="not found\n")

    def _script(self, request: web.Request, script: Script) -> web.Response:
        origin = request.headers.get("Origin")
        headers = _decoded(self._collector.cors.of(origin.encode("utf-8", "surrogateescape") if origin else None))
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers=[*headers, ("Allow", "GET, HEAD")])
        coding, body, tag = script.coded.form(request.headers.get("Accept-Encoding", ""))
        headers += [("ETag", tag), IMMUTABLE if script.is_immutable else CHANGING, *TRACKER_HEADERS]
        if _matches(request.headers.get("If-None-Match", ""), tag):
            return web.Response(status=304, headers=headers)
        if coding:
            headers.append(("Content-Encoding", coding))
        return web.Response(body=body, headers=headers, content_type="text/javascript", charset="utf-8")


class Refusal(asyncio.Protocol):
    """Refuses a connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        connection.write(OVER)
        connection.close()


class AppServer:
    """Runs aiohttp on connections that the public port accepted."""

    def __init__(self, app: web.Application, *, drain_seconds: float, budget: Budget, metrics: Counters) -> None:
        self._budget = budget
        self._metrics = metrics
        app.on_response_prepare.append(self._say_close)
        self._is_leaving = False
        self._is_stopped = False
        self._server: web.Server | None = None
        self._runner = web.AppRunner(app, shutdown_timeout=drain_seconds)

    @property
    def connections(self) -> int:
        """Returns how many connections are open."""
        return len(self._server.connections) if self._server is not None else 0

    async def start(self) -> None:
        await self._runner.setup()
        self._server = self._runner.server

    def protocol(self) -> asyncio.Protocol:
        """Returns the protocol for one more connection."""
        if self._server is None or self._is_stopped:
            return Refusal()
        return Metered(self._server(), budget=self._budget, metrics=self._metrics)

    def leave(self) -> None:
        """Lets every answer from now on say that its connection ends."""
        self._is_leaving = True

    async def stop(self) -> None:
        """Ends every connection, the busy ones answered, within `drain_seconds`."""
        self._is_stopped = True
        await self._runner.cleanup()

    async def _say_close(self, _: web.Request, response: web.StreamResponse) -> None:
        if self._is_leaving:
            response.headers["Connection"] = "close"
            response.force_close()


def build_app(
    *,
    collector: Collector,
    submit: Submit,
    metrics: Counters,
    budget: Budget,
    scripts: Mapping[bytes, Script],
    demo_page: bytes | None = None,
    body_seconds_max: float = 15,
) -> web.Application:
    """Returns the public port's application, with its server settings for any AppRunner.

    `scripts` are by path. `submit` takes a request that waits for its rows to be durable, or returns why it does not.
    """
    lane = _Lane(
        collector=collector,
        submit=submit,
        metrics=metrics,
        budget=budget,
        body_seconds_max=body_seconds_max,
        scripts=scripts,
        demo_page=demo_page,
    )
    app = web.Application(
        handler_args={
            "access_log": None,
            "logger": _quiet(metrics),
            "auto_decompress": False,  # ingest/dialects/coding.py bounds what comes out; aiohttp would not
            "keepalive_timeout": KEEPALIVE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "max_line_size": LINE_BYTES_MAX,
            "max_field_size": LINE_BYTES_MAX,
            "max_headers": HEADERS_MAX,
        }
    )
    app.router.add_route("*", "/{path:.*}", lane.handle, expect_handler=lane.expect)
    return app


def _metered(request: web.Request) -> Metered:
    """Returns the Metered between aiohttp and the request's connection; one that holds nothing if the connection is gone."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Metered) else Metered.of_nothing()


def _is_plain(request: web.Request) -> bool:
    """Returns whether any proxy before us must agree with us on the host and on the body's end (against request smuggling)."""
    if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEAD_BYTES_MAX:
        return False
    hosts = request.headers.getall("Host", [])
    if len(hosts) > 1 or "," in "".join(hosts) or (not hosts and request.version >= HttpVersion11):
        return False
    codings = request.headers.getall("Transfer-Encoding", [])
    if request.version < HttpVersion11:
        return request.version == HttpVersion10 and not codings
    return codings in ([], ["chunked"])


def _target(request: web.Request) -> bytes:
    """Returns path and query as they came; of an absolute form (RFC 9112, 3.2.2) the part after the host."""
    target = request.raw_path.encode("utf-8", "surrogateescape")
    if target.startswith(b"/"):
        return target
    return b"/" + target.partition(b"://")[2].partition(b"/")[2]


def _response(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> web.Response:
    return web.Response(status=status, body=body or None, headers=_decoded(headers))


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in headers]


def _matches(tags: str, tag: str) -> bool:
    return tags.strip() == "*" or any(one.strip().removeprefix("W/") == tag for one in tags.split(","))
