"""Places that are remembered: only those of known heads, never longer than what they were found by, and bounded."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from types import FunctionType, MethodType, ModuleType
from typing import Any

import msgspec
import pytest

from ingest.collect import places as places_module
from ingest.collect import visitor as visitor_module
from ingest.collect.exchange import Asked, Exchange, Sender, weight_of
from ingest.collect.places import FORGET_SECONDS, Place
from ingest.collect.sites import Sites
from ingest.collect.suspicion import Suspicions
from ingest.collect.visitor import BEFORE_MS, DAY_MS, KEPT_MS, Salts, Visitors, keyed
from ingest.dialects.event import Limits
from ingest.fates import Reason
from schemas.row import Row
from tests.support.collecting import BROWSER, NOON, URL, Bench, Brought, Collected

PEER = "203.0.113.7"
MIDNIGHT = NOON + DAY_MS // 2


class Source:
    """Gives the salts and the sites that the test says."""

    def __init__(self) -> None:
        self.by_day: dict[str, bytes] = {}
        self.registered: dict[str, bytes] = {"example.com": b"{}", "other.example": b"{}"}
        self.is_away = False

    async def salts(self, days: Sequence[str], known: Mapping[str, bytes]) -> dict[str, bytes]:
        if self.is_away:
            raise ConnectionError
        return {day: self.by_day.setdefault(day, day.encode() * 3) for day in days}

    async def sites(self) -> dict[str, bytes]:
        return dict(self.registered)


class Hashed(Visitors):
    """Hashes, and counts how often."""

    def __init__(self, salts: Salts) -> None:
        super().__init__(salts=salts, shard_key=7)
        self.count = 0

    def of(self, client: bytes, moment_ms: int) -> tuple[int, int]:
        self.count += 1
        return super().of(client, moment_ms)


class Known:
    """Holds a collector whose salts and sites can be changed, and heads that a lane remembers."""

    def __init__(self, now_ms: int = NOON) -> None:
        self.source = Source()
        self.sites = Sites(named=[], privacy="count", source=self.source)
        suspicions = Suspicions()
        self.bench = Bench(sites=self.sites, now_ms=now_ms, limits=Limits(), suspicions=suspicions)
        self.salts = Salts(source=self.source, now_ms=self.bench.clock)
        self.salts.ended.append(suspicions.rates.forget)  # as the collector does with the salts of its own
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
        body = msgspec.json.encode({"url": URL} | fields)
        now = self.bench.clock()
        exchange = Exchange(Brought(), asked or self.asked, body, PEER, now, 0.0, len(body), weight_of(body))
        [collected] = self.bench.collect_all([exchange])
        return collected

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


async def test_a_known_head_is_hashed_once() -> None:
    """Each of its sites once; and what is remembered is what is found without a memory."""
    known = await Known().ready()
    first = known.row()
    assert [known.hashes() for _ in range(3)] == [0, 0, 0]
    assert known.hashes(site="other.example") == 1
    assert known.row() == first == known.row(known.head(is_known=False))


async def test_two_heads_with_equal_values_are_two() -> None:
    """A sender is told apart by what it is: to compare two by their values would cost more than to hash."""
    known = await Known().ready()
    other = known.head()
    assert other.sender is not None
    assert known.asked.sender is not None
    assert msgspec.structs.astuple(other.sender) == msgspec.structs.astuple(known.asked.sender)
    assert [known.hashes(), known.hashes(other)] == [1, 1]
    assert len(known.held) == 2
    assert known.row() == known.row(other)


@pytest.mark.parametrize("case", ["not known", "unknown site", "dropped"])
async def test_nothing_else_is_remembered(case: str) -> None:
    """A head that does not come again, and a refusal, leave nothing."""
    known = await Known().ready()
    known.source.registered["drops.example"] = b'{"settings":{"privacy":"drop"}}'
    await known.sites.refresh()
    sent: dict[str, Callable[[], Collected]] = {
        "not known": lambda: known.send(known.head(is_known=False)),
        "unknown site": lambda: known.send(site="unknown.example"),
        "dropped": lambda: known.send(known.head((b"Sec-GPC", b"1")), site="drops.example"),
    }
    assert [bool(sent[case]().rows) for _ in range(2)] == [case == "not known"] * 2
    assert known.held == []


async def test_an_owned_visitor_is_never_remembered() -> None:
    """Nor taken for its head's, or the head's for it, whichever comes first."""
    known = await Known().ready()
    said = [known.place("example.com", owned) for owned in ("v1", None, "v1", "v2", None)]
    visitors = [one.visitor_id for one in said if isinstance(one, Place)]
    assert len(visitors) == 5
    assert visitors[0] == visitors[2]
    assert visitors[1] == visitors[4]
    assert len(set(visitors)) == 3
    assert len(known.held) == 1
    known.places.forget()
    known.place("example.com", "v1")
    known.place("unknown.example", "v1")
    assert known.held == []


async def test_a_refusal_is_judged_anew() -> None:
    """A site that is added later takes the next event."""
    known = await Known().ready()
    assert known.send(site="new.example").status == 403
    known.source.registered["new.example"] = b"{}"
    await known.sites.refresh()
    assert known.send(site="new.example").status == 202


async def test_another_salt_for_the_same_day_is_another_visitor_at_once() -> None:
    """Redis was emptied, and another process was faster: all workers must say the same visitor."""
    known = await Known().ready()
    before = known.row()
    [day] = known.source.by_day
    known.source.by_day[day] = b"another salt of this day"
    await known.salts.refresh()
    assert known.held == []
    after = known.row()
    assert after.visitor_id != before.visitor_id
    assert after.visitor_id == known.row(known.head(is_known=False)).visitor_id


async def test_the_same_again_changes_nothing() -> None:
    """A refresh every two seconds must not cost the memory."""
    known = await Known().ready()
    known.row()
    for _ in range(3):
        await known.salts.refresh()
        await known.sites.refresh()
    assert known.hashes() == 0


CHANGES: dict[str, tuple[bytes | None, bool]] = {
    "removed": (None, False),
    "drops what is signalled": (b'{"settings":{"privacy":"drop"}}', False),
    "other domains": (b'{"domains":["www2.example.com"]}', True),
    "other settings": (b'{"settings":{"keep_query":true}}', True),
}


@pytest.mark.parametrize(("said", "is_taken"), CHANGES.values(), ids=CHANGES.keys())
async def test_what_a_site_wants_counts_from_the_next_event_on(said: bytes | None, is_taken: bool) -> None:
    """Whatever changed, and for every site at once: another may have taken its domain."""
    known = await Known().ready()
    signalled = known.head((b"Sec-GPC", b"1"))
    query = URL + "?a=1"
    assert known.send(signalled, url=query).status == 202
    known.send(signalled, site="other.example")
    assert len(known.held) == 2
    if said is None:
        del known.source.registered["example.com"]
    else:
        known.source.registered["example.com"] = said
    await known.sites.refresh()
    assert known.held == []
    sent = known.send(signalled, url=query)
    assert bool(sent.rows) == is_taken
    if said is not None and b"keep_query" in said:
        [(_, row)] = sent.rows
        assert row.url == query


async def test_a_domain_that_goes_to_another_site_goes_there_with_the_next_event() -> None:
    """A place is remembered under the name that an event gave, which stands for another site now."""
    known = await Known().ready()
    known.source.registered = {"example.com": b'{"domains":["shop.example"]}', "other.example": b"{}"}
    await known.sites.refresh()
    assert known.row(url="https://shop.example/").site == "example.com"
    known.source.registered = {"example.com": b"{}", "other.example": b'{"domains":["shop.example"]}'}
    await known.sites.refresh()
    assert known.row(url="https://shop.example/").site == "other.example"


async def test_midnight_and_the_half_hour_after_it_change_the_visitor() -> None:
    """Without a refresh: the clock of the requests alone says under which salts they are hashed."""
    known = await Known(MIDNIGHT - 1).ready()  # tomorrow's salt is there since 23:00
    evening = known.row()
    known.bench.clock.now_ms = MIDNIGHT
    first = known.row()
    known.bench.clock.now_ms = MIDNIGHT + BEFORE_MS - 1
    last = known.row()
    known.bench.clock.now_ms = MIDNIGHT + BEFORE_MS
    later = known.row()
    assert first.visitor_id != evening.visitor_id
    assert (evening.visitor_before, first.visitor_before) == (0, evening.visitor_id)
    assert (last.visitor_id, last.visitor_before) == (first.visitor_id, evening.visitor_id)
    assert (later.visitor_id, later.visitor_before) == (first.visitor_id, 0)


async def test_requests_of_both_sides_of_midnight_in_one_commit_keep_their_days() -> None:
    """Those that waited raw over midnight are hashed by the moment at which they were received."""
    known = await Known(MIDNIGHT - 1).ready()
    evening = known.row().visitor_id
    exchanges = []
    for moment in (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT - 1, MIDNIGHT + BEFORE_MS, MIDNIGHT):
        body = msgspec.json.encode({"url": URL})
        exchanges.append(Exchange(Brought(), known.asked, body, PEER, moment, 0.0, len(body), weight_of(body)))
    rows = [row for collected in known.bench.collect_all(exchanges) for _, row in collected.rows]
    morning = rows[1].visitor_id
    assert [row.visitor_id for row in rows] == [evening, morning, evening, morning, morning]
    assert [row.visitor_before for row in rows] == [0, evening, 0, 0, evening]


async def test_what_is_remembered_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is in use: a remembered place keeps the address of its sender."""
    seconds = [0.0]
    monkeypatch.setattr(places_module, "monotonic", lambda: seconds[0])
    known = await Known().ready()
    known.row()
    for second in range(3 * FORGET_SECONDS):
        seconds[0] = float(second)
        known.places.tick()
        assert bool(known.held) == (second == 0 or second % FORGET_SECONDS != 0), second
        known.row()


