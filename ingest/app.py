"""The aiohttp lane: every route of the public port, over HTTP/1.1 as aiohttp speaks it.

A collecting request goes: read the body within its limits, `collect` (which never waits), make
the rows durable, answer. Nothing is answered 2xx before `append` has returned None (I1). A body
is read within `body_seconds_max`, holds its bytes in the process's `Budget` until its answer, and
one that declares more than the limit is refused unread.

The other routes are the tracker, with an ETag and a gzip made once, and the demo page if there is
one. Collecting and tracker answers have CORS headers; no other answer ever has.

No line of a log says a URL, an address, a user agent or a piece of a body; there is no access log.

Not promised: speed. The fast lane hands over only what it does not speak itself. Brotli: gzip
makes 1.0 kB of the tracker's 1.8, brotli would make 0.9 at the price of a dependency.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from aiohttp import ClientError, web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from ingest.body import Budget
from ingest.collect import Collected, Collector
from schemas.event import Reason, Shed
from schemas.row import Row

Append = Callable[[Sequence[tuple[int, Row]]], Awaitable[Shed | None]]

KEEPALIVE_SECONDS = 75  # longer than proxies keep theirs (60); also the time a request's head may take
LINGER_SECONDS = 2.0  # what is still coming after a refusal is read this long, so that it can be answered
HEAD_LINE_BYTES_MAX = 8_190  # of the request line and of each header field; an /f.gif is one line
HEADERS_MAX = 100
TRACKER_HEADERS = (
    ("Vary", "Accept-Encoding"),
    ("Cache-Control", "public, max-age=3600"),  # a fix of the tracker reaches browsers within an hour
    ("Cross-Origin-Resource-Policy", "cross-origin"),  # pages with COEP may load it
    ("X-Content-Type-Options", "nosniff"),
)
DEMO_PATHS = frozenset((b"/", b"/pricing", b"/docs"))  # a page its own links lead to can be reloaded
OVER = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Counters(Protocol):
    """Where requests are counted."""

    def request(self, route: str, code: int, seconds: float) -> None: ...
    def rejected(self, site: str, reason: Reason, events: int = 1) -> None: ...
    def connection_refused(self) -> None: ...


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
    """The body was not read to its end; why."""

    def __init__(self, reason: Reason | Shed) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Held:
    """What one request holds of the budget."""

    __slots__ = ("_budget", "bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0

    def grow_to(self, count: int) -> bool:
        more = count - self.bytes
        if more > 0:
            if not self._budget.take(more):
                return False
            self.bytes = count
        return True

    def release(self) -> None:
        self._budget.give(self.bytes)
        self.bytes = 0


class _Tracker:
    """The script's bytes in both forms, with their tags."""

    def __init__(self, script: bytes) -> None:
        tag = hashlib.blake2b(script, digest_size=9).hexdigest()
        self.forms = {"": (script, f'"{tag}"'), "gzip": (gzip.compress(script, 9, mtime=0), f'"{tag}-gzip"')}


