"""Runs the statements of one session on one connection of the engine, each with its own settings and database.

A server copies the session's settings for each query. The engine has one set of them for a connection, so what a
request sets for itself is set before its statement and set back afterwards. SET and USE are left as they are.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from forebay.embedded.clickhouse.request import Call
from forebay.embedded.clickhouse.sessions import ended
from forebay.embedded.clickhouse.sql import QueryFailed, failure, quoted

_TABLE_BYTES = "SELECT toString(sum(total_bytes)) FROM system.tables WHERE is_temporary"
_READS = frozenset(("DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "SELECT", "SET", "SHOW", "USE", "WITH"))


class Connection(Protocol):
    """Describes a connection of the engine, because the wheel's stub leaves out `_chdb.connect`."""

    def query(self, sql: str, format: str, *, params: Mapping[str, str] = ...) -> Any: ...  # noqa: A002 - its name
    def send_query(self, sql: str, format: str, *, params: Mapping[str, str] = ...) -> Any: ...  # noqa: A002 - its name
    def streaming_fetch_result(self, stream: Any) -> Any: ...
    def streaming_cancel_query(self, stream: Any) -> None: ...
    def classify_query(self, sql: str) -> dict[str, Any]: ...
    def close(self) -> None: ...


def set_all(connection: Connection, settings: Mapping[str, str]) -> None:
    """Sets all of them in one statement, so that one that may not be set leaves all as they were."""
    if settings:
        changes = ", ".join(f"{name} = {quoted(value, chr(39))}" for name, value in settings.items())
        connection.query(f"SET {changes}", "Null")


def use(connection: Connection, database: str) -> None:
    connection.query(f"USE {quoted(database, '`')}", "Null")


class KeptConnection:
    """Holds a connection with the limits of a question set, which its statements find unless they set others.

    `translated` turns errors of the engine into QueryFailed; `fault_of` says why the session must end if its temporary
    tables hold so many bytes.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limits: Mapping[str, str],
        translated: Callable[[], contextlib.AbstractContextManager[None]],
        fault_of: "Callable[[int, KeptConnection], str]",
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._translated = translated
        self._fault_of = fault_of
        self._database = ""
        self.table_bytes = 0
        self.fault = ""
        set_all(connection, limits)

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def statement(self, call: Call, settings: Mapping[str, str]) -> Iterator[Connection]:
        """Gives the connection as a statement needs it, and sets it back afterwards; if that fails, `fault` says why."""
        with self._translated():
            changes, before = self._changes(call, settings)
            database = self._database if call.database and changes is not None else ""
            try:
                if changes is not None:
                    set_all(self._connection, changes)
                if database:
                    use(self._connection, call.database)
                yield self._connection
            finally:
                self._restore(before, database)
            self._weigh(call)

    def _changes(self, call: Call, settings: Mapping[str, str]) -> tuple[Mapping[str, str] | None, Mapping[str, str]]:
        """Returns what to set for the call (None for nothing), and the values to set back afterwards."""
        if call.statement.keyword in {"SET", "USE"}:
            return None, {}
        names = list(dict.fromkeys((*self._limits, *settings)))
        readonly, found = self._look(names)
        if readonly == "1":  # the session's own SET: nothing can be set any more, so nothing has to be set back
            return {name: value for name, value in call.settings.items() if name != "log_comment"}, {}
        fresh = {
            name: call.limits.get(name, "0")
            for name, value in self._limits.items()
            if found[name] == value != call.limits.get(name, "0")
        }
        changes = fresh | dict(settings)
        return changes, {name: found[name] for name in changes}

    def _look(self, names: list[str]) -> tuple[str, dict[str, str]]:
        """Reads the database, `readonly` and these settings, as the session has them."""
        columns = ", ".join(f"toString(getSetting('{name}'))" for name in ("readonly", *names))
        answer = self._connection.query(f"SELECT currentDatabase(), {columns}", "JSONCompactEachRow").bytes()
        try:
            self._database, readonly, *values = json.loads(answer)
        except ValueError as error:
            sentence = "What this session has SET (limit, offset and the like) hides its own settings: end the session"
            raise failure(48, sentence) from error
        return readonly, dict(zip(names, values, strict=True))

    def _restore(self, settings: Mapping[str, str], database: str) -> None:
        try:
            with self._translated():
                set_all(self._connection, settings)
                if database:
                    use(self._connection, database)
        except QueryFailed as error:
            self.fault = ended(error)

    def _weigh(self, call: Call) -> None:
        """Measures the temporary tables. Raises QueryFailed if they hold too much now: the session ends with them."""
        if call.statement.keyword in _READS:
            return
        try:
            ((text,),) = [json.loads(self._connection.query(_TABLE_BYTES, "JSONCompactEachRow").bytes())]
            table_bytes = int(text)
        except (ValueError, RuntimeError) as error:
            self.fault = f"what its temporary tables hold can't be said ({error})"
            raise failure(241, f"The session has ended: {self.fault}") from error
        self.fault = self._fault_of(table_bytes, self)
        if self.fault:
            raise failure(241, f"Memory limit exceeded, and the session has ended: {self.fault}")
        self.table_bytes = table_bytes
