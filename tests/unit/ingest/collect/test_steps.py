"""ingest/collect/steps.py: the limits of texts, and that it makes no difference in whose company an event is judged."""

from __future__ import annotations

import gzip
import random
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from ingest.collect import steps
from ingest.collect.exchange import Exchange
from ingest.collect.sites import Sites
from ingest.collect.steps import STEPS
from ingest.collect.visitor import SaltMissing
from ingest.dialects.contract import Decoded, Unsupported
from ingest.dialects.event import Event, Limits
from ingest.dialects.native import Native, Pixel
from ingest.dialects.request import Head
from ingest.dialects.table import TableRow
from ingest.fates import Reason, Shed
from schemas.days import UTC_DAYS
from tests.support.collecting import BROWSER, NOON, URL, Bench, Collected

DAY_MS = 86_400_000
MIDNIGHT = NOON + DAY_MS // 2


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"name": "n" * 120}, None),
        ({"name": "n" * 121}, Reason.NAME_TOO_LONG),
        ({"name": " \t"}, Reason.INVALID_NAME),
        ({"name": ""}, Reason.INVALID_NAME),
        ({"id": "i" * 64}, None),
        ({"id": "i" * 65}, Reason.FIELD_TOO_LONG),
        ({"language": "l" * 65}, Reason.FIELD_TOO_LONG),
        ({"user": "u" * 65}, Reason.FIELD_TOO_LONG),
        ({"visitor": "v" * 65}, Reason.FIELD_TOO_LONG),
        ({"session": "s" * 65}, Reason.FIELD_TOO_LONG),
        ({"name": "n" * 121, "id": "i" * 65}, Reason.NAME_TOO_LONG),
    ],
)
async def test_a_fault_has_its_reason_at_its_limit(more: dict[str, Any], reason: Reason | None) -> None:
    """At a limit is in, one over is out, between two that are fine."""
    bench = await Bench().ready()
    collected = bench.post([{"url": URL}, {"url": URL, **more}, {"url": URL}])
    assert len(collected.rows) == (3 if reason is None else 2)
    assert list(bench.reasons) == ([] if reason is None else [reason])


async def test_a_long_title_is_cut_not_refused() -> None:
    """A title's end is no reason to lose an event."""
    bench = await Bench().ready()
    assert bench.row({"url": URL, "title": "t" * 501}).title == "t" * 500


def any_event(rng: random.Random) -> Any:
    """An event that has one of everything which a step may judge or change, mostly in its usual form."""
    event: dict[str, Any] = {"url": URL}
    odd: dict[str, Any] = {
        "url": (
            "",
            None,
            "/x",
            "about:srcdoc",
            URL + "?q=1&utm_source=a#/b",
            URL + "x" * 2_050,
            "https://other.example/é",
        ),
        "site": ("example.com", "other.example", "unknown.example", "", None, "private.example"),
        "name": ("signup", "", " ", None, "n" * 121),
        "referrer": (
            "https://other.example/?q",
            "https://example.com/",
            "x",
            "",
            None,
            "https://a.example/" + "y" * 3_000,
        ),
        "title": ("t" * 600, None, "é"),
        "language": ("de", None, "l" * 65),
        "screen": ([1920, 1080], [-1, 1e9], None),
        "props": ({"plan": "pro", "n": 1}, {}, [], None, {str(at): at for at in range(40)}),
        "revenue": ({"amount": "9.90", "currency": "EUR"}, {"amount": "x", "currency": "EUR"}, None),
        "engaged_ms": (5, -1, 1e12, None),
        "scroll_pct": (50, 500, None),
        "vitals": ({"lcp": 1.5, "x": 2.0}, {"cls": None}, {}, None),
        "id": ("abc", "é\0", None, "i" * 65),
        "ts": (NOON - 1_000, NOON + 10**9, 5, "soon", "2026-12-31T11:00:00Z", None),
        "sent_at": (NOON, "soon", None),
        "user": ("u-1", None, "u" * 65),
        "visitor": ("v-1", None),
    }
    for name in rng.sample(sorted(odd), rng.choice((0, 0, 1, 2, 5))):
        event[name] = rng.choice(odd[name])
    return rng.choice((event,) * 40 + (7, "x", None, {"url": 5}))


