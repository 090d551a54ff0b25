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
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import lz4.frame  # type: ignore[import-untyped]  # it publishes no annotations
from aiohttp import BodyPartReader, hdrs, web

from forebay.embedded.clickhouse_guard import refusal_of_browser
from forebay.embedded.clickhouse_lanes import BodyBudget, Lane, Lanes
from forebay.embedded.clickhouse_sql import QueryFailed, Statement, failure, with_body

# What a client says to the server rather than to the query.
_TRANSPORT = frozenset(
    (
        *("buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format"),
        *("enable_http_compression", "http_headers_progress_interval_ms", "password", "query", "query_id", "quota_key"),
        *("role", "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "stacktrace"),
        *("user", "wait_end_of_query"),
    )
)
_QUERY_ID = re.compile(r"[\x21-\x7e]{1,256}")
# An answer up to this size is sent whole, with its summary and with the status of an error that comes late.
HELD_BYTES_MAX = 4 << 20
# A body arrives over loopback and a reader reads from it: this long without progress is somebody gone.
BODY_SECONDS_MAX = 300
STALL_SECONDS_MAX = 60
PING_SECONDS_MAX = 5

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One statement with all that applies to it. `settings` holds the query's parameters too, as param_name."""

    statement: Statement
    database: str
    settings: Mapping[str, str]
    default_format: str
    is_readonly: bool

    @property
    def output_format(self) -> str:
        """The format of the answer."""
        return self.statement.output_format or self.default_format


class Engine(Protocol):
    """Every method blocks; a call's generator is driven and closed on one thread."""

    version: str
    timezone: str

    def run(self, call: Call) -> Generator[bytes, None, Summary]:
        """Chunks of the answer. Settings and state of the call end with it. Raises QueryFailed at any step."""

    def probe(self) -> None:
        """Returns once the engine has answered a query. Raises QueryFailed."""


class Endpoint:
    """The routes. It owns no thread and no engine; both are closed by who made them, after the application ended."""

    def __init__(self, *, engine: Engine, lanes: Lanes, budget: BodyBudget) -> None:
        self._engine = engine
        self._lanes = lanes
        self._budget = budget
        self._ping_lane = Lane()
        self._pinging = asyncio.Lock()
        self._running: set[str] = set()
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
        await asyncio.to_thread(self._ping_lane.close)

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
                call = await _call(request, query_id, take)
                if call is None:
                    return web.Response(text="Ok.\n")
                with self._claim(query_id):
                    async with self._lanes.lane() as lane:
                        return await self._answer(request, lane, call, query_id)
        except QueryFailed as error:
            return self._failed(error, query_id)

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
        steps = self._engine.run(call)
        headers = self._headers | {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Format": call.output_format}
        content_type = _CONTENT_TYPES.get(call.output_format, "text/plain; charset=UTF-8")
        headers[hdrs.CONTENT_TYPE] = content_type
        held: list[bytes] = []
        held_bytes = 0
        try:
            while held_bytes <= HELD_BYTES_MAX:
                chunk = await lane.do(_step, steps)
                if isinstance(chunk, Summary):
                    headers["X-ClickHouse-Summary"] = _summary(chunk)
                    return web.Response(body=b"".join(held), headers=headers)
                held.append(chunk)
                held_bytes += len(chunk)
            return await self._stream(request, headers, held, lane, steps)
        finally:
            await lane.do(steps.close)

    async def _stream(
        self,
        request: web.Request,
        headers: dict[str, str],
        held: list[bytes],
        lane: Lane,
        steps: Generator[bytes, None, Summary],
    ) -> web.StreamResponse:
        tag = secrets.token_hex(8)
        response = web.StreamResponse(headers=headers | {"X-ClickHouse-Exception-Tag": tag})
        try:
            await response.prepare(request)
            for chunk in held:
                await _write(response, chunk)
            held.clear()
            while not isinstance(step := await lane.do(_step, steps), Summary):
                await _write(response, step)
        except QueryFailed as error:
            text = error.text.encode()
            trailer = b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n"
            await _write(response, trailer % (tag.encode(), text, len(text) + 1, tag.encode()))
            _break_off(request)
        except TimeoutError:
            _break_off(request)
        return response

    def _failed(self, error: QueryFailed, query_id: str) -> web.Response:
        text = error.text if "(version " in error.text else f"{error.text} (version {self._engine.version})"
        headers = self._headers | {"X-ClickHouse-Exception-Code": str(error.code)}
        if _QUERY_ID.fullmatch(query_id):
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


async def _call(request: web.Request, query_id: str, take: Callable[[int], None]) -> Call | None:
    """The request as a call; None where it asks nothing."""
    if not _QUERY_ID.fullmatch(query_id):
        raise failure(36, "query_id has characters beyond visible ASCII, or more than 256 of them")
    fields = dict(request.query)
    for name in ("compress", "decompress"):
        if fields.get(name, "0") not in {"", "0", "false"}:
            raise failure(48, f"{name}=1 is not supported: use Content-Encoding")
    if request.content_type == "multipart/form-data":
        fields |= await _form(request, take)
        body = b""
    else:
        body = await _body(request, take)
    statement = with_body(fields.get("query", "").encode(), body)
    if not statement.sql.strip():
        return None
    settings = {"log_comment": query_id} | {name: value for name, value in fields.items() if name not in _TRANSPORT}
    return Call(
        statement=statement,
        database=fields.get("database") or request.headers.get("X-ClickHouse-Database") or "",
        settings=settings,
        default_format=fields.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated",
        is_readonly=request.method != hdrs.METH_POST,
    )


async def _form(request: web.Request, take: Callable[[int], None]) -> dict[str, str]:
    fields = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None or part.filename:
            raise failure(48, "External tables are not supported")
        value = b""
        while chunk := await part.read_chunk():
            take(len(chunk))
            value += chunk
        fields[part.name] = value.decode()
    return fields


async def _body(request: web.Request, take: Callable[[int], None]) -> bytes:
    """The whole body, decompressed: nothing of an INSERT starts before its last byte is here."""
    chunks = []
    is_lz4 = request.headers.get(hdrs.CONTENT_ENCODING, "").lower() == "lz4"
    unpack = _Lz4() if is_lz4 else None
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.content.iter_any():
                for piece in unpack.pieces(chunk) if unpack else (chunk,):
                    take(len(piece))
                    chunks.append(piece)
    except TimeoutError as error:
        raise failure(159, f"The body did not arrive within {BODY_SECONDS_MAX} s") from error
    return b"".join(chunks)


class _Lz4:
    """Unpacks concatenated LZ4 frames (clickhouse-connect sends one per block) in pieces of at most 1 MiB."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameDecompressor()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk or not self._frame.needs_input:
                if self._frame.eof:
                    self._frame = lz4.frame.LZ4FrameDecompressor()
                yield self._frame.decompress(chunk, max_length=1 << 20)
                chunk = self._frame.unused_data or b"" if self._frame.eof else b""
                if self._frame.eof and not chunk:
                    return
        except RuntimeError as error:
            raise failure(36, f"The body is not LZ4: {error}") from error


def _step(steps: Generator[bytes, None, Summary]) -> bytes | Summary:
    try:
        return next(steps)
    except StopIteration as end:
        summary: Summary = end.value
        return summary


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
