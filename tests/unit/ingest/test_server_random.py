"""Seeded damage to valid requests, sent to both lanes: nobody crashes, hangs, or sees another's request."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from tests.support.serving import LANES, Served, closed, serving

CASES = 250
AT_ONCE = 25
HANG_SECONDS = 10
SECONDS = 0.15  # for a body that never comes; then the server answers and closes
PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b",", b"\t", b"0\r\n\r\n", b"\r\n\r\n", b"Host: x\r\n", b"Host: y\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: gzip\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"HTTP/1.0",
    b"GET /f.js HTTP/1.1\r\nHost: x\r\n\r\n", b"1e;a\r\n", b"ffffffffffffffff\r\n", b"\xff\xfe", b"CONNECT x:1 HTTP/1.1\r\n",
)  # fmt: skip


def request(dice: random.Random, name: str) -> bytes:
    body = b'{"url":"https://example.com/","name":"%b"}' % name.encode()
    kind = dice.randrange(4)
    if kind == 0:
        return b"GET /f.gif?site=example.com&name=%b HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode()
    if kind == 1:
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:9], body[9:]))
        return b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    if kind == 2:
        return b"GET /f.js HTTP/1.1\r\nHost: x\r\n\r\n"
    return b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def damaged(dice: random.Random, data: bytes) -> bytes:
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        at, upto = sorted((dice.randrange(len(data)), dice.randrange(len(data))))
        data = dice.choice(
            (
                data[:at] + dice.choice(PIECES) + data[at:],
                data[:at] + data[min(upto, at + 5) :],
                data[:at] + dice.randbytes(1) + data[at + 1 :],
                data[:upto] + data[at:upto] + data[upto:],
            )
        )
    return data


async def told(served: Served, data: bytes, cut: int) -> bytes:
    """What the server says until it closes, or says no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    answer = b""
    try:
        writer.write(data[:cut])
        await asyncio.sleep(0)
        writer.write(data[cut:])
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(HANG_SECONDS):
                while piece := await reader.read(1 << 16):
                    answer += piece
    finally:
        await closed(writer)
    return answer


@pytest.mark.parametrize("seed", [1, 2])
async def test_damage_stays_with_who_did_it(seed: int) -> None:
    """A connection's answers and rows come of its own bytes, and of no more requests than it sent; lanes store alike."""
    stored: dict[str, list[list[str]]] = {}
    cases: list[tuple[bytes, int]] = []
    is_broken: list[bool] = []  # by aiohttp's reading
    for lane in LANES:
        dice = random.Random(seed)
        cases.clear()
        for number in range(CASES):
            sent = [damaged(dice, request(dice, f"case{number}x{at}")) for at in range(dice.randrange(1, 4))]
            data = b"".join(sent) + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            cases.append((data, dice.randrange(len(data))))
        async with serving(lane, body_seconds_max=SECONDS) as served:
            for first in range(0, CASES, AT_ONCE):
                some = cases[first : first + AT_ONCE]
                answers = await asyncio.gather(*(told(served, data, cut) for data, cut in some))
                for answer in answers:
                    assert answer.startswith(b"HTTP/1.") or not answer
                    assert b"HTTP/1.1 500 " not in answer
                is_broken += [b" 400 " in answer for answer in answers] if lane == "aiohttp" else []
            names = [row.name for row in served.store.rows]
        stored[lane] = [sorted(name for name in names if name.startswith(f"case{number}x")) for number in range(CASES)]
    # One bad byte costs aiohttp all requests that came in one piece with it, the fast lane those behind it.
    differing = [
        number
        for number in range(CASES)
        if stored["fast"][number] != stored["aiohttp"][number]
        and not (is_broken[number] and set(stored["aiohttp"][number]) <= set(stored["fast"][number]))
    ]
    assert not differing, [(stored["fast"][number], stored["aiohttp"][number], cases[number]) for number in differing]
