"""Requests that two servers in a row could read differently: refused in both lanes, counted, and nothing behind them is
read.
"""

from __future__ import annotations

import re

import pytest

from ingest.fates import Reason
from tests.support.serving import LANES, serving

BODY = b'{"url":"https://example.com/"}'
BEHIND = b"GET /f.gif?site=example.com&name=smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /f HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
CHUNKED = POST + HOST + b"Transfer-Encoding: chunked\r\n"

REFUSED = {
    "length and chunks": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + HOST + b"Content-Length: 30\r\nContent-Length: 0\r\n\r\n" + BODY,
    "two equal lengths": POST + HOST + b"Content-Length: 30\r\ncontent-length: 30\r\n\r\n" + BODY,
    "a list of lengths": POST + HOST + b"Content-Length: 30, 30\r\n\r\n" + BODY,
    "a length with a sign": POST + HOST + b"Content-Length: +30\r\n\r\n" + BODY,
    "a hexadecimal length": POST + HOST + b"Content-Length: 0x1e\r\n\r\n" + BODY,
    "a negative length": POST + HOST + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length beyond 64 bits": POST + HOST + b"Content-Length: 99999999999999999999\r\n\r\n" + BODY,
    "no digits of a length": POST + HOST + b"Content-Length: \r\n\r\n" + BODY,
    "a folded field": POST + HOST + b"X-A: b\r\n Content-Length: 30\r\n\r\n",
    "a folded coding": POST + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "lines end in LF": POST.replace(b"\r", b"") + HOST.replace(b"\r", b"") + b"Content-Length: 30\n\n" + BODY,
    "one line ends in LF": POST + b"Host: x\nContent-Length: 30\r\n\r\n" + BODY,
    "a head ends in LF": POST + HOST + b"Content-Length: 30\r\n\n" + BODY,
    "a CR alone": POST + b"Host: x\rContent-Length: 30\r\n\r\n" + BODY,
    "NUL in a value": POST + HOST + b"X-A: \0\r\nContent-Length: 30\r\n\r\n" + BODY,
    "NUL in a name": POST + HOST + b"X-\0A: b\r\nContent-Length: 30\r\n\r\n" + BODY,
    "NUL in the target": b"GET /f.gif?site=example.com\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space before the colon": POST + HOST + b"Content-Length : 30\r\n\r\n" + BODY,
    "a field without a name": POST + HOST + b": 30\r\n\r\n" + BODY,
    "a field without a colon": POST + HOST + b"Content-Length 30\r\n\r\n" + BODY,
    "a chunk's size is no number": CHUNKED + b"\r\nzz\r\n",
    "a chunk's size has a sign": CHUNKED + b"\r\n-1\r\n",
    "a chunk's size has a prefix": CHUNKED + b"\r\n0x1e\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk's size wraps around": CHUNKED + b"\r\n1000000000000001e\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk is longer than it says": CHUNKED + b"\r\n1d\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk's line ends in LF": CHUNKED + b"\r\n1e\n" + BODY + b"\r\n0\r\n\r\n",
    "two codings": POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two fields of codings": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "a coding nobody knows": POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding in quotes": POST + HOST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n",
    "HTTP/0.9": b"GET /f.gif?site=example.com HTTP/0.9\r\nHost: x\r\n\r\n",
    "no version": b"GET /f.gif?site=example.com\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": POST + b"Content-Length: 30\r\n\r\n" + BODY,
    "two hosts": POST + HOST + b"Host: y\r\nContent-Length: 30\r\n\r\n" + BODY,
    "two equal hosts": POST + HOST + b"host: x\r\nContent-Length: 30\r\n\r\n" + BODY,
    "a list of hosts": POST + b"Host: x, y\r\nContent-Length: 30\r\n\r\n" + BODY,
    "no host elsewhere": b"GET /f.js HTTP/1.1\r\n\r\n",
    "two hosts elsewhere": b"GET /f.js HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "101 fields": POST + HOST + b"X-A: b\r\n" * 100 + b"\r\n",
    "a line of 9 kB": POST + HOST + b"X-A: " + b"b" * 9_000 + b"\r\n\r\n",
    "a target of 9 kB": b"GET /f.gif?site=example.com&title=" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a head of 40 kB": POST + HOST + (b"X-A: " + b"b" * 8_000 + b"\r\n") * 5 + b"\r\n",
}
# aiohttp reads over what stands beside chunks, within its limits, and nobody sees it; what begins with no method it
# does not log, so that it is not counted.
STRICTLY_REFUSED = {
    "a method in lower case": b"get /f.gif?site=example.com HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
    "a chunk extension": CHUNKED + b"\r\n1e;a=b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a trailer": CHUNKED + b"\r\n1e\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a chunk's size has nine digits": CHUNKED + b"\r\n00000001e\r\n" + BODY + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("lane", LANES)
async def test_what_can_be_read_in_two_ways_is_refused(lane: str, request_bytes: bytes) -> None:
    """One 400, the connection's end, one count; and what stands behind it is nobody's request."""
    await refused(lane, request_bytes)


@pytest.mark.parametrize("request_bytes", STRICTLY_REFUSED.values(), ids=STRICTLY_REFUSED.keys())
async def test_the_fast_lane_is_stricter(request_bytes: bytes) -> None:
    """Chunks are sizes and bytes alone there."""
    await refused("fast", request_bytes)


async def refused(lane: str, request_bytes: bytes) -> None:
    async with serving(lane) as served:
        answer = await served.raw(request_bytes + BEHIND)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
        assert not re.findall(rb"^HTTP/1\.[01] (?!400 )", answer, re.MULTILINE), answer
        assert served.bench.counts.rejections == {("", Reason.MALFORMED_REQUEST): 1}
        assert served.store.rows == []
