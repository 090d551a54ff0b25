"""Builds a collector that remembers places, with salts and sites that a test can change, and looks at what it holds."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

import msgspec

from ingest.collect import places as places_module
from ingest.collect.exchange import Asked, Exchange, Sender, weight_of
from ingest.collect.places import Place
from ingest.collect.sites import Sites
from ingest.collect.visitor import EARLY_SECONDS, Salted, Salts, Visitors
from ingest.dialects.event import Limits
from ingest.fates import Reason
from schemas.redis.keys import SALT_BEHIND_SECONDS, salt_name
from schemas.row import Row
from tests.support.collecting import BROWSER, NOON, URL, Bench, Brought, Collected

PEER = "203.0.113.7"
HOUR_MS = 3_600_000
MIDNIGHT = NOON + 12 * HOUR_MS
BEFORE_MS = SALT_BEHIND_SECONDS * 1_000
KEPT_MS = BEFORE_MS - EARLY_SECONDS * 1_000


class Source:
    """Gives the salts and the sites that the test says."""

    def __init__(self) -> None:
        self.by_day: dict[int, bytes] = {}
        self.registered: dict[str, bytes] = {"example.com": b"{}", "other.example": b"{}"}
        self.is_away = False

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        if self.is_away:
            raise ConnectionError
        return {start: bytearray(self.by_day.setdefault(start, salt_name(start).encode() * 3)) for start in until}

    async def sites(self) -> dict[str, bytes]:
        return dict(self.registered)


class Hashed(Visitors):
    """Hashes, and counts how often."""

    def __init__(self, salts: Salts) -> None:
        super().__init__(salts=salts, shard_key=7)
        self.count = 0

    def of(self, client: bytes, salted: Salted) -> tuple[int, int]:
        self.count += 1
        return super().of(client, salted)


class Known:
    """Holds a collector whose salts and sites can be changed, and heads that a lane remembers."""

    def __init__(self, now_ms: int = NOON) -> None:
        self.source = Source()
        self.sites = Sites(named=[], privacy="count", source=self.source)
        self.bench = Bench(sites=self.sites, now_ms=now_ms, limits=Limits(), source=self.source)
        self.salts = self.bench.salts
        self.hashed = Hashed(self.salts)
        self.places = self.bench.collector.places = places_module.Places(
            sites=self.sites, visitors=self.hashed, shards=4, shard_key=7
        )
        self.asked = self.head()

    async def ready(self) -> Known:
        await self.salts.refresh()
        await self.sites.refresh()
        return self

    def head(self, *more: tuple[bytes, bytes], is_known: bool = True, peer: str = PEER) -> Asked:
        """Returns a head as a lane has it: with its sender, if it is known again."""
        collector = self.bench.collector
        asked = collector.asked("POST", b"/f", [*BROWSER, *more])
        assert asked is not None
        if is_known:
            asked.sender = collector.sender(peer, asked.head.fields)
            asked.is_known = True
        return asked

    def send(self, asked: Asked | None = None, **fields: Any) -> Collected:
        """Collects one event, which was received now."""
        [collected] = self.send_all(asked or self.asked, {"url": URL} | fields)
        return collected

    def send_all(self, asked: Asked, *bodies: Any) -> list[Collected]:
        """Collects requests with one head together, each with a body of JSON, which were received now."""
        texts, now = map(msgspec.json.encode, bodies), self.bench.clock()
        return self.bench.collect_all(
            [Exchange(Brought(), asked, text, PEER, now, 0.0, len(text), weight_of(text)) for text in texts]
        )

    def row(self, asked: Asked | None = None, **fields: Any) -> Row:
        [(_, row)] = self.send(asked, **fields).rows
        return row

    def hashes(self, asked: Asked | None = None, **fields: Any) -> int:
        """Returns how often one event needs a hash: 0 if its place is remembered."""
        before = self.hashed.count
        self.send(asked, **fields)
        return self.hashed.count - before

    def place(self, name: str, owned: str | None = None, asked: Asked | None = None) -> Place | Reason:
        """Returns the place of one event, whose head's sender the collector has found."""
        asked = asked or self.asked
        asked.sender = asked.sender or self.bench.collector.sender(PEER, asked.head.fields)
        return self.places.of(Exchange(Brought(), asked, b"", PEER, self.bench.clock(), 0.0, 0, 0), name, owned)

    @property
    def held(self) -> list[tuple[Sender, str]]:
        """Returns for what a place is remembered."""
        return list(self.places._known)


def reachable(root: object) -> Iterator[object]:
    """Yields all values that can be reached from here, also in structs that the garbage collector does not follow.

    Modules and classes are not entered, nor what functions see around them that is not their own.
    """
    seen: dict[int, object] = {}
    rest: list[object] = [root]
    while rest:
        one = rest.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen[id(one)] = one  # and keeps it, so that no other gets its id
        yield one
        if isinstance(one, msgspec.Struct):
            rest += msgspec.structs.astuple(one)
        elif isinstance(one, MethodType):
            rest.append(one.__self__)
        elif isinstance(one, FunctionType):
            rest += [cell.cell_contents for cell in one.__closure__ or ()]
        elif isinstance(one, dict | list | tuple | set | frozenset) or hasattr(one, "__dict__"):
            rest += gc.get_referents(one)
            rest += list(vars(one).values()) if hasattr(one, "__dict__") else []


def ends_with(known: Known, salts: Sequence[bytes], keys: Sequence[object], visitors: set[int]) -> list[str]:
    """Returns what is reachable from the collector of these salts, of their keyed hashes and of visitors."""
    found = []
    for one in reachable(known.bench.collector):
        if isinstance(one, bytes | bytearray) and any(salt in one for salt in salts):
            found.append("salt")
        if any(one is key for key in keys):
            found.append("keyed hash")
        if isinstance(one, int) and one in visitors:
            found.append("visitor")
    return found
