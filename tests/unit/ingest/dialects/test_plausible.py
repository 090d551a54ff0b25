"""ingest/dialects/plausible.py: what Plausible's clients were seen to send, and what they are answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.dialects.contract import Fates, Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.plausible import DOMAINS_MAX, Plausible
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.fates import Reason, Shed
from schemas.keys import ID_CHARS, SECRET_CHARS
from tests.support.collecting import Bench

KEY = f"fbk_{'0' * ID_CHARS}_{'0' * SECRET_CHARS}"
PLAUSIBLE = Plausible(Limits())
URL = "https://shop.example.com/pricing?utm_source=newsletter&utm_medium=email#plans"
CAME = "https://news.ycombinator.com/"
VIEW = {"n": "pageview", "v": 36, "u": URL, "d": "shop.example.com", "r": CAME, "p": {"plan": "free"}}


def head(*headers: tuple[bytes, bytes]) -> Head:
    return FieldReader().head("POST", b"/api/event", ((b"Content-Type", b"text/plain"), *headers))


def items(said: Any) -> list[Item]:
    body = said if isinstance(said, bytes) else msgspec.json.encode(said)
    return list(PLAUSIBLE.decode(head(), body).items)


def event(said: Any, **more: Any) -> Event:
    [found] = items(VIEW | said | more)
    assert isinstance(found, Event)
    return found


def refused(said: Any) -> Reason:
    """Returns why a body is refused as a whole, or why its only item is no event."""
    try:
        [found] = items(said)
    except Rejected as rejected:
        return rejected.reason
    assert isinstance(found, Reason)
    return found


def test_a_pageview() -> None:
    """As the script of version 36 sends it: the properties are those of the page."""
    found = event({})
    assert (found.name, found.url, found.site, found.referrer) == ("pageview", URL, "shop.example.com", CAME)
    assert (found.props, found.revenue, found.ts, found.id) == ({"plan": "free"}, None, None, None)


def test_long_names_of_the_events_api() -> None:
    """A page may be of an app, and amounts are texts."""
    [found] = items({
        "name": "Signup", "url": "app://localhost/login", "domain": "shop.example.com", "referrer": CAME,
        "props": {"plan": "pro"}, "revenue": {"amount": "12.50", "currency": "USD"}, "interactive": True,
    })  # fmt: skip
    assert isinstance(found, Event)
    assert (found.name, found.url, found.site, found.referrer) == (
        "Signup",
        "app://localhost/login",
        "shop.example.com",
        CAME,
    )
    assert (found.props, found.revenue) == ({"plan": "pro"}, Revenue("12.50", "USD"))


def test_a_list_of_domains_is_an_event_for_each() -> None:
    """As roll-up sites of plausible-tracker 0.3.9 have it, whose properties are JSON in a text."""
    found = items({"n": "Signup", "u": URL, "d": "shop.example.com, rollup.example.com", "r": None, "w": 1024, "h": 0,
                   "p": '{"plan":"pro","n":3}'})  # fmt: skip
    assert [one.site for one in found if isinstance(one, Event)] == ["shop.example.com", "rollup.example.com"]
    assert [one.props for one in found if isinstance(one, Event)] == [{"plan": "pro", "n": 3}] * 2
    assert [one.screen for one in found if isinstance(one, Event)] == [(1024, 0)] * 2


def test_a_domain_that_stands_there_twice_is_one_event() -> None:
    """A row for each would count the visit twice."""
    assert len(items(VIEW | {"d": "a.example,a.example"})) == 1


def test_without_a_domain_the_host_of_the_url_says_the_site() -> None:
    """As for Forebay's own events."""
    [found] = items({"n": "pageview", "u": URL})
    assert isinstance(found, Event)
    assert found.site is None


@pytest.mark.parametrize(("sd", "deep"), [(74, 74), (None, None), (255, None), (0, 0)])
def test_engagement(sd: int | None, deep: int | None) -> None:
    """Depth is not known where the document had no height, and 255 says so too."""
    found = event({"n": "engagement", "sd": sd, "e": 12_345})
    assert (found.name, found.engaged_ms, found.scroll_pct) == ("engagement", 12_345, deep)


@pytest.mark.parametrize(
    ("money", "revenue"),
    [
        ({"amount": 49.9, "currency": "EUR"}, Revenue(49.9, "EUR")),
        ({"amount": "-12.50", "currency": "usd"}, Revenue("-12.50", "usd")),
        ('{"amount": 5, "currency": "EUR"}', Revenue(5, "EUR")),
        ({}, None),
        (None, None),
    ],
)
def test_revenue(money: Any, revenue: Revenue | None) -> None:
    """A tagged element sends an empty object where it has none; a refund is negative."""
    assert event({"$": money}).revenue == revenue


@pytest.mark.parametrize(
    "money", [{"amount": "much", "currency": "EUR"}, {"amount": 5, "currency": "euros"}, {"amount": 5}, {"amount": True, "currency": "EUR"}]
)  # fmt: skip
def test_money_that_is_none_costs_no_event(money: Any) -> None:
    """It is counted by its name, and the goal was reached all the same."""
    found, named = items(VIEW | {"$": money})
    assert isinstance(found, Event)
    assert found.revenue is None
    assert named == Unsupported("revenue")


