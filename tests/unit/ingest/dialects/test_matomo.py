"""ingest/dialects/matomo.py: what Matomo's clients send, and what they are answered."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from ingest.dialects.contract import Answer, Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.matomo import Matomo
from ingest.dialects.request import FieldReader, Head
from ingest.fates import Reason, Shed
from tests.support.seeds.matomo import EVENT, LINK, ORDER, PAGE

MATOMO = Matomo(Limits())


def head(query: str = "", kind: bytes = b"application/json") -> Head:
    return FieldReader().head("POST", b"/matomo.php?" + query.encode(), ((b"Content-Type", kind),))


def item(said: dict[str, Any]) -> Item:
    [found] = MATOMO.decode(head(urlencode(said)), b"").items
    return found


def event(said: dict[str, Any]) -> Event:
    found = item(said)
    assert isinstance(found, Event)
    return found


def answer(said: dict[str, Any], *fates: Reason | None) -> Answer:
    decoded = MATOMO.decode(head(), msgspec.json.encode(said))
    return MATOMO.answer(head(), decoded, list(fates))


def test_a_pageview() -> None:
    """Custom dimensions and variables are its properties, and its id is made of what no other request of the page has."""
    found = event(PAGE)
    assert (found.name, found.site, found.title, found.screen) == (None, "matomo:7", "Pricing", (1920, 1080))
    assert found.url == "https://example.com/pricing?pk_campaign=spring&utm_source=x"
    assert (found.user, found.visitor, found.id) == ("ada", "0123456789abcdef", "0123456789abcdef.aB3dE6.482913")
    assert found.props == {"dimension1": "gold", "plan": "pro"}


@pytest.mark.parametrize(
    ("more", "name", "props"),
    [
        (EVENT, "play", {"category": "Video", "label": "intro", "value": "3"}),
        (LINK, "Outbound Link: Click", {"url": "https://elsewhere.example/there"}),
        (PAGE | {"download": "https://example.com/a.zip"}, "File Download", {"url": "https://example.com/a.zip"}),
        (PAGE | {"search": "sock", "search_count": "3"}, "search", {"query": "sock", "results": "3"}),
        (PAGE | {"idgoal": "0", "revenue": "12"}, "cart", {"value": "12"}),
    ],
)
def test_what_else_is_done(more: dict[str, Any], name: str, props: dict[str, Any]) -> None:
    """Each kind has its own name."""
    found = event(more)
    assert found.name == name
    assert found.props == {"dimension1": "gold", "plan": "pro"} | props
    assert found.revenue is None


def test_orders_and_goals_have_revenue() -> None:
    """Matomo has one currency for a site and says none, so it is USD as elsewhere."""
    found = event(ORDER)
    assert (found.name, found.revenue) == ("purchase", Revenue("29.97", "USD"))
    assert isinstance(found.props, dict)
    assert (found.props["order_id"], found.props["tax"]) == ("T-1", "3")
    reached = event(PAGE | {"idgoal": "4", "revenue": "5"})
    assert (reached.name, reached.revenue) == ("goal", Revenue("5", "USD"))
    assert item(PAGE | {"idgoal": "4", "revenue": "much"}) is Reason.INVALID_REVENUE


def test_what_is_not_kept_is_named() -> None:
    """It is counted by the parameter that tells it apart."""
    assert item(PAGE | {"ping": "1"}) == Unsupported("ping")
    assert item(PAGE | {"c_n": "banner"}) == Unsupported("c_n")
    assert item(PAGE | {"rec": "0"}) is Reason.NOT_AN_EVENT


def test_what_a_token_is_for() -> None:
    """An address, an agent and a moment are handed over; the collector heeds them with a server key."""
    said = PAGE | {
        "token_auth": "fbk_x",
        "cip": "203.0.113.9",
        "ua": "Mozilla",
        "cdt": "2026-12-31 11:00:00",
        "cid": "f" * 16,
    }
    found = event(said)
    assert (found.ip, found.user_agent, found.ts, found.visitor) == (
        "203.0.113.9",
        "Mozilla",
        "2026-12-31 11:00:00",
        "f" * 16,
    )
    assert MATOMO.decode(head(urlencode(said)), b"").credential == "fbk_x"
    assert event(PAGE | {"cdt": "1798714800"}).ts == 1_798_714_800_000


def test_a_form_goes_before_the_query() -> None:
    """A beacon has its fields in the body."""
    [found] = MATOMO.decode(head("idsite=1&rec=1&url=a"), urlencode(PAGE).encode()).items
    assert isinstance(found, Event)
    assert found.site == "matomo:7"


def test_many_at_once() -> None:
    """Requests are queries or objects, and those that can't be used are named by their place."""
    said = {"requests": ["?" + urlencode(PAGE), EVENT, 5, "?rec=1"], "token_auth": "fbk_x"}
    decoded = MATOMO.decode(head(), msgspec.json.encode(said))
    assert decoded.credential == "fbk_x"
    assert [type(one) for one in decoded.items] == [Event, Event, Reason, Event]
    found = answer(said, None, None, Reason.NOT_AN_EVENT, Reason.UNKNOWN_SITE)
    told = msgspec.json.decode(found.body)
    assert (found.status, told) == (200, {"status": "success", "tracked": 2, "invalid": 2, "invalid_indices": [2, 3]})
    nothing = answer({"requests": [EVENT]}, Reason.UNKNOWN_SITE)
    assert (nothing.status, msgspec.json.decode(nothing.body)["tracked"]) == (403, 0)


def test_answers_to_one() -> None:
    """A picture, unless the client wants none."""
    decoded = MATOMO.decode(head(urlencode(PAGE | {"send_image": "1"})), b"")
    assert MATOMO.answer(head(), decoded, [None]).body[:3] == b"GIF"
    none = MATOMO.decode(head(urlencode(PAGE)), b"")
    assert MATOMO.answer(head(), none, [None]) == (204, (), b"")
    assert MATOMO.answer(head(), none, [Reason.UNKNOWN_SITE]).status == 403
    assert MATOMO.answer(head(), none, [Reason.PRIVACY]).status == 204
    assert MATOMO.shed(Shed.REDIS).status == 503
