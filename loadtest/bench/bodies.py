"""Makes what wrk sends: files of the load test's own visitors (`generate.py`), from a seed.

There are two kinds. A fixed body is one request again and again, without ids, because a server may take the same id for
a retry. A crowd is many visitors with a few events each, and every event has an id of its own.
"""

from __future__ import annotations

import re
import time
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.load.generate import Plan, requests

if TYPE_CHECKING:
    from pathlib import Path

SITE = "bench.example"
EVENT_BYTES = 250  # of the one event that P1 sends: the median of a pageview without its id
EVENTS_PER_VISIT = 4  # in one request of a crowd, as in an SDK's batch; 64 connections then fill entries as a busy hour
CROWD = 20_000  # requests in a file of 26 MB; after them the visitors come again from other addresses
# One event as the tracker sends it.
EVENT = {
    "name": "pageview",
    "site": SITE,
    "url": f"https://{SITE}/docs/guide/install-17?utm_source=newsletter&utm_medium=email",
    "referrer": "https://www.google.com/",
    "title": "Install guide · how we measure",
    "language": "en-US",
    "screen": [1920, 1080],
}


class Fixed(NamedTuple):
    """Names the two files of `fixed.lua`, and says what they hold."""

    body: Path
    headers: Path
    events: int
    fields: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        return [str(self.body), str(self.headers)]


def fixed(directory: Path, events: int) -> Fixed:
    """Writes a body of one event, or of an array of so many different ones."""
    plan = Plan(rate=1000 * events, duration_s=1, bodies=((events, 1.0),), sites=(SITE,), seed=7)
    request = next(requests(plan))
    found = [EVENT] if events == 1 else msgspec.json.decode(request.body)
    for event in found:
        event.pop("id", None)
        event.pop("ts", None)  # it would grow old in a fixed body
    body, headers = directory / f"body-{events}", directory / f"headers-{events}"
    body.write_bytes(msgspec.json.encode(found[0] if events == 1 else found))
    headers.write_bytes(request.headers.replace(b"\r\n", b"\n"))
    fields = dict(line.split(": ", 1) for line in request.headers.decode("ascii").splitlines())
    return Fixed(body, headers, events, fields)


def crowd(directory: Path, host: str, count: int = CROWD) -> list[str]:
    """Writes the file of `crowd.lua`, and returns its arguments without the seed."""
    path = directory / "crowd"
    plan = Plan(
        rate=count * EVENTS_PER_VISIT,
        duration_s=1,
        bodies=((EVENTS_PER_VISIT, 1.0),),
        arrivals="fixed",
        sites=(SITE, "blog.example", "shop.example"),
        seed=11,
        base_ms=int(time.time() * 1000),  # for the few events that carry a time
    )
    with path.open("wb") as file:
        for request in islice(requests(plan), count):
            head, tail = _moved(request.headers)
            start = b"POST /f HTTP/1.1\r\nHost: " + host.encode("ascii") + b"\r\n" + head
            tail += b"Content-Length: %d\r\n\r\n" % len(request.body)
            cut = re.split("|".join(request.ids).encode("ascii"), tail + request.body)
            file.write(b"\0".join((start, *cut, b"")))
    return [str(path), str(EVENTS_PER_VISIT)]


def _moved(headers: bytes) -> tuple[bytes, bytes]:
    """Cuts the headers where a number makes it another visitor's address.

    That is the last part of an IPv4 address, and one of the first 64 bits of an IPv6 one.
    """
    name = b"X-Forwarded-For: "
    at = headers.index(name) + len(name)
    address, rest = headers[at:].split(b"\r\n", 1)
    if b":" in address:
        first, _, others = address.partition(b":")
        return headers[:at] + first + b":8", b":" + others.partition(b":")[2] + b"\r\n" + rest
    return headers[:at] + address.rpartition(b".")[0] + b".", b"\r\n" + rest
