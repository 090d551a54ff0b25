"""Builds a whole Collector of plain parts, for the tests that send it requests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import msgspec

from ingest.agents.agent import Agents
from ingest.batch import Batch, joined
from ingest.collect.collector import NOT_FOUND, Collector
from ingest.collect.exchange import Exchange, Reply, weight_of
from ingest.collect.geolocation import Geolocation
from ingest.collect.keys import ServerKeys
from ingest.collect.limiter import Limiter
from ingest.collect.rejections import Rejections
from ingest.collect.sites import Sites
from ingest.collect.suspicion import Suspicions
from ingest.collect.visitor import Salts, SaltSource, Visitors
from ingest.dialects.cors import Pairs
from ingest.dialects.event import Limits
from ingest.dialects.request import Headers
from ingest.dialects.table import TableRow
from ingest.fates import Reason, Shed
from ingest.geography.newest import Newest
from runtime.client_ip import ClientAddresses
from schemas.redis.keys import salt_name
from schemas.row import INSERT_TYPES, Row

NOON = 1_798_718_400_000  # 2026-12-31 12:00 UTC
CHROME = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
LANGUAGE = (b"Accept-Language", b"en-US,en;q=0.9")
BROWSER = [
    (b"User-Agent", CHROME),
    LANGUAGE,
    (b"Origin", b"https://example.com"),
    (b"Content-Type", b"text/plain;charset=UTF-8"),
]
URL = "https://example.com/"


class FixedSalts:
    """Gives everybody the same salts, made from the name of the day."""

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        return {start: bytearray(salt_name(start).encode() * 3) for start in until}


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
        self.unsupporteds: Counter[tuple[str, str]] = Counter()
        self.properties = 0
        self.countries_unknown: Counter[str] = Counter()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.connections_refused = 0

    def rejected(self, site: str, reason: Reason, events: int = 1) -> None:
        self.rejections[site, reason] += events

    def shed(self, reason: Shed, events: int) -> None:
        self.sheds[reason] += events

    def unsupported(self, dialect: str, name: str) -> None:
        self.unsupporteds[dialect, name] += 1

    def properties_dropped(self, properties: int) -> None:
        self.properties += properties

    def country_unknown(self, source: str, events: int) -> None:
        self.countries_unknown[source] += events

    def request(self, route: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        self.requests[route, code] += 1

    def connection_refused(self) -> None:
        self.connections_refused += 1


class Collected(msgspec.Struct):
    """Holds what became of a request: its answer, and pairs of a shard and a row."""

    status: int
    headers: Pairs
    body: bytes
    rows: list[tuple[int, Row]]
    exchange: Exchange | None = None


class Brought:
    """Brings requests, and has room for all of them."""

    def hold(self, exchange: Exchange, size: int) -> bool:
        exchange.held = size
        return True

    def settled(self, exchange: Exchange, shed: Shed | None) -> None:
        raise AssertionError("who collects settles nothing")


def at_once(batch: Batch) -> Batch:
    """Returns a batch in which its large requests are collected to their end."""
    return joined([batch, *[last for pieces in batch.large if (last := [*pieces][-1])]])


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
        country_database: str = "",
        routes: Sequence[TableRow] | None = None,
        shards: int = 4,
        counts: Counts | None = None,
        source: SaltSource | None = None,
        rows_max: int = 2_000,
        suspicions: Suspicions | None = None,
        keys: ServerKeys | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        self.clock = Clock(now_ms)
        self.counts = Counts() if counts is None else counts
        sites = sites or Sites(named=["example.com", "other.example"], privacy="count")
        self.salts = Salts(source=source or FixedSalts(), now_ms=self.clock, calendars=sites.calendars)
        sites.hold = self.salts.hold
        self.rejections = Rejections()
        self.collector = Collector(
            limits=limits or Limits(),
            sites=sites,
            visitors=Visitors(salts=self.salts, shard_key=7),
            addresses=ClientAddresses(trusted),
            agents=agents(),
            geolocation=Geolocation(Newest(database=country_database, folders=()), header=country_header),
            counters=self.counts,
            rejections=self.rejections,
            shards=shards,
            shard_key=7,
            now_ms=self.clock,
            routes=routes,
            rows_max=rows_max,
            suspicions=suspicions,
            keys=keys,
            limiter=limiter,
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
        return self.collect(method, target, [*kept, *headers], text, peer)

    def get(self, query: bytes, headers: Sequence[tuple[bytes, bytes]] = (), peer: str = "203.0.113.7") -> Collected:
        return self.collect("GET", b"/f.gif?" + query, [*BROWSER[:2], *headers], b"", peer)

    def exchange(self, method: str, target: bytes, headers: Headers, body: bytes, peer: str) -> Exchange | Reply:
        """Returns a request that waits to be collected, or the answer to one that is answered at once."""
        asked = self.collector.asked(method, target, headers)
        if asked is None:
            return NOT_FOUND
        if asked.dialect is None:
            return self.collector.without_dialect(asked)
        now = self.clock()
        return Exchange(Brought(), asked, body, peer, now, 0.0, len(body), weight_of(body))

    def collect(self, method: str, target: bytes, headers: Headers, body: bytes, peer: str) -> Collected:
        """Collects one request by itself."""
        exchange = self.exchange(method, target, headers, body, peer)
        if isinstance(exchange, Reply):
            return Collected(exchange.status, exchange.headers, exchange.body, [])
        return self.collect_all([exchange])[0]

    def collect_all(self, exchanges: Sequence[Exchange]) -> list[Collected]:
        """Collects requests together, and returns what became of each."""
        waiting = deque(exchanges)
        rows: dict[Exchange, list[tuple[int, Row]]] = {exchange: [] for exchange in exchanges}
        finished: list[Any] = []
        while waiting:
            batch = at_once(self.collector.collect(waiting))
            finished += batch.finished
            for owner, shard, *values in zip(batch.owners, batch.shards, *batch.columns, strict=True):
                rows[cast(Exchange, owner)].append((shard, Row._make(values)))
        assert [one for one in exchanges if not rows[one]] == finished
        assert all(one.rows == len(rows[one]) for one in exchanges)
        return [Collected(one.reply.status, one.reply.headers, one.reply.body, rows[one], one) for one in exchanges]

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
