"""Builds a whole Collector of plain parts, for the tests that send it requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from ingest.collect.agent import Agents
from ingest.collect.client_ip import ClientAddresses
from ingest.collect.collector import Collected, Collector, Routes
from ingest.collect.country import Countries
from ingest.collect.rejections import Rejections
from ingest.collect.sites import Sites
from ingest.collect.visitor import Salts, Visitors
from ingest.dialects.event import Limits
from ingest.fates import Reason, Shed
from schemas.row import INSERT_TYPES, Row

NOON = 1_798_718_400_000  # 2026-12-31 12:00 UTC
CHROME = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
BROWSER = [(b"User-Agent", CHROME), (b"Origin", b"https://example.com"), (b"Content-Type", b"text/plain;charset=UTF-8")]
URL = "https://example.com/"


class FixedSalts:
    """Gives everybody the same salts, made from the day."""

    async def salts(self, days: Sequence[str], known: Mapping[str, bytes]) -> dict[str, bytes]:
        return {day: day.encode() * 3 for day in days}


class Clock:
    def __init__(self, now_ms: int = NOON) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Counts:
    """Counts, so that a test can read the counters."""

    def __init__(self) -> None:
        self.rejections: Counter[tuple[str, Reason]] = Counter()
        self.sheds: Counter[Shed] = Counter()
        self.properties = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self.connections_refused = 0

    def rejected(self, site: str, reason: Reason, events: int = 1) -> None:
        self.rejections[site, reason] += events

    def shed(self, reason: Shed, events: int) -> None:
        self.sheds[reason] += events

    def properties_dropped(self, properties: int) -> None:
        self.properties += properties

    def request(self, route: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        self.requests[route, code] += 1

    def connection_refused(self) -> None:
        self.connections_refused += 1


class Bench:
    """Holds a collector and the parts that it stands on."""

    def __init__(
        self,
        *,
        sites: Sites | None = None,
        limits: Limits | None = None,
        trusted: Sequence[str] = (),
        now_ms: int = NOON,
        country_header: str = "",
        spoken: Routes | None = None,
    ) -> None:
        self.clock = Clock(now_ms)
        self.counts = Counts()
        self.salts = Salts(source=FixedSalts(), now_ms=self.clock)
        self.rejections = Rejections()
        self.collector = Collector(
            limits=limits or Limits(),
            sites=sites or Sites(named=["example.com", "other.example"], privacy="count"),
            visitors=Visitors(salts=self.salts, shard_key=7),
            addresses=ClientAddresses(trusted),
            agents=agents(),
            countries=Countries(header=country_header),
            counters=self.counts,
            rejections=self.rejections,
            shards=4,
            shard_key=7,
            now_ms=self.clock,
            spoken=spoken,
        )

    async def ready(self) -> Bench:
        await self.salts.refresh()
        return self

    def post(
        self,
        body: Any,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        target: bytes = b"/f",
        method: str = "POST",
        peer: str = "203.0.113.7",
    ) -> Collected:
        """Sends a body (bytes as they are, anything else as JSON) with a browser's headers, or these instead."""
        text = body if isinstance(body, bytes) else msgspec.json.encode(body)
        named = {name.lower() for name, _ in headers}
        kept = [(name, value) for name, value in BROWSER if name.lower() not in named]
        return self.collector.collect(method, target, [*kept, *headers], text, peer)

    def get(self, query: bytes, headers: Sequence[tuple[bytes, bytes]] = (), peer: str = "203.0.113.7") -> Collected:
        return self.collector.collect("GET", b"/f.gif?" + query, [BROWSER[0], *headers], b"", peer)

    def row(self, body: Any, **more: Any) -> Row:
        """Posts a body that must become one row, and returns the row."""
        collected = self.post(body, **more)
        assert collected.status == 202, collected
        [(_, row)] = collected.rows
        return row

    @property
    def reasons(self) -> Counter[Reason]:
        """Counts the rejections of all sites by reason."""
        found: Counter[Reason] = Counter()
        for (_, reason), events in self.counts.rejections.items():
            found[reason] += events
        return found


@cache
def agents() -> Agents:
    """Returns the one Agents of all tests, because making it takes 0.3 s."""
    return Agents()


UNSIGNED = {f"UInt{bits}": (1 << bits) - 1 for bits in (8, 16, 32, 64)}
TYPES = {**INSERT_TYPES, "visitor_before": "UInt64"}  # a column of entries that the flusher uses up


def misfits(row: Row) -> list[str]:
    """Returns the columns whose value the table would refuse or change."""
    return [name for name, value in row._asdict().items() if not _fits(TYPES[name], value)]


def _fits(kind: str, value: Any) -> bool:
    if kind in UNSIGNED:
        return type(value) is int and 0 <= value <= UNSIGNED[kind]
    if kind == "Int64":
        return type(value) is int and -(1 << 63) <= value < 1 << 63
    if kind.startswith("DateTime64"):
        return type(value) is int and 0 < value < 4_102_444_800_000  # 2100
    if kind.endswith("Float32)"):
        return all(_is_text(name) and type(number) is float and abs(number) < 3e38 for name, number in value.items())
    if kind.startswith("Map"):
        return all(_is_text(name) and _is_text(text) for name, text in value.items())
    return _is_text(value)


def _is_text(value: Any) -> bool:
    """Tells whether a value is text that the table keeps. Raises UnicodeEncodeError for half a surrogate pair."""
    return type(value) is str and "\0" not in value and value.encode("utf-8") is not None
