"""ingest/dialects/openpanel.py: what OpenPanel's clients send, and what they are answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import Event, Limits
from ingest.dialects.openpanel import OpenPanel
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.fates import Reason, Shed
from tests.support.collecting import Bench
from tests.support.seeds.openpanel import CLIENT, GROUPED, KNOWN, PAGE, SOLD

TRACK = OpenPanel(Limits())
ORIGIN = (b"Origin", b"https://example.com")


def head(*more: tuple[bytes, bytes]) -> Head:
    return FieldReader().head("POST", b"/track", ((b"openpanel-client-id", CLIENT.upper().encode()), *more))


def item(said: Any, *more: tuple[bytes, bytes]) -> Item:
    [found] = TRACK.decode(head(*more), msgspec.json.encode(said)).items
    return found


def event(said: Any, *more: tuple[bytes, bytes]) -> Event:
    found = item(said, *more)
    assert isinstance(found, Event)
    return found


def tracked(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "payload": {"name": name, "properties": properties}}


def test_a_pageview() -> None:
    """It is called a screen view, and says its page in properties of its own."""
    found = event(PAGE)
    assert (found.name, found.site, found.title, found.user) == ("pageview", f"openpanel:{CLIENT}", "Pricing", "ada")
    assert (found.url, found.referrer) == ("https://example.com/pricing?utm_source=x", "https://a.example/")
    assert found.props == {"plan": "pro"}


def test_a_path_is_one_of_the_pages_host() -> None:
    """As `screenView('/pricing')` sends it."""
    assert event(tracked("screen_view", __path="/pricing"), ORIGIN).url == "https://example.com/pricing"
    assert event(tracked("signup"), ORIGIN).url == "https://example.com"


def test_money_is_in_cents() -> None:
    """Whole ones: OpenPanel takes nothing else either."""
    found = event(SOLD)
    assert found.revenue is not None
    assert (found.revenue.amount, found.revenue.currency, found.visitor) == ("29.97", "EUR", "d-1")
    assert found.props == {"order": "T-1"}
    refund = event(tracked("revenue", __revenue=-5)).revenue
    assert refund is not None
    assert (refund.amount, refund.currency) == ("-0.05", "USD")
    assert event(tracked("revenue", __revenue="5")).revenue is None


def test_a_link_to_elsewhere() -> None:
    """It has our name and our property."""
    found = event(tracked("link_out", href="https://elsewhere.example/", text="there"))
    assert (found.name, found.props) == ("Outbound Link: Click", {"url": "https://elsewhere.example/", "text": "there"})


def test_who_is_who() -> None:
    """People and their groups have our names."""
    known = event(KNOWN)
    assert (known.name, known.user, known.props) == (
        "identify",
        "42",
        {"plan": "pro", "firstName": "Ada", "email": "a@b.example"},
    )
    again = event({"type": "alias", "payload": {"profileId": "ada", "alias": "d-0"}})
    assert (again.name, again.user, again.visitor, again.props) == ("alias", "ada", "d-0", {"previous_id": "d-0"})
    group = event(GROUPED)
    assert (group.name, group.props) == (
        "group",
        {"group_type": "company", "group_id": "acme", "name": "Acme", "seats": 3},
    )
    member = event({"type": "assign_group", "payload": {"profileId": "ada", "groupIds": ["acme"]}})
    assert (member.user, member.props) == ("ada", {"group_id": ["acme"]})


def test_a_servers_person_is_its_visitor() -> None:
    """Its address would be that of all."""
    secret = (b"openpanel-client-secret", b"fbk_x")
    found = event(PAGE, secret, (b"x-client-ip", b"203.0.113.9"))
    assert (found.visitor, found.ip) == ("ada", "203.0.113.9")
    assert TRACK.decode(head(secret), msgspec.json.encode(PAGE)).credential == "fbk_x"
    assert event(PAGE).visitor is None


def test_what_is_not_kept_is_named() -> None:
    """It is counted by its type."""
    assert item({"type": "increment", "payload": {}}) == Unsupported("increment")
    assert item({"type": "replay", "payload": {"chunk_index": 0}}) == Unsupported("replay")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, Reason.INVALID_FIELD),
        (tracked(""), Reason.INVALID_NAME),
        ({"type": "identify", "payload": {}}, Reason.INVALID_FIELD),
        ([], Reason.NOT_AN_EVENT),
    ],
)
def test_what_is_no_event_has_its_reason(said: Any, reason: Reason) -> None:
    """The request is refused as a whole."""
    with pytest.raises(Rejected) as caught:
        item(said)
    assert caught.value.reason is reason


def test_only_what_may_come_again_comes_again() -> None:
    """The SDKs end with 200, 202 and 401, and send three times more after anything else."""
    decoded = TRACK.decode(head(), msgspec.json.encode(PAGE))
    assert TRACK.answer(head(), decoded, [None]).body == b'{"deviceId":"","sessionId":""}'
    assert {TRACK.refusal(head(), reason).status for reason in Reason} == {200, 401, 429, 503}
    assert TRACK.refusal(head(), Reason.RATE_LIMITED).status == 429
    assert TRACK.shed(Shed.REDIS).status == 503


@pytest.mark.parametrize(("target", "other"), [(b"/track", "mixpanel"), (b"/api/track", "rybbit")])
async def test_its_header_tells_it_from_others_on_the_same_path(target: bytes, other: str) -> None:
    """Mixpanel and Rybbit send their bodies to the same paths."""
    bench = await Bench().ready()
    chosen = []
    for fields in ([(b"openpanel-client-id", b"x")], []):
        found = bench.post(PAGE, target=target, headers=fields).exchange
        assert found is not None
        assert found.dialect is not None
        chosen.append(found.dialect.name)
    assert chosen == ["openpanel", other]
