"""ingest/collect/collector.py: what is answered, in which words, with which headers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.collect.exchange import Exchange, Reply
from ingest.dialects.contract import Decoded
from ingest.dialects.event import Limits
from ingest.dialects.native import GIF, Native
from ingest.dialects.request import Head
from ingest.dialects.table import TableRow
from ingest.fates import Reason, Shed
from tests.support.collecting import BROWSER, URL, Bench, Collected

GOOD = {"url": URL}
MANY = [GOOD, {"url": URL, "revenue": {"amount": "x", "currency": "EUR"}}, 7, {"url": "https://unknown.example/"}, GOOD]


@pytest.fixture
async def bench() -> Bench:
    return await Bench().ready()


async def test_an_array_names_what_it_rejects(bench: Bench) -> None:
    """By index and reason; the rest is accepted."""
    assert msgspec.json.decode(bench.post(MANY).body) == {
        "accepted": 2,
        "rejected": [
            {"index": 1, "reason": "invalid_revenue"},
            {"index": 2, "reason": "not_an_event"},
            {"index": 3, "reason": "unknown_site"},
        ],
    }
    assert bench.counts.rejections["example.com", Reason.INVALID_REVENUE] == 1
    assert bench.counts.rejections["", Reason.UNKNOWN_SITE] == 1


@pytest.mark.parametrize("asked", [{"target": b"/f?x=1&debug=1"}, {"headers": [(b"X-Forebay-Debug", b"1")]}])
async def test_a_rejection_is_explained_to_who_asks(bench: Bench, asked: dict[str, Any]) -> None:
    """In a sentence, for one event and for each of many."""
    assert msgspec.json.decode(bench.post({}, **asked).body) == {
        "reason": "missing_url",
        "explanation": "The event has neither a url nor a site.",
    }
    many = msgspec.json.decode(bench.post([{}], **asked).body)
    assert many["rejected"][0]["explanation"].startswith("The event has")
    assert b"explanation" not in bench.post({}, target=b"/f?debug=10").body


async def test_one_event_is_answered_with_nothing(bench: Bench) -> None:
    """202 and no body."""
    assert bench.post(GOOD).body == b""


def names_of(collected: Collected) -> dict[bytes, bytes]:
    return dict(collected.headers)


@pytest.mark.parametrize("body", [GOOD, [GOOD], {}, b"", {"url": "https://unknown.example/"}])
async def test_every_answer_lets_the_page_read_it(bench: Bench, body: Any) -> None:
    """Without these headers a script sees a network error, and sends again."""
    headers = names_of(bench.post(body))
    assert headers[b"access-control-allow-origin"] == b"https://example.com"
    assert headers[b"access-control-allow-credentials"] == b"true"
    assert headers[b"vary"] == b"Origin"


@pytest.mark.parametrize(
    "origin", [b"https://a.example, https://b.example", b"x\r\ny: z", b"", b"x" * 256, "é".encode()]
)
async def test_what_is_no_origin_is_not_mirrored(bench: Bench, origin: bytes) -> None:
    """Nothing a client sends can end up between our headers."""
    assert names_of(bench.post(GOOD, headers=[(b"Origin", origin)])) == {b"vary": b"Origin"}


async def test_a_preflight_is_allowed(bench: Bench) -> None:
    """Methods of the path, the headers that were asked for, for a day."""
    asked = [(b"Access-Control-Request-Method", b"POST"), (b"Access-Control-Request-Headers", b"content-type,x-a")]
    collected = bench.post(b"", method="OPTIONS", headers=asked)
    headers = names_of(collected)
    assert (collected.status, collected.body, collected.rows) == (204, b"", [])
    assert headers[b"access-control-allow-methods"] == b"POST, OPTIONS"
    assert headers[b"access-control-allow-headers"] == b"content-type,x-a"
    assert headers[b"access-control-max-age"] == b"86400"
    odd = bench.post(b"", method="OPTIONS", headers=[(b"Access-Control-Request-Headers", b"a\r\nb: c")])
    assert b"access-control-allow-headers" not in names_of(odd)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", b"/f", 405),
        ("PUT", b"/f", 405),
        ("post", b"/f", 405),
        ("POST", b"/f.gif", 405),
        ("HEAD", b"/f", 405),
        ("POST", b"/", 404),
        ("POST", b"/f/", 404),
        ("POST", b"//f", 404),
        ("OPTIONS", b"/nothing", 404),
        ("POST", b"", 404),
        ("POST", b"/f?", 202),
    ],
)
async def test_a_route_is_a_path_and_a_method(bench: Bench, method: str, target: bytes, status: int) -> None:
    """Another method is told which there are; another path gets no CORS headers."""
    collected = bench.post(GOOD, method=method, target=target)
    assert collected.status == status
    assert (b"allow" in names_of(collected)) == (status == 405)
    assert (b"vary" in names_of(collected)) == (status != 404)


async def test_a_picture_collects_too(bench: Bench) -> None:
    """The same row, 43 bytes, never cached; a rejection shows in status and header."""
    collected = bench.get(b"url=https%3A%2F%2Fexample.com%2F&name=open&p.plan=pro")
    assert (collected.status, collected.body) == (200, GIF)
    assert names_of(collected)[b"cache-control"] == b"no-store"
    [(_, row)] = collected.rows
    assert (row.site, row.name, row.props, row.dialect) == ("example.com", "open", {"plan": "pro"}, "native")
    refused = bench.get(b"url=https://unknown.example/")
    assert (refused.status, refused.body, refused.rows) == (403, GIF, [])
    assert names_of(refused)[b"x-forebay-rejected"] == b"unknown_site"
    assert b"explanation" in bench.get(b"debug=1").body


async def test_head_of_a_picture_counts_nothing(bench: Bench) -> None:
    """It is answered as a GET would be (RFC 9110, 9.3.2), whatever the event is worth."""
    shown = bench.get(b"site=example.com")
    for target in (b"/f.gif?site=example.com&name=open", b"/f.gif?site=unknown.example", b"/f.gif"):
        asked = bench.post(b"", method="HEAD", target=target)
        assert (asked.status, asked.rows) == (200, [])
        assert set(shown.headers) <= set(asked.headers)
    assert not bench.counts.rejections


async def test_isolated_pages_may_show_the_picture(bench: Bench) -> None:
    """A page with Cross-Origin-Embedder-Policy takes only pictures that say so, a refusal's too."""
    for query in (b"site=example.com", b"site=unknown.example"):
        assert names_of(bench.get(query))[b"cross-origin-resource-policy"] == b"cross-origin"


