"""ingest/collect/collector.py: one table from odd requests to their status, reasons and rows."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest
import zstandard

from ingest.collect.sites import Sites
from ingest.collect.steps import UINT32_MAX
from ingest.dialects.contract import Dialect
from ingest.dialects.event import Limits
from ingest.dialects.native import Native
from ingest.dialects.request import Headers
from ingest.dialects.table import TableRow
from ingest.fates import Reason, Shed
from schemas.row import INTERNAL, SENT_BY_LIBRARY
from schemas.site import Privacy
from tests.support.collecting import CHROME, NOON, URL, Bench, misfits

GOOD = {"url": URL}
GZIP = (b"Content-Encoding", b"gzip")
MANY = [GOOD, {"url": URL, "revenue": {"amount": "x", "currency": "EUR"}}, 7, {"url": "https://unknown.example/"}, GOOD]
DAY_MS = 86_400_000
MIDNIGHT = NOON + DAY_MS // 2


class Case(NamedTuple):
    """A POST of `body` with these headers besides a browser's, and what must come of it."""

    name: str
    body: Any
    status: int
    reasons: tuple[Reason, ...] = ()
    rows: int = 0
    headers: Headers = ()
    peer: str = "203.0.113.7"


CASES = [
    Case("one event", GOOD, 202, rows=1),
    Case("one event by site alone", {"site": "example.com", "name": "signup"}, 202, rows=1),
    Case("blanks around it", b' \n{"url":"https://example.com/"}\n', 202, rows=1),
    Case("a byte-order mark", b"\xef\xbb\xbf" + msgspec.json.encode(GOOD), 202, rows=1),
    Case("gzip", gzip.compress(msgspec.json.encode(GOOD)), 202, rows=1, headers=[GZIP]),
    Case("deflate", zlib.compress(msgspec.json.encode(GOOD)), 202, rows=1, headers=[(b"Content-Encoding", b"deflate")]),
    Case(
        "zstd",
        zstandard.ZstdCompressor().compress(msgspec.json.encode(GOOD)),
        202,
        rows=1,
        headers=[(b"content-encoding", b"ZSTD")],
    ),
    Case("unknown fields", {"url": URL, "later": {"x": [1]}}, 202, rows=1),
    Case("nulls", {"url": URL, "title": None, "props": None, "screen": None, "id": None}, 202, rows=1),
    Case("a mask of automation that is none", {"url": URL, "auto": {"deep": [1, None]}}, 202, rows=1),
    Case("a mask of automation of 10^40", b'{"url":"https://example.com/","auto":' + b"9" * 40 + b"}", 202, rows=1),
    Case("empty arrays for empty maps", {"url": URL, "props": [], "vitals": []}, 202, rows=1),
    Case("an array for properties", {"url": URL, "props": ["a"]}, 400, (Reason.INVALID_FIELD,)),
    Case("a screen in fractions", {"url": URL, "screen": [1920.0, 1079.5]}, 202, rows=1),
    Case("a page without a host", {"url": "about:srcdoc"}, 400, (Reason.INVALID_URL,)),
    Case("a page without a host, of a site", {"url": "about:srcdoc", "site": "example.com"}, 202, rows=1),
    Case("a long referrer", {"url": URL, "referrer": "https://a.example/" + "x" * 4_000}, 202, rows=1),
    Case("a long query", {"url": URL + "?q=" + "x" * 4_000}, 202, rows=1),
    Case("an array", [GOOD] * 3, 202, rows=3),
    Case("500 events", [GOOD] * 500, 202, rows=500),
    Case("bad ones among good", MANY, 202, (Reason.INVALID_REVENUE, Reason.NOT_AN_EVENT, Reason.UNKNOWN_SITE), 2),
    Case("only bad ones", MANY[1:4], 400, (Reason.INVALID_REVENUE, Reason.NOT_AN_EVENT, Reason.UNKNOWN_SITE)),
    Case("NUL", b'{"url":"https://example.com/\\u0000","title":"\\u0000"}', 202, rows=1),
    Case("half a surrogate pair", b'{"url":"https://example.com/","title":"\\ud83d"}', 202, rows=1),
    Case("a future clock", {"url": URL, "ts": 10**15}, 202, rows=1),
    Case("a negative clock", {"url": URL, "ts": -1}, 400, (Reason.TOO_OLD,)),
    Case("a clock in seconds", {"url": URL, "ts": NOON // 1000}, 400, (Reason.TOO_OLD,)),
    Case(
        "a clock beyond 64 bits", b'{"url":"https://example.com/","ts":' + b"9" * 40 + b"}", 400, (Reason.INVALID_TIME,)
    ),
    Case("a clock of 1e300", b'{"url":"https://example.com/","ts":1e300}', 400, (Reason.INVALID_TIME,)),
    Case("a word for a clock", {"url": URL, "ts": "soon"}, 400, (Reason.INVALID_TIME,)),
    Case(
        "5 000 digits",
        b'{"url":"https://example.com/","engaged_ms":' + b"9" * 5_000 + b"}",
        400,
        (Reason.INVALID_FIELD,),
    ),
    Case("no body", b"", 400, (Reason.EMPTY_BODY,)),
    Case("an empty array", [], 400, (Reason.EMPTY_ARRAY,)),
    Case("501 events", [GOOD] * 501, 400, (Reason.TOO_MANY_EVENTS,)),
    Case("malformed JSON", b'{"url":', 400, (Reason.MALFORMED_JSON,)),
    Case("NaN", b'{"url":NaN}', 400, (Reason.MALFORMED_JSON,)),
    Case("a number", b"5", 400, (Reason.NOT_AN_EVENT,)),
    Case("invalid UTF-8", b'{"url":"\xff"}', 400, (Reason.INVALID_UTF8,)),
    Case("10 000 arrays deep", b"[" * 10_000 + b"]" * 10_000, 400, (Reason.TOO_DEEP,)),
    Case("5 000 objects deep", b'{"props":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, 400, (Reason.TOO_DEEP,)),
    Case("a wrong type", {"url": 5}, 400, (Reason.INVALID_FIELD,)),
    Case("no url", {"name": "x"}, 400, (Reason.MISSING_URL,)),
    Case("a path for a url", {"url": "/x", "site": "example.com"}, 400, (Reason.INVALID_URL,)),
    Case("a long url", {"url": URL + "x" * 2_048}, 400, (Reason.URL_TOO_LONG,)),
    Case("a long name", {"url": URL, "name": "x" * 121}, 400, (Reason.NAME_TOO_LONG,)),
    Case("a name of NUL", b'{"url":"https://example.com/","name":"\\u0000"}', 202, rows=1),
    Case("an event of 33 KiB", {"url": URL, "title": "x" * (33 << 10)}, 400, (Reason.EVENT_TOO_LARGE,)),
    Case("an unknown site", {"url": "https://unknown.example/"}, 403, (Reason.UNKNOWN_SITE,)),
    Case("a site of NUL", b'{"url":"https://example.com/","site":"\\u0000x"}', 403, (Reason.UNKNOWN_SITE,)),
    Case("a body of 1 MiB and a byte", b" " * (1 << 20) + b"1", 413, (Reason.BODY_TOO_LARGE,)),
    Case("a gzip bomb", gzip.compress(bytes(64 << 20)), 413, (Reason.BODY_TOO_LARGE,), headers=[GZIP]),
    Case("damaged gzip", b"\x1f\x8b\x08nonsense", 400, (Reason.CORRUPT_ENCODING,), headers=[GZIP]),
    Case("brotli", b"x", 415, (Reason.UNSUPPORTED_ENCODING,), headers=[(b"Content-Encoding", b"br")]),
    Case("gzip twice", gzip.compress(b"{}"), 415, (Reason.UNSUPPORTED_ENCODING,), headers=[GZIP, GZIP]),
    Case(
        "a form",
        b"url=x",
        415,
        (Reason.UNSUPPORTED_MEDIA_TYPE,),
        headers=[(b"Content-Type", b"application/x-www-form-urlencoded")],
    ),
    Case(
        "two types that differ",
        GOOD,
        415,
        (Reason.UNSUPPORTED_MEDIA_TYPE,),
        headers=[(b"Content-Type", b"text/plain"), (b"Content-Type", b"text/html")],
    ),
    Case("two types alike", GOOD, 202, rows=1, headers=[(b"Content-Type", b"text/plain")] * 2),
    Case("two user agents", GOOD, 202, rows=1, headers=[(b"User-Agent", b"a"), (b"User-Agent", b"b")]),
    Case(
        "two origins", GOOD, 202, rows=1, headers=[(b"Origin", b"https://a.example"), (b"Origin", b"https://b.example")]
    ),
    Case("no user agent", GOOD, 202, rows=1, headers=[(b"User-Agent", b"")]),
    Case("an IPv6 peer", GOOD, 202, rows=1, peer="2001:db8::1"),
    Case("a link-local peer", GOOD, 202, rows=1, peer="fe80::1%eth0"),
    Case("no peer", GOOD, 202, rows=1, peer=""),
    Case(
        "an unusable revenue",
        {"url": URL, "revenue": {"amount": 10**12, "currency": "EUR"}},
        400,
        (Reason.INVALID_REVENUE,),
    ),
    Case("half a revenue", {"url": URL, "revenue": {"amount": 1}}, 400, (Reason.INVALID_FIELD,)),
]


@pytest.fixture
async def bench() -> Bench:
    return await Bench().ready()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_request_has_its_answer_and_its_rows(bench: Bench, case: Case) -> None:
    """Status, reasons and rows as the table says; each reason counted once; rows fit the table."""
    collected = bench.post(case.body, headers=case.headers, peer=case.peer)
    assert collected.status == case.status, collected.body
    assert bench.reasons == Counter(case.reasons)
    assert len(collected.rows) == case.rows
    assert all(not misfits(row) for _, row in collected.rows)
    assert all(reason.value.encode() in collected.body for reason in case.reasons)


async def test_an_id_that_lost_characters_is_none(bench: Bench) -> None:
    """NUL and all halves of surrogate pairs become one character: taken for ids, the second event would be left out as a copy."""
    rows = [bench.row(b'{"url":"https://example.com/","id":"a\\%b"}' % half) for half in (b"ud83d", b"ud83e", b"u0000")]
    assert [row.event_id for row in rows] == [""] * 3
    assert bench.row({"url": URL, "id": "ä"}).event_id == "ä"


async def test_the_row_of_a_whole_event(bench: Bench) -> None:
    """Every column has what the client said, or what the server knows."""
    said = {
        "name": "purchase", "url": URL + "a?utm_source=x", "referrer": "https://a.example/", "title": "T", "language": "de",
        "screen": [1920, 1080], "props": {"plan": "pro"}, "revenue": {"amount": "9.90", "currency": "eur"},
        "engaged_ms": 1_500.7, "scroll_pct": 40, "vitals": {"lcp": 1.5, "cls": None, "inp": -1, "xyz": 3, "fcp": 1e300},
        "id": "i", "ts": NOON - 5_000, "user": "u", "auto": 4,
    }  # fmt: skip
    agent = [
        (b"User-Agent", CHROME.replace(b"X11; Linux x86_64", b"Windows NT 10.0; Win64; x64")),
        (b"Sec-CH-UA", b'"Chromium";v="144", "Brave";v="144"'),
        (b"Sec-CH-UA-Platform", b'"Windows"'),
        (b"Sec-CH-UA-Platform-Version", b'"15.0.0"'),
    ]
    row = bench.row(said, headers=agent)
    assert row.visitor_id > 0
    assert row._replace(visitor_id=0) == (
        "example.com", "purchase", NOON - 5_000, NOON, "i", 0, 0, 0, "u", URL + "a?utm_source=x", "https://a.example/", 0,
        "T", "de", 1920, 1080, 99_000, "EUR", 1_500, 40, {"plan": "pro"}, {"lcp": 1.5}, "native", "", "",
        "Brave", "Windows", "desktop", 512, "", "", "144", "11", "", "",
    )  # fmt: skip


async def test_the_row_of_the_least_event(bench: Bench) -> None:
    """What nobody said is empty, a pageview, and now."""
    row = bench.row({"site": "WWW.Example.com"})
    assert (row.site, row.name, row.ts, row.url, row.props) == ("example.com", "pageview", NOON, "", {})


@pytest.mark.parametrize(
    ("said", "column", "value"),
    [
        ({"screen": [-1, 99_999]}, "screen_w", 0),
        ({"screen": [-1, 99_999]}, "screen_h", 65_535),
        ({"engaged_ms": -5}, "engaged_ms", 0),
        ({"engaged_ms": 10**30}, "engaged_ms", UINT32_MAX),
        ({"scroll_pct": 250}, "scroll_pct", 100),
        ({"ts": NOON + 60_001}, "ts", NOON),
        ({"title": "t" * 501}, "title", "t" * 500),
    ],
)
async def test_what_would_wrap_around_is_clamped(bench: Bench, said: dict[str, Any], column: str, value: Any) -> None:
    """ClickHouse lets a UInt32 overflow in silence."""
    assert getattr(bench.row({"url": URL, **said}), column) == value


async def test_dropped_vitals_are_counted(bench: Bench) -> None:
    """Out of range, not a number, or of a name that is none; what was not measured is not dropped."""
    bench.row({"url": URL, "vitals": {"lcp": 1.5, "cls": None, "inp": -1, "xyz": 3, "fcp": 1e300}})
    assert bench.counts.properties == 3


async def test_dropped_properties_are_counted(bench: Bench) -> None:
    """The event is stored without them."""
    assert len(bench.row({"url": URL, "props": {f"k{at}": at for at in range(33)}}).props) == 30
    assert bench.counts.properties == 3


@pytest.mark.parametrize("field", ["visitor", "session", "ip", "user_agent"])
async def test_what_only_a_server_may_say_is_not_read(bench: Bench, field: str) -> None:
    """A page can't choose whose visitor it is."""
    assert bench.row({"url": URL, field: "1.2.3.4"}) == bench.row(GOOD)


class Owning(Native):
    """A dialect whose SDK numbers visitors."""

    name = "owning"
    route = "/own"
    owns_visitors = True


async def test_an_sdks_own_visitor_is_honoured() -> None:
    """Its number decides visitor and shard, whatever the address; without one the client does."""
    own: Dialect = Owning(Limits())
    bench = await Bench(routes=[TableRow("POST", "/own", own)]).ready()

    def rows(visitor: str | None, peer: str) -> list[tuple[int, int]]:
        body = [{"url": URL, "visitor": visitor}, {"url": URL}]
        return [(shard, row.visitor_id) for shard, row in bench.post(body, target=b"/own", peer=peer).rows]

    one, other, third = rows("a", "203.0.113.7"), rows("a", "203.0.113.8"), rows("b", "203.0.113.7")
    assert one[0] == other[0] != third[0]
    assert one[1] == third[1] != other[1]


async def test_an_sdks_own_session_is_honoured() -> None:
    """If its id says when it began; the events of a visitor who asked not to be followed have none."""
    own: Dialect = Owning(Limits())
    sites = Sites(named=["example.com"], privacy="anonymise")
    bench = await Bench(routes=[TableRow("POST", "/own", own)], sites=sites).ready()
    body = [{"url": URL, "visitor": "a", "session": said} for said in (str(NOON), str(NOON + 1), "mine")]
    one, other, unsaid = [row.session_id for _, row in bench.post(body, target=b"/own").rows]
    assert one != other
    assert (one >> 32, other >> 32, unsaid) == (NOON // 1_000, NOON // 1_000, 0)
    hidden = bench.post(body, target=b"/own", headers=[(b"Sec-GPC", b"1")])
    assert {row.session_id for _, row in hidden.rows} == {0}


def test_without_a_salt_events_are_shed() -> None:
    """A process that never reached Redis is not ready."""
    bench = Bench()
    assert bench.post(GOOD).status == 503
    assert bench.counts.sheds == {Shed.REDIS: 1}


@pytest.mark.parametrize("name", ["identify", "alias", "group", "signup"])
async def test_of_who_an_anonymous_visitor_is_nothing_is_kept(name: str) -> None:
    """The properties of these events name the person, as `user` does; those of others are what the site says of the event."""
    bench = await Bench(sites=Sites(named=["example.com"], privacy="anonymise")).ready()
    said = {"url": URL, "name": name, "user": "ada", "props": {"email": "a@b.test", "previous_id": "ada-1"}}
    kept = bench.row(said)
    hidden = bench.row(said, headers=[(b"Sec-GPC", b"1")])
    assert (kept.user_id, len(kept.props)) == ("ada", 2)
    assert (hidden.user_id, len(hidden.props)) == ("", 2 if name == "signup" else 0)


SIGNALS = (
    {"headers": [(b"Sec-GPC", b"1")]},
    {"headers": [(b"DNT", b"1")]},
    {"target": b"/f?gpc=1"},
    {"target": b"/f?a=1&gpc=1"},
)


@pytest.mark.parametrize("signal", SIGNALS, ids=("Sec-GPC", "DNT", "the tracker's", "among others"))
@pytest.mark.parametrize(("privacy", "rows"), [("count", 2), ("anonymise", 2), ("drop", 0)])
async def test_a_signal_is_honoured_as_the_site_wants(privacy: Privacy, rows: int, signal: dict[str, Any]) -> None:
    """Counted like anyone, counted as nobody in particular, or not at all."""
    bench = await Bench(sites=Sites(named=["example.com"], privacy=privacy)).ready()
    event = {"url": URL, "user": "u"}
    answers = [bench.post(event, peer=peer, **signal) for peer in ("203.0.113.7", "198.51.100.1")]
    made = [row for answer in answers for _, row in answer.rows]
    assert [answer.status for answer in answers] == [202, 202]
    assert len(made) == rows
    if privacy == "count":
        assert made[0] == bench.row(event)
        assert made[0].visitor_id != made[1].visitor_id
    elif privacy == "anonymise":
        assert made[0] == made[1]
        assert made[0].user_id == ""
        assert made[0].visitor_id != bench.row(event).visitor_id
    else:
        assert bench.counts.rejections == {("example.com", Reason.PRIVACY): 2}
        assert answers[0].body == b'{"reason":"privacy"}'
        assert bench.post([event], **signal).status == 202


async def test_no_signal_no_privacy_drop() -> None:
    """Only 1 is a signal."""
    bench = await Bench(sites=Sites(named=["example.com"], privacy="drop")).ready()
    assert bench.post(GOOD, headers=[(b"DNT", b"0"), (b"Sec-GPC", b"")]).rows
    assert bench.post(GOOD, target=b"/f?gpc=0&xgpc=1&gpc=10").rows


async def test_equal_clients_are_one_visitor_on_one_shard(bench: Bench) -> None:
    """An IPv4 address in either form, and an IPv6 address whatever its lower half."""

    def seen(peer: str, **more: Any) -> tuple[int, int]:
        [(shard, row)] = bench.post({"url": URL, **more}, peer=peer).rows
        return shard, row.visitor_id

    assert seen("203.0.113.7") == seen("::ffff:203.0.113.7")
    assert seen("2001:db8::1") == seen("2001:db8::ffff:2")
    assert seen("2001:db8::1")[1] != seen("2001:db8:0:1::1")[1]
    assert seen("203.0.113.7")[1] != seen("203.0.113.7", site="other.example")[1]
    assert len({seen(f"203.0.113.{at}")[0] for at in range(40)}) == 4


async def test_a_row_after_midnight_knows_yesterdays_visitor() -> None:
    """So that a visit over midnight stays one, on its shard."""
    bench = await Bench(now_ms=MIDNIGHT - 1).ready()
    [(shard, yesterday)] = bench.post(GOOD).rows
    bench.clock.now_ms = MIDNIGHT
    await bench.salts.refresh()
    [(later, row)] = bench.post(GOOD).rows
    assert (row.visitor_before, later) == (yesterday.visitor_id, shard)
    assert row.visitor_id != yesterday.visitor_id


async def test_a_proxys_word_counts_when_it_is_trusted() -> None:
    """For the address and for the country."""
    said = [(b"X-Forwarded-For", b"203.0.113.7"), (b"CF-IPCountry", b"de")]
    bench = await Bench(trusted=["10.0.0.0/8"], country_header="CF-IPCountry").ready()
    proxied = bench.row(GOOD, headers=said, peer="10.0.0.1")
    direct = bench.row(GOOD, headers=said, peer="203.0.113.7")
    assert (proxied.country, direct.country) == ("DE", "")
    assert proxied.visitor_id == direct.visitor_id


@pytest.mark.parametrize(
    ("said", "bot", "flags"),
    [({}, "library", 0), ({"user": "u"}, "", SENT_BY_LIBRARY), ({"revenue": {"amount": 1, "currency": "EUR"}}, "", SENT_BY_LIBRARY)],
)  # fmt: skip
async def test_a_server_is_no_bot(bench: Bench, said: dict[str, Any], bot: str, flags: int) -> None:
    """A program's library that names a person or reports money is stored among people, and can be told apart."""
    row = bench.row({"url": URL, **said}, headers=[(b"User-Agent", b"python-requests/2.32")])
    assert (row.bot, row.url_flags) == (bot, flags)


async def test_a_sites_own_hosts_are_no_source() -> None:
    """Its name, its domains and what lies below them; not a host that is a site of its own, nor one that ends alike."""
    registered = {
        "own.example": b'{"domains": ["shop.example", "www.pay.example"]}',
        "blog.own.example": b"{}",
    }

    class Registered:
        async def sites(self) -> dict[str, bytes]:
            return registered

    sites = Sites(named=[], privacy="count", source=Registered())
    await sites.refresh()
    bench = await Bench(sites=sites).ready()

    def is_internal(referrer: str, url: str = "https://own.example/") -> bool:
        return bool(bench.row({"url": url, "site": "own.example", "referrer": referrer}).url_flags & INTERNAL)

    for own in (
        "https://WWW.own.example./a",
        "https://shop.example/",
        "http://pay.example:8080/",
        "https://a.shop.example",
    ):
        assert is_internal(own), own
    for other in ("https://notown.example/", "https://blog.own.example/", "https://example/", "newsletter"):
        assert not is_internal(other), other
    assert is_internal("https://elsewhere.example/a", url="https://www.elsewhere.example/b")


async def test_a_bot_is_stored_with_its_verdict(bench: Bench) -> None:
    """The views leave it out, and a query can bring it back."""
    agent = CHROME.replace(b"Chrome/", b"HeadlessChrome/")
    assert bench.row(GOOD, headers=[(b"User-Agent", agent)]).bot == "headless"
    assert bench.row(GOOD, headers=[(b"User-Agent", b"")]).bot == "no_user_agent"
