"""ingest/dialects/segment.py, segment_events.py and segment_settings.py: bodies, keys, what messages are here, and answers."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import msgspec
import pytest

from ingest.dialects.contract import RETRY_AFTER, Decoded, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.native import GIF
from ingest.dialects.request import FieldReader, Head, Headers, Rejected
from ingest.dialects.segment import EVENTS_MAX, Jitsu, Metrics, Segment, SegmentPixel
from ingest.dialects.segment_settings import Settings
from ingest.fates import Reason, Shed

LIMITS = Limits()
PLAIN = ((b"Content-Type", b"text/plain"),)
JSON = ((b"Content-Type", b"application/json"),)
SECRET = "fbk_0123456789_" + "a" * 43


def basic(user: str) -> Headers:
    """Returns the headers of a client that gives its key as the user of Basic, as all SDKs write it."""
    return (*JSON, (b"Authorization", b"Basic " + base64.b64encode(f"{user}:".encode())))


def head(target: bytes = b"/v1/batch", headers: Headers = JSON, method: str = "POST") -> Head:
    return FieldReader().head(method, target, headers)


def written(value: Any) -> bytes:
    return msgspec.json.encode(value)


def decoded(said: Any, target: bytes = b"/v1/batch", headers: Headers = JSON) -> Decoded:
    return Segment(LIMITS).decode(head(target, headers), said if isinstance(said, bytes) else written(said))


def event(said: Any, target: bytes = b"/v1/batch", headers: Headers = JSON) -> Event:
    [found] = decoded(said, target, headers).items
    assert isinstance(found, Event)
    return found


PAGE: dict[str, Any] = {
    "type": "page",
    "name": "Prices",
    "category": "Docs",
    "properties": {
        "url": "https://a.example/p?utm_source=n",
        "path": "/p",
        "search": "?utm_source=n",
        "referrer": "https://b.example/",
        "title": "T",
        "plan": "pro",
    },
    "context": {
        "page": {"url": "https://a.example/other", "referrer": "", "title": "U"},
        "locale": "de-AT",
        "screen": {"width": 1920, "height": 1080, "density": 2},
        "userAgent": "UA",
        "ip": "192.0.2.1",
        "sessionId": 1_798_700_000,
        "library": {"name": "analytics.js"},
    },
    "messageId": "ajs-next-1798700000000-bb22d61b-20c0-46ce-9125-5a25ebdb1648",
    "anonymousId": "n-1",
    "userId": None,
    "timestamp": "2026-01-02T03:04:05.678Z",
    "sentAt": "2026-01-02T03:04:06.000Z",
    "writeKey": "WK",
    "integrations": {"Segment.io": True},
    "_metadata": {"bundled": []},
}


@pytest.mark.parametrize("path", [b"/v1/p", b"/v1/page", b"/v1/batch", b"/v1/b", b"/v1/import"])
def test_a_page_has_every_field_that_a_browser_says(path: bytes) -> None:
    """What the message says of the page comes before what its context says."""
    assert event(PAGE, path, PLAIN) == Event(
        name="pageview",
        url="https://a.example/p?utm_source=n",
        site="segment:WK",
        referrer="https://b.example/",
        title="T",
        language="de-AT",
        screen=(1920, 1080),
        props={"plan": "pro", "name": "Prices", "category": "Docs"},
        id="ajs-next-1798700000000-bb22d61b-20c0-46ce-9125-5a25ebdb1648",
        ts="2026-01-02T03:04:05.678Z",
        sent_at="2026-01-02T03:04:06.000Z",
        visitor="n-1",
        session="1798700000",
        ip="192.0.2.1",
        user_agent="UA",
    )


def test_a_batch_says_its_key_and_its_clock_once() -> None:
    """It may be compressed, with a header or without."""
    body = {"batch": [PAGE, {"type": "track", "event": "bought"}], "writeKey": "WK2", "sentAt": "2026-01-02T03:04:09Z"}
    packed = gzip.compress(written(body))
    for headers in (JSON, (*JSON, (b"Content-Encoding", b"gzip"))):
        first, second = decoded(packed, headers=headers).items
        assert isinstance(first, Event)
        assert isinstance(second, Event)
        assert (first.site, first.sent_at, second.site, second.name) == (
            "segment:WK2",
            "2026-01-02T03:04:09Z",
            "segment:WK2",
            "bought",
        )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/v1/t", "bought"),
        (b"/v1/track", "bought"),
        (b"/v1/p", "pageview"),
        (b"/v1/s", "pageview"),
        (b"/v1/i", "identify"),
        (b"/v1/g", "group"),
        (b"/v1/a", "alias"),
    ],
)
def test_a_message_without_a_type_has_that_of_its_path(path: bytes, name: str) -> None:
    """In full or as one letter."""
    assert event({"event": "bought", "previousId": "n-1", "userId": "ada"}, path).name == name


@pytest.mark.parametrize(
    ("headers", "body", "site"),
    [
        (basic("WK1"), {"writeKey": "WK2"}, "segment:WK1"),
        (JSON, {"writeKey": "WK2"}, "segment:WK2"),
        ((*JSON, (b"X-Write-Key", b"id7:secret")), {"writeKey": "id7:***"}, "segment:id7"),
        ((*JSON, (b"Authorization", b"Basic nonsense!")), {}, "segment:"),
        (JSON, {}, "segment:"),
    ],
)
def test_a_key_is_found_wherever_a_client_writes_it(headers: Headers, body: dict[str, Any], site: str) -> None:
    """One that is nowhere is a key that nobody registered."""
    assert event({"type": "track", "event": "bought"} | body, headers=headers).site == site


def test_each_message_of_a_batch_may_have_its_own_key() -> None:
    """Where the request has none."""
    first, second = decoded({"batch": [{"type": "page", "writeKey": "A"}, {"type": "page", "writeKey": "B"}]}).items
    assert [one.site for one in (first, second) if isinstance(one, Event)] == ["segment:A", "segment:B"]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((*JSON, (b"Authorization", b"Basic " + base64.b64encode(f"WK:{SECRET}".encode()))), {}),
        (basic(f"WK:{SECRET}"), {"writeKey": f"WK:{SECRET}"}),
        ((*JSON, (b"Authorization", f"Bearer {SECRET}".encode())), {"writeKey": "WK"}),
        (JSON, {"writeKey": f"WK:{SECRET}"}),
        ((*JSON, (b"X-Write-Key", f"WK:{SECRET}".encode())), {}),
    ],
)
def test_a_server_key_is_the_password_or_stands_behind_the_sites_key(headers: Headers, body: dict[str, Any]) -> None:
    """SDKs have one setting for a key, so both are written into it, with a colon between them."""
    found = decoded({"batch": [{"type": "track", "event": "a"}]} | body, headers=headers)
    assert found.credential == SECRET
    assert [one.site for one in found.items if isinstance(one, Event)] == ["segment:WK"]


def test_a_screen_is_a_pageview_of_an_address_that_is_made_of_it() -> None:
    """Of its name and of the app, whose own name may be no host."""
    found = event(
        {
            "type": "screen",
            "name": "Sign up",
            "properties": {"plan": "pro"},
            "context": {"app": {"name": "My App", "namespace": "com.example.app"}},
        }
    )
    assert (found.name, found.url, found.title) == ("pageview", "app://com.example.app/Sign%20up", "Sign up")
    assert found.props == {"original_name": "screen", "plan": "pro", "name": "Sign up"}
    unnamed = event({"type": "screen", "name": "/Home", "context": {"app": {"name": "My App"}}})
    assert unnamed.url == "app://My-App/Home"


@pytest.mark.parametrize(
    ("name", "properties", "revenue", "props"),
    [
        ("Order Completed", {"revenue": 49.9, "currency": "EUR", "n": 1}, Revenue(49.9, "EUR"), {"n": 1}),
        ("Order Completed", {"total": "20", "tax": 1}, Revenue("20", "USD"), {"tax": 1}),
        ("Order Completed", {"revenue": 9, "total": 20}, Revenue(9, "USD"), {"total": 20}),
        ("Order Refunded", {"total": 20, "currency": "EUR"}, Revenue(-20, "EUR"), None),
        ("Order Refunded", {"revenue": "-9.5", "currency": "EUR"}, Revenue("-9.5", "EUR"), None),
        ("Order Refunded", {}, None, None),
        ("subscribed", {"revenue": 5}, Revenue(5, "USD"), None),
        ("subscribed", {"total": 5}, None, {"total": 5}),
        ("subscribed", {"revenue": "much"}, None, {"revenue": "much"}),
        ("Checkout Started", {"revenue": 25, "currency": "EUR"}, None, {"revenue": 25, "currency": "EUR"}),
        ("Order Cancelled", {"revenue": 25, "total": 30}, None, {"revenue": 25, "total": 30}),
    ],
)
def test_revenue_is_money_that_came_or_went(
    name: str, properties: dict[str, Any], revenue: Revenue | None, props: dict[str, Any] | None
) -> None:
    """An order that is only begun, or cancelled, carries the same property in Segment's specification."""
    found = event({"type": "track", "event": name, "properties": properties})
    assert (found.name, found.revenue, found.props) == (name, revenue, props)