async def test_a_place_is_forgotten_although_others_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event does not put the moment off."""
    seconds = [0.0]
    monkeypatch.setattr(places_module, "monotonic", lambda: seconds[0])
    known = await Known().ready()
    known.row()
    seconds[0] = FORGET_SECONDS - 1
    known.row(known.head())
    known.places.tick()
    assert len(known.held) == 2
    seconds[0] = FORGET_SECONDS
    known.places.tick()
    assert known.held == []


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full all is forgotten, and the next is remembered again."""
    monkeypatch.setattr(places_module, "PLACES_MAX", 5)
    known = await Known().ready()
    heads = [known.head(peer=f"203.0.113.{number}") for number in range(12)]
    held = []
    for head in heads:
        known.row(head)
        held.append(len(known.held))
    assert held == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert known.hashes(heads[-1]) == 0


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


@pytest.mark.parametrize("end", ["over", "over while Redis is away", "replaced"])
async def test_nothing_of_a_salt_that_ended_can_be_reached(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it, nor what it keyed, nor a visitor under it, from anything that the collector holds (I8)."""
    keys: list[object] = []

    def noted(salt: bytes) -> blake2b:
        made = keyed(salt)
        keys.append(made)
        return made

    monkeypatch.setattr(visitor_module, "keyed", noted)
    known = await Known(MIDNIGHT - 1).ready()
    keys.clear()  # that of visitors whom an SDK numbers does not end
    rows = [known.row(), known.row(site="other.example"), known.row(known.head((b"Sec-GPC", b"1")))]
    visitors = {row.visitor_id for row in rows}
    salts = [known.source.by_day[min(known.source.by_day)]]
    assert set(ends_with(known, salts, keys, visitors)) == {"salt", "keyed hash", "visitor"}
    if end == "replaced":
        known.source.by_day[min(known.source.by_day)] = b"another salt of this day"
        await known.salts.refresh()
        assert ends_with(known, salts, keys, visitors) == []
        return
    known.bench.clock.now_ms = MIDNIGHT  # the last one's visitors are hashed once more, as those of before
    rows += [known.row(), known.row(site="other.example")]
    known.bench.clock.now_ms = MIDNIGHT + KEPT_MS
    known.source.by_day.clear()  # the source that stands for Redis is no part of the collector
    known.source.is_away = end == "over while Redis is away"
    try:
        await known.salts.refresh()
    except ConnectionError:
        assert known.source.is_away
    assert ends_with(known, salts, keys, visitors) == []


async def test_a_place_says_what_is_found_without_a_memory() -> None:
    """All of it, for every kind of site and client."""
    known = await Known(MIDNIGHT + 1).ready()
    known.source.registered["anonymous.example"] = b'{"settings":{"privacy":"anonymise"}}'
    await known.sites.refresh()
    for more in ((), ((b"Sec-GPC", b"1"),)):
        for name in ("example.com", "other.example", "anonymous.example"):
            remembered, fresh = known.head(*more), known.head(*more, is_known=False)
            said = [known.place(name, asked=asked) for asked in (remembered, remembered, fresh)]
            assert isinstance(said[0], Place)
            assert said[0].is_anonymous == (bool(more) and name == "anonymous.example")
            assert said[0] == said[1] == said[2]
    assert known.place("unknown.example") is Reason.UNKNOWN_SITE
