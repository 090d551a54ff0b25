"""ingest/dialects/mixpanel.py, mixpanel_events.py: what Mixpanel's clients send, and what they need to hear."""

from __future__ import annotations

import base64
import gzip
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.collect.sites import Sites
from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.mixpanel import (
    ALONE_BYTES,
    Mixpanel,
    MixpanelImport,
    MixpanelProfiles,
    MixpanelRecord,
    flags,
    settings,
)
from ingest.dialects.mixpanel_events import NAMES, Known
from ingest.dialects.reading import moment_ms
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.fates import Reason, Shed
from tests.support.collecting import NOON, Bench

TRACK, IMPORT = Mixpanel(Limits()), MixpanelImport(Limits())
ENGAGE, GROUPS = MixpanelProfiles(Limits(), "engage"), MixpanelProfiles(Limits(), "groups")
DEVICE = "8e339152-b1d7-4588"
# What mixpanel-browser 2.83 says of each event of somebody unknown.
BROWSER = {
    "$os": "Linux",
    "$browser": "Chrome",
    "$current_url": "https://shop.example/pricing?utm_source=news#plans",
    "$browser_version": 140,
    "$screen_height": 600,
    "$screen_width": 800,
    "$referrer": "https://search.example/",
    "mp_lib": "web",
    "$lib_version": "2.83.0",
    "$insert_id": "v0sj3gake965vze0",
    "time": 1_795_936_719.237,
    "distinct_id": f"$device:{DEVICE}",
    "$device_id": DEVICE,
    "$initial_referrer": "$direct",
    "utm_source": "news",
    "token": "TOKEN",
    "mp_sent_by_lib_version": "2.83.0",
}
MANY = 80
KNOWN = {"distinct_id": "u", "$user_id": "u"}


def head(target: bytes = b"/track/?verbose=1&ip=1&_=1795936720073", headers: Any = (), method: str = "POST") -> Head:
    return FieldReader().head(method, target, headers)


def coded(said: Any) -> str:
    return base64.b64encode(msgspec.json.encode(said)).decode()


def form(said: Any) -> bytes:
    """Writes a body as browsers do."""
    return b"data=" + quote(coded(said), safe="").encode()


def items(*said: Any) -> list[Item]:
    return list(TRACK.decode(head(), form(said)).items)


def event(name: str, **found: Any) -> Event:
    """Decodes the one event of this name that a browser sends."""
    [said] = items({"event": name, "properties": BROWSER | found})
    assert isinstance(said, Event), said
    return said


def test_a_page_view_is_a_pageview() -> None:
    """With its address, title, referrer, screen, times and ids; what has its own place is not kept twice."""
    found = {
        "current_page_title": "Pricing",
        "current_domain": "shop.example",
        "current_url_path": "/pricing",
        "plan": "pro",
    }
    assert event("$mp_web_page_view", **found) == Event(
        name="pageview",
        url="https://shop.example/pricing?utm_source=news#plans",
        site="mixpanel:TOKEN",
        referrer="https://search.example/",
        title="Pricing",
        screen=(800, 600),
        props={"plan": "pro", "original_name": "$mp_web_page_view"},
        id="v0sj3gake965vze0",
        ts=1_795_936_719_237,
        sent_at=1_795_936_720_073,
        visitor=DEVICE,
    )


def test_an_event_of_ones_own_is_itself() -> None:
    """With how long it took, where it was timed."""
    said = event("Signup", deep={"a": [1]}, none=None, **{"$duration": 1.5, "$referrer": "$direct"})
    assert (said.name, said.props, said.referrer) == ("Signup", {"deep": {"a": [1]}, "duration": 1.5}, None)


