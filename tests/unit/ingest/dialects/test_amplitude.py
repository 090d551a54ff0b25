"""ingest/dialects/amplitude.py, amplitude_events.py: what Amplitude's clients send, and what they need to hear."""

from __future__ import annotations

import gzip
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

from ingest.collect.sites import Sites
from ingest.dialects.amplitude import Amplitude, AmplitudeConfig, AmplitudeForm
from ingest.dialects.contract import Fates, Item, Unsupported
from ingest.dialects.event import Event, Limits, Revenue
from ingest.dialects.request import FieldReader, Head, Rejected
from ingest.fates import Reason, Shed
from tests.support.collecting import NOON, Bench

JSON, FORM = Amplitude(Limits()), AmplitudeForm(Limits())
UPLOADED = "2026-11-29T07:19:27.398Z"
PAGE = {
    "[Amplitude] Page Domain": "shop.example",
    "[Amplitude] Page Location": "https://shop.example/pricing?utm_source=news#plans",
    "[Amplitude] Page Path": "/pricing",
    "[Amplitude] Page Title": "Pricing",
    "[Amplitude] Page URL": "https://shop.example/pricing",
    "[Amplitude] Previous Page Location": "https://search.example/",
    "[Amplitude] Previous Page Type": "external",
    "utm_source": "news",
}
# Beside the type and the properties: what analytics-browser 2.48 says of each event.
BROWSER = {
    "device_id": "17594f-device",
    "session_id": 1_795_936_766_521,
    "time": 1_795_936_766_606,
    "insert_id": "3101a5fa",
    "event_id": 2,
    "platform": "Web",
    "language": "en-US",
    "ip": "$remote",
    "library": "amplitude-ts/2.48.1",
    "user_agent": "Mozilla/5.0",
}


