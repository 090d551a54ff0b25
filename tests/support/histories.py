"""Makes random histories of visits, and stores many of them at a time as the flusher does: in blocks, through the real code.

A history is what happened on one site of its own: a few clients, each with some bursts of events, near moments at which
rules matter: a local midnight, an hour that clocks skip or repeat. Events arrive at once or late, in order or not, once
or twice, and near each other by exactly the 30 minutes that a session allows, or a millisecond more.

A *period* is some hours that thousands of histories share, because they share their blocks. A period is a shard of its
own.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, cast
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry

from flusher.blocks.block import Prepared, form, prepare
from flusher.blocks.sessions import Sessions
from flusher.copies.claims import Claims
from flusher.delivery import verify
from flusher.delivery.table import FOREVER, Table
from flusher.metrics import Metrics
from flusher.redis.stream import RedisStream
from schemas.entry import encode
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import Keys
from schemas.redis.records import Entry
from schemas.row import Row
from tests.fakes.redis import Server
from tests.fakes.redis_client import Connection
from tests.fakes.wire import Straight
from tests.support.rows import columns_of, plain
from tests.support.visits import GAP, MINUTE, Block, Event, days_of

HOUR = 60 * MINUTE
INCARNATION = "cafe"
ZONES = [ZoneInfo(name) for name in ("America/Los_Angeles", "Asia/Kathmandu", "Pacific/Auckland")]
# Local moments that periods lie around. They are years ahead, because ClickHouse empties the ids of old events.
AROUND = (
    ("America/Los_Angeles", "2036-07-15T00:00"),
    ("America/Los_Angeles", "2036-03-09T00:00"),  # clocks are put forward two hours later
    ("America/Los_Angeles", "2036-11-02T01:30"),  # this hour comes twice
    ("Asia/Kathmandu", "2036-07-15T00:00"),
    ("Asia/Kathmandu", "2036-12-31T23:50"),  # a month ends, too
    ("Pacific/Auckland", "2036-07-15T00:00"),
    ("Pacific/Auckland", "2036-09-28T00:30"),  # clocks are put forward at two
    ("Pacific/Auckland", "2036-04-06T02:30"),  # this hour comes twice
)
HOSTS = ("a.example", "b.example")
PATHS = ("/", "/a", "/b", "/ä")
SOURCES = (("", ""), ("https://t.co/x", "t.co"), ("https://www.google.com/", "google.com"))
GAPS = (GAP, GAP + 1, GAP - 1, GAP + MINUTE, GAP - MINUTE)


@dataclass
class History:
    """Holds what happens on one site: its zone, and its events in the order in which they arrive."""

    site: str
    zone: ZoneInfo
    events: list[Event]


def number(site: str, client: str, day: int) -> int:
    """Returns the visitor that a client of a site is on a local day."""
    return int.from_bytes(blake2b(f"{site} {client} {day}".encode(), digest_size=8).digest(), "big")


class Period:
    """Holds some hours, the times at which their blocks end, and the histories that happen in them."""

    def __init__(self, index: int, seed: int, histories: int) -> None:
        rng = random.Random(f"{seed} period {index}")
        name, around = AROUND[index % len(AROUND)]
        middle = int(datetime.fromisoformat(around).replace(tzinfo=ZoneInfo(name)).timestamp() * 1000)
        self.index = index
        self.begins = middle - rng.randrange(1, 4) * HOUR
        self.blocks: list[int] = []
        at = self.begins
        while at < middle + 4 * HOUR:
            at += rng.choice((1, 5, 10, 15, 20, 34, 36, 50)) * MINUTE + rng.randrange(1000)
            self.blocks.append(at)
        self.restarts = {at for at in self.blocks if rng.random() < 0.3}
        self.retries = {at for at in self.blocks if rng.random() < 0.4}
        self.histories = [
            History(f"p{index}-{at}.example", zone, [])
            for at, zone in enumerate(rng.choices([ZoneInfo(name), *ZONES], [3, 1, 1, 1], k=histories))
        ]
        for at, history in enumerate(self.histories):
            history.events = self._events(random.Random(f"{seed} history {index}-{at}"), middle)

    def _events(self, rng: random.Random, middle: int) -> list[Event]:
        events: list[Event] = []
        for client in ("c1", "c2")[: rng.choice((1, 1, 2))]:
            is_bot = rng.random() < 0.05
            used: set[int] = set()  # seconds: no session is begun twice in one
            for _ in range(rng.choice((1, 1, 2, 3))):
                ts, length = _burst(rng, middle)
                for _ in range(length):
                    while ts // 1000 in used:
                        ts += 1000
                    used.add(ts // 1000)
                    received = ts + _latency(rng)
                    # Several at the same moment arrive together, as those of an array do that say no time.
                    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
                        events.append(_event(rng, client, ts, received, f"{len(events)}" if rng.random() < 0.5 else ""))
                        if is_bot and rng.random() < 0.5:
                            events[-1] = events[-1]._replace(bot=rng.choice(("crawler", "rate")))
                    ts += rng.choice((rng.randrange(1, MINUTE), rng.randrange(1, 10 * MINUTE), rng.choice(GAPS)))
        again = [
            one._replace(received=one.received + rng.randrange(40 * MINUTE))
            for one in events
            if one.id and rng.random() < 0.1
        ]
        return sorted(events + again, key=lambda one: one.received)

    def arrivals(self) -> Iterator[tuple[int, list[tuple[History, Event]]]]:
        """Yields each block: when it ends, and what is in it. What arrives after the last block arrives with it."""
        waiting = sorted(
            (
                (event.received, at, history, event)
                for history in self.histories
                for at, event in enumerate(history.events)
            ),
            key=lambda one: one[:2],
        )
        queue = deque(waiting)
        for end in self.blocks:
            arrived = []
            while queue and (queue[0][0] <= end or end == self.blocks[-1]):
                _, _, history, event = queue.popleft()
                arrived.append((history, event))
            if arrived:
                yield end, arrived


def _burst(rng: random.Random, middle: int) -> tuple[int, int]:
    """Returns when some events begin, and how many they are: often right before the moment in the middle, and long."""
    kind = rng.random()
    if kind < 0.2:
        return middle - rng.randrange(25 * MINUTE), rng.choice((4, 8, 12))
    reach = HOUR if kind < 0.5 else 3 * HOUR
    return middle + rng.randrange(-reach, reach), rng.choice((1, 1, 2, 3, 4, 6))


def _latency(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.7:
        return rng.randrange(2_000)
    if kind < 0.85:
        return rng.randrange(10 * MINUTE)
    return rng.randrange(90 * MINUTE) if kind < 0.97 else rng.randrange(5 * HOUR)


def _event(rng: random.Random, client: str, ts: int, received: int, name: str) -> Event:
    kind = rng.choices(("pageview", "engagement", "vitals", "signup", "identify"), (55, 25, 6, 10, 4))[0]
    referrer, source = rng.choice(SOURCES)
    medium = rng.choice(("", "", "", "cpc"))
    campaign = rng.choice(("", "", "news"))
    query = "&".join(f"utm_{key}={value}" for key, value in (("source", campaign), ("medium", medium)) if value)
    return Event(
        client, ts, received, kind, rng.choice(HOSTS), rng.choice(PATHS), query, referrer, campaign or source, medium,
        engaged_ms=rng.choice((0, 3_000, 6_000, 9_999, 10_000, rng.randrange(100_000))) if kind == "engagement" else 0,
        scroll_pct=rng.randrange(101) if kind == "engagement" else 0,
        bot="headers" if rng.random() < 0.01 else "", id=name,
    )  # fmt: skip


def row_of(history: History, event: Event) -> Row:
    """Returns the row that ingest makes of an event."""
    day, other_day = days_of(event, history.zone)
    query = f"?{event.query}" if event.query else ""
    return plain(
        site=history.site, name=event.name, ts=event.ts, received_at=event.received, event_id=event.id,
        visitor_id=number(history.site, event.client, day),
        visitor_before=0 if other_day is None else number(history.site, event.client, other_day),
        url=f"https://{event.hostname}{event.path}{query}", referrer_url=event.referrer,
        engaged_ms=event.engaged_ms, scroll_pct=event.scroll_pct, bot=event.bot,
    )  # fmt: skip


def blocks_of(period: Period) -> dict[str, list[Block]]:
    """Returns for each site what the reference takes: its share of each block."""
    shares: dict[str, list[Block]] = {history.site: [] for history in period.histories}
    for end, arrived in period.arrivals():
        here: dict[str, list[Event]] = {}
        for history, event in arrived:
            here.setdefault(history.site, []).append(event)
        for site, events in here.items():
            shares[site].append(Block(end, events))
    return shares


class Flusher:
    """Stores the blocks of one period in a real ClickHouse, and is sometimes killed."""

    def __init__(self, table: Table, period: Period) -> None:
        self._table = table
        self._period = period
        self._redis = Server(lambda: period.begins / 1000)
        self._sessions = Sessions()
        self._claims = self._new_claims()
        self.copies = 0

    def _new_claims(self) -> Claims:
        stream = RedisStream(cast(Any, Connection(self._redis, Straight())))
        metrics = Metrics(CollectorRegistry())
        return Claims(stream=stream, table=self._table, metrics=metrics, window_ms=24 * HOUR, bytes_max=1 << 24)

    async def store(self) -> None:
        """Stores every block, some of them twice, and after some of them begins anew with what ClickHouse holds."""
        edge = ORIGIN
        for end, arrived in self._period.arrivals():
            rows = [row_of(history, event) for history, event in arrived]
            half = len(rows) // 2
            entries = [
                Entry(EntryId(end, at), encode(columns_of(some)), len(some), "p", at)
                for at, some in enumerate((rows[:half], rows[half:]))
                if some
            ]
            log = self._redis.log(Keys(self._period.index).log)
            for entry in entries:
                log.entries[entry.id] = {b"d": entry.data, b"n": b"%d" % entry.rows}
                log.last = entry.id
            name = BlockName(INCARNATION, self._period.index, edge, entries[-1].id)
            await self._deliver(name, prepare(entries), is_first=True)
            if end in self._period.restarts:
                # It died when the block was stored and not yet checked off: its successor forms the block again.
                self._sessions = Sessions(
                    await verify.sessions_before(self._table, INCARNATION, self._period.index, edge)
                )
                self._claims = self._new_claims()
                await self._deliver(name, prepare(entries), is_first=False)
            edge = name.upto

    async def _deliver(self, name: BlockName, prepared: Prepared, *, is_first: bool) -> None:
        copies = await self._claims.copies(
            name, prepared.sites, prepared.event_ids, prepared.received_at, is_first=is_first
        )
        self.copies += len(copies)
        block = form(
            prepared,
            incarnation=name.incarnation,
            shard=name.shard,
            from_id=name.after,
            sessions=self._sessions,
            left_out=frozenset(copies),
        )
        for _ in range(2 if name.upto.ms in self._period.retries else 1):
            for part in block.parts:
                await self._table.insert(
                    part, block=block.id, token=name.token(part.month), attempt=0, deadline=FOREVER
                )
        self._claims.stored(name)