@pytest.mark.parametrize(
    ("found", "user", "visitor"),
    [
        ({}, None, DEVICE),
        (KNOWN, "u", DEVICE),
        ({"distinct_id": DEVICE}, None, DEVICE),  # of a project before 2023
        ({"distinct_id": "u"}, "u", DEVICE),
        ({"distinct_id": "u", "$device_id": None}, "u", "u"),  # of a server
        ({"distinct_id": 17, "$device_id": None}, "17", "17"),
        ({"distinct_id": None, "$device_id": None}, None, None),
        ({"distinct_id": "$device:d", "$device_id": None}, None, "d"),
    ],
)
def test_who_it_is(found: Any, user: str | None, visitor: str | None) -> None:
    """A device is a visitor; who is identified is a person."""
    said = event("x", **found)
    assert (said.user, said.visitor) == (user, visitor)


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    (None, "", "a", "$direct", f"$device:{DEVICE}", "k:secret", 0, 5, 1.5, True, [], {"a": 1})
)


@given(
    st.sampled_from((*NAMES, "$mp_click", "Signup")),
    st.fixed_dictionaries({}, optional=dict.fromkeys(Known.__struct_encode_fields__, VALUES)),
)
def test_an_event_is_the_same_beside_one_with_properties_of_its_own(name: str, found: dict[str, Any]) -> None:
    """An array of several in which no event has any is read in another way, which is quicker."""
    many = [{"event": name, "properties": found}] * MANY
    assert len(msgspec.json.encode(many)) > ALONE_BYTES
    assert items(*many) == items(*many, {"event": "x", "properties": {"plan": "pro"}})[:MANY]


def test_identify_says_who_is_who() -> None:
    """A browser's, of somebody unknown until then, and of somebody who was another."""
    first = event("$identify", **KNOWN, **{"$anon_distinct_id": f"$device:{DEVICE}"})
    assert (first.name, first.user, first.visitor, first.props) == ("identify", "u", DEVICE, None)
    again = event("$identify", **KNOWN, **{"$anon_distinct_id": "before"})
    assert (again.user, again.visitor, again.props) == ("u", DEVICE, {"previous_id": "before"})


@pytest.mark.parametrize(
    ("name", "found", "visitor", "props"),
    [
        ("$create_alias", {"alias": "new", "distinct_id": f"$device:{DEVICE}"}, DEVICE, None),
        ("$create_alias", {"alias": "new", "distinct_id": "old", "$device_id": None}, "old", None),
        ("$create_alias", {"alias": "new", "distinct_id": "old"}, DEVICE, {"previous_id": "old"}),
        ("$merge", {"$distinct_ids": ["new", "old"], "distinct_id": None, "$device_id": None}, "old", None),
    ],
)
def test_an_alias_joins_two_ids(name: str, found: Any, visitor: str, props: Any) -> None:
    """The later one is the person, the earlier one the visitor, or kept as a property where there is a device."""
    said = event(name, **found)
    assert (said.name, said.user, said.visitor, said.props) == ("alias", "new", visitor, props)


@pytest.mark.parametrize("found", [{"$distinct_ids": ["a"]}, {"$distinct_ids": "ab"}, {"$distinct_ids": ["", "b"]}])
def test_an_alias_of_nobody_is_at_fault(found: Any) -> None:
    """There is nothing that it could join."""
    assert items({"event": "$merge", "properties": found}) == [Reason.INVALID_FIELD]


def test_leaving_a_page_is_engagement_and_a_form_is_a_form() -> None:
    """Each with the fields or properties that it is counted by."""
    left = event("$mp_page_leave", **{"$max_scroll_percentage": 62})
    assert (left.name, left.scroll_pct) == ("engagement", 62)
    sent = event("$mp_submit", **{"$pathname": "/pricing", "$el_attr__id": "newsletter", "$elements": "[]"})
    assert sent.name == "Form: Submission"
    assert sent.props == {"original_name": "$mp_submit", "path": "/pricing", "form": "newsletter"}


@pytest.mark.parametrize(
    ("found", "revenue", "props"),
    [
        ({"revenue": 29.97, "currency": "EUR"}, Revenue(29.97, "EUR"), None),
        ({"revenue": "-5"}, Revenue("-5", "USD"), None),
        ({"revenue": True}, None, {"revenue": True}),
    ],
)
def test_a_property_revenue_is_money(found: Any, revenue: Any, props: Any) -> None:
    """Of a refund it is negative; what is no number stays a property."""
    said = event("Order", **found)
    assert (said.revenue, said.props) == (revenue, props)


