"""ClickHouse's HTTP interface on aiohttp, in front of an engine that runs one statement per call.

What a client may rely on, because clickhouse-connect, curl and Grafana do: /ping; the query in the URL, the body, or
begun in one and continued in the other; INSERT data in any encoding; param_*, settings, `database`, `default_format`
and their headers; the X-ClickHouse-* headers; the HTTP status of each error; chunks as the engine yields them.

Left out, with an error rather than a wrong answer: external tables, ClickHouse's own framing (`compress=1`,
`decompress=1`). Left out silently: `session_id` (no state outlives a request: no temporary tables, no SET that
lasts), progress headers, users and passwords.
"""

import asyncio
import contextlib
import itertools
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol

from aiohttp import hdrs, web

from forebay.embedded.clickhouse_guard import refusal_of_browser
from forebay.embedded.clickhouse_lanes import BodyBudget, Lane, Lanes, Stop
from forebay.embedded.clickhouse_limits import STORING_PRIORITY, Limits
from forebay.embedded.clickhouse_request import QUERY_ID, Call, call_of
from forebay.embedded.clickhouse_sql import QueryFailed, failure

# An answer up to this size is sent whole, with its summary and with the status of an error that comes late.
HELD_BYTES_MAX = 4 << 20
# A reader reads over loopback: this long without progress is somebody gone.
STALL_SECONDS_MAX = 60
PING_SECONDS_MAX = 5
# The engine ends what is over its time by itself; what it does not is told to, so much later.
OVERTIME_SECONDS = 5

# ClickHouse's own table; what is not in it is 500. Only our own refusal of a full queue differs: 503, not 500.
_STATUS = {
    code: status
    for status, codes in {
        400: (
            6,
            8,
            15,
            25,
            26,
            27,
            36,
            37,
            38,
            41,
            44,
            53,
            62,
            72,
            117,
            123,
            167,
            168,
            223,
            321,
            376,
            427,
            441,
            675,
            676,
        ),
        401: (194,),
        403: (192, 193, 497, 512, 516),
        404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
        408: (159,),
        411: (381,),
        413: (229, 307),
        415: (779,),
        501: (48,),
        503: (76, 202, 209, 439),
    }.items()
    for code in codes
}
_CONTENT_TYPES = {
    "CSV": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
}


class Summary(NamedTuple):
    """What X-ClickHouse-Summary says of a statement that ended."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0


class Engine(Protocol):
    """Every method blocks; a call's generator is driven and closed on one thread."""

    version: str
    timezone: str

    def admit(self, call: Call) -> bool:
        """Whether the call only reads. Raises QueryFailed for what the public port does not allow."""

    def run(self, call: Call) -> Generator[bytes, None, Summary]:
        """Chunks of the answer. Settings and state of the call end with it. Raises QueryFailed at any step."""

    def probe(self) -> None:
        """Returns once the engine has answered a query. Raises QueryFailed."""

    def stop(self, thread_id: int) -> None:
        """Tells what runs on this thread of the system to end; returns at once. Raises QueryFailed."""


class Work:
    """What one call does on its lane; with `stop`, it is told to end when nobody waits for it any more."""

    def __init__(self, lane: Lane, steps: Generator[bytes, None, Summary], stop: Stop | None = None) -> None:
        self._lane = lane
        self._steps = steps
        self._stop = stop

    async def step(self) -> bytes | Summary:
        """The next chunk of the answer, or its end. Raises QueryFailed."""
        if self._stop is None:
            return await self._lane.do(_step, self._steps)
        return await self._lane.do_until_told(self._stop, _step, self._steps)

    async def close(self) -> None:
        """Gives back what the call holds of the engine; of a lost lane, when it comes back."""
        if self._lane.is_lost:
            self._lane.finish(self._steps.close)
        elif self._stop is None:
            await self._lane.do(self._steps.close)
        else:
            await self._lane.do_until_told(self._stop, self._steps.close)


def _step(steps: Generator[bytes, None, Summary]) -> bytes | Summary:
    try:
        return next(steps)
    except StopIteration as end:
        summary: Summary = end.value
        return summary