HEADS = (
    (),
    ((b"User-Agent", b"curl/8.5"),),
    ((b"User-Agent", b""),),
    ((b"Sec-GPC", b"1"),),
    ((b"Origin", b"https://other.example"),),
    ((b"X-Forebay-Debug", b"1"),),
    ((b"Content-Type", b"text/html"),),
    ((b"Content-Encoding", b"gzip"),),
)


def any_exchange(rng: random.Random, bench: Bench) -> Exchange:
    more = rng.choice(HEADS)
    named = {name for name, _ in more}
    headers = [*(pair for pair in BROWSER if pair[0] not in named), *more]
    peer = rng.choice(("203.0.113.7", "203.0.113.8", "2001:db8::1"))
    if rng.random() < 0.1:
        query = rng.choice((b"site=example.com", b"url=https://example.com/&p.a=1", b"url=x"))
        made = bench.exchange("GET", b"/f.gif?" + query, headers, b"", peer)
    else:
        event: Any = (
            any_event(rng) if rng.random() < 0.7 else [any_event(rng) for _ in range(rng.choice((0, 1, 3, 20)))]
        )
        body = rng.choice((msgspec.json.encode(event),) * 30 + (b"", b"{", b"\xff"))
        made = bench.exchange("POST", b"/f", headers, body, peer)
    assert isinstance(made, Exchange)
    return made


def counted(bench: Bench) -> object:
    return bench.counts.rejections, bench.counts.sheds, bench.counts.properties, bench.rejections.take()


def told(collected: Collected) -> object:
    return collected.status, collected.headers, collected.body, collected.rows


@pytest.mark.parametrize("now_ms", [NOON, MIDNIGHT + 60_000])
async def test_company_makes_no_difference(now_ms: int) -> None:
    """Requests of all kinds, alone and in commits of up to 60: the same answers, rows and counts."""
    sites = Sites(named=["example.com", "other.example"], privacy="drop")
    alone = await Bench(sites=sites, now_ms=now_ms).ready()
    together = await Bench(sites=sites, now_ms=now_ms).ready()
    for seed in range(150):
        count = random.Random(seed).choice((1, 2, 8, 60))
        one_by_one = random.Random(seed)
        wanted = [told(alone.collect_all([any_exchange(one_by_one, alone)])[0]) for _ in range(count)]
        at_once = random.Random(seed)
        found = together.collect_all([any_exchange(at_once, together) for _ in range(count)])
        assert [told(one) for one in found] == wanted, seed
        assert counted(together) == counted(alone)
    assert len(alone.reasons) > 12
    assert together.counts.properties


class Failing(Native):
    """A dialect whose `b"fault"` is decoded to what no step can bear."""

    def decode(self, head: Head, body: bytes) -> Decoded:
        if body == b"fault":
            fault = Event(url=URL, props={"a": "x"}, screen="wide")  # type: ignore[arg-type]  # the fault
            return Decoded([fault, Unsupported("$identify"), Reason.NOT_AN_EVENT], True, 5)
        return super().decode(head, body)


class Sharing(Native):
    """A dialect that gives several events one object of properties, two of which are too many."""

    def decode(self, _head: Head, body: bytes) -> Decoded:
        shared, own = {f"k{at}": at for at in range(32)}, {"a": 1}
        return Decoded([Event(url=URL, props=props) for props in (shared, shared, None, shared, own)], True, len(body))


async def test_events_that_share_their_properties_are_judged_each() -> None:
    """Each row has them, and what each drops is counted."""
    bench = await Bench(routes=[TableRow("POST", "/f", Sharing(Limits()))]).ready()
    assert [len(row.props) for _, row in bench.post(b"{}").rows] == [30, 30, 0, 30, 1]
    assert bench.counts.properties == 6


async def test_a_fault_of_ours_costs_its_own_request(caplog: pytest.LogCaptureFixture) -> None:
    """Its neighbours in the commit are stored once, and counted once. What was decoded of it counts by its events."""
    bench = await Bench(routes=[TableRow("POST", "/f", Failing(Limits()))]).ready()
    many = b'[{"url":"https://example.com/","props":{"x":{"y":{"z":{"deep":1}}}}},{},7]'
    bodies = [b'{"url":"https://example.com/"}', b"fault", many, b"{}"]
    exchanges = [bench.exchange("POST", b"/f", BROWSER, body, "203.0.113.7") for body in bodies]
    found = bench.collect_all([one for one in exchanges if isinstance(one, Exchange)])
    assert [(one.status, len(one.rows)) for one in found] == [(202, 1), (503, 0), (202, 1), (400, 0)]
    assert bench.reasons == {Reason.SERVER_ERROR: 2, Reason.MISSING_URL: 2, Reason.NOT_AN_EVENT: 1}
    assert bench.counts.properties == 1
    assert "ValueError in screen:" in caplog.text or "TypeError in" in caplog.text