@pytest.mark.parametrize("name", ["$mp_click", "$mp_scroll", "$mp_rage_click", "$experiment_started", "$ae_session"])
def test_what_is_not_kept_is_named(name: str) -> None:
    """It is counted by its name, and becomes no row."""
    assert items({"event": name, "properties": BROWSER}) == [Unsupported(name)]


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        (1_795_936_719, 1_795_936_719_000),
        (1_795_936_719.237, 1_795_936_719_237),
        (1_795_936_719_237, 1_795_936_719_237),
        (1_795_936_719_237_000, 1_795_936_719_237),
        ("1795936719", 1_795_936_719_000),
        ("2026-11-29T07:00:00", "2026-11-29T07:00:00"),
        (True, None),
        (None, None),
        ("", ""),
    ],
)
def test_moments_are_known_by_their_size(said: Any, ms: Any) -> None:
    """Seconds, milliseconds, microseconds."""
    assert moment_ms(said) == ms


def test_profiles_and_groups_are_not_kept() -> None:
    """Each message is counted by what it does."""
    said = [{"$token": "TOKEN", "$distinct_id": "u", "$set": {"a": 1}}, {"$unset": ["a"]}, {"$token": "TOKEN"}, 5]
    assert ENGAGE.decode(head(), form(said)).items == [
        Unsupported("engage $set"),
        Unsupported("engage $unset"),
        Unsupported("engage"),
        Reason.NOT_AN_EVENT,
    ]
    assert GROUPS.decode(head(), form({"$group_key": "org", "$delete": ""})).items == [Unsupported("groups $delete")]


def test_a_charge_is_revenue() -> None:
    """One with a time can be known again, because it has an id that follows from what it says."""
    charge = {"$token": "TOKEN", "$distinct_id": "u", "$append": {"$transactions": {"$amount": 12.5, "sku": "A"}}}
    [said] = ENGAGE.decode(head(), form(charge)).items
    assert said == Event(
        name="charge", site="mixpanel:TOKEN", revenue=Revenue(12.5, "USD"), props={"sku": "A"}, user="u", visitor="u"
    )
    ids = []
    for at in (1_795_936_869.5, 1_795_936_869.5, 1_795_936_870.5):
        [said] = ENGAGE.decode(head(), form(charge | {"$time": at})).items
        assert isinstance(said, Event)
        ids.append(said.id)
    assert ids[0] == ids[1] != ids[2]
    bad = {"$append": {"$transactions": {"$amount": "much"}}}
    assert ENGAGE.decode(head(), form(bad)).items == [Reason.INVALID_REVENUE]


EVENT = {"event": "a", "properties": {"token": "TOKEN", "distinct_id": "u", "text": ">>>???ü\u0000"}}
BODIES = {
    "base64": form([EVENT]),
    "base64 with + lost": b"data=" + coded([EVENT]).replace("+", " ").encode(),
    "base64, not escaped": b"data=" + coded([EVENT]).encode(),
    "base64 for URLs": b"data=" + base64.urlsafe_b64encode(msgspec.json.encode(EVENT)),
    "base64 without a form": coded(EVENT).encode(),
    "JSON in a form": urlencode({"data": msgspec.json.encode(EVENT).decode(), "verbose": 1, "ip": 0}).encode(),
    "JSON": msgspec.json.encode([EVENT]),
    "JSON in JSON": b"data=" + quote(msgspec.json.encode(msgspec.json.encode(EVENT).decode())).encode(),
    "lines": msgspec.json.encode(EVENT) + b"\n" + msgspec.json.encode(EVENT) + b"\n",
    "gzip": gzip.compress(msgspec.json.encode([EVENT])),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_has_many_forms(body: bytes) -> None:
    """All of them say the same event."""
    said = TRACK.decode(head(), body).items[0]
    assert isinstance(said, Event)
    assert (said.name, said.props) == ("a", {"text": ">>>???ü\ufffd"})


def test_a_query_has_the_event_too() -> None:
    """Node.js sends each event so."""
    target = f"/track?ip=0&verbose=0&data={quote(coded(EVENT))}".encode()
    [said] = TRACK.decode(head(target, method="GET"), b"").items
    assert isinstance(said, Event)
    assert said.site == "mixpanel:TOKEN"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b"data=", Reason.EMPTY_BODY),
        (b"data=%%%", Reason.MALFORMED_JSON),
        (b"data=e30", Reason.INVALID_FIELD),
        (b"data=bnVsbA", Reason.NOT_AN_EVENT),
        (b"data=5", Reason.MALFORMED_JSON),
        (b"[]", Reason.EMPTY_ARRAY),
        (b"{", Reason.MALFORMED_JSON),
        (b'{"event":"a","properties":[]}', Reason.INVALID_FIELD),
        (b"[5]", Reason.NOT_AN_EVENT),
        (form([EVENT] * 2_001), Reason.TOO_MANY_EVENTS),
        (gzip.compress(form([EVENT]), mtime=0)[:-9], Reason.CORRUPT_ENCODING),
    ],
)
def test_a_body_at_fault_has_its_reason(body: bytes, reason: Reason) -> None:
    """Of the whole, or of its one item."""
    try:
        [found] = TRACK.decode(head(), body).items
    except Rejected as rejected:
        found = rejected.reason
    assert found is reason


