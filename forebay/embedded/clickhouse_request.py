"""Reads an HTTP request as a call: one statement, and all that applies to it.

The query in the URL, in the body, or begun in one and continued in the other; INSERT data, as it is or in LZ4 frames;
param_*, settings, `database`, `default_format` and their headers.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import lz4.frame  # type: ignore[import-untyped]  # it publishes no annotations
from aiohttp import BodyPartReader, hdrs, web

from forebay.embedded.clickhouse_sql import Statement, failure, with_body

# What a client says to the server rather than to the query.
_TRANSPORT = frozenset(
    (
        *("buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format"),
        *("enable_http_compression", "http_headers_progress_interval_ms", "password", "query", "query_id", "quota_key"),
        *("role", "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "stacktrace"),
        *("user", "wait_end_of_query"),
    )
)
QUERY_ID = re.compile(r"[\x21-\x7e]{1,256}")
# A body arrives over loopback: this long until its last byte is somebody gone.
BODY_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One statement with all that applies to it. `settings` holds the query's parameters too, as param_name; `limits`
    are settings that apply before them.
    """

    statement: Statement
    database: str
    settings: Mapping[str, str]
    default_format: str
    is_readonly: bool
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def output_format(self) -> str:
        """The format of the answer."""
        return self.statement.output_format or self.default_format


async def call_of(request: web.Request, query_id: str, take: Callable[[int], None]) -> Call | None:
    """The request as a call; None where it asks nothing."""
    if not QUERY_ID.fullmatch(query_id):
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
