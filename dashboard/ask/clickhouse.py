"""Asks ClickHouse over HTTP, and translates its errors. No other module of the dashboard speaks to ClickHouse.

Every question only reads (`readonly`), within limits of time, rows and bytes. Values are sent as parameters, which ClickHouse fills in
itself. If a question is given up, its connection is closed, which ends it in ClickHouse.

Values are those of ClickHouse's JSON: texts, whole numbers of any size, decimals as texts, null for NaN.

Not promised: that a question is sent only once. After a connection broke it is sent again, because it only reads.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import orjson

from dashboard.catalogue.contract import Away, Broken, Busy, Refused, Reply, Statement, TooMuch, TooSlow
from dashboard.catalogue.values import Value

CONNECT_SECONDS = 2
PING_SECONDS = 2
OVERTIME_SECONDS = 5  # ClickHouse ends slow questions itself; one that has not ended so much later counts as away
RESULT_BYTES_MAX = 16 << 20
USUAL_SECONDS = Statement(file="", sql="", parameters={}).seconds
TEXT_BYTES_MAX = 4096
LESS = "ask for a shorter period, or with fewer filters"
NOT_THERE = "ClickHouse does not answer"
NO_CLICKHOUSE = "The server at clickhouse_url is not ClickHouse, or a proxy answers for it."
NO_TABLES = "The tables are not there yet; `forebay migrate` makes them."
AWAY = {  # by ClickHouse's codes
    0: NO_CLICKHOUSE,
    60: NO_TABLES,
    81: NO_TABLES,
    192: "ClickHouse does not know the dashboard's user.",
    193: "ClickHouse does not accept the password of the dashboard's user.",
    194: "ClickHouse wants a password of the dashboard's user.",
    394: "Somebody ended this question in ClickHouse; try again.",
    497: "The dashboard's user may not read the tables of Forebay.",
    516: "ClickHouse does not accept the dashboard's user and password.",
}
# As ClickHouse unescapes a parameter: its TabSeparated form; within an array a quoted text.
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
QUOTED = str.maketrans({"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
# Of the request; what a question may use is in `settings_of`.
FORM = {
    "default_format": "JSONCompact",
    "wait_end_of_query": "1",
}  # the second, so that an error in the middle has its status
SETTINGS = {
    "readonly": "2",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_decimals": "1",
    "output_format_json_quote_denormals": "0",
    "output_format_json_named_tuples_as_objects": "0",
    "max_result_bytes": str(RESULT_BYTES_MAX),
    "cancel_http_readonly_queries_on_client_close": "1",
    "exact_rows_before_limit": "1",
}
# Errors of limits and of the server: those of whoever wrote the SQL are all others.
OURS = frozenset((*AWAY, 158, 159, 160, 201, 202, 241, 307, 396))
_log = logging.getLogger("dashboard.ask")


class ClickHouse:
    """Asks one ClickHouse as one user: an Asker that remembers nothing.

    A question may take `seconds`, unless its statement says more than is usual. Raises ValueError for what is no URL of ClickHouse.
    """

    def __init__(self, url: str, *, user: str, password: str, seconds: int, rows_max: int) -> None:
        self._socket, self._url = address(url)
        self._headers = {"X-ClickHouse-User": user}
        if password:
            self._headers["X-ClickHouse-Key"] = password
        self._seconds = seconds
        self._rows_max = rows_max
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()

    async def ping(self) -> None:
        """Returns once ClickHouse has answered `SELECT 1`. Raises Unanswered."""
        await self._ask(Statement(file="ping", sql="SELECT 1", parameters={}), PING_SECONDS)

    async def __call__(self, statement: Statement, /) -> Reply:
        """Returns what ClickHouse answers. Raises Unanswered, and Refused for a value that can't be sent to it."""
        is_usual = statement.seconds <= USUAL_SECONDS
        return await self._ask(statement, self._seconds if is_usual else statement.seconds)

    async def _ask(self, statement: Statement, seconds: int) -> Reply:
        body, kind = _form(statement.sql, statement.parameters)
        asked = FORM | settings_of(seconds=seconds, rows_max=self._rows_max)
        asked["log_comment"] = f"dashboard:{statement.file}"
        if statement.rows_max:
            asked["limit"] = str(statement.rows_max)
        if statement.is_foreign:
            asked["database"] = "forebay"
        headers = self._headers | {"Content-Type": kind}
        limit = aiohttp.ClientTimeout(total=seconds + OVERTIME_SECONDS, connect=CONNECT_SECONDS)
        for is_last in (False, True):  # the first may meet a connection that ClickHouse has closed meanwhile
            try:
                async with self._sessions().post(
                    self._url, params=asked, data=body, headers=headers, timeout=limit
                ) as answer:
                    content = await answer.read()
                    if answer.status != 200:
                        raise _meaning(content, statement, seconds)
                    return _reply(content)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise Away(f"{NOT_THERE}; try again.") from error
            except TimeoutError as error:
                raise Away(f"ClickHouse did not answer within {seconds + OVERTIME_SECONDS} s; try again.") from error
            except aiohttp.ClientError as error:
                if is_last:
                    raise Away(f"{NOT_THERE}; try again.") from error
        raise AssertionError("the last try returns or raises")

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:  # made within the event loop
            connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def settings_of(*, seconds: int, rows_max: int) -> dict[str, str]:
    """Returns ClickHouse's settings of a question. `readonly` stands first, and a user that can only read may set all of them."""
    return SETTINGS | {"max_execution_time": str(seconds), "max_result_rows": str(rows_max)}


