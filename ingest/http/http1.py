"""Makes requests of bytes and bytes of answers, as HTTP/1.1 has them. It does no I/O.

How it works. A head ends with the first empty line, and a body's length is said in its head or
before each of its chunks. So the end of a request is known without asking a parser, and the bytes
behind it can be given to another reader. Each head is one whole piece of bytes for an llhttp parser
of its own (making one takes 0.25 us), which must find exactly one head in it: nothing of one
request can reach another, whatever stands in it.

Beyond what llhttp refuses, these are `Malformed`: no Host or several, a length that is said in two
ways, a transfer coding other than `chunked`, versions other than 1.0 and 1.1, chunk extensions and
trailers, and heads over a limit. aiohttp judges and answers what llhttp takes but is not for a
collecting route, or says HTTP/1.0 or Expect.

Not promised: that a body means anything.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from http import HTTPStatus

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from ingest.collect.collector import Collector
from ingest.collect.exchange import Asked, Reply
from ingest.dialects.cors import Pairs

HEAD_BYTES_MAX = 32 << 10  # of a whole head; browsers send 0.5 to 3 kB, cookies and all
LINE_BYTES_MAX = 8_190  # of the request line and of each header field; an /f.gif is one line
HEADERS_MAX = 100
FIELD_WEIGHT = 180  # bytes that a header field takes beside its text: a pair of objects, and their places
CHUNKED = -1
LENGTH_DIGITS_MAX = 18  # of a body's length
HEAD_END = b"\r\n\r\n"
HEADS_CACHED = 1_024  # of answers, at most 0.5 kB each; all are forgotten when full, and every second
NO_LENGTH = frozenset((204, 304))
# Of a line that is not whole yet: what it can still become.
_request_line = re.compile(rb"[A-Z]+ [^ ]+ HTTP/1\.[01]\r\n").match
_size_line = re.compile(rb"[0-9A-Fa-f]{1,8}").fullmatch
_size_begun = re.compile(rb"[0-9A-Fa-f]{0,8}\r?").fullmatch
_is_last = {b"close": True, b"Close": True, b"keep-alive": False, b"Keep-Alive": False}

Fields = dict[bytes, bytes]
HeaderList = list[tuple[bytes, bytes]]


class Malformed(Exception):
    """Says that this is not HTTP/1.1 as we speak it, or that a proxy before us could read it differently."""


class Framed(msgspec.Struct, gc=False):
    """Holds a collecting request without its body and its length. `is_last`: the client asks for the connection's end."""

    asked: Asked
    is_last: bool
    weight: int  # bytes it takes until its request is answered; 0 if many requests share it


class HeadReader:
    """Makes heads of their bytes. One reader serves every connection, because it remembers nothing between two heads."""

    def __init__(self, collector: Collector) -> None:
        self._asked = collector.asked
        self._headers: HeaderList = []
        self._targets: list[bytes] = []
        self._is_whole = False
        self._methods: dict[bytes, str] = {}

    def read(self, raw: bytes) -> tuple[Framed, int] | None:
        """Returns the head in `raw`, which ends with its first empty line, and its body's length or CHUNKED.

        Returns None if the request is for aiohttp. Raises Malformed.
        """
        headers = self._headers = []
        self._targets = []
        self._is_whole = False
        parser = HttpRequestParser(self)
        try:
            parser.feed_data(raw)
        except HttpParserUpgrade:
            pass  # Java's client offers h2c, and an offer need not be taken (RFC 9110, 7.8)
        except HttpParserError:
            raise Malformed from None
        if not self._is_whole or len(self._targets) != 1 or len(headers) > HEADERS_MAX:
            raise Malformed
        if len(raw) > LINE_BYTES_MAX and max(map(len, raw.split(b"\r\n"))) > LINE_BYTES_MAX:
            raise Malformed
        first = raw.find(b"\r\n")
        version = raw[first - 9 : first]
        if version not in {b" HTTP/1.1", b" HTTP/1.0"}:
            raise Malformed
        if version == b" HTTP/1.0":
            return None
        asked = self._asked(self._method(parser.get_method()), self._targets[0], headers)
        if asked is None:
            return None
        fields = asked.head.fields
        # An answer to HEAD says the length of a body that it does not have: aiohttp knows how.
        is_spoken = asked.head.method == "OPTIONS" or (asked.dialect is not None and asked.head.method != "HEAD")
        if not is_spoken or b"expect" in fields:
            return None
        said = fields.get(b"connection")
        is_last = said is not None and ends(said)
        length = _body_bytes(fields)
        return Framed(asked, is_last, len(raw) + FIELD_WEIGHT * len(headers)), length

    def on_url(self, target: bytes) -> None:
        self._targets.append(target)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_whole = True

    def _method(self, name: bytes) -> str:
        known = self._methods.get(name)
        if known is None:
            known = self._methods[name] = name.decode("ascii")  # llhttp knows 30
        return known