async def test_without_a_salt_whoever_needs_none_is_answered_as_ever() -> None:
    """The others are shed, because their visitors have no number."""
    bench = Bench()
    with pytest.raises(SaltMissing):
        bench.salts.at(UTC_DAYS, NOON)
    bodies = [{"url": URL}, {"url": "https://unknown.example/"}, {}, [{"url": URL}, {}]]
    found = [bench.post(body) for body in bodies]
    assert [one.status for one in found] == [503, 403, 400, 503]
    together = [bench.exchange("POST", b"/f", BROWSER, msgspec.json.encode(body), "203.0.113.7") for body in bodies]
    assert [one.status for one in bench.collect_all([one for one in together if isinstance(one, Exchange)])] == [
        503, 403, 400, 503,
    ]  # fmt: skip
    assert bench.counts.sheds == {Shed.REDIS: 6}
    assert bench.reasons == {Reason.UNKNOWN_SITE: 2, Reason.MISSING_URL: 2}


async def test_events_of_several_dialects_share_a_commit() -> None:
    """Each is judged by its own dialect's limits, and rows of a request stand together."""
    short = Native(Limits(name_chars_max=3))
    bench = await Bench(
        routes=[
            TableRow("POST", "/f", Native(Limits())),
            TableRow("POST", "/g", short),
            TableRow("GET", "/f.gif", Pixel(Limits())),
        ]
    ).ready()
    body = msgspec.json.encode([{"url": URL, "name": "signup"}, {"url": URL}])
    made = [bench.exchange("POST", path, BROWSER, body, "203.0.113.7") for path in (b"/f", b"/g", b"/f")]
    found = bench.collect_all([one for one in made if isinstance(one, Exchange)])
    assert [[row.name for _, row in one.rows] for one in found] == [["signup", "pageview"], [], ["signup", "pageview"]]
    assert bench.reasons == {Reason.NAME_TOO_LONG: 2}


async def test_a_commit_is_taken_in_pieces() -> None:
    """No more requests are taken once there are enough rows or bytes; what is left waits for the next."""
    bench = await Bench().ready()
    bench.collector._rows_max = 5
    made = [
        bench.exchange("POST", b"/f", BROWSER, msgspec.json.encode([{"url": URL}] * 2), "203.0.113.7") for _ in range(7)
    ]
    sizes = list(pieces(bench, [one for one in made if isinstance(one, Exchange)]))
    assert sizes == [6, 6, 2]


def pieces(bench: Bench, exchanges: list[Exchange]) -> Iterator[int]:
    waiting = deque(exchanges)
    while waiting:
        yield len(bench.collector.collect(waiting).shards)


def test_every_step_is_named_in_the_order_in_which_it_runs() -> None:
    """The list in the module's head is the list that is executed."""
    listed = [line.split()[0] for line in (steps.__doc__ or "").splitlines() if line.startswith("    ")]
    assert listed == [step.__name__ for step in STEPS]


async def test_a_batch_ends_after_a_while_of_bad_bodies() -> None:
    """A body of 1 kB that becomes 1 MiB and is refused holds the loop up for 25 ms; it makes no rows that end a batch."""
    bench = await Bench().ready()
    bomb = gzip.compress(b"[" + b"{}," * 300_000 + b"{}]")
    coded = [*BROWSER, (b"Content-Encoding", b"gzip")]
    waiting = deque(bench.exchange("POST", b"/f", coded, bomb, "203.0.113.7") for _ in range(20))
    finished = len(bench.collector.collect(cast(deque[Exchange], waiting)).finished)
    assert finished + len(waiting) == 20
    assert 0 < finished < 10


async def test_a_request_that_was_collected_holds_no_body() -> None:
    """It may wait for long, and nothing but its rows and its answer is needed."""
    bench = await Bench().ready()
    exchange = bench.post([{"url": URL}, {}]).exchange
    assert exchange is not None
    assert (exchange.body, exchange.decoded) == (b"", None)