def head(path: bytes = b"/2/httpapi", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Head:
    return FieldReader().head("POST", path, headers)


def body(*events: Any, key: str = "KEY", **more: Any) -> bytes:
    return msgspec.json.encode({"api_key": key, "events": events, "client_upload_time": UPLOADED, "options": {}} | more)


def items(*events: Any) -> list[Item]:
    return list(JSON.decode(head(), body(*events)).items)


def event(kind: str, found: Any = None, **more: Any) -> Event:
    """Decodes the one event of this type that a browser sends."""
    [said] = items(BROWSER | {"event_type": kind, "event_properties": found or {}} | more)
    assert isinstance(said, Event), said
    return said


def test_a_page_viewed_is_a_pageview() -> None:
    """With its address, title, referrer, times and ids; what the URL says too is not kept twice."""
    assert event(
        "[Amplitude] Page Viewed", PAGE | {"[Amplitude] Page Counter": 1, "plan": "pro"}, user_id="u"
    ) == Event(
        name="pageview",
        url="https://shop.example/pricing?utm_source=news#plans",
        site="amplitude:KEY",
        referrer="https://search.example/",
        title="Pricing",
        language="en-US",
        props={"plan": "pro", "original_name": "[Amplitude] Page Viewed"},
        id="3101a5fa",
        ts=1_795_936_766_606,
        sent_at=UPLOADED,
        user="u",
        visitor="17594f-device",
        session="1795936766521",
        user_agent="Mozilla/5.0",
    )


def test_an_event_of_ones_own_is_itself() -> None:
    """Its groups are kept beside its properties; nothing is known of the page that it does not say."""
    said = event("Signup", {"plan": "pro", "deep": {"a": [1]}, "none": None}, groups={"org": "acme"}, session_id=-1)
    assert (said.name, said.url, said.session) == ("Signup", None, None)
    assert said.props == {"plan": "pro", "deep": {"a": [1]}, "groups": {"org": "acme"}}


@pytest.mark.parametrize("unset", ["EMPTY", "-", ""])
def test_what_stands_for_nothing_is_unset(unset: str) -> None:
    """The SDK writes these in place of what it does not know."""
    said = event("Signup", {"plan": unset, "[Amplitude] Page Location": unset, "referrer": unset})
    assert (said.props, said.url, said.referrer) == (None, None, None)


@pytest.mark.parametrize("nobody", ["", "null", "Unknown", "00000000-0000-0000-0000-000000000000", 0, None])
def test_ids_that_stand_for_nobody_are_unset(nobody: Any) -> None:
    """Else all who have none would be one visitor."""
    said = event("Signup", user_id=nobody, device_id=nobody)
    assert (said.user, said.visitor) == (None, None)


def test_a_server_without_a_device_names_its_person() -> None:
    """The person is the visitor then, and the address is said, for who may say it."""
    [said] = items({"event_type": "Paid", "user_id": 17, "ip": "192.0.2.1", "time": "1795936766606"})
    assert isinstance(said, Event)
    assert (said.user, said.visitor, said.ip, said.ts) == ("17", "17", "192.0.2.1", 1_795_936_766_606)


def test_the_remote_address_is_the_peers() -> None:
    """What the SDK writes in its place is no address."""
    assert event("x").ip is None


@pytest.mark.parametrize(
    ("found", "more", "amount", "currency"),
    [
        ({"$price": 9.99, "$quantity": 3}, {}, "29.97", "USD"),
        ({"$price": 0.1, "$quantity": 3, "$revenue": 5, "$currency": "EUR"}, {}, "0.3", "EUR"),
        ({"$price": "4.50"}, {}, "4.50", "USD"),
        ({"$revenue": 7.5, "$currency": "eur"}, {}, 7.5, "eur"),
        ({"$price": 5, "$quantity": 2, "$revenueType": "Refund"}, {}, "-10", "USD"),
        ({"$revenue": -5, "$revenueType": "refund"}, {}, -5, "USD"),
        ({"$price": "much", "$revenue": 3}, {}, 3, "USD"),
        ({}, {"price": 2.5, "quantity": 4, "revenue": 1, "currency": "CHF"}, "10.0", "CHF"),
        ({}, {"revenue": 12, "revenueType": "refund"}, -12, "USD"),
        ({"revenue": 3.5, "currency": "EUR"}, {}, 3.5, "EUR"),
    ],
)
def test_money_is_price_times_quantity(found: Any, more: Any, amount: Any, currency: str) -> None:
    """Exactly; else the revenue. A refund is negative."""
    assert event("revenue_amount", found, **more).revenue == Revenue(amount, currency)


def test_what_is_no_money_stays_a_property() -> None:
    """An amount that is no number is only said."""
    said = event("Signup", {"revenue": "much", "currency": "EUR"})
    assert (said.revenue, said.props) == (None, {"revenue": "much", "currency": "EUR"})


def test_vitals_are_vitals() -> None:
    """Each is an object with its value, or the value."""
    said = event(
        "[Amplitude] Web Vitals",
        PAGE | {"[Amplitude] LCP": {"value": 1200.5}, "[Amplitude] CLS": 0.1, "[Amplitude] INP": "?"},
    )
    assert (said.name, said.vitals) == ("vitals", {"lcp": 1200.5, "cls": 0.1})


def test_a_download_a_form_and_a_screen() -> None:
    """Under our names, with the properties that they are counted by."""
    file = event("[Amplitude] File Downloaded", {"[Amplitude] Link URL": "https://a.example/x.pdf"})
    assert (file.name, file.props) == (
        "File Download",
        {"original_name": "[Amplitude] File Downloaded", "url": "https://a.example/x.pdf"},
    )
    form = event("[Amplitude] Form Submitted", PAGE | {"[Amplitude] Form ID": "newsletter"})
    assert form.name == "Form: Submission"
    assert form.props == {"original_name": "[Amplitude] Form Submitted", "path": "/pricing", "form": "newsletter"}
    screen = event("[Amplitude] Screen Viewed", {"[Amplitude] Screen Name": "Home"})
    assert (screen.name, screen.url, screen.title) == ("pageview", "app://app/Home", "Home")


def test_identify_says_who_is_who() -> None:
    """With what is known of the person, without what the SDK copies there of the visit's source."""
    changes = {
        "$set": {"color": "red", "utm_source": "x"},
        "$setOnce": {"initial_gclid": "EMPTY", "born": 1},
        "$unset": {"a": "-"},
    }
    said = event("$identify", user_id="u", user_properties=changes)
    assert (said.name, said.user, said.visitor, said.props) == (
        "identify",
        "u",
        "17594f-device",
        {"color": "red", "born": 1},
    )


def test_groups_are_groups() -> None:
    """Somebody who joins one, and one of whom more is known."""
    joined = event("$identify", user_id="u", user_properties={"$set": {"org": "acme"}}, groups={"org": "acme"})
    assert (joined.name, joined.user, joined.props) == ("group", "u", {"group_type": "org", "group_id": "acme"})
    known = event("$groupidentify", group_properties={"$set": {"size": 9}}, groups={"org": "acme"})
    assert (known.name, known.props) == ("group", {"group_type": "org", "group_id": "acme", "size": 9})


@pytest.mark.parametrize(
    "kind", ["session_start", "session_end", "[Amplitude] Element Clicked", "$exposure", "$identify"]
)
def test_what_is_not_kept_is_named(kind: str) -> None:
    """An identify of nobody too."""
    assert items(BROWSER | {"event_type": kind}) == [Unsupported(kind)]


def test_a_bad_event_costs_no_neighbour() -> None:
    """Each has a reason of its own."""
    good = {"event_type": "Signup"}
    said = items(good, {"event_type": 5}, "x", {}, good, {"event_type": "x", "user_id": []})
    faults = [one if isinstance(one, Reason) else None for one in said]
    assert faults == [None, Reason.INVALID_FIELD, Reason.NOT_AN_EVENT, Reason.NOT_AN_EVENT, None, Reason.INVALID_FIELD]


def test_a_body_may_be_compressed_and_its_event_alone() -> None:
    """With and without a header that says so."""
    packed = gzip.compress(body({"event_type": "a"}))
    for headers in ((), ((b"content-encoding", b"gzip"),)):
        assert len(JSON.decode(head(headers=headers), packed).items) == 1
    assert len(JSON.decode(head(), b'{"api_key":"K","events":{"event_type":"a"}}').items) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b"{", Reason.MALFORMED_JSON),
        (b'{"api_key":"K"}', Reason.EMPTY_ARRAY),
        (b'{"api_key":"K","events":[]}', Reason.EMPTY_ARRAY),
        (b'{"api_key":"K","events":"x"}', Reason.INVALID_FIELD),
        (b'{"events":[' + b"[" * 10_000, Reason.TOO_DEEP),
        (body(*[{"event_type": "a"}] * 2_001), Reason.TOO_MANY_EVENTS),
        (b"api_key=K", Reason.MALFORMED_JSON),
        (b"api_key=K&event=%7B", Reason.MALFORMED_JSON),
    ],
)
def test_a_body_at_fault_has_its_reason(text: bytes, reason: Reason) -> None:
    """The first fault decides."""
    with pytest.raises(Rejected) as caught:
        JSON.decode(head(), text)
    assert caught.value.reason is reason


