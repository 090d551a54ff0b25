"""ingest/collect/collector.py, driven by hypothesis: whatever comes in, it is answered, counted, and fits the table."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.collect.sites import Sites
from ingest.dialects.request import Headers
from tests.support.collecting import NOON, URL, Bench, Collected, misfits


@cache
def shared() -> Bench:
    """One for all examples: what it remembers must not matter."""
    bench = Bench(sites=Sites(named=["*"], privacy="anonymise"), trusted=["203.0.113.0/24"], country_header="X-Country")
    asyncio.run(bench.ready())
    return bench


def judge(collected: Collected, counted: int, before: int) -> None:
    """Never a 5xx; every item is a row or counted; every row fits the table."""
    bench = shared()
    assert collected.status < 500
    assert sum(bench.reasons.values()) - before == counted
    assert (collected.status < 300) >= bool(collected.rows)
    for shard, row in collected.rows:
        assert 0 <= shard < 4
        assert misfits(row) == []
    for name, value in collected.headers:
        assert not {10, 13, 0} & {*name, *value}


odd_text = st.text(max_size=8) | st.sampled_from(
    ["\0", "x" * 600, URL, "https://a.example/é?x=\U0001f600", "NaN", "2026-12-31T11:00:00Z"]
)
odd_number = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([10**40, -(1 << 63), 1 << 63, NOON])
)
odd_value = st.recursive(
    st.none() | st.booleans() | odd_number | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=6,
)
near_event = st.fixed_dictionaries(
    {"url": st.sampled_from([URL, "https://a.example/", "", None, 5]) | odd_text},
    optional={
        "name": odd_text | odd_value,
        "site": odd_text,
        "title": odd_text,
        "referrer": odd_text,
        "screen": st.tuples(st.integers(), st.integers()) | odd_value,
        "props": st.dictionaries(odd_text, odd_value, max_size=40),
        "revenue": st.fixed_dictionaries({"amount": odd_value, "currency": st.sampled_from(["EUR", "x", ""])}),
        "engaged_ms": odd_number,
        "scroll_pct": odd_number,
        "vitals": st.dictionaries(st.sampled_from(["lcp", "cls", "x"]), odd_number | st.none()),
        "ts": odd_value,
        "sent_at": odd_value,
        "user": odd_text,
        "id": odd_text,
    },
)
odd_headers = st.lists(
    st.tuples(
        st.sampled_from([b"Content-Type", b"content-encoding", b"Origin", b"User-Agent", b"X-Forwarded-For", b"Forwarded", b"CF-Connecting-IP", b"X-Country", b"DNT", b"Access-Control-Request-Headers", b"X-Forebay-Debug", b"Referer"]),
        st.binary(max_size=20) | st.sampled_from([b"1", b"gzip", b"application/json", b"203.0.113.9, 8.8.8.8"]),
    ),
    max_size=4,
)  # fmt: skip
QUICK = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(st.binary(max_size=400), odd_headers, st.sampled_from(["POST", "OPTIONS", "GET", ""]), st.text(max_size=20))
def test_any_request_is_answered(body: bytes, headers: Headers, method: str, peer: str) -> None:
    """Random bytes from anyone cost a counted rejection at most."""
    bench = shared()
    before = sum(bench.reasons.values())
    collected = bench.collect(method, b"/f?debug=1", headers, body, peer)
    judge(collected, 0 if method != "POST" or collected.status == 202 else 1, before)


@QUICK
@given(st.lists(near_event | odd_value, min_size=1, max_size=4), st.booleans())
def test_any_near_event_is_a_row_or_a_reason(events: list[Any], as_array: bool) -> None:
    """Structured nonsense: as many fates as items."""
    bench = shared()
    before = sum(bench.reasons.values())
    body = events if as_array else events[0]
    collected = bench.post(json_of(body))
    is_array = isinstance(body, list)
    if collected.status == 400 and is_array and b'"accepted"' not in collected.body:
        judge(collected, 1, before)
    else:
        judge(collected, (len(body) if is_array else 1) - len(collected.rows), before)


@QUICK
@given(st.binary(max_size=200), odd_headers)
def test_any_picture_is_answered(query: bytes, headers: Headers) -> None:
    """Queries are as odd as bodies."""
    before = sum(shared().reasons.values())
    collected = shared().get(b"site=a.example&" + query, headers)
    judge(collected, 1 - len(collected.rows), before)


def json_of(value: Any) -> bytes:
    """JSON as a careless client writes it: half pairs, NUL and huge numbers escape as they are."""
    return json.dumps(value).encode()
