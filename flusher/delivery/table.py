"""Speaks to ClickHouse over HTTP: sends INSERTs, asks questions, and translates its errors in one place.

An INSERT is one request that is sent once. clickhouse-connect sends a body again by itself when a kept-alive connection
was closed under it, but a delivery that may not be the first must verify first (I6). So the pool below hides from
clickhouse-connect that a failure was such a close.

Not promised: that nothing was stored after an error. Only `Refused` and `Late` say that.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httputil import get_pool_manager_options
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from flusher.blocks import native_format
from flusher.blocks.block import INSERTED, Block, Part
from flusher.delivery import held
from schemas.row import DELIVERY, INSERT_TYPES

EVENTS = "forebay.events"
PROBE = "forebay.probe"
BLOCKS = "forebay.blocks"
FOREVER = (1 << 32) - 1
COLUMN_NAMES = (*INSERTED, *DELIVERY)
SEND_BYTES = 1 << 20  # sent at a time, because each piece is copied
# The columns of `blocks`. They are named here because clickhouse-connect would ask for them before each INSERT.
BLOCK_TYPES: Mapping[str, str] = {
    "block_id": "String",
    "incarnation": "LowCardinality(String)",
    "shard": "UInt16",
    "to_id": "String",
    "rows": "UInt32",
    "bytes": "UInt64",
    "attempts": "UInt16",
    "took_ms": "UInt32",
    "stored_at": "DateTime64(3, 'UTC')",
}
# An INSERT is one block whatever its size, is deduplicated also in views that somebody adds, and is durable when it is
# answered (docs/facts.md).
INSERT_SETTINGS: Mapping[str, Any] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 1_048_449,
    "min_insert_block_size_rows": 1_048_449,
    "min_insert_block_size_bytes": 1 << 30,
    "max_partitions_per_insert_block": 100,
}
TEXT_CHARS_MAX = 200  # of an error's text in a log line
THROW_IF = 395  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: the column `late` refused the block, as its deadline is over
# Content that ClickHouse will never take: TYPE_MISMATCH and its kin (docs/facts.md), and TOO_MANY_BYTES (307),
# as the same block is too large at every attempt.
CONTENT_CODES = frozenset((6, 27, 33, 53, 72, 117, 131, 307, 321, 469))


class Unclear(Exception):
    """Says that ClickHouse failed or did not answer: all rows, some or none may be stored.

    `code` is its error, if known.
    """

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class Late(Exception):
    """Says that ClickHouse refused an INSERT that came after its deadline. Nothing was stored."""


class Refused(Exception):
    """Says that ClickHouse will never take this content. Nothing of it was stored. `code` is its error, 0 for ours."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _SentOnce(PoolManager):
    """Hides from clickhouse-connect that a request failed by a closed connection, so that it never sends one again."""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> BaseHTTPResponse:
        try:
            return super().request(method, url, *args, **kwargs)
        except HTTPError as error:
            failure = f"{type(error).__name__}: {error}"
        raise HTTPError(failure)  # outside the handler, so that it has no cause or context to look through


def _through(path: str) -> type[HTTPConnectionPool]:
    """Returns a class of pools that connect to this unix socket, whichever host a request names."""

    class SocketConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            made = socket.socket(socket.AF_UNIX)
            try:
                made.settimeout(self.timeout)
                made.connect(path)
            except OSError as error:
                made.close()
                raise NewConnectionError(self, f"{path}: {error}") from error
            return made

    class SocketPool(HTTPConnectionPool):
        ConnectionCls = SocketConnection

    return SocketPool