def test_a_server_key_stands_behind_the_sites() -> None:
    """There is no other place for it in this format."""
    proof = "fbk_" + "a" * 10 + "_" + "b" * 43
    decoded = JSON.decode(head(), body({"event_type": "a"}, key=f"KEY:{proof}"))
    [said] = decoded.items
    assert isinstance(said, Event)
    assert (said.site, decoded.credential) == ("amplitude:KEY", proof)


def test_amplitude_js_writes_a_form() -> None:
    """With other names for the id and the time, and no address of a page."""
    old = {
        "event_type": "Old",
        "device_id": "d",
        "user_id": "u",
        "timestamp": 1_795_936_733_103,
        "uuid": "93b2",
        "session_id": 5,
    }
    form = urlencode(
        {"checksum": "4c", "client": "KEY", "e": msgspec.json.encode([old]), "upload_time": 1_795_936_733_104, "v": 2}
    )
    [said] = FORM.decode(head(b"/httpapi"), form.encode()).items
    assert said == Event(
        name="Old",
        site="amplitude:KEY",
        id="93b2",
        ts=1_795_936_733_103,
        sent_at=1_795_936_733_104,
        user="u",
        visitor="d",
        session="5",
    )


@pytest.mark.parametrize(
    ("path", "said", "name"),
    [
        (b"/identify", {"user_id": "u", "device_id": "d", "user_properties": {"a": 1}}, "identify"),
        (b"/groupidentify", {"groups": {"org": "acme"}, "group_properties": {"a": 1}}, "group"),
    ],
)
def test_identifications_have_paths_of_their_own(path: bytes, said: Any, name: str) -> None:
    """The path says what an identification without a type is."""
    form = b"api_key=KEY&identification=" + quote(msgspec.json.encode([said])).encode()
    [found] = FORM.decode(head(path), form).items
    assert isinstance(found, Event)
    assert found.name == name
    assert isinstance(found.props, dict)
    assert found.props["a"] == 1


def said_by(answer: Any) -> tuple[int, Any]:
    return answer.status, msgspec.json.decode(answer.body)