class _Lane:
    """The handler of every route."""

    def __init__(
        self,
        *,
        collector: Collector,
        append: Append,
        metrics: Counters,
        budget: Budget,
        body_seconds_max: float,
        tracker: bytes,
        tracker_path: str,
        demo_page: bytes | None,
    ) -> None:
        self._collector = collector
        self._append = append
        self._metrics = metrics
        self._budget = budget
        self._body_seconds_max = body_seconds_max
        self._tracker = _Tracker(tracker)
        self._tracker_path = tracker_path.encode()
        self._demo_page = demo_page

    async def handle(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        if not _is_plain(request):
            self._metrics.rejected("", Reason.MALFORMED_REQUEST)
            refused = web.Response(status=400, text="this is not HTTP/1.1 as this server speaks it\n")
            refused.force_close()
            return refused
        target = _target(request)
        bytes_max = self._collector.body_bytes_max(target)
        if bytes_max is None:
            route, response = self._page(request, target.partition(b"?")[0])
        else:
            collected, is_read = await self._collect(request, target, bytes_max)
            route, response = collected.route, _response(collected.status, collected.headers, collected.body)
            if not is_read:
                response.force_close()
        self._metrics.request(route, response.status, time.perf_counter() - began)
        return response

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """Answers `Expect: 100-continue`: a body that is refused by its length is never sent."""
        if request.headers.get("Expect", "").lower() != "100-continue":
            return web.Response(status=417)
        bytes_max = self._collector.body_bytes_max(_target(request))
        if bytes_max is not None and (request.content_length or 0) > bytes_max:
            return await self.handle(request)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own: the answer's head is still to come
        return None

    async def _collect(self, request: web.Request, target: bytes, bytes_max: int) -> tuple[Collected, bool]:
        """What to answer, and whether the body was read to its end."""
        held = _Held(self._budget)
        try:
            body = await self._body(request, bytes_max, held)
            collected = self._collector.collect(request.method, target, request.raw_headers, body, request.remote or "")
            if not collected.rows:
                return collected, True
            shed = await self._append(collected.rows) if held.grow_to(collected.size) else Shed.MEMORY
            return collected if shed is None else self._collector.shed(collected, shed), True
        except _Unread as unread:
            return self._collector.refuse(request.method, target, request.raw_headers, unread.reason), False
        finally:
            held.release()

    async def _body(self, request: web.Request, bytes_max: int, held: _Held) -> bytes:
        """Raises _Unread: too large, too slow, cut off, or no room for it now."""
        if (request.content_length or 0) > bytes_max:
            raise _Unread(Reason.BODY_TOO_LARGE)
        if not request.body_exists:
            return b""
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_seconds_max):
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                    if size > bytes_max:
                        raise _Unread(Reason.BODY_TOO_LARGE)
                    if not held.grow_to(size):
                        raise _Unread(Shed.MEMORY)
                    chunks.append(chunk)
        except (TimeoutError, ConnectionError, ClientError, web.RequestPayloadError):
            raise _Unread(Reason.BODY_INCOMPLETE) from None
        return b"".join(chunks)

    def _page(self, request: web.Request, path: bytes) -> tuple[str, web.Response]:
        """The routes that collect nothing."""
        if path == self._tracker_path:
            return "tracker", self._script(request)
        if path in DEMO_PATHS and self._demo_page is not None and request.method in {"GET", "HEAD"}:
            headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
            return "demo", web.Response(
                body=self._demo_page, headers=headers, content_type="text/html", charset="utf-8"
            )
        return "other", web.Response(status=404, text="not found\n")

    def _script(self, request: web.Request) -> web.Response:
        origin = request.headers.get("Origin")
        headers = _decoded(self._collector.cors.of(origin.encode("utf-8", "surrogateescape") if origin else None))
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers=[*headers, ("Allow", "GET, HEAD")])
        coding = "gzip" if _takes_gzip(request.headers.get("Accept-Encoding", "")) else ""
        script, tag = self._tracker.forms[coding]
        headers += [("ETag", tag), *TRACKER_HEADERS]
        if _matches(request.headers.get("If-None-Match", ""), tag):
            return web.Response(status=304, headers=headers)
        if coding:
            headers.append(("Content-Encoding", coding))
        return web.Response(body=script, headers=headers, content_type="text/javascript", charset="utf-8")


class Capped:
    """Makes a server's connections, up to a number: the next one is told 503 and closed."""

    def __init__(self, server: web.Server, *, connections_max: int, metrics: Counters) -> None:
        self._server = server
        self._connections_max = connections_max
        self._metrics = metrics

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) < self._connections_max:
            return self._server()
        self._metrics.connection_refused()
        return _Refusal()


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(OVER)
        transport.close()


def build_app(
    *,
    collector: Collector,
    append: Append,
    metrics: Counters,
    budget: Budget,
    tracker: bytes,
    tracker_path: str = "/f.js",
    demo_page: bytes | None = None,
    body_seconds_max: float = 15,
) -> web.Application:
    """The public port's application; it brings its own server settings for any AppRunner.

    `append` makes rows durable, and says None, or says why not; it raises nothing else than
    CancelledError.
    """
    lane = _Lane(
        collector=collector,
        append=append,
        metrics=metrics,
        budget=budget,
        body_seconds_max=body_seconds_max,
        tracker=tracker,
        tracker_path=tracker_path,
        demo_page=demo_page,
    )
    app = web.Application(
        handler_args={
            "access_log": None,
            "logger": _quiet(metrics),
            "auto_decompress": False,  # ingest/body.py bounds what comes out; aiohttp would not
            "keepalive_timeout": KEEPALIVE_SECONDS,
            "lingering_time": LINGER_SECONDS,
            "max_line_size": HEAD_LINE_BYTES_MAX,
            "max_field_size": HEAD_LINE_BYTES_MAX,
            "max_headers": HEADERS_MAX,
        }
    )
    app.router.add_route("*", "/{path:.*}", lane.handle, expect_handler=lane.expect)
    return app


def _is_plain(request: web.Request) -> bool:
    """Whether the body's length is said in a way that nobody before us can read otherwise (request smuggling)."""
    codings = request.headers.getall("Transfer-Encoding", [])
    if request.version < HttpVersion11:
        return request.version == HttpVersion10 and not codings
    return codings in ([], ["chunked"])


def _target(request: web.Request) -> bytes:
    """Path and query as they came; of an absolute form (RFC 9112, 3.2.2) the part after the host."""
    target = request.raw_path.encode("utf-8", "surrogateescape")
    if target.startswith(b"/"):
        return target
    return b"/" + target.partition(b"://")[2].partition(b"/")[2]


def _response(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> web.Response:
    return web.Response(status=status, body=body or None, headers=_decoded(headers))


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in headers]


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        coding, _, weight = part.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.strip().removeprefix("q=") not in {"0", "0.0", "0.00", "0.000"}
    return False


def _matches(tags: str, tag: str) -> bool:
    return tags.strip() == "*" or any(one.strip().removeprefix("W/") == tag for one in tags.split(","))
