"""ingest/dialects/umami.py: what Umami's clients were seen to send, and what they are answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.dialects.umami import Umami, UmamiBatch
from ingest.fates import Reason, Shed
from schemas.keys import ID_CHARS, SECRET_CHARS

KEY = f"fbk_{'0' * ID_CHARS}_{'0' * SECRET_CHARS}"
SEND, BATCH = Umami(Limits()), UmamiBatch(Limits())
WEBSITE = "50429A93-8479-4073-be80-d5d29c09c2ec"
SITE = f"umami:{WEBSITE.lower()}"
URL = "https://shop.example.com/pricing?utm_source=newsletter&utm_medium=email#plans"
# As the script of version 3.1.0 sends it.
PAGE: dict[str, Any] = {
    "website": WEBSITE, "screen": "1920x1080", "language": "en-US", "title": "Pricing", "hostname": "shop.example.com",
    "url": URL, "referrer": "https://news.ycombinator.com/", "tag": "variant-a",
}  # fmt: skip


def head(*headers: tuple[bytes, bytes]) -> Head:
    return FieldReader().head("POST", b"/api/send", ((b"Content-Type", b"application/json"), *headers))


def item(kind: str, event: Any) -> Item:
    [found] = SEND.decode(head(), msgspec.json.encode({"type": kind, "payload": event})).items
    return found


def event(kind: str = "event", found: Any = None, **more: Any) -> Event:
    said = item(kind, (PAGE if found is None else found) | more)
    assert isinstance(said, Event)
    return said


def refused(body: bytes, dialect: Umami = SEND) -> Reason:
    with pytest.raises(Rejected) as raised:
        dialect.decode(head(), body)
    return raised.value.reason


def test_a_pageview_has_no_name() -> None:
    """Its tag is a property, with a dollar, so that it is none of the site's own."""
    found = event()
    assert (found.name, found.site, found.url, found.referrer) == (None, SITE, URL, "https://news.ycombinator.com/")
    assert (found.title, found.language, found.screen) == ("Pricing", "en-US", (1920, 1080))
    assert (found.props, found.ts) == ({"$tag": "variant-a"}, None)


def test_an_event_with_revenue() -> None:
    """Amount and currency leave the data, and the rest are properties."""
    found = event(name="purchase", data={"sku": "A-1", "revenue": 49.9, "currency": "EUR"}, tag=None)
    assert (found.name, found.props, found.revenue) == ("purchase", {"sku": "A-1"}, Revenue(49.9, "EUR"))


@pytest.mark.parametrize(
    "data", [{"revenue": "much", "currency": "EUR"}, {"revenue": 5}, {"revenue": 5, "currency": "euros"}]
)
def test_what_is_no_money_stays_in_the_data(data: Any) -> None:
    """Nothing vanishes."""
    found = event(name="purchase", data=data, tag=None)
    assert (found.revenue, found.props) == (None, data)


def test_identify() -> None:
    """With the id that is told to it; what is known of the person are properties."""
    found = event("identify", id="user-42", data={"email": "a@b.c"}, tag=None)
    assert (found.name, found.user, found.props) == ("identify", "user-42", {"email": "a@b.c"})


def test_performance_is_our_vitals() -> None:
    """What is none of the five vitals is a property."""
    found = event("performance", lcp=1834.5, inp=48, cls=0.02, fcp=901.2, ttfb=120.4, duration=10_002, tag=None)
    assert (found.name, found.props) == ("vitals", {"duration": 10_002})
    assert found.vitals == {"lcp": 1834.5, "inp": 48, "cls": 0.02, "fcp": 901.2, "ttfb": 120.4}


def test_engagement() -> None:
    """As scripts after 3.1.0 send it."""
    found = event("engagement", engagement=12_345, tag=None)
    assert (found.name, found.engaged_ms, found.props) == ("engagement", 12_345, {})


def test_a_server_need_not_say_a_page() -> None:
    """As @umami/node sends it."""
    found = event(found={"website": WEBSITE, "name": "signup", "data": {"plan": "pro"}})
    assert (found.name, found.url, found.site, found.props) == ("signup", None, SITE, {"plan": "pro"})


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({"url": "/checkout?a=1#b", "hostname": "shop.example"}, "https://shop.example/checkout?a=1#b"),
        ({"url": "checkout", "hostname": "shop.example"}, "https://shop.example/checkout"),
        ({"url": "/b"}, "https://localhost/b"),
        ({"hostname": "shop.example"}, "https://shop.example/"),
        ({"url": "http://other.example/x", "hostname": "shop.example"}, "http://other.example/x"),
        ({}, None),
    ],
)
def test_addresses(said: Any, url: str | None) -> None:
    """Paths belong to the host name, and without one to localhost, as in Umami."""
    assert event(found={"website": WEBSITE} | said).url == url


def test_a_referrer_may_be_a_path() -> None:
    """Scripts leave out the page's own origin; an empty one is none."""
    assert event(referrer="/before").referrer == "https://shop.example.com/before"
    assert event(referrer="").referrer is None


