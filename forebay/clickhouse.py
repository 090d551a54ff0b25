"""ClickHouse over HTTP for the command line: one statement, one answer as text.

Standard library alone: `forebay up` must not pay for clickhouse-connect (0.15 s and 10 MB at
each start) to send a few CREATE statements. The flusher and the dashboard use the real client.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

READ_BYTES = 1 << 16
FOREVER_SECONDS = 86_400.0
# The most that may be asked for; 0 where there is no bound, no row where there is no limit or it may not be changed.
TIME = """
SELECT ifNull(max, '0') FROM system.settings WHERE name = 'max_execution_time' AND value != '0' AND NOT readonly
FORMAT TabSeparated
"""


class ClickHouseError(Exception):
    """ClickHouse refused the statement, with its `code`, or did not answer (code 0)."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class ClickHouse:
    """One server as one user. Opens a connection per statement.

    `is_patient`: each statement may take as long as the server lets one ask for, not as long as it gives by itself.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "default",
        password: str = "",
        timeout_seconds: float = 60,
        is_patient: bool = False,
    ) -> None:
        parts = urlsplit(url)
        is_socket = parts.scheme == "unix" and parts.path and not parts.hostname
        if not is_socket and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ClickHouseError(f"{url!r} is no http://, https:// or unix:// URL of ClickHouse")
        self._parts = parts
        self._timeout_seconds = timeout_seconds
        self._time: dict[str, str] | None = None if is_patient else {}  # None: the server was not asked yet
        self._headers = {}
        if user != "default" or password:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    def run(self, statement: str, **settings: str) -> str:
        """The whole answer. Raises ClickHouseError."""
        return b"".join(self.stream(statement, settings)).decode("utf-8", "replace")

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Returns the rows of a SELECT that ends in FORMAT JSONEachRow. Raises ClickHouseError."""
        # an integer of 64 bits stays a number: Python's have no limit
        text = self.run(statement, output_format_json_quote_64bit_integers="0", select_sequential_consistency="1")
        return [json.loads(line) for line in text.splitlines()]

    def stream(self, statement: str, settings: Mapping[str, str]) -> Iterator[bytes]:
        """The answer, piece by piece. Raises ClickHouseError."""
        if self._time is None:
            self._time = {}
            if found := self.run(TIME).strip():
                self._time = {"max_execution_time": found}
                self._timeout_seconds = max(self._timeout_seconds, float(found) or FOREVER_SECONDS)
        settings = {**self._time, **settings}
        connection = self._connection()
        base = "/" if self._parts.scheme == "unix" else self._parts.path or "/"
        path = f"{base}?{urlencode(settings, quote_via=quote)}"
        try:
            connection.request("POST", path, statement.encode(), self._headers)
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
        """Scheme, host and port, without a password that the URL may have; or the socket."""
        if self._parts.scheme == "unix":
            return f"unix://{self._parts.path}"
        return f"{self._parts.scheme}://{self._parts.hostname}:{self._parts.port or _port(self._parts.scheme)}"


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _port(scheme: str) -> int:
    return 8443 if scheme == "https" else 8123


def _fault(text: str, status: int) -> ClickHouseError:
    found = re.match(r"Code: (\d+)", text)
    return ClickHouseError(text or f"HTTP status {status}", int(found.group(1)) if found else 0)


def literal(text: str) -> str:
    """Text as a string literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