@pytest.mark.parametrize("get", [False, True])
async def test_shed_is_503_with_the_same_cors(bench: Bench, get: bool) -> None:
    """Events that could not be made durable are counted, and their client is asked to come again."""
    collected = bench.get(b"site=example.com") if get else bench.post([GOOD, GOOD])
    assert collected.exchange is not None
    shed = bench.collector.shed(collected.exchange, Shed.SPOOL_FULL)
    assert shed.status == 503
    assert dict(shed.headers)[b"retry-after"] == b"2"
    assert dict(shed.headers)[b"access-control-expose-headers"] == b"retry-after"  # or a page could not read it
    assert set(collected.exchange.asked.sender.cors if collected.exchange.asked.sender else ()) <= set(shed.headers)
    assert bench.counts.sheds == {Shed.SPOOL_FULL: 1 if get else 2}


async def test_what_is_shed_before_it_is_collected_has_its_fates_too(bench: Bench) -> None:
    """Good events are counted as shed, bad ones as rejected; a request of bad ones is answered as ever."""
    for body, status in ((MANY, 503), ({}, 400), (b"", 400)):
        text = body if isinstance(body, bytes) else msgspec.json.encode(body)
        waiting = bench.exchange("POST", b"/f", BROWSER, text, "203.0.113.7")
        assert isinstance(waiting, Exchange)
        assert bench.collector.shed(waiting, Shed.QUEUE_FULL).status == status
    assert bench.counts.sheds == {Shed.QUEUE_FULL: 2}
    assert sum(bench.reasons.values()) == 5


async def test_a_lane_refuses_in_the_dialects_words(bench: Bench) -> None:
    """What is not read to its end is counted and answered like the rest."""

    def refused(method: str, reason: Reason | Shed) -> Reply:
        asked = bench.collector.asked(method, b"/f", [(b"Origin", b"https://a.example")])
        assert asked is not None
        return bench.collector.refused(asked, reason)

    late = refused("POST", Reason.BODY_INCOMPLETE)
    assert (late.status, late.body) == (408, b'{"reason":"body_incomplete"}')
    assert dict(late.headers)[b"access-control-allow-origin"] == b"https://a.example"
    assert refused("POST", Shed.MEMORY).status == 503
    assert refused("GET", Shed.MEMORY).status == 405
    assert bench.collector.asked("POST", b"/x", ()) is None
    assert (bench.reasons, bench.counts.sheds) == ({Reason.BODY_INCOMPLETE: 1}, {Shed.MEMORY: 1})


class Failing(Native):
    """A dialect with a fault of ours."""

    def decode(self, head: Head, body: bytes) -> Decoded:
        raise KeyError(body)


async def test_a_fault_of_ours_is_503_and_says_nothing_of_the_body(caplog: pytest.LogCaptureFixture) -> None:
    """One request is lost, counted and logged by its place in the code."""
    bench = await Bench(routes=[TableRow("POST", "/f", Failing(Limits()))]).ready()
    assert bench.post(b"secret").status == 503
    assert bench.reasons == {Reason.SERVER_ERROR: 1}
    assert "KeyError in Failing.decode:" in caplog.text
    assert "secret" not in caplog.text


async def test_debugging_names_fields_without_effect(bench: Bench) -> None:
    """A misspelt field, one that only a client that proves who it is may send, and a property that no row can hold;
    nothing is said unasked.
    """
    one = {"url": URL, "titel": "T", "ip": "1.2.3.4", "name": "x", "props": {"plan": "pro", "text": "x" * 501}}
    assert bench.post(one).body == b""
    answer = bench.post(one, target=b"/f?debug=1")
    assert (answer.status, msgspec.json.decode(answer.body)) == (202, {"ignored": ["titel", "ip", "props.text"]})
    many = bench.post([{"url": URL}, one, 7], target=b"/f?debug=1")
    assert msgspec.json.decode(many.body)["ignored"] == [{"index": 1, "fields": ["titel", "ip", "props.text"]}]
    flood = bench.post({"url": URL, **{f"x{at}": 1 for at in range(50)}}, target=b"/f?debug=1")
    assert len(msgspec.json.decode(flood.body)["ignored"]) == 20


async def test_a_picture_names_them_in_a_header(bench: Bench) -> None:
    """Those that a header can hold."""
    query = b"url=https%3A%2F%2Fexample.com%2F&titel=T&p.a=1&x%0D%0Ay=1&p.long=" + b"x" * 501
    assert not dict(bench.get(query).headers).get(b"x-forebay-ignored")
    answer = bench.get(query + b"&debug=1")
    assert (answer.status, dict(answer.headers)[b"x-forebay-ignored"]) == (200, b"titel, props.long")