def address(url: str) -> tuple[str, str]:
    """Returns the path of a socket, or "", and the URL to ask. Raises ValueError for what is no URL of ClickHouse."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path and not parts.hostname:
        return parts.path, "http://localhost/"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an http://, https:// or unix:// URL of ClickHouse")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (8443 if parts.scheme == "https" else 8123)
    return "", f"{parts.scheme}://{host}:{port}{parts.path or '/'}"


def _reply(content: bytes) -> Reply:
    try:
        said = orjson.loads(content)
        return Reply(
            columns=tuple(column["name"] for column in said["meta"]),
            rows=said["data"],
            as_of=int(time.time()),
            total=said.get("rows_before_limit_at_least", len(said["data"])),
            read_rows=said["statistics"]["rows_read"],
        )
    except (ValueError, LookupError, TypeError) as error:
        raise Away(NO_CLICKHOUSE) from error


def _meaning(content: bytes, statement: Statement, seconds: int) -> Exception:
    """Returns our error for an error of ClickHouse. The text of ClickHouse's may contain values of the question, so it is not logged."""
    text = content[:TEXT_BYTES_MAX].decode("utf-8", "replace")
    found = re.match(r"Code: (\d+)", text)
    code = int(found[1]) if found else 0
    is_theirs = statement.is_foreign and code not in OURS
    error = Refused(text.partition(" (version ")[0]) if is_theirs else _error(code, statement.file, seconds)
    error.__cause__ = RuntimeError(text)
    return error


def _error(code: int, file: str, seconds: int) -> Exception:
    if code in {159, 160}:
        return TooSlow(f"This question took longer than {seconds} s: {LESS}.")
    if code in {158, 241, 307, 396}:
        return TooMuch(f"This question needs more memory or has more rows than it may: {LESS}.")
    if code in {201, 202}:
        return Busy("ClickHouse is busy; try again.")
    if code == 427:
        return Refused("ClickHouse can't read a pattern of this filter.")
    if code in AWAY:
        return Away(AWAY[code])
    _log.error("the question %s can't be asked: ClickHouse says %d", file, code)
    return Broken(f"The question `{file}` can't be asked: ClickHouse says {code}.")


def _form(sql: str, parameters: Mapping[str, Value]) -> tuple[bytes, str]:
    """Returns the body that carries a statement and its parameters, and the body's content type. Raises Refused."""
    mark = secrets.token_hex(16)
    fields = {"query": sql} | {f"param_{name}": _written(value) for name, value in parameters.items()}
    parts = (
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    try:
        return f"{''.join(parts)}--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"
    except UnicodeEncodeError as error:
        raise Refused("A text of this question has half a character (a lone surrogate).") from error


def _written(value: Value) -> str:
    if isinstance(value, str):
        return value.translate(ESCAPES)
    if isinstance(value, list):
        return "[" + ",".join(f"'{one.translate(QUOTED)}'" if isinstance(one, str) else str(one) for one in value) + "]"
    return str(value)
