"""Runs statements on the chDB engine, each on a connection of its own: the `work.Engine` that `Endpoint` calls.

A connection takes 0.3 ms, and with its own no statement's settings, parameters or current database can reach another
statement, whatever it did. The statements of a session that has changed something share one (kept.py). The engine
closes itself when its last connection does, so one is kept until the end.

Not promised: a working engine after a fork (nothing here forks), or two versions of the engine on one directory.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from forebay import config
from forebay.embedded.clickhouse import guard
from forebay.embedded.clickhouse.answer import Summary
from forebay.embedded.clickhouse.kept import Connection, KeptConnection, set_all, use
from forebay.embedded.clickhouse.limits import Limits
from forebay.embedded.clickhouse.request import Call
from forebay.embedded.clickhouse.sql import QueryFailed, Statement, failure
from runtime.durable import make_directory

# The engine takes the host's time zone when it is imported, and crashes if it does not know it ("CET-1CEST,M3.5.0", which
# POSIX allows). All columns are UTC, and so is now().
config.be_utc()
# chDB works without pyarrow, but imports it if it is installed: 42 MB of memory and 0.2 s of start-up.
sys.modules["pyarrow"] = None  # type: ignore[assignment]  # how Python spells "not installed"
from chdb import _chdb  # noqa: E402  # only after the line above

# Formats whose chunks, one after the other, make the whole answer. In the others every chunk is a document of its own.
_STREAMABLE = frozenset(
    (
        *("CSV", "JSONCompactEachRow", "JSONEachRow", "JSONLines", "JSONStringsEachRow", "LineAsString", "NDJSON"),
        *("Native", "RowBinary", "TSV", "TSVRaw", "TabSeparated", "TabSeparatedRaw"),
    )
)
_SELECTS = frozenset(("SELECT", "WITH"))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_FILE = "file() reads this machine's files"
_CODE = re.compile(r"Code: (\d+)\.")


_connect: Callable[[str], Connection] = _chdb.connect  # type: ignore[attr-defined]  # not in its stub


class Engine:
    """Runs chDB on one directory. `close` ends it; nothing may run then."""

    def __init__(self, directory: Path, *, memory_bytes_max: int, free_bytes_min: int, limits: Limits) -> None:
        make_directory(directory)
        configuration = guard.write_configuration(
            directory.parent, memory_bytes_max=memory_bytes_max, free_bytes_min=free_bytes_min, limits=limits
        )
        self._whole_answer_bytes = limits.whole_answer_bytes
        self._path = str(directory)
        # It hides the built-in file(path), which reads any file and needs no grant. It is registered before any table
        # opens, because a view that refreshes itself would find the built-in function.
        _chdb.create_function("file", _no_file, ["String"], "String")
        # The engine finds `default` again by this link, which the database's first table makes.
        metadata = directory / "metadata"
        has_tables = (metadata / "default").is_symlink()
        if not has_tables:
            (metadata / "default.sql").unlink(missing_ok=True)
        self._kept = _connect(f"{directory}?config-file={configuration}")
        self._settle_default_database(has_tables=has_tables)
        self._kept.query("SYSTEM FLUSH LOGS query_log", "Null")  # makes the table now, so that no question waits for it
        ((self.version, self.timezone),) = self.ask("SELECT version(), timezone()")
        formats = self.ask("SELECT name, content_type FROM system.formats WHERE is_output")
        self.content_types: Mapping[str, str] = {name.lower(): content_type for name, content_type in formats}

    def close(self) -> None:
        self._kept.close()

    def probe(self) -> None:
        with self._connection() as connection:
            connection.query("SELECT 1", "Null")

    def ask(self, sql: str) -> list[list[str]]:
        """Runs a statement of our own, whose columns are all texts, and returns its rows. Raises QueryFailed."""
        with self._connection() as connection:
            answer = connection.query(sql, "JSONCompactEachRow").bytes().decode()
        return [json.loads(line) for line in answer.splitlines()]

    def interrupt(self) -> None:
        """Tells every running query to stop, and does not wait for them."""
        with self._connection() as connection:
            connection.query("KILL QUERY WHERE 1 ASYNC", "Null")

    def stop_merges(self) -> None:
        """Stops merges and mutations in all tables: none begins, and those that run are broken off. Raises QueryFailed."""
        with self._connection() as connection:
            connection.query("SYSTEM STOP MERGES", "Null")

    def start_merges(self) -> None:
        with self._connection() as connection:
            connection.query("SYSTEM START MERGES", "Null")

    def stop(self, thread_id: int) -> None:
        """Tells the query that a thread of the system has begun to end, and does not wait for it.

        It is named by its thread, because the engine gives a query an id that nobody learns before the query has ended.
        """
        with self._connection() as connection:
            connection.query(f"KILL QUERY WHERE has(thread_ids, {thread_id:d}) ASYNC", "Null")

    def admit(self, call: Call) -> bool:
        """Tells whether the call only reads. Raises QueryFailed for what the public port does not allow."""
        with self._connection() as connection:
            return bool(self._judge(connection, call) == _READ_ONLY)

    def keep(self, limits: Mapping[str, str], fault_of: Callable[[int, KeptConnection], str]) -> KeptConnection:
        """Makes a connection for a session. Raises QueryFailed."""
        with _translated():
            connection = _connect(self._path)
            try:
                return KeptConnection(connection, limits=limits, translated=_translated, fault_of=fault_of)
            except RuntimeError:
                connection.close()
                raise

    def run(self, call: Call, kept: KeptConnection | None = None) -> Generator[bytes, None, Summary]:
        with self._prepared(call, kept) as connection:
            statement = call.statement
            if statement.data_format is not None:
                return _insert(connection, statement, call.parameters)
            sql = _text(statement.sql)
            if _is_streamable(call):
                return (yield from _stream(connection, sql, call))
            result = connection.query(sql, call.default_format, params=call.parameters)
            yield result.bytes()
            return _summary(result)

    @contextlib.contextmanager
    def _prepared(self, call: Call, kept: KeptConnection | None) -> Iterator[Connection]:
        """Gives a connection with the database and the settings of a call."""
        settings = self._settings(call)
        if kept is not None:
            with kept.statement(call, settings) as connection:
                yield connection
            return
        with self._connection() as connection:
            if call.database:
                use(connection, call.database)
            # Limits first: constraints judge changes, and a statement's 0 would be no change if no limit were set yet.
            set_all(connection, call.limits)
            set_all(connection, settings)
            yield connection

    def _settings(self, call: Call) -> dict[str, str]:
        for name in (*call.settings, *call.parameters):
            if not _NAME.fullmatch(name):
                raise failure(115, f"Unknown setting {name[:80]!r}")
        settings = {"log_queries": "1"} | dict(call.settings)
        if call.statement.keyword in _SELECTS and not _is_streamable(call):
            settings.setdefault("max_result_bytes", str(self._whole_answer_bytes))
        return settings

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        with _translated():
            connection = _connect(self._path)
            try:
                yield connection
            finally:
                connection.close()

    @staticmethod
    def _judge(connection: Connection, call: Call) -> Any:
        """Returns the engine's class of the statement. Raises QueryFailed for what the port does not allow.

        It is called before the call's settings apply, because they could change how the statement is read.
        """
        statement = call.statement
        sql = _text(statement.sql)
        if statement.data_format is not None:
            sql += f"\n{_text(statement.settings)}\nFORMAT {statement.data_format}"
        facts = connection.classify_query(sql)
        if facts["statement_count"] > 1:
            raise failure(62, "Syntax error: multi-statements are not allowed")
        kind = facts["query_class"]
        if call.is_readonly and kind not in {_READ_ONLY, _UNKNOWN}:
            raise failure(164, "This request only reads: send the statement by POST, without the setting readonly")
        if kind == _UNKNOWN or guard.is_suspect(sql.encode()):
            reason = guard.forbidden(_printed(connection, sql))
            if reason is not None:
                raise failure(497, f"The embedded engine refuses this: {reason}")
        if call.default_format.lower() in {"dataframe", "datastore"}:
            raise failure(73, f"Unknown format {call.default_format}")
        return kind

    def _settle_default_database(self, *, has_tables: bool) -> None:
        """Makes `default` a database as a server has it.

        The engine's own lies over the file system: its names are files.
        """
        if has_tables:
            steps = ("DETACH DATABASE default", "ATTACH DATABASE default")
        else:
            steps = ("DROP DATABASE default", "CREATE DATABASE default ENGINE = Atomic")
        for step in ("USE system", *steps, "USE default"):
            self._kept.query(step, "Null")


_READ_ONLY = _chdb.query_class.READ_ONLY  # type: ignore[attr-defined]  # not in the wheel's stub
_UNKNOWN = _chdb.query_class.UNKNOWN  # type: ignore[attr-defined]  # not in the wheel's stub


def _no_file(_: str) -> str:
    raise PermissionError(_NO_FILE)


def _insert(connection: Connection, statement: Statement, parameters: Mapping[str, str]) -> Summary:
    """Inserts the rows from a file in memory.

    Not by send_insert, which answers success if a default, a constraint, a view or the table refuses the rows
    (chdb-core 26.9), and not inline, because what follows an empty line there would run as SQL.
    """
    descriptor = os.memfd_create("rows", os.MFD_CLOEXEC)
    try:
        rows = memoryview(statement.data)
        while rows:
            rows = rows[os.write(descriptor, rows) :]
        source = f"\nFROM INFILE '/proc/self/fd/{descriptor}' COMPRESSION 'none'\n"
        sql = _text(statement.sql) + source + _text(statement.settings) + f"\nFORMAT {statement.data_format}"
        return _summary(connection.query(sql, "Null", params=parameters))
    finally:
        os.close(descriptor)


def _stream(connection: Connection, sql: str, call: Call) -> Generator[bytes, None, Summary]:
    stream = connection.send_query(sql, call.output_format, params=call.parameters)
    rows = size = read_rows = read_bytes = 0
    started = time.monotonic_ns()
    is_whole = False
    try:
        while not is_whole:
            result = connection.streaming_fetch_result(stream)
            chunk = result.bytes()
            rows += result.rows_read()
            size += len(chunk)
            read_rows += result.storage_rows_read()
            read_bytes += result.storage_bytes_read()
            is_whole = not result.rows_read()  # the last chunk has no rows, and the totals if there are any
            if chunk:
                yield chunk
    finally:
        if not is_whole:
            connection.streaming_cancel_query(stream)
    return Summary(
        read_rows=read_rows,
        read_bytes=read_bytes,
        result_rows=rows,
        result_bytes=size,
        elapsed_ns=time.monotonic_ns() - started,
    )


def _summary(result: Any) -> Summary:
    return Summary(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        result_bytes=result.bytes_read(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )


def _is_streamable(call: Call) -> bool:
    return call.statement.keyword in _SELECTS and call.output_format in _STREAMABLE


def _printed(connection: Connection, sql: str) -> str:
    """Returns the statement as the engine's parser understood it, on one line. Raises QueryFailed."""
    escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\0", "\\0")
    try:
        result = connection.query("SELECT formatQuerySingleLine({sql:String})", "TSVRaw", params={"sql": escaped})
    except RuntimeError as error:
        text = str(error).split(": In scope SELECT formatQuery", maxsplit=1)[0]
        raise QueryFailed(_code(text), f"{text} (SYNTAX_ERROR)") from error
    printed: str = result.bytes().decode()
    return printed


def _text(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError as error:
        raise failure(62, "Syntax error: the query is not UTF-8") from error


def _code(text: str) -> int:
    match = _CODE.search(text)
    return int(match.group(1)) if match else 1000


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if _NO_FILE in text:
            raise failure(497, f"The embedded engine refuses this: {_NO_FILE}") from error
        raise QueryFailed(_code(text), text) from error
