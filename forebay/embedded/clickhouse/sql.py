"""Reads just enough SQL to carry one HTTP request to the engine: where an INSERT's data begins, and its format.

The engine would run whatever follows an empty line in inline INSERT data as more SQL, so the bytes after `FORMAT X`
must never reach its parser. They are cut off here and travel as data.

Not promised: to understand SQL. The engine's own parser refuses a statement that is read wrongly here, and nothing is
decided here about what a statement may do (guard.py and the engine's grants decide that).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# The engine's max_query_size. An INSERT's data does not count, because it was cut off before.
SQL_BYTES_MAX = 262_144

# The error codes that this port gives in the engine's place, as ClickHouse numbers and names them.
NAMES = {
    36: "BAD_ARGUMENTS",
    40: "CHECKSUM_DOESNT_MATCH",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    73: "UNKNOWN_FORMAT",
    89: "UNKNOWN_COMPRESSION_METHOD",
    115: "UNKNOWN_SETTING",
    159: "TIMEOUT_EXCEEDED",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    241: "MEMORY_LIMIT_EXCEEDED",
    243: "NOT_ENOUGH_SPACE",
    271: "CANNOT_DECOMPRESS",
    307: "TOO_MANY_BYTES",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    374: "INVALID_SESSION_TIMEOUT",
    396: "TOO_MANY_ROWS_OR_BYTES",
    497: "ACCESS_DENIED",
    511: "UNKNOWN_ROLE",
    516: "AUTHENTICATION_FAILED",
}

_TOKEN = re.compile(
    rb"""
      (?P<space>[\s\0]+ | --[^\n]* | //[^\n]* | \#[\ !][^\n]*)
    | (?P<comment>/\*)
    | (?P<quoted>'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*`
        | \xe2\x80\x98.*?\xe2\x80\x99 | \xe2\x80\x9c.*?\xe2\x80\x9d
        | (?P<tag>\$\w*\$).*?(?P=tag))
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    | (?P<other>\d\w* | .)
    """,
    re.VERBOSE | re.DOTALL,
)
_Token = tuple[str, bytes, int, int]  # kind, bytes, start, end
_KILL = re.compile(
    rb"(\s*KILL\s+QUERY\s+WHERE\s+)query_id\s*=\s*('(?:[^'\\]|\\.|'')*')((?:\s+(?:SYNC|ASYNC|TEST))?(?:\s+FORMAT\s+\w+)?[\s;]*)",
    re.IGNORECASE,
)
_BLANKS = re.compile(rb"[ \t\f]*\r?\n?")
_COMMENT_EDGE = re.compile(rb"/\*|\*/")


class QueryFailed(Exception):
    """Reports a statement that was not carried out: ClickHouse's number of the error, and its text in that form."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def failure(code: int, sentence: str) -> QueryFailed:
    """Makes an error of our own, in the form in which the engine words its errors."""
    return QueryFailed(code, f"Code: {code}. DB::Exception: {sentence}. ({NAMES[code]})")


def quoted(text: str, mark: str) -> str:
    """Returns a text as a literal or a name of SQL, between two marks."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


class Statement(NamedTuple):
    """Holds one statement. `sql` is all that the engine parses.

    With `data_format` it is an INSERT up to its SETTINGS, and `data` holds its rows.
    """

    sql: bytes
    keyword: str
    output_format: str | None = None
    settings: bytes = b""
    data_format: str | None = None
    data: bytes | memoryview = b""


def read(text: bytes) -> Statement:
    """Splits one statement.

    Raises QueryFailed for text that ends within a comment, or is an INSERT that can't be split.
    """
    tokens = _tokens(text)
    keyword = next((token for kind, token, _, _ in tokens if kind == "word"), b"").upper()
    if keyword == b"INSERT":
        return _read_insert(text, tokens)
    _check_size(len(text))
    return Statement(text, keyword.decode(), output_format=_output_format(text))


def naming_comments(statement: Statement) -> Statement:
    """Returns a KILL QUERY by its id so that it finds the query that a client knows by that id.

    The engine gives each query an id of its own, and the client's is in log_comment. JDBC's `cancel` sends this.
    """
    found = _KILL.fullmatch(statement.sql) if statement.keyword == "KILL" else None
    if found is None:
        return statement
    begin, name, end = found.groups()
    return statement._replace(sql=b"%b(query_id = %b OR Settings['log_comment'] = %b)%b" % (begin, name, name, end))


def with_body(query: bytes, body: bytes) -> Statement:
    """Returns the statement of one request: SQL in the URL, in the body, or begun in the URL and continued in the body."""
    if not body:
        return read(query)
    if not query.strip():
        return read(body)
    if query.lstrip()[:6].upper() == b"INSERT":
        head = _try_read(query)
        if head is not None and head.data_format is not None:
            return head._replace(data=bytes(head.data) + b"\n" + body if head.data else body)
    return read(query + b"\n" + body)


def _try_read(text: bytes) -> Statement | None:
    try:
        return read(text)
    except QueryFailed:
        return None


def _read_insert(text: bytes, tokens: Iterator[_Token]) -> Statement:
    depth = 0
    settings_at = None
    for kind, token, start, end in tokens:
        if kind == "other":
            depth += (token == b"(") - (token == b")")
        if kind != "word" or depth:
            continue
        match token.upper():
            case b"SELECT" | b"WITH" | b"WATCH":
                _check_size(len(text))
                return Statement(text, "INSERT", output_format=_output_format(text))
            case b"SETTINGS":
                settings_at = start
            case b"VALUES":
                return _with_data(text, settings_at, start, end, b"Values")
            case b"FORMAT":
                name, name_end = _format_name(text, tokens)
                return _with_data(text, settings_at, start, name_end, name)
            case _:
                continue
    raise failure(62, "Syntax error: an INSERT needs VALUES, FORMAT or SELECT")


def _format_name(text: bytes, tokens: Iterator[_Token]) -> tuple[bytes, int]:
    for kind, token, _, end in tokens:
        if kind == "word":
            return token, end
        break
    raise failure(62, f"Syntax error: FORMAT without a name in {text[:80]!r}")


def _with_data(text: bytes, settings_at: int | None, head_end: int, name_end: int, name: bytes) -> Statement:
    _check_size(head_end)
    # ClickHouse skips blanks and one line end after the format's name; everything later is data.
    data_at = _BLANKS.match(text, name_end).end()  # type: ignore[union-attr]  # it matches nothing at least
    sql_end = head_end if settings_at is None else settings_at
    return Statement(
        text[:sql_end],
        "INSERT",
        settings=text[sql_end:head_end],
        data_format=name.decode(),
        data=memoryview(text)[data_at:],
    )


def _output_format(text: bytes) -> str | None:
    """Returns the format that a query names itself: the last `FORMAT name` at its end or before SETTINGS."""
    words = [(token.upper() if kind == "word" else b"?", token) for kind, token, _, _ in _tokens(text) if token != b";"]
    for at in range(len(words) - 2, -1, -1):
        follower = words[at + 2][0] if at + 2 < len(words) else b"SETTINGS"
        if words[at][0] == b"FORMAT" and words[at + 1][0] != b"?" and follower == b"SETTINGS":
            return words[at + 1][1].decode()
    return None


def _tokens(text: bytes) -> Iterator[_Token]:
    """Yields each token; space and comments (which nest) are left out."""
    at = 0
    while match := _TOKEN.match(text, at):
        kind = match.lastgroup if match.lastgroup != "tag" else "quoted"
        at = match.end()
        if kind == "comment":
            at = _comment_end(text, at)
        elif kind != "space":
            yield str(kind), match.group(), match.start(), at


def _comment_end(text: bytes, at: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            raise failure(62, "Syntax error: a comment is not closed")
        depth += 1 if edge.group() == b"/*" else -1
        at = edge.end()
    return at


def _check_size(sql_bytes: int) -> None:
    if sql_bytes > SQL_BYTES_MAX:
        raise failure(62, f"Syntax error: max_query_size exceeded: {sql_bytes} of {SQL_BYTES_MAX} bytes of SQL")
