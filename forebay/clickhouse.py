"""Asks ClickHouse over HTTP for the command line: one statement, and its answer as text or as rows.

It uses the standard library alone, because `forebay up` must not pay for clickhouse-connect (0.15 s and 10 MB at each
start) to send a few CREATE statements. The flusher and the dashboard use the real client.

Values travel as parameters (`{name:Type}` in the statement), which ClickHouse fills in itself, so no value is ever read
as SQL. They are sent as the fields of a form: the line of a URL has room for 8 kB, and the minutes that an audit asks
about may be 14 kB. Only what can be no parameter (ON CLUSTER, comments in CREATE) is written with `literal` of schemas/sql.py.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from schemas.sql import LONGEST_SECONDS

READ_BYTES = 1 << 16
ANSWER_SECONDS = 60.0
FOREVER_SECONDS = 86_400.0
# As ClickHouse unescapes a parameter: its TabSeparated form.
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
Value = str | int | Sequence[int]


class ClickHouseError(Exception):
    """Reports that ClickHouse refused a statement, with its `code`, or did not answer (code 0)."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Condition(NamedTuple):
    """Holds an expression for WHERE, and the values of its parameters by name."""

    sql: str
    parameters: Mapping[str, Value]


class ClickHouse:
    """Sends statements to one server as one user, each over a connection of its own.

    With `is_patient` a statement may take as long as the server lets anybody ask for, instead of the time that it gives
    to a statement that asks for nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "default",
        password: str = "",
        timeout_seconds: float = ANSWER_SECONDS,
        is_patient: bool = False,
    ) -> None:
        parts = urlsplit(url)
        is_socket = parts.scheme == "unix" and parts.path and not parts.hostname
        if not is_socket and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ClickHouseError(f"{url!r} is not an http://, https:// or unix:// URL of ClickHouse")
        self._parts = parts
        self._timeout_seconds = timeout_seconds
        self._time: dict[str, str] | None = None if is_patient else {}  # None: the server was not asked yet
        self._headers = {}
        if user != "default" or password:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    def run(self, statement: str, parameters: Mapping[str, Value] | None = None, /, **settings: str) -> str:
        """Returns the whole answer. Raises ClickHouseError."""
        return b"".join(self.stream(statement, settings, parameters)).decode("utf-8", "replace")

    def rows(self, statement: str, parameters: Mapping[str, Value] | None = None) -> list[dict[str, Any]]:
        """Returns the rows of a SELECT that names no format, each as a dictionary by column. Raises ClickHouseError."""
        text = self.run(
            statement,
            parameters,
            default_format="JSONEachRow",
            output_format_json_quote_64bit_integers="0",  # Python's integers have no limit, so they need no quotes
            select_sequential_consistency="1",
        )
        return [json.loads(line) for line in text.splitlines()]

    def stream(
        self, statement: str, settings: Mapping[str, str], parameters: Mapping[str, Value] | None = None
    ) -> Iterator[bytes]:
        """Yields the answer piece by piece. Raises ClickHouseError."""
        if self._time is None:
            self._time = {}
            if found := self.run(f"{LONGEST_SECONDS} FORMAT TabSeparated").strip():
                self._time = {"max_execution_time": found}
                self._timeout_seconds = max(self._timeout_seconds, float(found) or FOREVER_SECONDS)
        settings = {**self._time, **settings}
        connection = self._connection()
        base = "/" if self._parts.scheme == "unix" else self._parts.path or "/"
        path = f"{base}?{urlencode(settings, quote_via=quote)}"
        body, headers = statement.encode(), self._headers
        if parameters:
            body, kind = _form(statement, parameters)
            headers = {**headers, "Content-Type": kind}
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise _fault(answer.read(READ_BYTES).decode("utf-8", "replace").strip(), answer.status)
            while piece := answer.read(READ_BYTES):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise ClickHouseError(
                f"ClickHouse does not answer at {self.address}: {type(error).__name__} {error}"
            ) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._parts.scheme == "unix":
            return _SocketConnection(self._parts.path, timeout=self._timeout_seconds)
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        return kind(self._parts.hostname, self._parts.port or _port(self._parts.scheme), timeout=self._timeout_seconds)

    @property
    def address(self) -> str:
        """Returns scheme, host and port, or the socket, for messages: without a password that the URL may hold."""
        if self._parts.scheme == "unix":
            return f"unix://{self._parts.path}"
        return f"{self._parts.scheme}://{self._parts.hostname}:{self._parts.port or _port(self._parts.scheme)}"


class _SocketConnection(http.client.HTTPConnection):
    """Speaks HTTP over a unix socket."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _port(scheme: str) -> int:
    return 8443 if scheme == "https" else 8123


def _form(statement: str, parameters: Mapping[str, Value]) -> tuple[bytes, str]:
    """Returns the body that carries a statement and its parameters, and the body's content type."""
    mark = secrets.token_hex(16)
    fields = {"query": statement} | {f"param_{name}": _written(value) for name, value in parameters.items()}
    parts = (
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{''.join(parts)}--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def _written(value: Value) -> str:
    if isinstance(value, str):
        return value.translate(ESCAPES)
    return str(value) if isinstance(value, int) else f"[{','.join(map(str, value))}]"


def _fault(text: str, status: int) -> ClickHouseError:
    found = re.match(r"Code: (\d+)", text)
    return ClickHouseError(text or f"HTTP status {status}", int(found.group(1)) if found else 0)
