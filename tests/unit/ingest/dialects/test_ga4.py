"""ingest/dialects/ga4.py, ga4_events.py: what gtag.js and servers send to Google Analytics 4, and what they are told."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.ga4 import Gtag, MeasurementProtocol, Validation
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.fates import Reason, Shed

PAGES, SERVERS = Gtag(Limits()), MeasurementProtocol(Limits())
HIT = {
    "v": 2, "tid": "G-1", "gtm": "45je", "_p": 1_795_936_719, "cid": "123.456", "ul": "en-us", "sr": "1920x1080", "_s": 4,
    "sid": 1_795_936_700, "sct": 1, "seg": 1, "dl": "https://shop.example/pricing?utm_source=news", "dr": "https://search.example/",
    "dt": "Pricing",
}  # fmt: skip


def head(target: str, method: str = "POST") -> Head:
    return FieldReader().head(method, target.encode(), ())


def hit(body: bytes = b"", **more: Any) -> list[Item]:
    return list(PAGES.decode(head("/g/collect?" + urlencode(HIT | more)), body).items)


def served(*events: Any, **more: Any) -> list[Item]:
    body = msgspec.json.encode({"client_id": "123.456", "events": events} | more)
    return list(SERVERS.decode(head("/mp/collect?measurement_id=G-1&api_secret=s"), body).items)


def event(items: list[Item]) -> Event:
    [said] = items
    assert isinstance(said, Event), said
    return said


def test_a_page_view_is_a_pageview() -> None:
    """With what the query says of the page; the page and the number of the hit are its id."""
    assert event(hit(b"en=page_view&ep.plan=pro", uid="u")) == Event(
        name="pageview",
        url="https://shop.example/pricing?utm_source=news",
        site="ga4:G-1",
        referrer="https://search.example/",
        title="Pricing",
        language="en-us",
        screen=(1920, 1080),
        props={"plan": "pro"},
        id="123.456.1795936719.4.0",
        user="u",
        visitor="123.456",
        session="1795936700",
    )


def test_a_body_has_an_event_in_each_line() -> None:
    """What a line says goes before what the query says."""
    lines = b"en=scroll&epn.percent_scrolled=90&_et=5000\r\nen=sign_up&ep.method=mail&dt=Other\r\n\r\nen=first_visit"
    scrolled, signed, visited = hit(lines)
    assert isinstance(scrolled, Event)
    assert (scrolled.name, scrolled.scroll_pct, scrolled.engaged_ms, scrolled.props) == ("engagement", 90, 5000, None)
    assert isinstance(signed, Event)
    assert (signed.name, signed.props, signed.title) == ("sign_up", {"method": "mail"}, "Other")
    assert scrolled.id != signed.id
    assert visited == Unsupported("first_visit")


@pytest.mark.parametrize(
    ("said", "name", "props"),
    [
        ({"en": "click", "ep.link_url": "https://a.example/"}, "Outbound Link: Click", {"url": "https://a.example/"}),
        ({"en": "file_download", "ep.link_url": "https://b/x.pdf"}, "File Download", {"url": "https://b/x.pdf"}),
        ({"en": "form_submit", "ep.form_id": "news"}, "Form: Submission", {"form": "news", "path": "/pricing"}),
    ],
)
def test_what_is_measured_has_our_names(said: Any, name: str, props: Any) -> None:
    """And the properties that it is counted by."""
    found = event(hit(**said))
    assert found.name == name
    assert isinstance(found.props, dict)
    assert props.items() <= found.props.items()
    assert found.props["original_name"] == said["en"]


def test_engagement_is_what_was_looked_at() -> None:
    """In milliseconds."""
    said = event(hit(en="user_engagement", _et=1234))
    assert (said.name, said.engaged_ms) == ("engagement", 1234)


@pytest.mark.parametrize(
    ("name", "found", "amount", "currency"),
    [
        ("purchase", {"value": 29.97, "currency": "EUR"}, 29.97, "EUR"),
        ("purchase", {"value": "29.97"}, "29.97", "USD"),
        ("refund", {"value": 29.97, "currency": "EUR"}, -29.97, "EUR"),
        ("in_app_purchase", {"value": 1, "currency": "CHF"}, 1, "CHF"),
    ],
)
def test_a_purchase_has_revenue(name: str, found: Any, amount: Any, currency: str) -> None:
    """A refund's is negative."""
    assert event(served({"name": name, "params": found})).revenue == Revenue(amount, currency)


def test_what_somebody_might_pay_is_no_revenue() -> None:
    """A cart has a value too."""
    said = event(
        served({"name": "add_to_cart", "params": {"value": 5, "currency": "EUR", "items": [{"item_id": "A"}]}})
    )
    assert (said.revenue, said.props) == (None, {"value": 5, "currency": "EUR", "items": [{"item_id": "A"}]})


