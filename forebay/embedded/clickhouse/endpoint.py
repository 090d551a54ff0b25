"""Serves ClickHouse's HTTP interface on aiohttp, in front of an engine that runs one statement per call.

A client may rely on: /ping and /replicas_status; the query in the URL, in the body, or begun in one and continued in
the other; INSERT data in any encoding; param_*, settings, `database`, `default_format` and their headers; sessions; the
X-ClickHouse-* headers; the HTTP status of each error; the content type of each format; chunks as the engine yields
them, in ClickHouse's compressed blocks or HTTP's codings if they are asked for.

Not promised: external tables, roles, users and passwords, web pages (/play). They are answered with an error. Progress
headers say what a query did once it has ended, not while it runs.
"""

import asyncio
import contextlib
import itertools
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from aiohttp import hdrs, web

from forebay.embedded.clickhouse.answer import STATUS, Encoder, Summary, error_body, trailer
from forebay.embedded.clickhouse.guard import refusal_of_browser
from forebay.embedded.clickhouse.lanes import BodyBudget, Lane, Lanes
from forebay.embedded.clickhouse.limits import STORING_PRIORITY, Limits
from forebay.embedded.clickhouse.request import QUERY_ID, Call, call_of
from forebay.embedded.clickhouse.sessions import Session, Sessions, changes_session
from forebay.embedded.clickhouse.sql import QueryFailed, failure
from forebay.embedded.clickhouse.work import Engine, Work

# An answer up to this size is sent whole, with its summary and with the status of an error that comes late.
HELD_BYTES_MAX = 4 << 20
# Clients read over loopback, so one that reads nothing for so long is gone.
STALL_SECONDS_MAX = 60
PING_SECONDS_MAX = 5
# The engine ends queries that exceed their time by itself; one that goes on is told to end so much later.
OVERTIME_SECONDS = 5
# With wait_end_of_query an answer is held until its query has ended: beyond HELD_BYTES_MAX in a file, up to this size.
WAITED_BYTES_MAX = 1 << 30
READ_BYTES = 1 << 20
NO_HANDLE = """There is no handle {path}
Use / or /ping for health checks.
Or /replicas_status for more sophisticated health checks.

Send queries from your program with POST method or GET /?query=...

The embedded ClickHouse has no web pages (/play, /dashboard): it answers no browser.
"""


class Role(Enum):
    """Names whom a listener serves.

    What ANYBODY may do is judged, within the limits. A READER gets nothing but reads, whatever method it uses. The
    FLUSHER is trusted, and has no limits.
    """

    ANYBODY = "anybody"
    READER = "reader"
    FLUSHER = "flusher"