class Table:
    """Inserts into the tables of one ClickHouse and asks about them."""

    def __init__(self, client: Client, *, is_compressed: bool = False) -> None:
        self._client = client
        self._is_compressed = is_compressed

    @classmethod
    def connect(cls, url: str, *, user: str, password: str, timeout_seconds: float) -> Table:
        """Connects to an `http://` or `https://` URL, or to a socket as `unix:///path`.

        Raises Unclear without an answer.
        """
        at = urlsplit(url)
        is_socket = at.scheme == "unix"
        is_near = is_socket or at.hostname in {"127.0.0.1", "localhost", "::1"}
        pool = _SentOnce(**get_pool_manager_options())
        if is_socket:
            pool.pool_classes_by_scheme = {"http": _through(at.path)}
        try:
            client = clickhouse_connect.get_client(
                interface="http" if is_socket else at.scheme,
                host=at.hostname or "127.0.0.1",
                port=at.port or (8443 if at.scheme == "https" else 8123),
                username=user,
                password=password,
                connect_timeout=2,
                send_receive_timeout=int(timeout_seconds),
                query_retries=0,
                autogenerate_session_id=False,
                form_encode_query_params=True,  # in the body, as hundreds of client ids are longer than a URL may be
                pool_mgr=pool,
                compress=False if is_near else "zstd",
            )
        except ClickHouseError as error:
            raise Unclear(str(error)) from error
        return cls(client, is_compressed=not is_near)

    async def insert(self, part: Part, *, block: str, token: str, attempt: int, deadline: int) -> None:
        """Sends the INSERT of one part, once. Returns when ClickHouse has said that it is stored and fsynced.

        `deadline` is in unix seconds of ClickHouse's clock. Raises Unclear, Late or Refused.
        """
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token, "query_id": token}
        await asyncio.to_thread(self._insert_part, EVENTS, part, (block, attempt, deadline), settings)

    async def probe(self, part: Part) -> None:
        """Offers rows to a table that keeps nothing. Raises Refused where `insert` would, or Unclear."""
        await asyncio.to_thread(self._insert_part, PROBE, part, ("", 0, FOREVER), dict(INSERT_SETTINGS))

    async def record(self, block: Block, *, attempts: int, took_ms: int) -> None:
        """Writes the row of `forebay.blocks` about a stored block; twice is once. Raises Unclear."""
        await asyncio.to_thread(self._record, block_row(block, attempts=attempts, took_ms=took_ms))

    def _insert_part(self, table: str, part: Part, delivery: tuple[Any, ...], settings: Mapping[str, Any]) -> None:
        pieces: list[native_format.Piece] = [native_format.header(len(COLUMN_NAMES), part.rows)]
        try:
            pieces += part.encoded().pieces()
        except native_format.Unencodable as error:
            raise Refused(0, str(error)) from error
        pieces += [
            native_format.constant(name, INSERT_TYPES[name], value, part.rows)
            for name, value in zip(DELIVERY, delivery, strict=True)
        ]
        self._insert(table, COLUMN_NAMES, pieces, settings)

    def _record(self, row: Sequence[Any]) -> None:
        pieces: list[native_format.Piece] = [native_format.header(len(BLOCK_TYPES), 1)]
        pieces += [
            native_format.constant(name, kind, value, 1)
            for (name, kind), value in zip(BLOCK_TYPES.items(), row, strict=True)
        ]
        self._insert(BLOCKS, tuple(BLOCK_TYPES), pieces, {"async_insert": 0})

    def _insert(
        self, table: str, names: Sequence[str], pieces: Sequence[native_format.Piece], settings: Mapping[str, Any]
    ) -> None:
        try:
            self._client.raw_insert(
                table,
                names,
                _sent(pieces, is_compressed=self._is_compressed),
                settings=dict(settings),
                fmt="Native",
                compression="zstd" if self._is_compressed else None,
            )
        except (ClickHouseError, HTTPError) as error:
            raise _judged(error) from error

    async def ask(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Returns the rows of a SELECT. Raises Unclear."""
        return await asyncio.to_thread(self._ask, sql, dict(parameters))

    def _ask(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        try:
            # A replica that lags must not be read as a loss (docs/delivery.md, rule 12).
            result = self._client.query(sql, parameters=parameters, settings={"select_sequential_consistency": 1})
            return [tuple(row) for row in result.result_rows]
        except (ClickHouseError, HTTPError) as error:
            raise _unclear(error) from error

    async def keep_ids(self, block: str) -> None:
        """Adds the client ids of a stored block to those by which copies are found (held.py). Raises Unclear."""
        await asyncio.to_thread(self._command, held.KEEP, {"block": block})

    async def forget(self, block: str, month: int, below_attempt: int) -> None:
        """Deletes the lower attempts of one block and month. Returns when no reader sees them any more.

        Rows are never deleted by block_id alone (docs/delivery.md, rule 4). Raises Unclear.
        """
        await asyncio.to_thread(
            self._command,
            f"ALTER TABLE {EVENTS} DELETE WHERE block_id = {{block:String}}"
            " AND toYYYYMM(ts) = {month:UInt32} AND attempt < {attempt:UInt8}",
            {"block": block, "month": month, "attempt": below_attempt},
        )

    def _command(self, sql: str, parameters: dict[str, Any], settings: Mapping[str, Any] | None = None) -> None:
        try:
            self._client.command(sql, parameters=parameters, settings={"mutations_sync": 2, **(settings or {})})
        except (ClickHouseError, HTTPError) as error:
            raise _unclear(error) from error

    async def run(self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Runs a statement that writes, once. Raises Unclear."""
        await asyncio.to_thread(self._command, sql, dict(parameters), dict(settings))

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._client.close)


def block_row(block: Block, *, attempts: int, took_ms: int) -> list[Any]:
    """Returns the row of `forebay.blocks` about a block that is stored now, in the order of BLOCK_TYPES."""
    now_ms = int(time.time() * 1000)
    name = block.name
    return [str(name), name.incarnation, name.shard, str(name.upto), block.rows, block.bytes, attempts, took_ms, now_ms]


def _sent(pieces: Sequence[native_format.Piece], *, is_compressed: bool) -> Generator[bytes, None, None]:
    """Yields the body of a request. It is uncompressed over loopback, where zstd would cost more than it saves."""
    if not is_compressed:
        for piece in pieces:
            view = memoryview(piece)
            yield from (bytes(view[at : at + SEND_BYTES]) for at in range(0, len(view), SEND_BYTES))
        return
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    yield from filter(None, map(compressor.compress, pieces))
    yield compressor.flush()


def _judged(error: Exception) -> Exception:
    """Translates the error of an INSERT, by what it says about the rows.

    Errors of questions are not translated here: there the same codes mean that a stored part is broken.
    """
    code = getattr(error, "code", None)
    if code == THROW_IF:
        return Late(str(error))
    if code in CONTENT_CODES:
        return Refused(code, str(error))
    return _unclear(error)


def _unclear(error: Exception) -> Unclear:
    text, code = str(error), getattr(error, "code", None)
    # clickhouse-connect quotes the whole request, and says what happened at the end of it.
    told = text if len(text) < TEXT_CHARS_MAX else "…" + text[-TEXT_CHARS_MAX:]
    return Unclear(f"{type(error).__name__}: {told}", code)
