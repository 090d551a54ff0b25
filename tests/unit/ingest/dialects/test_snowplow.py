"""ingest/dialects/snowplow.py, snowplow_events.py: what Snowplow's trackers send, and what they need to hear."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.dialects.snowplow import Snowplow, SnowplowPixel
from ingest.fates import Reason, Shed

BATCHES, PIXEL = Snowplow(Limits()), SnowplowPixel(Limits())
# What node-tracker 4.8 and snowplow-tracker 1.1 for Python say of each event.
COMMON = {
    "eid": "79c31e83", "p": "srv", "tv": "node-4.8.0", "tna": "sp", "aid": "app", "uid": "u", "duid": "d", "lang": "en-GB",
    "res": "1920x1080", "dtm": "1795940666163", "stm": "1795940666188", "url": "https://shop.example/pricing?x=1",
}  # fmt: skip


def head(target: str = "/com.snowplowanalytics.snowplow/tp2", method: str = "POST") -> Head:
    return FieldReader().head(method, target.encode(), ())


def items(*events: Any) -> list[Item]:
    body = {"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": events}
    return list(BATCHES.decode(head(), msgspec.json.encode(body)).items)


def event(kind: str, **more: Any) -> Event:
    [said] = items(COMMON | {"e": kind} | more)
    assert isinstance(said, Event), said
    return said


def described(name: str, data: Any, vendor: str = "com.acme") -> dict[str, Any]:
    return {"schema": f"iglu:{vendor}/{name}/jsonschema/1-0-0", "data": data}


def unstructured(name: str, data: Any, **more: Any) -> Event:
    said = {"schema": "iglu:…/unstruct_event/jsonschema/1-0-0", "data": described(name, data)}
    return event("ue", ue_pr=msgspec.json.encode(said).decode(), **more)


def test_a_page_view_is_a_pageview() -> None:
    """With its address, title, referrer, screen, times and ids."""
    assert event("pv", page="Pricing", refr="https://a.example/", ip="192.0.2.1", ua="x") == Event(
        name="pageview",
        url="https://shop.example/pricing?x=1",
        site="snowplow:app",
        referrer="https://a.example/",
        title="Pricing",
        language="en-GB",
        screen=(1920, 1080),
        id="79c31e83",
        ts=1_795_940_666_163,
        sent_at=1_795_940_666_188,
        user="u",
        visitor="d",
        ip="192.0.2.1",
        user_agent="x",
    )


@pytest.mark.parametrize(
    ("more", "percent"),
    [
        ({"pp_may": "600", "vp": "1000x800", "ds": "1000x2000"}, 70),
        ({"pp_may": "9000", "vp": "1000x800", "ds": "1000x2000"}, 100),
        ({"pp_may": "0", "vp": "1000x800", "ds": "1000x0"}, None),
        ({"pp_may": "x"}, None),
    ],
)
def test_a_page_ping_is_engagement(more: Any, percent: float | None) -> None:
    """Its depth is how much of the page was seen."""
    said = event("pp", **more)
    assert (said.name, said.scroll_pct) == ("engagement", percent)


def test_a_structured_event_is_its_action() -> None:
    """The others of its five words are properties."""
    said = event("se", se_ca="shop", se_ac="add", se_la="A", se_pr="pcs", se_va="2")
    assert (said.name, said.props) == ("add", {"category": "shop", "label": "A", "property": "pcs", "value": "2"})


def test_a_self_describing_event_has_the_name_of_its_schema() -> None:
    """As JSON, or as base64 of it."""
    assert (unstructured("sign_up", {"plan": "pro"}).name, unstructured("sign_up", {"plan": "pro"}).props) == (
        "sign_up",
        {"plan": "pro"},
    )
    text = msgspec.json.encode({"schema": "iglu:a/b/c/1-0-0", "data": described("sign_up", {"plan": "pro"})})
    coded = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    said = event("ue", ue_px=coded)
    assert (said.name, said.props) == ("sign_up", {"plan": "pro"})


def test_a_link_a_form_a_screen_and_vitals() -> None:
    """Under our names, with the properties or fields that they are counted by."""
    out = unstructured("link_click", {"targetUrl": "https://other.example/x"})
    assert (out.name, out.props) == (
        "Outbound Link: Click",
        {"url": "https://other.example/x", "original_name": "link_click"},
    )
    assert unstructured("link_click", {"targetUrl": "https://shop.example/x"}).name == "link_click"
    form = unstructured("submit_form", {"formId": "news", "elements": []})
    assert (form.name, form.props) == (
        "Form: Submission",
        {"form": "news", "path": "/pricing", "original_name": "submit_form"},
    )
    screen = unstructured("screen_view", {"name": "Home"}, url=None)
    assert (screen.name, screen.url, screen.title) == ("pageview", "app://app/Home", "Home")
    vitals = unstructured("web_vitals", {"lcp": 1200.5, "fid": 3, "cls": 0.1})
    assert (vitals.name, vitals.vitals) == ("vitals", {"lcp": 1200.5, "cls": 0.1})


def test_a_transaction_has_revenue() -> None:
    """Of the old kind, and of a shop's action with its entity; a refund's is negative."""
    old = event("tr", tr_id="T-1", tr_tt="29.97", tr_cu="EUR")
    assert (old.name, old.revenue) == ("purchase", Revenue("29.97", "EUR"))
    for kind, entity, amount in (
        ("transaction", {"transaction_id": "T-1", "revenue": 29.97, "currency": "EUR"}, 29.97),
        ("refund", {"transaction_id": "T-1", "refund_amount": 9.99, "currency": "EUR"}, -9.99),
    ):
        entities = msgspec.json.encode({"schema": "iglu:…", "data": [described("page", {}), described(kind, entity)]})
        said = unstructured("snowplow_ecommerce_action", {"type": kind}, co=entities.decode())
        assert (said.name, said.revenue) == (kind, Revenue(amount, "EUR"))


@pytest.mark.parametrize("kind", ["ti", "ad"])
def test_what_is_not_kept_is_named(kind: str) -> None:
    """It is counted by its name, and becomes no row."""
    assert items(COMMON | {"e": kind}) == [Unsupported(kind)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (5, Reason.NOT_AN_EVENT),
        ({}, Reason.NOT_AN_EVENT),
        ({"e": 5}, Reason.NOT_AN_EVENT),
        ({"e": "se"}, Reason.INVALID_NAME),
        ({"e": "ue"}, Reason.INVALID_FIELD),
        ({"e": "ue", "ue_pr": "{"}, Reason.INVALID_FIELD),
        ({"e": "ue", "ue_px": "!"}, Reason.INVALID_FIELD),
        ({"e": "ue", "ue_pr": '{"data":{"schema":"x"}}'}, Reason.INVALID_FIELD),
    ],
)
def test_a_bad_event_costs_no_neighbour(said: Any, reason: Reason) -> None:
    """Each has a reason of its own."""
    bad, good = items(said, COMMON | {"e": "pv"})
    assert bad is reason
    assert isinstance(good, Event)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b"{", Reason.MALFORMED_JSON),
        (b"[]", Reason.NOT_AN_EVENT),
        (b"{}", Reason.NOT_AN_EVENT),
        (b'{"data":[]}', Reason.EMPTY_ARRAY),
    ],
)
def test_a_body_at_fault_has_its_reason(body: bytes, reason: Reason) -> None:
    """The first fault decides."""
    with pytest.raises(Rejected) as caught:
        BATCHES.decode(head(), body)
    assert caught.value.reason is reason


def test_a_query_has_an_event_too() -> None:
    """It is answered with a picture."""
    target = head("/i?" + urlencode(COMMON | {"e": "pv"}), "GET")
    decoded = PIXEL.decode(target, b"")
    [said] = decoded.items
    assert isinstance(said, Event)
    assert said.name == "pageview"
    assert PIXEL.answer(target, decoded, [None]).body[:3] == b"GIF"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN_SITE, 403),
        (Reason.TOO_OLD, 400),
        (Reason.UNSUPPORTED_ENCODING, 400),
        (Reason.TOO_MANY_EVENTS, 400),
        (Reason.BODY_TOO_LARGE, 400),
        (Reason.BODY_INCOMPLETE, 503),
        (Reason.SERVER_ERROR, 503),
    ],
)
def test_what_is_refused_does_not_come_again(reason: Reason, status: int) -> None:
    """Trackers drop what is answered 400, 401, 403, 410 or 422, and send everything else again."""
    assert BATCHES.refusal(head(), reason).status == status


def test_what_is_taken_is_ok() -> None:
    """Some of a batch is enough; what is shed comes again."""
    decoded = BATCHES.decode(head(), msgspec.json.encode({"data": [COMMON | {"e": "pv"}] * 2}))
    assert BATCHES.answer(head(), decoded, [None, Reason.TOO_OLD])[::2] == (200, b"ok")
    assert BATCHES.answer(head(), decoded, [Reason.EXCLUDED] * 2).status == 200
    assert BATCHES.shed(Shed.REDIS).status == 503