class Endpoint:
    """The routes of one listener. It owns no thread that runs calls and no engine; both are closed by who made them,
    after the application ended.

    With `limits` it is the public one: what a call may do is judged, and it may use no more than these. Without, it is
    the flusher's, which is believed.
    """

    def __init__(self, *, engine: Engine, lanes: Lanes, budget: BodyBudget, limits: Limits | None) -> None:
        self._engine = engine
        self._lanes = lanes
        self._budget = budget
        self._limits = limits
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
        app.router.add_get("/", self._query)
        app.router.add_post("/", self._query)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        for lane in (self._ping_lane, self._stop_lane):
            await asyncio.to_thread(lane.close)

    async def _ping(self, _: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(PING_SECONDS_MAX), self._pinging:
                await self._ping_lane.do(self._engine.probe)
        except (TimeoutError, QueryFailed) as error:
            return web.Response(status=503, text=f"The engine does not answer: {error}\n")
        return web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id") or secrets.token_hex(16)
        try:
            with self._budget.share() as take:
                call = await call_of(request, query_id, take)
                if call is None:
                    return web.Response(text="Ok.\n")
                with self._claim(query_id):
                    async with self._lanes.lane() as lane:
                        return await self._answer(request, lane, call, query_id)
        except QueryFailed as error:
            return self._failed(error if self._limits is None else self._limits.explained(error), query_id)

    @contextlib.contextmanager
    def _claim(self, query_id: str) -> Iterator[None]:
        if query_id in self._running:
            raise failure(216, f"Query with id = {query_id} is already running")
        self._running.add(query_id)
        try:
            yield
        finally:
            self._running.discard(query_id)

    async def _answer(self, request: web.Request, lane: Lane, call: Call, query_id: str) -> web.StreamResponse:
        if self._limits is None:
            call = replace(call, limits={"priority": str(STORING_PRIORITY)})
            return await self._send(request, Work(lane, self._engine.run(call)), call, query_id)
        is_read = await lane.do(self._engine.admit, call)
        call = replace(call, limits=self._limits.settings(is_read=is_read, turn=next(self._turns)))
        work = Work(lane, self._engine.run(call), self._stop if is_read else None)
        seconds = self._limits.seconds_max + OVERTIME_SECONDS
        try:
            async with asyncio.timeout(seconds if is_read else None):
                return await self._send(request, work, call, query_id)
        except TimeoutError as error:
            sentence = f"Timeout exceeded: the query was told to end after {seconds} s"
            raise failure(159, sentence) from error

    async def _stop(self, thread_id: int) -> None:
        with contextlib.suppress(QueryFailed):  # it is told again
            await self._stop_lane.do(self._engine.stop, thread_id)

    async def _send(self, request: web.Request, work: Work, call: Call, query_id: str) -> web.StreamResponse:
        headers = self._headers | {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Format": call.output_format}
        content_type = _CONTENT_TYPES.get(call.output_format, "text/plain; charset=UTF-8")
        headers[hdrs.CONTENT_TYPE] = content_type
        held: list[bytes] = []
        held_bytes = 0
        try:
            while held_bytes <= HELD_BYTES_MAX:
                chunk = await work.step()
                if isinstance(chunk, Summary):
                    headers["X-ClickHouse-Summary"] = _summary(chunk)
                    return web.Response(body=b"".join(held), headers=headers)
                held.append(chunk)
                held_bytes += len(chunk)
            return await self._stream(request, headers, held, work)
        finally:
            await work.close()

    async def _stream(
        self, request: web.Request, headers: dict[str, str], held: list[bytes], work: Work
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
            text = (error if self._limits is None else self._limits.explained(error)).text.encode()
            trailer = b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n"
            with contextlib.suppress(TimeoutError):
                await _write(response, trailer % (tag.encode(), text, len(text) + 1, tag.encode()))
        except TimeoutError:
            pass  # the reader does not read: there is nobody to tell
        finally:
            if not is_whole:
                _break_off(request)
        return response

    def _failed(self, error: QueryFailed, query_id: str) -> web.Response:
        text = error.text if "(version " in error.text else f"{error.text} (version {self._engine.version})"
        headers = self._headers | {"X-ClickHouse-Exception-Code": str(error.code)}
        if QUERY_ID.fullmatch(query_id):
            headers["X-ClickHouse-Query-Id"] = query_id
        if error.code == 202:
            headers[hdrs.RETRY_AFTER] = "1"
        return web.Response(status=_STATUS.get(error.code, 500), text=text + "\n", headers=headers)


@web.middleware
async def _refuse_browsers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    refusal = refusal_of_browser(request.headers)
    if refusal is not None:
        return web.Response(status=403, text=refusal + "\n")
    return await handler(request)


def _summary(summary: Summary) -> str:
    counts = {name: str(value) for name, value in summary._asdict().items()}
    return json.dumps(counts | {"total_rows_to_read": "0"})


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(STALL_SECONDS_MAX):
        await response.write(chunk)


def _break_off(request: web.Request) -> None:
    """Closes the connection without the last chunk: the client must not take the answer for a whole one."""
    if request.transport is not None:
        request.transport.close()