def _body_bytes(fields: Fields) -> int:
    """Returns the length of the body, or CHUNKED. Raises Malformed.

    Copies of a field are joined by a comma (ingest/dialects/request.py), and none of these three fields may hold one.
    """
    if b"," in fields.get(b"host", b","):
        raise Malformed
    coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if coding is not None:
        if coding != b"chunked" or length is not None:
            raise Malformed
        return CHUNKED
    if length is None:
        return 0
    if not length.isdigit() or len(length) > LENGTH_DIGITS_MAX:
        raise Malformed
    return int(length)


def ends(connection: bytes) -> bool:
    """Returns whether a Connection field asks for the end of the connection."""
    known = _is_last.get(connection)
    if known is None:
        return b"close" in [word.strip() for word in connection.lower().split(b",")]
    return known


class Begun:
    """Checks a head that comes in pieces: whether it can still become one. It looks at each byte once."""

    __slots__ = ("_has_line", "_parser", "size")

    def __init__(self) -> None:
        self._parser = HttpRequestParser(_NOBODY)
        self._has_line = False
        self.size = 0  # bytes that were looked at

    def check(self, data: bytes) -> None:
        """Checks what is new in `data`, which is all that came so far. Raises Malformed."""
        if len(data) > HEAD_BYTES_MAX:
            raise Malformed
        if not self._has_line and b"\r\n" in data:
            if not _request_line(data):
                raise Malformed  # llhttp would take HTTP/0.9 and wait
            self._has_line = True
        try:
            self._parser.feed_data(data[self.size :])
        except (HttpParserError, HttpParserUpgrade):
            raise Malformed from None
        self.size = len(data)


_NOBODY = object()


class Sized:
    """Collects a body of a known length.

    `content` is one object, because a client that sends 2 B at a time would make 30 times as much of a list of pieces.
    """

    __slots__ = ("_left", "content")

    def __init__(self, length: int) -> None:
        self._left = length
        self.content = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Takes a piece, and returns the bytes behind the body, or None while the body isn't whole."""
        piece = data[: self._left]
        self.content += piece
        self._left -= len(piece)
        return None if self._left else data[len(piece) :]


class Chunked:
    """Collects a body in chunks. A size is 1 to 8 hexadecimal digits; nothing may stand beside it, or behind the last chunk."""

    __slots__ = ("_begun", "_closing", "_is_final", "_left", "content")

    def __init__(self) -> None:
        self._begun = b""  # of a line, or of a chunk's closing CRLF
        self._closing = False  # CRLF comes next
        self._is_final = False
        self._left = 0
        self.content = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Takes a piece, and returns the bytes behind the body, or None while the body isn't whole. Raises Malformed."""
        data, self._begun = self._begun + data, b""
        at = 0
        while True:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self.content += piece
                if self._left:
                    return None
                self._closing = True
            if self._closing:
                closing = data[at : at + 2]
                if not b"\r\n".startswith(closing):
                    raise Malformed
                if len(closing) < 2:
                    self._begun = closing
                    return None
                at += 2
                self._closing = False
                if self._is_final:
                    return data[at:]
            end = data.find(b"\r\n", at)
            if end < 0:
                self._begun = data[at:]
                if not _size_begun(self._begun):
                    raise Malformed
                return None
            if not _size_line(data, at, end):
                raise Malformed
            self._left = int(data[at:end], 16)
            self._is_final = self._closing = not self._left
            at = end + 2


class Answers:
    """Makes answers of bytes, and remembers some of them for the second in which their Date is right.

    Whole answers are remembered by their Reply, because most replies are one object (collector.py); others by status and
    headers, without their body.
    """

    def __init__(self) -> None:
        self._whole: dict[Reply, bytes] = {}
        self._heads: dict[tuple[int, Pairs, bool], bytes] = {}
        self._date = b""
        self.tick()

    def tick(self) -> None:
        """Sets the Date, and forgets the answers that have the old one. Call it each second."""
        self._date = formatdate(time.time(), usegmt=True).encode()
        self._whole.clear()
        self._heads.clear()

    def of(self, reply: Reply, is_final: bool) -> bytes:
        """Returns an answer as bytes; with `is_final` it says that the connection ends."""
        if not is_final:
            known = self._whole.get(reply)
            if known is not None:
                return known
        key = (reply.status, reply.headers, is_final)
        head = self._heads.get(key)
        if head is None:
            head = self._head(*key)
        body = reply.body
        if body:
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        whole = head + (b"\r\n" if reply.status in NO_LENGTH else b"content-length: 0\r\n\r\n")
        if not is_final and len(self._whole) < HEADS_CACHED:
            self._whole[reply] = whole
        return whole

    def _head(self, status: int, headers: Pairs, is_final: bool) -> bytes:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"date: " + self._date]
        lines += [name + b": " + value for name, value in headers]
        if is_final:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines) + b"\r\n"
        if len(self._heads) >= HEADS_CACHED:
            self._heads.clear()
        self._heads[status, headers, is_final] = head
        return head