def test_an_event_that_is_not_interactive_says_so() -> None:
    """In a property, because it counts as others do."""
    assert event({"i": False}).props == {"plan": "free", "interactive": False}
    assert event({"i": True}).props == {"plan": "free"}


def test_properties_that_say_nothing_are_left_out() -> None:
    """Nested ones stay, whereas Plausible leaves them out."""
    assert event({"p": {"a": "", "b": None, "c": {"d": 1}, "e": False}}).props == {"c": {"d": 1}, "e": False}
    assert event({"p": "no JSON"}).props == {}
    assert event({"p": None, "m": {"old": 1}}).props == {"old": 1}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"[]", Reason.NOT_AN_EVENT),
        (b"", Reason.EMPTY_BODY),
        (b"n=pageview", Reason.MALFORMED_JSON),
        ({"u": URL}, Reason.INVALID_NAME),
        ({"n": "", "u": URL}, Reason.INVALID_NAME),
        ({"n": "pageview"}, Reason.MISSING_URL),
        ({"n": "pageview", "u": "data:text/html,x", "d": "a.example"}, Reason.INVALID_URL),
        ({"n": "pageview", "u": 5, "d": "a.example"}, Reason.INVALID_FIELD),
        ({"n": "pageview", "u": URL, "d": ""}, Reason.INVALID_FIELD),
        ({"n": "pageview", "u": URL, "d": "a.example,"}, Reason.INVALID_FIELD),
        ({"n": "pageview", "u": URL, "d": ",".join(f"a{at}.example" for at in range(DOMAINS_MAX + 1))}, Reason.TOO_MANY_EVENTS),
        ({"n": "pageview", "u": URL, "r": 5}, Reason.INVALID_FIELD),
        ({"n": "x" * (32 << 10), "u": URL}, Reason.EVENT_TOO_LARGE),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(said: Any, reason: Reason) -> None:
    """With the reason that is counted."""
    assert refused(said) is reason


def test_a_name_may_be_a_number() -> None:
    """Plausible takes one."""
    assert event({"n": 404}).name == "404"


@pytest.mark.parametrize(
    ("fates", "status", "dropped"),
    [
        ([None], 202, None),
        ([Reason.UNKNOWN_SITE], 202, b"1"),
        ([Reason.PRIVACY, Reason.EXCLUDED], 202, b"2"),
        ([None, Reason.UNKNOWN_SITE], 202, b"1"),
        ([None, Reason.URL_TOO_LONG], 202, b"1"),
        ([Reason.URL_TOO_LONG], 400, None),
        ([Reason.UNKNOWN_SITE, Reason.URL_TOO_LONG], 400, None),
    ],
)
def test_answers(fates: Fates, status: int, dropped: bytes | None) -> None:
    """Dropped events are answered as taken, with how many they were."""
    decoded = PLAUSIBLE.decode(head(), msgspec.json.encode(VIEW | {"d": ",".join("ab"[: len(fates)])}))
    found = PLAUSIBLE.answer(head(), decoded, fates)
    assert (found.status, dict(found.headers).get(b"x-plausible-dropped")) == (status, dropped)
    if status == 202:
        assert found.body == b"ok"
        assert dict(found.headers)[b"content-type"].startswith(b"text/plain")
    else:
        assert list(msgspec.json.decode(found.body)["errors"]) == ["url"]


def test_refusals_and_back_pressure() -> None:
    """Its clients do not come back, but proxies and servers in front do."""
    assert PLAUSIBLE.refusal(head(), Reason.MALFORMED_JSON).status == 400
    assert PLAUSIBLE.refusal(head(), Reason.BODY_TOO_LARGE).status == 413
    assert PLAUSIBLE.refusal(head(), Reason.WRONG_KEY).status == 401
    for shed in (PLAUSIBLE.refusal(head(), Reason.SERVER_ERROR), PLAUSIBLE.shed(Shed.REDIS)):
        assert (shed.status, dict(shed.headers)[b"retry-after"]) == (503, b"2")


def test_a_server_says_whose_event_it_is() -> None:
    """As the events API has it, in headers; the collector believes it with a server key alone."""
    fields = ((b"Authorization", f"Bearer {KEY}".encode()), (b"X-Forwarded-For", b"203.0.113.7, 10.0.0.1"))
    found = PLAUSIBLE.decode(head(*fields, (b"User-Agent", b"Visitor/1")), msgspec.json.encode(VIEW))
    [said] = found.items
    assert isinstance(said, Event)
    assert (found.credential, said.ip, said.user_agent) == (KEY, "203.0.113.7", "Visitor/1")
    other = PLAUSIBLE.decode(head(*fields, (b"X-Plausible-IP", b"203.0.113.9")), msgspec.json.encode(VIEW)).items[0]
    assert isinstance(other, Event)
    assert other.ip == "203.0.113.9"


async def test_rows() -> None:
    """What two domains of a list become: a row of the one that is known, and a count of the other."""
    bench = await Bench().ready()
    found = bench.post(VIEW | {"u": "https://example.com/a", "d": "example.com,unknown.example"}, target=b"/api/event")
    assert (found.status, [(row.site, row.name, row.dialect) for _, row in found.rows]) == (
        202, [("example.com", "pageview", "plausible")],
    )  # fmt: skip
    assert bench.reasons == {Reason.UNKNOWN_SITE: 1}
    assert dict(found.headers)[b"x-plausible-dropped"] == b"1"