def test_a_bad_event_costs_no_neighbour() -> None:
    """Each has a reason of its own."""
    said = items(EVENT, {"event": 5, "properties": {}}, "x", {}, EVENT, {"event": "b", "properties": None})
    faults = [one if isinstance(one, Reason) else None for one in said]
    assert faults == [None, Reason.INVALID_FIELD, Reason.NOT_AN_EVENT, Reason.INVALID_FIELD, None, Reason.INVALID_FIELD]


PROOF = "fbk_" + "a" * 10 + "_" + "b" * 43


@pytest.mark.parametrize(
    ("token", "target", "authorization"),
    [
        (f"TOKEN:{PROOF}", b"/track", None),
        ("TOKEN", b"/import?api_key=" + PROOF.encode(), None),
        ("TOKEN", b"/import", f"account:{PROOF}"),
        ("TOKEN", b"/import", f"{PROOF}:"),
    ],
)
def test_where_a_server_writes_its_key(token: str, target: bytes, authorization: str | None) -> None:
    """Behind the token; or where Mixpanel asks for the key, the account or the secret of a project."""
    headers = []
    if authorization is not None:
        headers.append((b"authorization", b"Basic " + base64.b64encode(authorization.encode())))
    decoded = IMPORT.decode(head(target, headers), form({"event": "a", "properties": {"token": token}}))
    [said] = decoded.items
    assert isinstance(said, Event)
    assert (said.site, decoded.credential) == ("mixpanel:TOKEN", PROOF)


def answer(target: bytes, body: bytes, *fates: Reason | None, dialect: Mixpanel = TRACK) -> tuple[int, bytes]:
    decoded = dialect.decode(head(target), body)
    given = dialect.answer(head(target), decoded, list(fates) or [None] * len(decoded.items))
    return given.status, given.body


@pytest.mark.parametrize(
    ("target", "more", "body"),
    [
        (b"/track/?verbose=1", b"", b'{"status":1,"error":null}'),
        (b"/track/", b"&verbose=1", b'{"status":1,"error":null}'),
        (b"/track/?verbose=0", b"", b"1"),
        (b"/track/", b"", b"1"),
    ],
)
def test_success_is_said_as_the_client_wants_it(target: bytes, more: bytes, body: bytes) -> None:
    """One that asks for words reads words, and the others compare with 1."""
    assert answer(target, form(EVENT) + more) == (200, body)
    assert answer(target, form([EVENT, EVENT]) + more, None, Reason.TOO_OLD) == (200, body)
    assert answer(target, form(EVENT) + more, Reason.EXCLUDED) == (200, body)