def test_identify_group_and_alias_say_who_is_who() -> None:
    """`user` is the person and `visitor` the earlier id; what is known of them are properties."""
    who = {"anonymousId": "n-1", "userId": "ada"}
    known = event({"type": "identify", "traits": {"email": "a@b.c"}} | who)
    assert (known.name, known.user, known.visitor, known.props) == ("identify", "ada", "n-1", {"email": "a@b.c"})
    rudder = event({"type": "identify", "context": {"traits": {"email": "a@b.c"}}} | who)
    assert rudder.props == {"email": "a@b.c"}
    group = event({"type": "group", "groupId": 7, "traits": {"size": 9}} | who)
    assert (group.name, group.user, group.props) == ("group", "ada", {"group_id": "7", "size": 9})
    alias = event({"type": "alias", "userId": "ada", "previousId": "n-0"})
    assert (alias.name, alias.user, alias.visitor, alias.props) == ("alias", "ada", "n-0", {"previous_id": "n-0"})
    assert decoded({"type": "alias", "userId": "ada"}).items == [Reason.INVALID_FIELD]


def test_a_server_that_names_only_a_person_means_the_visitor() -> None:
    """All persons of a server would be one visitor otherwise, because they share its address."""
    found = event({"type": "track", "event": "bought", "userId": 42, "anonymousId": None})
    assert (found.user, found.visitor) == ("42", "42")