def test_a_transaction_is_one_purchase() -> None:
    """As in Google Analytics; it may be given back in parts."""
    bought = event(served({"name": "purchase", "params": {"transaction_id": "T-1", "value": 1}}))
    assert bought.id == "purchase.T-1"
    assert event(served({"name": "refund", "params": {"transaction_id": "T-1", "value": 1}})).id is None


def test_a_server_says_who_and_when() -> None:
    """Moments are microseconds, of the body or of the event; the session is a parameter."""
    said = event(
        served(
            {"name": "sign_up", "params": {"session_id": 1_795_936_700, "method": "mail", "debug_mode": 1}},
            user_id="u",
            timestamp_micros="1795936719237000",
            ip_override="192.0.2.1",
            user_agent="x",
        )
    )
    assert said == Event(
        name="sign_up",
        site="ga4:G-1",
        props={"method": "mail"},
        ts=1_795_936_719_237,
        user="u",
        visitor="123.456",
        session="1795936700",
        ip="192.0.2.1",
        user_agent="x",
    )
    own = event(served({"name": "a", "timestamp_micros": 1_795_936_719_000_000}, timestamp_micros=5))
    assert own.ts == 1_795_936_719_000


def test_a_screen_of_an_app_is_a_pageview() -> None:
    """Of an address that is made of its name."""
    body = b'{"app_instance_id":"a1","events":[{"name":"screen_view","params":{"screen_name":"Home"}}]}'
    [said] = SERVERS.decode(head("/mp/collect?firebase_app_id=1:2:android:3"), body).items
    assert isinstance(said, Event)
    assert (said.site, said.name, said.url, said.visitor) == ("ga4:1:2:android:3", "pageview", "app://app/Home", "a1")


def test_a_server_key_is_the_secret() -> None:
    """Google's own is none."""
    proof = "fbk_" + "a" * 10 + "_" + "b" * 43
    for secret, found in ((proof, proof), ("s", "")):
        target = f"/mp/collect?measurement_id=G-1&api_secret={secret}"
        assert SERVERS.decode(head(target), b'{"client_id":"1","events":[{"name":"a"}]}').credential == found


@pytest.mark.parametrize("name", ["session_start", "first_visit", "form_start", "_err"])
def test_what_is_not_kept_is_named(name: str) -> None:
    """It is counted by its name, and becomes no row."""
    assert served({"name": name}) == [Unsupported(name)]


def test_a_bad_event_costs_no_neighbour() -> None:
    """Each has a reason of its own."""
    said = served({"name": "a"}, {"name": 5}, {}, {"name": "click", "params": []}, {"name": "b"})
    faults = [one if isinstance(one, Reason) else None for one in said]
    assert faults == [None, Reason.INVALID_FIELD, Reason.INVALID_FIELD, Reason.INVALID_FIELD, None]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b"{", Reason.MALFORMED_JSON),
        (b"[]", Reason.INVALID_FIELD),
        (b'{"events":[]}', Reason.EMPTY_ARRAY),
        (msgspec.json.encode({"events": [{"name": "a"}] * 101}), Reason.TOO_MANY_EVENTS),
    ],
)
def test_a_body_at_fault_has_its_reason(body: bytes, reason: Reason) -> None:
    """The first fault decides."""
    with pytest.raises(Rejected) as caught:
        SERVERS.decode(head("/mp/collect?measurement_id=G-1"), body)
    assert caught.value.reason is reason


def test_answers_are_empty() -> None:
    """Nobody reads them; what is refused says why to whoever looks."""
    decoded = PAGES.decode(head("/g/collect?en=a"), b"")
    assert PAGES.answer(head("/g/collect"), decoded, [None]) == (204, (), b"")
    assert PAGES.answer(head("/g/collect"), decoded, [Reason.EXCLUDED]).status == 204
    assert PAGES.answer(head("/g/collect"), decoded, [Reason.UNKNOWN_SITE]).status == 403
    assert PAGES.shed(Shed.REDIS).status == 503


def test_the_validation_says_what_would_be_refused() -> None:
    """And keeps nothing."""
    validation = Validation(Limits())
    target = head("/debug/mp/collect?measurement_id=G-1")
    decoded = validation.decode(target, b'{"client_id":"1","events":[{"name":"a"}]}')
    assert decoded.items == []
    assert msgspec.json.decode(validation.answer(target, decoded, []).body) == {"validationMessages": []}
    [message] = msgspec.json.decode(validation.refusal(target, Reason.EMPTY_ARRAY).body)["validationMessages"]
    assert message["validationCode"] == "empty_array"