@pytest.mark.parametrize(
    ("said", "title"), [("Pricing%20%26%20plans", "Pricing & plans"), ("100%", "100%"), ("%ff", "%ff"), ("", None)]
)
def test_titles_of_old_scripts_have_escapes(said: str, title: str | None) -> None:
    """What is none stays as it is."""
    assert event(title=said).title == title


def test_moments_are_seconds() -> None:
    """Also as text."""
    assert event(timestamp=1_767_323_045).ts == 1_767_323_045_000
    assert event(timestamp="1767323045").ts == 1_767_323_045_000


@pytest.mark.parametrize("said", ["1920", "x", "1920x", "", None, "axb"])
def test_a_screen_that_is_none_has_no_effect(said: Any) -> None:
    """The event counts without it."""
    assert event(screen=said).screen is None


def test_an_id_is_cut() -> None:
    """As Umami does, at another length."""
    assert event(id="x" * 100).user == "x" * 64


def test_a_server_says_whose_event_it_is() -> None:
    """In the body. `Bearer None`, which the Python client sends, is no key."""
    body = msgspec.json.encode({"type": "event", "payload": PAGE | {"ip": "203.0.113.7", "userAgent": "Visitor/1"}})
    found = SEND.decode(head((b"Authorization", b"Bearer None")), body)
    [said] = found.items
    assert isinstance(said, Event)
    assert (found.credential, said.ip, said.user_agent) == ("", "203.0.113.7", "Visitor/1")
    assert SEND.decode(head((b"Authorization", f"Bearer {KEY}".encode())), body).credential == KEY


@pytest.mark.parametrize(
    ("kind", "said", "name"),
    [
        ("error", {"website": WEBSITE}, "error"),
        ("event", {"link": WEBSITE}, "link"),
        ("event", {"pixel": WEBSITE}, "pixel"),
    ],
)
def test_what_is_kept_nowhere_is_named(kind: str, said: Any, name: str) -> None:
    """It is answered as a success."""
    assert item(kind, said) == Unsupported(name)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"5", Reason.NOT_AN_EVENT),
        (b"[]", Reason.NOT_AN_EVENT),
        (b"{", Reason.MALFORMED_JSON),
        (b'{"type":"event","payload":[]}', Reason.INVALID_FIELD),
        (b'{"type":"event","payload":{"website":"x","title":5}}', Reason.INVALID_FIELD),
        (b'{"type":"event","payload":{"website":"x","timestamp":"soon"}}', Reason.INVALID_TIME),
        (b'{"payload":{}}', Reason.NOT_AN_EVENT),
        (b'{"type":"event","payload":{}}', Reason.INVALID_FIELD),
        (b'{"type":"event","payload":{"website":5}}', Reason.INVALID_FIELD),
        (b" " * 10, Reason.EMPTY_BODY),
        (b'{"type":"event","payload":{"title":"' + b"x" * (32 << 10) + b'"}}', Reason.EVENT_TOO_LARGE),
    ],
)
def test_what_is_no_event_is_refused(body: bytes, reason: Reason) -> None:
    """With the reason that is counted."""
    assert refused(body) is reason


def test_answers_are_json() -> None:
    """The script reads them whatever the status is, and keeps `cache`."""
    decoded = SEND.decode(head(), msgspec.json.encode({"type": "event", "payload": PAGE}))
    for fate, status, key in (
        (None, 200, "cache"),
        (Reason.PRIVACY, 200, "beep"),
        (Reason.EXCLUDED, 200, "beep"),
        (Reason.UNKNOWN_SITE, 400, "error"),
        (Reason.INVALID_URL, 400, "error"),
    ):
        found = SEND.answer(head(), decoded, [fate])
        said = msgspec.json.decode(found.body)
        assert (found.status, key in said, dict(found.headers)[b"content-type"]) == (status, True, b"application/json")
        assert not said.get("disabled"), "which would stop the script"
    assert SEND.refusal(head(), Reason.BODY_TOO_LARGE).status == 413
    for shed in (SEND.shed(Shed.REDIS), SEND.refusal(head(), Reason.SERVER_ERROR)):
        assert (shed.status, dict(shed.headers)[b"retry-after"]) == (503, b"2")


def test_a_batch() -> None:
    """Its answer names the events that were refused, by their place."""
    said = [{"type": "event", "payload": PAGE}, {"type": "event", "payload": 5}, {"type": "error", "payload": {}}]
    decoded = BATCH.decode(head(), msgspec.json.encode(said))
    first, second, third = decoded.items
    assert isinstance(first, Event)
    assert (second, third) == (Reason.INVALID_FIELD, Unsupported("error"))
    found = BATCH.answer(head(), decoded, [None, Reason.NOT_AN_EVENT, None])
    answer = msgspec.json.decode(found.body)
    assert (found.status, answer["size"], answer["processed"], answer["errors"]) == (200, 3, 2, 1)
    assert [one["index"] for one in answer["details"]] == [1]
    assert refused(b"{}", BATCH) is Reason.NOT_AN_EVENT
    assert refused(b"[]", BATCH) is Reason.EMPTY_ARRAY
    assert refused(b"[" + b"{}," * 500 + b"{}]", BATCH) is Reason.TOO_MANY_EVENTS