def test_a_picture_is_a_picture() -> None:
    """For pages that ask with an image."""
    status, body = answer(b"/track/?img=1", form(EVENT))
    assert (status, body[:3]) == (200, b"GIF")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN_SITE, 401),
        (Reason.TOO_OLD, 400),
        (Reason.MALFORMED_JSON, 400),
        (Reason.BODY_TOO_LARGE, 413),
        (Reason.TOO_MANY_EVENTS, 413),
        (Reason.SERVER_ERROR, 503),
    ],
)
def test_failure_is_said_in_json(reason: Reason, status: int) -> None:
    """Python reads its `status`, whatever it asked for. The browser drops after 4xx, and halves its batch after 413."""
    for refused in (TRACK.refusal(head(), reason), TRACK.answer(head(), TRACK.decode(head(), form(EVENT)), [reason])):
        assert (refused.status, msgspec.json.decode(refused.body)["status"]) == (status, 0)


def test_who_has_to_come_again_is_told_so() -> None:
    """With a status on which the browser tries again, and JSON for Python."""
    shed = TRACK.shed(Shed.REDIS)
    assert (shed.status, msgspec.json.decode(shed.body)["status"]) == (503, 0)
    assert (b"retry-after", b"2") in shed.headers


def test_an_import_names_each_record_that_failed() -> None:
    """Only where a body was no form: Mixpanel's own SDKs compare with 1 here too."""
    body = gzip.compress(msgspec.json.encode([EVENT, EVENT]))
    status, said = answer(b"/import?strict=1&project_id=7", body, None, None, dialect=IMPORT)
    assert (status, msgspec.json.decode(said)) == (200, {"code": 200, "num_records_imported": 2, "status": "OK"})
    status, said = answer(b"/import?strict=1", body, None, Reason.TOO_OLD, dialect=IMPORT)
    found = msgspec.json.decode(said)
    assert (status, found["code"], found["num_records_imported"]) == (400, 400, 1)
    assert [one["index"] for one in found["failed_records"]] == [1]
    assert answer(b"/import?strict=0", body, None, Reason.TOO_OLD, dialect=IMPORT)[0] == 200
    assert answer(b"/import", body, Reason.UNKNOWN_SITE, Reason.UNKNOWN_SITE, dialect=IMPORT)[0] == 401
    assert answer(b"/import?verbose=0", form(EVENT), dialect=IMPORT) == (200, b"1")
    assert IMPORT.refusal(head(), Reason.BODY_TOO_LARGE).status == 413


def test_a_project_number_stands_for_a_token() -> None:
    """With an account's credentials an import names no token."""
    [said] = IMPORT.decode(head(b"/import?project_id=7"), b'[{"event":"a","properties":{}}]').items
    assert isinstance(said, Event)
    assert said.site == "mixpanel:7"


def test_flags_settings_and_recordings_are_answered() -> None:
    """Else a client waits for them, or sends a recording again."""
    assert msgspec.json.decode(flags(Limits()).answer(head(), flags(Limits()).decode(head(), b""), []).body) == {
        "flags": {}
    }
    assert settings(Limits()).answer(head(), settings(Limits()).decode(head(), b""), []).body == b"{}"
    record = MixpanelRecord(Limits())
    decoded = record.decode(head(), b"\x00")
    assert decoded.items == [Unsupported("record")]
    assert record.answer(head(), decoded, [None]).status == 200


async def test_rows_have_what_the_sdk_said() -> None:
    """From the bytes of a browser to the row, by the site's key: the visitor is the device, on whatever network it is."""

    class Source:
        async def sites(self) -> dict[str, bytes]:
            return {"shop.example": b'{"keys":["mixpanel:TOKEN"]}'}

    sites = Sites(named=[], privacy="count", source=Source())
    await sites.refresh()
    bench = await Bench(sites=sites, now_ms=NOON).ready()
    body = form([{"event": "$mp_web_page_view", "properties": BROWSER | {"time": NOON / 1_000 - 5}}])
    target = f"/track/?verbose=1&ip=1&_={NOON}".encode()
    rows = [bench.post(body, target=target, peer=peer).rows[0][1] for peer in ("203.0.113.7", "198.51.100.9")]
    assert [(row.site, row.name, row.dialect, row.ts) for row in rows] == [
        ("shop.example", "pageview", "mixpanel", NOON - 5_000)
    ] * 2
    assert rows[0].visitor_id == rows[1].visitor_id
    assert rows[0].event_id == "v0sj3gake965vze0"
    assert bench.post(form([EVENT | {"properties": {"token": "?"}}]), target=target).status == 401