class Endpoint:
    """Answers the requests of one listener.

    It closes neither the engine nor the threads that run calls: whoever made them does, after the application has
    ended.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        lanes: Lanes,
        sessions: Sessions,
        budget: BodyBudget,
        limits: Limits,
        role: Role,
        held_directory: Path,
    ) -> None:
        self._engine = engine
        self._lanes = lanes
        self._sessions = sessions
        self._budget = budget
        self._limits = None if role is Role.FLUSHER else limits
        self._is_reader = role is Role.READER
        self._held_directory = held_directory
        self._ping_lane = Lane()
        self._stop_lane = Lane()
        self._pinging = asyncio.Lock()
        self._running: set[str] = set()
        self._turns = itertools.count()
        self._headers = {
            "X-ClickHouse-Server-Display-Name": socket.gethostname(),
            "X-ClickHouse-Timezone": engine.timezone,
        }

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_refuse_browsers])
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/replicas_status", self._no_replicas)
        app.router.add_get("/", self._query)
        app.router.add_post("/{path:.*}", self._query)
        app.router.add_route(hdrs.METH_OPTIONS, "/{path:.*}", self._options)
        app.router.add_get("/{path:.*}", self._no_handle)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        await self._sessions.close()
        for lane in (self._ping_lane, self._stop_lane):
            await asyncio.to_thread(lane.close)

    async def _ping(self, _: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(PING_SECONDS_MAX), self._pinging:
                await self._ping_lane.do(self._engine.probe)
        except (TimeoutError, QueryFailed) as error:
            return web.Response(status=503, text=f"The engine does not answer: {error}\n")
        return web.Response(text="Ok.\n")

    async def _no_replicas(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")  # no table is replicated, so none lags

    async def _options(self, _: web.Request) -> web.Response:
        return web.Response(status=204, headers={hdrs.ALLOW: "GET, HEAD, POST, OPTIONS"})

    async def _no_handle(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text=NO_HANDLE.format(path=request.path[:200]))

    async def _query(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or secrets.token_hex(16)
        call = None
        try:
            with self._budget.share() as take:
                call = await call_of(request, query_id, take)
                if call is None:
                    return web.Response(text="Ok.\n")
                if self._is_reader:
                    call = _reading(call)
                with self._claim(query_id):
                    async with self._session(call) as session, self._lanes.lane() as lane:
                        return await self._answer(request, lane, call, query_id, session)
        except QueryFailed as error:
            return self._failed(error if self._limits is None else self._limits.explained(error), query_id, call)

    @contextlib.asynccontextmanager
    async def _session(self, call: Call) -> AsyncIterator[Session | None]:
        if call.session is None:
            yield None
            return
        async with self._sessions.held(call.session) as session:
            yield session

    @contextlib.contextmanager
    def _claim(self, query_id: str) -> Iterator[None]:
        if query_id in self._running:
            raise failure(216, f"Query with id = {query_id} is already running")
        self._running.add(query_id)
        try:
            yield
        finally:
            self._running.discard(query_id)

    async def _answer(
        self, request: web.Request, lane: Lane, call: Call, query_id: str, session: Session | None
    ) -> web.StreamResponse:
        limits = self._limits
        if limits is None:
            call = replace(call, limits={"priority": str(STORING_PRIORITY)})
            kept = await self._kept(lane, call, session, call.limits, is_read=False)
            work = Work(lane, self._engine.run(call, kept), Encoder(call))
            return await self._send(request, work, call, query_id)
        is_read = await lane.do(self._engine.admit, call)
        turn = next(self._turns)
        reading = (
            {"readonly": "2"} if self._is_reader else {}
        )  # the engine's own rule, beside our judgement of the text
        call = replace(call, limits=limits.settings(is_read=is_read, turn=turn) | reading)
        kept = await self._kept(lane, call, session, limits.settings(is_read=True, turn=turn), is_read=is_read)
        work = Work(lane, self._engine.run(call, kept), Encoder(call), self._stop if is_read else None)
        seconds = limits.seconds_max + OVERTIME_SECONDS
        try:
            async with asyncio.timeout(seconds if is_read else None):
                return await self._send(request, work, call, query_id)
        except TimeoutError as error:
            sentence = f"Timeout exceeded: the query was told to end after {seconds} s"
            raise failure(159, sentence) from error
        finally:
            if lane.is_lost and kept is not None:
                kept.fault = "a query in it did not end although it was told to"

    async def _kept(
        self, lane: Lane, call: Call, session: Session | None, limits: Mapping[str, str], *, is_read: bool
    ) -> Any:
        """Returns the connection of the call's session, or None if it needs none.

        It is made with the first statement that may change the session.
        """
        if session is None or (session.kept is None and not changes_session(call.statement)):
            return None
        if not is_read:
            self._sessions.make_room(session)
        if session.kept is None:
            self._sessions.keep(session)
            session.kept = await lane.do(self._engine.keep, limits, self._sessions.fault_of)
        return session.kept

    async def _stop(self, thread_id: int) -> None:
        with contextlib.suppress(QueryFailed):  # the query is told again after a moment
            await self._stop_lane.do(self._engine.stop, thread_id)

    async def _send(self, request: web.Request, work: Work, call: Call, query_id: str) -> web.StreamResponse:
        headers = self._headers_of(call, query_id)
        held: list[bytes] = []
        held_bytes = 0
        try:
            while held_bytes <= HELD_BYTES_MAX:
                chunk = await work.step()
                if isinstance(chunk, Summary):
                    _add_summary(headers, chunk, call)
                    return web.Response(body=b"".join(held), headers=headers)
                held.append(chunk)
                held_bytes += len(chunk)
            send = self._send_when_ended if call.wire.is_waited else self._stream
            return await send(request, headers, held, work, call)
        finally:
            await work.close()

    def _headers_of(self, call: Call, query_id: str) -> dict[str, str]:
        headers = self._headers | {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Format": call.output_format}
        headers[hdrs.CONTENT_TYPE] = self._engine.content_types.get(
            call.output_format.lower(), "text/plain; charset=UTF-8"
        )
        if zone := call.settings.get("session_timezone"):
            headers["X-ClickHouse-Timezone"] = quote(zone, safe="/+")
        if call.wire.coding:
            headers[hdrs.CONTENT_ENCODING] = call.wire.coding
        return headers

    async def _send_when_ended(
        self, request: web.Request, headers: dict[str, str], held: list[bytes], work: Work, call: Call
    ) -> web.StreamResponse:
        """Keeps the answer in a file without a name until its query has ended without an error."""
        with contextlib.ExitStack() as opened:
            with _on_disk():  # without a buffer, which closing the file would write once more
                file = opened.enter_context(tempfile.TemporaryFile(dir=self._held_directory, buffering=0))
            step: bytes | Summary = b"".join(held)
            held.clear()
            while not isinstance(step, Summary):
                with _on_disk():
                    await asyncio.to_thread(_write_all, file, step)
                if file.tell() > WAITED_BYTES_MAX:
                    sentence = "Limit for result exceeded: with wait_end_of_query an answer has at most"
                    raise failure(396, f"{sentence} {WAITED_BYTES_MAX} bytes")
                step = await work.step()
            _add_summary(headers, step, call)
            response = web.StreamResponse(headers=headers | {hdrs.CONTENT_LENGTH: str(file.tell())})
            file.seek(0)
            try:
                await response.prepare(request)
                while piece := await asyncio.to_thread(file.read, READ_BYTES):
                    await _write(response, piece)
            except TimeoutError:
                _break_off(request)
            return response

    async def _stream(
        self, request: web.Request, headers: dict[str, str], held: list[bytes], work: Work, call: Call
    ) -> web.StreamResponse:
        tag = secrets.token_hex(8)
        response = web.StreamResponse(headers=headers | {"X-ClickHouse-Exception-Tag": tag})
        is_whole = False
        try:
            await response.prepare(request)
            for chunk in held:
                await _write(response, chunk)
            held.clear()
            while not isinstance(step := await work.step(), Summary):
                await _write(response, step)
            is_whole = True
        except QueryFailed as error:
            text = (error if self._limits is None else self._limits.explained(error)).text
            with contextlib.suppress(TimeoutError):
                await _write(response, work.encoder.piece(trailer(text, tag)))
        except TimeoutError:
            pass  # the client does not read, so it can't be told
        finally:
            if not is_whole:
                _break_off(request)
        return response

    def _failed(self, error: QueryFailed, query_id: str, call: Call | None) -> web.Response:
        text = error.text if "(version " in error.text else f"{error.text} (version {self._engine.version})"
        headers = self._headers | {"X-ClickHouse-Exception-Code": str(error.code)}
        if QUERY_ID.fullmatch(query_id):
            headers["X-ClickHouse-Query-Id"] = query_id
        if error.code == 202:
            headers[hdrs.RETRY_AFTER] = "1"
        headers[hdrs.CONTENT_TYPE] = "text/plain; charset=UTF-8"
        body = f"{text}\n".encode()
        if call is not None:
            body = error_body(text, call.wire, call.output_format)
            if call.wire.has_errors_in_format:
                headers[hdrs.CONTENT_TYPE] = self._headers_of(call, query_id)[hdrs.CONTENT_TYPE]
        return web.Response(status=STATUS.get(error.code, 500), body=body, headers=headers)


def _reading(call: Call) -> Call:
    """Returns the call as one that only reads. Raises QueryFailed for one with a session, because that would keep something."""
    if call.session is not None:
        raise failure(164, "This socket only reads, and keeps no sessions")
    return replace(call, is_readonly=True)


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    """Makes an error of the engine of a disk that is full, or that fails."""
    try:
        yield
    except OSError as error:
        raise failure(243, f"Cannot keep the answer on the disk until its query has ended: {error.strerror}") from error


def _write_all(file: IO[bytes], content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


@web.middleware
async def _refuse_browsers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    refusal = refusal_of_browser(request.headers)
    if refusal is not None:
        return web.Response(status=403, text=refusal + "\n")
    return await handler(request)


def _add_summary(headers: dict[str, str], summary: Summary, call: Call) -> None:
    headers["X-ClickHouse-Summary"] = summary.as_header()
    if call.wire.wants_progress:
        headers["X-ClickHouse-Progress"] = summary.as_header()


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(STALL_SECONDS_MAX):
        await response.write(chunk)


def _break_off(request: web.Request) -> None:
    """Closes the connection without the last chunk, so that the client does not take the answer for a whole one."""
    if request.transport is not None:
        request.transport.close()
