"""ingest/dialects/native.py: bodies and queries to events, fates to answers."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.contract import Item
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.native import GIF, PARAMETERS_MAX, Native, Pixel
from ingest.dialects.request import FieldReader, Head, Headers, Rejected
from ingest.fates import Reason, Shed

LIMITS = Limits()
DEEP = 10_000
JSON = ((b"Content-Type", b"application/json"),)


def head(query: bytes = b"", headers: Headers = JSON) -> Head:
    return FieldReader().head("POST", b"/f?" + query, headers)


def items(body: bytes, limits: Limits = LIMITS) -> list[Item]:
    return list(Native(limits).decode(head(), body).items)


def refused(body: bytes, headers: Headers = JSON) -> Reason:
    with pytest.raises(Rejected) as caught:
        Native(LIMITS).decode(head(headers=headers), body)
    return caught.value.reason


def test_every_field_is_decoded() -> None:
    """The native event of the contract, whole."""
    said: dict[str, Any] = {
        "name": "signup",
        "url": "https://example.com/",
        "site": "example.com",
        "referrer": "https://a.example/",
        "title": "Titel \U0001f600",
        "language": "de",
        "screen": [1920, 1080],
        "props": {"plan": "pro", "n": 1, "deep": {"x": [1, None]}},
        "revenue": {"amount": "9.90", "currency": "EUR"},
        "engaged_ms": 5,
        "scroll_pct": 40.5,
        "vitals": {"lcp": 1.5, "inp": None},
        "id": "i",
        "ts": "2026-01-02T03:04:05Z",
        "sent_at": 5,
        "user": "u",
        "visitor": "v",
        "session": "s",
        "ip": "1.2.3.4",
        "user_agent": "x",
        "auto": 5,
    }
    assert set(said) == {field.name for field in msgspec.structs.fields(Event)}
    expected = Event(**{**said, "screen": (1920, 1080), "revenue": Revenue("9.90", "EUR")})
    assert items(msgspec.json.encode(said)) == [expected]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b"{", Reason.MALFORMED_JSON),
        (b'{"url":"a"} {}', Reason.MALFORMED_JSON),
        (b'{"url":NaN}', Reason.MALFORMED_JSON),
        (b"{'url':1}", Reason.MALFORMED_JSON),
        (b"url=https://example.com/", Reason.MALFORMED_JSON),
        (b"\x1f\x8b\x08", Reason.MALFORMED_JSON),
        (b"\xff\xfe{", Reason.MALFORMED_JSON),
        (b"null", Reason.NOT_AN_EVENT),
        (b'"{}"', Reason.NOT_AN_EVENT),
        (b"17", Reason.NOT_AN_EVENT),
        (b'"\xff"', Reason.INVALID_UTF8),
        (b'{"url":"\xff"}', Reason.INVALID_UTF8),
        (b'{"url":"\xed\xa0\x80"}', Reason.INVALID_UTF8),
        (b'{"url":1}', Reason.INVALID_FIELD),
        (b'{"screen":[1]}', Reason.INVALID_FIELD),
        (b'{"screen":[1,' + b"9" * 5_000 + b"]}", Reason.INVALID_FIELD),
        (b'{"engaged_ms":1e400}', Reason.INVALID_FIELD),
        (b'{"props":[1]}', Reason.INVALID_FIELD),
        (b'{"revenue":{}}', Reason.INVALID_FIELD),
        (b'{"props":' + b'{"a":' * DEEP, Reason.EVENT_TOO_LARGE),
        (b'{"props":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, Reason.TOO_DEEP),
        (b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}", Reason.TOO_DEEP),
        (b"[" * DEEP + b"]" * DEEP, Reason.TOO_DEEP),
        (b"[" * 500_000, Reason.TOO_DEEP),
        (b'{"title":"' + b"x" * (32 << 10) + b'"}', Reason.EVENT_TOO_LARGE),
        (b"[]", Reason.EMPTY_ARRAY),
        (b" [ ] ", Reason.EMPTY_ARRAY),
        (b"[{},]", Reason.MALFORMED_JSON),
        (b"[{}", Reason.MALFORMED_JSON),
        (b"[{}]x", Reason.MALFORMED_JSON),
        (b"[" + b"{}," * 500 + b"{}]", Reason.TOO_MANY_EVENTS),
        (b"[" + b"{}," * 300_000 + b"{}]", Reason.TOO_MANY_EVENTS),
    ],
)
def test_a_body_that_is_no_event_says_why(body: bytes, reason: Reason) -> None:
    """Each kind of damage has its reason; none raises anything else."""
    assert refused(body) is reason


@pytest.mark.parametrize("many", [1, 2, 400])
def test_a_bad_item_costs_itself(many: int) -> None:
    """Among good ones, in short bodies and long, each item has its own verdict."""
    good = b'{"url":"https://example.com/","title":"' + b"t" * 200 + b'"}'
    bad = [b"1", b"null", b"[]", b'{"url":1}', b'{"url":"\xff"}', b'{"title":"' + b"x" * 33_000 + b'"}']
    found = items(b"[" + b" ,\n".join([good, *bad] * many if many == 1 else [*bad, *[good] * many]) + b"]")
    reasons = [item for item in found if isinstance(item, Reason)]
    assert reasons == [Reason.NOT_AN_EVENT] * 3 + [Reason.INVALID_FIELD, Reason.INVALID_UTF8, Reason.EVENT_TOO_LARGE]
    assert len(found) - len(reasons) == many
    assert found.index(Event(url="https://example.com/", title="t" * 200)) == (0 if many == 1 else len(bad))


def test_half_a_pair_and_nul_cost_nothing() -> None:
    """A title cut in the middle of an emoji is still a title."""
    body = b'[{"title":"a\\ud83d","props":{"k\\u0000":"\\ude00"}},{"title":"\\ud83d\\ude00"}]'
    assert items(body) == [Event(title="a\ufffd", props={"k\ufffd": "\ufffd"}), Event(title="\U0001f600")]


def test_the_limits_are_reached_exactly() -> None:
    """500 events and 32 KiB are in."""
    assert len(items(b"[" + b"{}," * 499 + b"{}]")) == 500
    body = b'{"title":"' + b"x" * ((32 << 10) - 12) + b'"}'
    assert len(body) == 32 << 10
    assert isinstance(items(body)[0], Event)
    assert isinstance(items(b"[" + body + b"," + body + b"]")[1], Event)


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"text/plain", b"text/plain;charset=UTF-8", b"Application/JSON; charset=utf-8", b"", None],
)
def test_a_media_type_is_taken(content_type: bytes | None) -> None:
    """What browsers and SDKs send with JSON, and nothing at all."""
    headers = () if content_type is None else ((b"Content-Type", content_type),)
    assert Native(LIMITS).decode(head(headers=headers), b"{}").items == [Event()]


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"text/html",
        b"application/jsonx",
        b"*/*",
    ],
)
def test_another_media_type_is_refused(content_type: bytes) -> None:
    """Before its body is looked at."""
    assert refused(b"{", ((b"Content-Type", content_type),)) is Reason.UNSUPPORTED_MEDIA_TYPE


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda text: b'[{"url":"' + text + b'"},{}]'))
def test_any_bytes_are_events_or_refused(body: bytes) -> None:
    """The decoder raises nothing but Rejected."""
    try:
        found = items(body)
    except Rejected:
        return
    assert found
    assert all(isinstance(item, Event | Reason) for item in found)


def pixel(query: bytes, headers: Headers = ()) -> Event:
    [event] = Pixel(LIMITS).decode(head(query, headers), b"").items
    assert isinstance(event, Event)
    return event


@pytest.mark.parametrize(
    ("query", "event"),
    [
        (b"url=https%3A%2F%2Fexample.com%2F%3Fa%3Db&name=open", Event(url="https://example.com/?a=b", name="open")),
        (
            b"site=example.com&title=a+b&language=de&id=1&user=u",
            Event(site="example.com", title="a b", language="de", id="1", user="u"),
        ),
        (
            b"p.plan=pro&p.n=1&props=%7B%22plan%22%3A%22x%22%2C%22m%22%3A2%7D",
            Event(props={"plan": "pro", "n": "1", "m": 2}),
        ),
        (b"screen=1920x1080&ts=1700000000000", Event(screen=(1920, 1080), ts=1_700_000_000_000)),
        (b"ts=2026-01-02T03:04:05Z", Event(ts="2026-01-02T03:04:05Z")),
        (b"url=a&url=b&unknown=c", Event(url="a")),
        (b"title=%00a%ff\xff&p.%00k=%00v", Event(title="\ufffda\ufffd\ufffd", props={"\ufffdk": "\ufffdv"})),
        (b"", Event()),
        (b"&&=&", Event()),
    ],
)
def test_a_query_is_an_event(query: bytes, event: Event) -> None:
    """The same fields, the first of two, and no NUL."""
    assert pixel(query) == event


def test_a_picture_takes_the_page_from_the_referer() -> None:
    """<noscript> can't say where it stands; the browser does."""
    referer = ((b"Referer", b"https://example.com/a"),)
    assert pixel(b"name=x", referer).url == "https://example.com/a"
    assert pixel(b"url=https://example.com/b", referer).url == "https://example.com/b"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (b"props=[]", Reason.INVALID_FIELD),
        (b"props=%7B", Reason.INVALID_FIELD),
        (b"props=" + b'{"a":' * 5_000, Reason.INVALID_FIELD),
        (b"screen=wide", Reason.INVALID_FIELD),
        (b"screen=1x" + b"9" * 5_000, Reason.INVALID_FIELD),
        (b"a=b&" * (PARAMETERS_MAX + 1), Reason.EVENT_TOO_LARGE),
        (b"title=" + b"x" * (32 << 10), Reason.EVENT_TOO_LARGE),
    ],
)
def test_a_query_that_is_no_event_says_why(query: bytes, reason: Reason) -> None:
    """As bodies do."""
    with pytest.raises(Rejected) as caught:
        pixel(query)
    assert caught.value.reason is reason


@given(st.binary(max_size=200), st.sampled_from([b"", b"props=", b"ts=", b"screen=", b"p.x="]))
def test_any_query_is_an_event_or_refused(query: bytes, prefix: bytes) -> None:
    """Nothing but Rejected is raised."""
    with contextlib.suppress(Rejected):
        assert isinstance(pixel(prefix + query), Event)


def test_the_picture_is_one() -> None:
    """43 bytes that every mail program shows as nothing."""
    assert len(GIF) == 43
    assert GIF[:6] == b"GIF89a"


@pytest.mark.parametrize("dialect", [Native(LIMITS), Pixel(LIMITS)])
def test_a_shed_answer_asks_to_come_again(dialect: Native | Pixel) -> None:
    """503 with Retry-After, whatever the reason."""
    for reason in Shed:
        answer = dialect.shed(reason)
        assert answer.status == 503
        assert (b"retry-after", b"2") in answer.headers