def test_what_is_not_kept_is_named() -> None:
    """By its type; a message without one is at fault."""
    assert decoded({"batch": [{"type": "video"}, {"event": "x"}]}).items == [
        Unsupported("video"),
        Reason.INVALID_FIELD,
    ]
    assert decoded({"type": "track"}).items == [Reason.INVALID_FIELD]
    metrics = Metrics(LIMITS)
    found = metrics.decode(head(b"/v1/m"), b'{"series":[]}')
    assert found.items == [Unsupported("metrics")]
    assert metrics.answer(head(), found, [None]).status == 200


def test_a_bad_message_costs_its_neighbours_nothing() -> None:
    """What has the wrong type is left out where a message can do without it; PHP writes empty objects as arrays."""
    odd = {
        "type": "track",
        "event": 5,
        "messageId": 7,
        "properties": [],
        "context": [],
        "timestamp": 1_798_700_000_000,
    }
    page = {"type": "page", "context": {"page": {"url": ["x"], "title": 404}}}
    body = {"writeKey": "WK", "sentAt": {}, "batch": [odd, 5, {"type": "page", "timestamp": []}, page, PAGE]}
    first, second, third, fourth, last = decoded(body).items
    assert isinstance(first, Event)
    assert (first.name, first.id, first.props, first.ts) == ("5", "7", None, 1_798_700_000_000)
    assert (second, third) == (Reason.NOT_AN_EVENT, Reason.INVALID_FIELD)
    assert isinstance(fourth, Event)
    assert (fourth.url, fourth.title, fourth.site) == (None, "404", "segment:WK")
    assert isinstance(last, Event)
    assert last.title == "T"


def test_json_in_json_is_read() -> None:
    """Some proxies write a body twice."""
    assert event(written(written(PAGE).decode())).name == "pageview"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b"{", Reason.MALFORMED_JSON),
        (b"5", Reason.NOT_AN_EVENT),
        (b'"5"', Reason.NOT_AN_EVENT),
        (b'{"batch":[]}', Reason.EMPTY_ARRAY),
        (b'{"batch":5}', Reason.NOT_AN_EVENT),
        (b'{"type":"\xff"}', Reason.INVALID_UTF8),
        (b'{"properties":' + b"[" * 5_000 + b"]" * 5_000 + b"}", Reason.TOO_DEEP),
        (gzip.compress(b"{}" * 99, mtime=0)[:-9], Reason.CORRUPT_ENCODING),
        (gzip.compress(b" " * (LIMITS.body_bytes_max + 1), mtime=0), Reason.BODY_TOO_LARGE),
        (written({"batch": [{"type": "page"}] * (EVENTS_MAX + 1)}), Reason.TOO_MANY_EVENTS),
    ],
)
def test_a_body_that_is_none_is_refused_with_its_reason(body: bytes, reason: Reason) -> None:
    """Nothing is a 5xx, and each fault has its own reason."""
    with pytest.raises(Rejected) as caught:
        decoded(body)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("fates", "status"),
    [
        ([None], 200),
        ([None, Reason.INVALID_TIME], 200),
        ([Reason.PRIVACY], 200),
        ([Reason.TOO_OLD, Reason.EXCLUDED], 400),
        ([Reason.UNKNOWN_SITE], 403),
        ([Reason.SERVER_ERROR], 503),
    ],
)
def test_answers_are_a_success_or_end_or_ask_for_more(fates: list[Reason | None], status: int) -> None:
    """4xx is dropped; 5xx is sent again."""
    answer = Segment(LIMITS).answer(head(), Decoded([], True, 0), fates)
    assert answer.status == status
    assert msgspec.json.decode(answer.body)["success"] == (status == 200)


