"""ingest/dialects/rybbit.py: what Rybbit's clients send, and what they are answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.dialects.contract import NO_EVENTS, Item, Unsupported
from ingest.dialects.event import Event, Limits
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.dialects.rybbit import Rybbit, RybbitConfiguration, RybbitIdentify
from ingest.fates import Reason, Shed
from tests.support.seeds.rybbit import CUSTOM, PAGE, QUICK

TRACK, IDENTIFY = Rybbit(Limits()), RybbitIdentify(Limits())


def head() -> Head:
    return FieldReader().head("POST", b"/api/track", ((b"Content-Type", b"application/json"),))


def item(said: Any, dialect: Rybbit = TRACK) -> Item:
    [found] = dialect.decode(head(), msgspec.json.encode(said)).items
    return found


def event(said: Any, **more: Any) -> Event:
    found = item(said | more)
    assert isinstance(found, Event)
    return found


def test_a_pageview() -> None:
    """Its address comes in three parts, of which the path has the fragment."""
    found = event(PAGE)
    assert (found.name, found.site, found.url) == (
        "pageview",
        "rybbit:abc123",
        "https://example.com/pricing?utm_source=x#plans",
    )
    assert (found.title, found.language, found.screen, found.referrer) == (
        "Pricing",
        "en-US",
        (1920, 1080),
        "https://a.example/",
    )
    assert (found.user, found.visitor, found.props) == ("ada", "d-1", {"$tag": "a"})
    assert (found.ip, found.user_agent) == ("203.0.113.7", "x")


def test_a_server_says_no_page() -> None:
    """As @rybbit/node sends it, with its key in the body."""
    said = {"site_id": "abc123", "type": "custom_event", "event_name": "Signup", "api_key": "fbk_x"}
    decoded = TRACK.decode(head(), msgspec.json.encode(said))
    [found] = decoded.items
    assert isinstance(found, Event)
    assert (found.name, found.url, found.visitor, decoded.credential) == ("Signup", None, None, "fbk_x")


def test_properties_are_json_in_a_text() -> None:
    """What is no JSON says nothing."""
    assert event(CUSTOM).props == {"plan": "pro", "$tag": "a"}
    assert event(CUSTOM, properties="{", tag=None).props == {}


def test_vitals() -> None:
    """One that was not measured is left out."""
    found = event(QUICK)
    assert (found.name, found.vitals) == ("vitals", {"lcp": 1.5, "inp": 2, "fcp": 3, "ttfb": 4})


def test_links_and_forms() -> None:
    """They have the names and properties that docs/events.md gives them."""
    link = event(PAGE, type="outbound", properties='{"url":"https://b.example/","text":"b"}', tag=None)
    assert (link.name, link.props) == ("Outbound Link: Click", {"url": "https://b.example/", "text": "b"})
    form = event(PAGE, type="form_submit", properties='{"formId":"f","formName":""}', tag=None, pathname="/a")
    assert (form.name, form.props) == ("Form: Submission", {"formId": "f", "formName": "", "path": "/a", "form": "f"})


@pytest.mark.parametrize("kind", ["error", "copy", "button_click", "input_change", "new"])
def test_what_is_kept_nowhere_is_named(kind: str) -> None:
    """It is answered as a success."""
    assert item(PAGE | {"type": kind}) == Unsupported(kind)


def test_identify() -> None:
    """What is known of the person are properties."""
    found = item({"site_id": "abc123", "user_id": "ada", "traits": {"plan": "pro"}, "is_new_identify": True}, IDENTIFY)
    assert isinstance(found, Event)
    assert (found.name, found.site, found.user, found.props) == ("identify", "rybbit:abc123", "ada", {"plan": "pro"})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], Reason.NOT_AN_EVENT),
        ({}, Reason.INVALID_FIELD),
        ({"type": "custom_event", "site_id": "a"}, Reason.INVALID_NAME),
        ({"type": "pageview", "site_id": "a", "page_title": "x" * (32 << 10)}, Reason.EVENT_TOO_LARGE),
    ],
)
def test_what_is_no_event_is_refused(said: Any, reason: Reason) -> None:
    """With the reason that is counted."""
    with pytest.raises(Rejected) as raised:
        item(said)
    assert raised.value.reason is reason


def test_answers() -> None:
    """All are JSON; a site that is not known is not found."""
    decoded = TRACK.decode(head(), msgspec.json.encode(PAGE))
    for fate, status, success in (
        (None, 200, True),
        (Reason.PRIVACY, 200, True),
        (Reason.UNKNOWN_SITE, 404, False),
        (Reason.INVALID_URL, 400, False),
        (Reason.SERVER_ERROR, 503, False),
    ):
        found = TRACK.answer(head(), decoded, [fate])
        assert (found.status, msgspec.json.decode(found.body)["success"]) == (status, success)
    assert dict(TRACK.shed(Shed.REDIS).headers)[b"retry-after"] == b"2"


def test_the_configuration_asks_for_what_is_kept() -> None:
    """And for nothing else."""
    said = msgspec.json.decode(RybbitConfiguration(Limits()).answer(head(), NO_EVENTS, []).body)
    assert {name for name, is_on in said.items() if is_on} == {
        "webVitals", "trackOutbound", "trackUrlParams", "trackInitialPageView", "trackSpaNavigation",
    }  # fmt: skip