def test_what_is_taken_is_answered_with_its_code() -> None:
    """Clients believe the number in the body. Some of a batch is enough: after 400 they would send the others again."""
    decoded = JSON.decode(head(), body({"event_type": "a"}, {"event_type": "b"}))
    cases: list[tuple[Fates, int]] = [
        ([None, None], 2),
        ([None, Reason.TOO_OLD], 1),
        ([Reason.PRIVACY, Reason.EXCLUDED], 0),
    ]
    for fates, taken in cases:
        status, said = said_by(JSON.answer(head(), decoded, fates))
        assert (status, said["code"], said["events_ingested"], said["payload_size_bytes"]) == (
            200,
            200,
            taken,
            decoded.size,
        )
        assert said["server_upload_time"] > 1_700_000_000_000


def test_what_is_refused_is_named_event_by_event() -> None:
    """Clients drop what is named, and send again what is not."""
    decoded = JSON.decode(head(), body({"event_type": "a"}, {"event_type": "b"}, {"event_type": "c"}))
    status, said = said_by(JSON.answer(head(), decoded, [Reason.TOO_OLD, Reason.EXCLUDED, Reason.URL_TOO_LONG]))
    named = chain.from_iterable(said["events_with_invalid_fields"].values())
    assert (status, said["code"], sorted(named)) == (400, 400, [0, 1, 2])


def test_an_unknown_key_is_invalid() -> None:
    """The words at the beginning are what stops the clients."""
    decoded = JSON.decode(head(), body({"event_type": "a"}))
    status, said = said_by(JSON.answer(head(), decoded, [Reason.UNKNOWN_SITE]))
    assert (status, said["code"], said["error"][:16]) == (400, 400, "Invalid API key:")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.BODY_TOO_LARGE, 413),
        (Reason.TOO_MANY_EVENTS, 413),
        (Reason.BODY_INCOMPLETE, 408),
        (Reason.MALFORMED_JSON, 400),
        (Reason.UNSUPPORTED_ENCODING, 400),
        (Reason.SERVER_ERROR, 503),
    ],
)
def test_a_refusals_code_is_its_status(reason: Reason, status: int) -> None:
    """The client and the proxies before it read the same."""
    found, said = said_by(JSON.refusal(head(), reason))
    assert (found, said["code"]) == (status, status)


@pytest.mark.parametrize("reason", list(Shed))
def test_who_has_to_come_again_is_told_when(reason: Shed) -> None:
    """Soon if a process ends, in half a minute if there is no room: a browser tries four times more, and gives up."""
    status, said = said_by(JSON.shed(reason))
    assert (status, said["code"]) == (503, 503 if reason is Shed.DRAINING else 429)
    assert said["code"] == 503 or said["throttled_events"][:30] == list(range(30))
    assert FORM.shed(reason).status == 503


def test_amplitude_js_is_told_success_also_of_what_is_refused() -> None:
    """It would send that again for ever, before all else; but for a key that nobody knows."""
    decoded = FORM.decode(head(b"/httpapi"), b"client=K&e=[{}]")
    assert FORM.answer(head(), decoded, [Reason.TOO_OLD])[::2] == (200, b"success")
    assert FORM.answer(head(), decoded, [Reason.UNKNOWN_SITE])[::2] == (400, b"invalid_api_key")


def test_nothing_is_set_from_afar() -> None:
    """A browser that asks goes on with its own settings."""
    config = AmplitudeConfig(Limits())
    answer = config.answer(head(b"/config/KEY"), config.decode(head(b"/config/KEY"), b""), [])
    assert said_by(answer) == (200, {"configs": {}})


async def test_rows_have_what_the_sdk_said() -> None:
    """From the bytes of a browser to the row, by the site's key: the visitor is the device, on whatever network it is."""
    sites = await known_sites()
    bench = await Bench(sites=sites, now_ms=NOON).ready()
    said = BROWSER | {"event_type": "[Amplitude] Page Viewed", "event_properties": PAGE, "time": NOON - 5_000}
    sent = msgspec.json.encode({"api_key": "KEY", "events": [said]})
    rows = [bench.post(sent, target=b"/2/httpapi", peer=peer).rows[0][1] for peer in ("203.0.113.7", "198.51.100.9")]
    assert [(row.site, row.name, row.dialect, row.ts) for row in rows] == [
        ("shop.example", "pageview", "amplitude", NOON - 5_000)
    ] * 2
    assert rows[0].visitor_id == rows[1].visitor_id
    assert rows[0].event_id == "3101a5fa"


async def known_sites() -> Sites:
    class Source:
        async def sites(self) -> dict[str, bytes]:
            return {"shop.example": b'{"keys":["amplitude:KEY"]}'}

    sites = Sites(named=[], privacy="count", source=Source())
    await sites.refresh()
    return sites