def test_a_refusal_has_the_code_and_the_message_that_the_python_sdk_reads() -> None:
    """And back-pressure says when to come again."""
    said = msgspec.json.decode(Segment(LIMITS).refusal(head(), Reason.TOO_OLD).body)
    assert (said["code"], bool(said["message"])) == ("too_old", True)
    shed = Segment(LIMITS).shed(Shed.REDIS)
    assert (shed.status, RETRY_AFTER[0] in shed.headers) == (503, True)


def test_jitsu_has_its_type_in_the_path_and_wants_json() -> None:
    """Its browser sends to /api/s/TYPE, its servers to /api/s/s2s/TYPE, with the key in a header of its own."""
    jitsu, headers = Jitsu(LIMITS), (*JSON, (b"X-Write-Key", b"id7:secret"))
    body = written(
        {"event": "bought", "anonymousId": "n-1", "messageId": "m-1", "context": {"page": {"url": "https://a.b/"}}}
    )
    for target in (b"/api/s/track", b"/api/s/s2s/track"):
        found = jitsu.decode(head(target, headers), body)
        [one] = found.items
        assert isinstance(one, Event)
        assert (one.name, one.site, one.url, one.id) == ("bought", "segment:id7", "https://a.b/", "m-1")
        assert jitsu.answer(head(target, headers), found, [None]).body == b'{"ok":true}'


def test_a_pixel_has_its_message_in_the_query_and_is_answered_with_a_picture() -> None:
    """In base64, of which the padding may be missing."""
    pixel = SegmentPixel(LIMITS)
    data = base64.b64encode(written({"writeKey": "WK", "event": "opened", "userId": "ada"}))
    asked = head(b"/v1/pixel/track?data=" + data.replace(b"=", b""), (), "GET")
    found = pixel.decode(asked, b"")
    [one] = found.items
    assert isinstance(one, Event)
    assert (one.name, one.site) == ("opened", "segment:WK")
    answer = pixel.answer(asked, found, [None])
    assert (answer.status, answer.body) == (200, GIF)


def settings(**fields: bytes) -> dict[str, Any]:
    headers = [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
    answer = Settings(LIMITS).answer(head(b"/v1/projects/WK/settings", headers, "GET"), Decoded([], False, 0), [])
    assert answer.status == 200
    found = msgspec.json.decode(answer.body)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ({"x_forwarded_proto": b"https"}, "https"),
        ({"x_forwarded_proto": b"http", "origin": b"https://a.example"}, "http"),
        ({"origin": b"https://a.example"}, "https"),
        ({"origin": b"http://a.example"}, "http"),
        ({"referer": b"https://a.example/p"}, "https"),
        ({}, "http"),
    ],
)
def test_settings_send_a_browser_back_to_where_it_asked(fields: dict[str, bytes], protocol: str) -> None:
    """Without them analytics-next sends nothing; without the host it would send to Segment."""
    receiver = settings(host=b"in.example:8443", **fields)["integrations"]["Segment.io"]
    assert (receiver["apiKey"], receiver["apiHost"]) == ("WK", "in.example:8443/v1")
    assert receiver["protocol"] == protocol


@pytest.mark.parametrize("host", [b"", b'a"b', b"a/b", b"a b"])
def test_settings_name_no_host_that_is_none(host: bytes) -> None:
    """What a client wrote as its host stands in no answer, unless it can be one."""
    asked = head(b"/v1/projects/WK/settings", ((b"Host", host),), "GET")
    assert Settings(LIMITS).answer(asked, Decoded([], False, 0), []).status == 400
