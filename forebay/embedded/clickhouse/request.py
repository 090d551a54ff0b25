"""Reads an HTTP request as a call: one statement, and all that applies to it.

The query is in the URL, in the body, or begun in one and continued in the other. INSERT data comes as it is, in LZ4
frames or in ClickHouse's compressed blocks. Also read are param_*, settings, `database`, `default_format` and their
headers, the session, and the form in which the client wants the answer.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import lz4.frame  # type: ignore[import-untyped]  # it publishes no annotations
from aiohttp import BodyPartReader, hdrs, web

from forebay.embedded.clickhouse.compression import LZ4, METHODS, Unpacker
from forebay.embedded.clickhouse.sessions import SessionName
from forebay.embedded.clickhouse.sql import Statement, failure, naming_comments, with_body
from forebay.embedded.clickhouse.users import authenticate

# Parameters that are for the server, and are not settings of the query.
_TRANSPORT = frozenset(
    (
        *("buffer_size", "client_protocol_version", "close_session", "compress", "database", "decompress"),
        "default_format",
        *("enable_http_compression", "http_headers_progress_interval_ms", "password", "query", "query_id", "quota_key"),
        *("role", "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "stacktrace"),
        *("user", "wait_end_of_query"),
    )
)
_PARAMETER = "param_"
QUERY_ID = re.compile(r"[\x21-\x7e]{1,256}")
# A body arrives over loopback, so a client that has not sent its last byte after so long is gone.
BODY_SECONDS_MAX = 300
# ClickHouse's default_session_timeout and max_session_timeout.
SESSION_SECONDS, SESSION_SECONDS_MAX = 60, 3600
SESSION_ID_MAX = 256
# In the order in which this port prefers them: the cheapest first.
CODINGS = ("lz4", "zstd", "gzip", "deflate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Describes the form in which a client wants its answer.

    `block_method` is the method of ClickHouse's compressed blocks, 0 for none; `coding` is HTTP's, "" for none;
    `is_waited` means that nothing is sent before the query has ended without an error.
    """

    block_method: int = 0
    client_revision: int = 0
    coding: str = ""
    is_waited: bool = False
    wants_progress: bool = False
    has_errors_in_format: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Holds one statement with all that applies to it.

    `parameters` are the query's, in ClickHouse's escapes; `limits` are settings that apply before `settings`. Without
    `session` nothing of the call outlives it.
    """

    statement: Statement
    database: str
    settings: Mapping[str, str]
    default_format: str
    is_readonly: bool
    wire: Wire = field(default_factory=Wire)
    session: SessionName | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def output_format(self) -> str:
        """Returns the format of the answer."""
        return self.statement.output_format or self.default_format


async def call_of(request: web.Request, query_id: str, take: Callable[[int], None]) -> Call | None:
    """Reads the request as a call; returns None if it asks nothing. Raises QueryFailed."""
    if not QUERY_ID.fullmatch(query_id):
        raise failure(36, "query_id has characters beyond visible ASCII, or more than 256 of them")
    fields = dict(request.query)
    authenticate(fields, request.headers)
    if request.content_type == "multipart/form-data":
        fields |= await _form(request, take)
        authenticate(fields, request.headers)
        body = b""
    else:
        body = await _body(request, take, in_blocks=_is_set(fields, "decompress"))
    if role := fields.get("role"):
        raise failure(511, f"There is no role `{role[:80]}` in user directories: the embedded engine has no roles")
    statement = naming_comments(with_body(fields.get("query", "").encode(), body))
    if not statement.sql.strip():
        return None
    settings = {"log_comment": query_id} | {
        name: value for name, value in fields.items() if name not in _TRANSPORT and not name.startswith(_PARAMETER)
    }
    session = _session(fields)
    # It is not set on a session's connection, because it could not be set back.
    is_readonly = session is not None and settings.pop("readonly", "0") not in {"", "0"}
    return Call(
        statement=statement,
        database=fields.get("database") or request.headers.get("X-ClickHouse-Database") or "",
        settings=settings,
        default_format=fields.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated",
        is_readonly=is_readonly or request.method != hdrs.METH_POST,
        wire=_wire(fields, request.headers.get(hdrs.ACCEPT_ENCODING, "")),
        session=session,
        parameters={
            name.removeprefix(_PARAMETER): value for name, value in fields.items() if name.startswith(_PARAMETER)
        },
    )


def _is_set(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").lower() not in {"", "0", "false"}


def _wire(fields: Mapping[str, str], accepted: str) -> Wire:
    method = METHODS.get(fields.get("network_compression_method", "").upper(), LZ4)
    revision = fields.get("client_protocol_version", "")
    wanted = {word.partition(";")[0].strip().lower() for word in accepted.split(",")}
    coding = next((coding for coding in CODINGS if coding in wanted), "")
    return Wire(
        block_method=method if _is_set(fields, "compress") else 0,
        client_revision=int(revision) if revision.isascii() and revision.isdecimal() else 0,
        coding=coding if _is_set(fields, "enable_http_compression") else "",
        is_waited=_is_set(fields, "wait_end_of_query"),
        wants_progress=_is_set(fields, "send_progress_in_http_headers"),
        has_errors_in_format=_is_set(fields, "http_write_exception_in_output_format"),
    )


def _session(fields: Mapping[str, str]) -> SessionName | None:
    session_id = fields.get("session_id", "")
    if not session_id:
        return None
    if len(session_id) > SESSION_ID_MAX:
        raise failure(36, f"session_id has more than {SESSION_ID_MAX} characters")
    seconds = fields.get("session_timeout") or str(SESSION_SECONDS)
    if not seconds.isascii() or not seconds.isdecimal():
        raise failure(374, f"Invalid session timeout: {seconds[:20]!r}")
    if int(seconds) > SESSION_SECONDS_MAX:
        raise failure(
            374, f"Session timeout {seconds[:20]!r} is larger than max_session_timeout: {SESSION_SECONDS_MAX}"
        )
    return SessionName(
        session_id=session_id,
        seconds=int(seconds),
        must_exist=_is_set(fields, "session_check"),
        is_last=_is_set(fields, "close_session"),
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


async def _body(request: web.Request, take: Callable[[int], None], *, in_blocks: bool) -> bytes:
    """Reads the whole body, decompressed, because nothing of an INSERT may start before its last byte is here."""
    chunks: list[bytes] = []
    is_lz4 = request.headers.get(hdrs.CONTENT_ENCODING, "").lower() == "lz4"
    frames = _Lz4() if is_lz4 else None
    blocks = Unpacker(take) if in_blocks else None
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.content.iter_any():
                for piece in frames.pieces(chunk) if frames else (chunk,):
                    if blocks is not None:
                        chunks += blocks.feed(piece)
                    else:
                        take(len(piece))
                        chunks.append(piece)
    except TimeoutError as error:
        raise failure(159, f"The body did not arrive within {BODY_SECONDS_MAX} s") from error
    if blocks is not None:
        blocks.end()
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
