"""ingest/dialects/posthog.py: the bodies of five generations of posthog-js, of servers and of Capture V1, and the answers."""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from ingest.dialects.contract import RETRY_AFTER, Answer, Decoded, Unsupported
from ingest.dialects.event import Event, Limits
from ingest.dialects.posthog import BODY_BYTES_MAX, EVENTS_MAX, NO_RECORDINGS, CaptureV1, PostHog, Unkept
from ingest.dialects.request import FieldReader, Head, Headers, Rejected
from ingest.fates import UNWANTED, Reason, Shed

KEY = "phc_w1"
PLAIN = ((b"Content-Type", b"text/plain"),)
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
JSON = ((b"Content-Type", b"application/json"),)
LIMITS = Limits()
PAGE = "https://shop.example/a?q=~~%3F>>"  # its base64 has a plus and a slash


def head(target: bytes = b"/e/", headers: Headers = JSON, method: str = "POST") -> Head:
    return FieldReader().head(method, target, headers)


def said(event: str = "$pageview", **more: Any) -> dict[str, Any]:
    """Returns an event as a browser writes it."""
    properties = {
        "$current_url": PAGE,
        "$device_id": "d-1",
        "distinct_id": "d-1",
        "$session_id": "s-1",
        "$lib": "web",
        "$is_identified": False,
        "token": KEY,
    }
    return {"uuid": "u-1", "event": event, "properties": properties, "timestamp": "2026-01-02T03:04:05Z"} | more


def written(value: Any) -> bytes:
    return msgspec.json.encode(value)


def in_form(value: Any) -> bytes:
    return b"data=" + quote(base64.b64encode(written(value)).decode()).encode()


def decoded(body: bytes, target: bytes = b"/e/", headers: Headers = JSON, method: str = "POST") -> Decoded:
    return PostHog(LIMITS).decode(head(target, headers, method), body)


def events(body: bytes, target: bytes = b"/e/", headers: Headers = JSON) -> list[Event]:
    found = decoded(body, target, headers).items
    assert all(isinstance(one, Event) for one in found)
    return [one for one in found if isinstance(one, Event)]


def refused(body: bytes, target: bytes = b"/e/", headers: Headers = JSON) -> Reason:
    with pytest.raises(Rejected) as caught:
        decoded(body, target, headers)
    return caught.value.reason


BATCH = {"api_key": KEY, "batch": [said(), said("bought", uuid="u-2")], "sent_at": "2026-01-02T03:04:09Z"}
GENERATIONS = {
    "1.96: an array as base64 in a form": (b"/e/?ip=1&_=1798700000000&ver=1.96.1", FORM, in_form(BATCH["batch"])),
    "1.194 to 1.369: gzip, named in the query": (
        b"/e/?compression=gzip-js&ip=0&_=1798700000000&ver=1.257.0",
        PLAIN,
        gzip.compress(written(BATCH["batch"])),
    ),
    "1.194 to 1.369: an array as JSON": (b"/e/?ip=0&_=1798700000000", JSON, written(BATCH["batch"])),
    "1.407 and later: gzip that nothing names": (b"/e/", PLAIN, gzip.compress(written(BATCH))),
    "1.407 and later: JSON": (b"/e/", JSON, written(BATCH)),
    "1.407 and later: a beacon, as base64 in a form": (b"/e/?compression=base64", FORM, in_form(BATCH)),
    "sent again": (b"/e/?retry_count=3", PLAIN, gzip.compress(written(BATCH))),
    "node": (b"/batch/", (*JSON, (b"Content-Encoding", b"gzip")), gzip.compress(written(BATCH))),
    "deflate": (b"/batch/", (*JSON, (b"Content-Encoding", b"deflate")), zlib.compress(written(BATCH))),
    "Python": (b"/batch/", JSON, written(BATCH | {"historical_migration": False})),
    "base64 alone": (b"/capture/", PLAIN, base64.b64encode(written(BATCH))),
    "gzip in base64": (b"/e/", FORM, b"data=" + quote(base64.b64encode(gzip.compress(written(BATCH)))).encode()),
    "a form whose pluses became blanks": (
        b"/e/",
        FORM,
        b"data=" + base64.b64encode(written(BATCH)).replace(b"+", b" "),
    ),
    "JSON in a form": (b"/e/", FORM, b"data=" + quote(written(BATCH).decode()).encode()),
    "JSON in JSON": (b"/e/", JSON, written(written(BATCH).decode())),
    "blanks before it": (b"/e/", JSON, b"\xef\xbb\xbf \r\n " + written(BATCH)),
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_form_of_a_body_says_the_same_events(generation: str) -> None:
    """A body is what it begins with, whatever headers and query say of it."""
    target, headers, body = GENERATIONS[generation]
    first, second = events(body, target, headers)
    assert (first.name, first.url, first.site, first.id) == ("pageview", PAGE, "posthog:phc_w1", "u-1")
    assert (first.visitor, first.session, first.user, first.ts) == ("d-1", "s-1", None, "2026-01-02T03:04:05Z")
    assert (second.name, second.id) == ("bought", "u-2")


def test_an_app_says_what_a_server_says_and_its_screens() -> None:
    """posthog-react-native writes its id beside the properties, and names its own kind of every event."""
    around = {"type": "capture", "library": "posthog-react-native", "library_version": "4.14.0", "distinct_id": "d-1"}
    device = {
        "$lib": "posthog-react-native", "$device_type": "Mobile", "$app_namespace": "com.example.app", "$session_id": "s-1",
        "$screen_width": 390, "$screen_height": 844, "$is_identified": False, "$locale": "en-GB",
    }  # fmt: skip
    body = {
        "api_key": KEY,
        "batch": [
            around | {"uuid": "u-1", "event": "Application Opened", "properties": device},
            around | {"uuid": "u-2", "event": "$screen", "properties": device | {"$screen_name": "Home"}},
            around
            | {
                "uuid": "u-3",
                "event": "$identify",
                "distinct_id": "ada",
                "properties": device | {"$anon_distinct_id": "d-1", "$is_identified": True, "$set": {"plan": "pro"}},
            },
        ],
        "sent_at": "2026-01-02T03:04:09Z",
    }
    opened, screen, known = events(written(body), b"/batch/")
    assert (opened.name, opened.user, opened.visitor, opened.screen) == ("Application Opened", None, "d-1", (390, 844))
    assert (screen.name, screen.url, screen.session) == ("pageview", "app://com.example.app/Home", "s-1")
    assert (known.name, known.user, known.visitor, known.props) == ("identify", "ada", "d-1", {"plan": "pro"})


def test_an_event_can_be_a_body_by_itself() -> None:
    """posthog-js up to 1.369 sends its first pageview so."""
    [event] = events(written(said()), b"/e/?ip=0&_=1798700000123&ver=1.257.0")
    assert (event.id, event.sent_at) == ("u-1", 1_798_700_000_123)
    assert not decoded(written(said())).is_many


def test_a_query_can_hold_the_event() -> None:
    """Old snippets send a GET with `data`."""
    data = base64.b64encode(written(said())).decode()
    target = f"/e/?data={quote(data)}&ip=1".encode()
    [event] = decoded(b"", target, (), "GET").items
    assert isinstance(event, Event)
    assert event.url == PAGE


@pytest.mark.parametrize(
    ("target", "more", "ts", "sent_at"),
    [
        (b"/e/", {"offset": 3_001}, -3_001, 0),
        (b"/e/?_=1798700000000", {"offset": 3_001}, 1_798_699_996_999, 1_798_700_000_000),
        (b"/e/?sent_at=1798700000000", {"offset": 0}, 1_798_700_000_000, 1_798_700_000_000),
        (b"/e/?_=1798700000000", {"timestamp": "2026-01-02T03:04:05Z"}, "2026-01-02T03:04:05Z", 1_798_700_000_000),
        (b"/e/?_=nonsense", {}, None, None),
        (b"/e/", {"timestamp": "2026-01-02T03:04:05Z"}, "2026-01-02T03:04:05Z", None),
    ],
)
def test_times_are_those_of_the_client(target: bytes, more: dict[str, Any], ts: Any, sent_at: Any) -> None:
    """Either a moment, or so many milliseconds before the body was sent; the clock is in the query. An offset alone counts
    from the moment at which the body is received, which a clock of 0 comes to.
    """
    event = said() | {"timestamp": None} | more
    [found] = events(written([event]), target)
    assert (found.ts, found.sent_at) == (ts, sent_at)


def test_a_clock_that_is_to_be_ignored_is() -> None:
    """`$ignore_sent_at` says that a moment needs no correction."""
    event = said()
    event["properties"]["$ignore_sent_at"] = True
    [found] = events(written({"batch": [event], "sent_at": "2026-01-02T03:04:09Z"}))
    assert (found.ts, found.sent_at) == ("2026-01-02T03:04:05Z", None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.EMPTY_BODY),
        (b" \n", Reason.EMPTY_BODY),
        (b"nonsense!", Reason.MALFORMED_JSON),
        (b'{"event":', Reason.MALFORMED_JSON),
        (b"5", Reason.MALFORMED_JSON),
        (b'"5"', Reason.MALFORMED_JSON),
        (b"[]", Reason.EMPTY_ARRAY),
        (b'{"batch":[]}', Reason.EMPTY_ARRAY),
        (b'{"batch":{}}', Reason.NOT_AN_EVENT),
        (b'{"batch":null,"event":7e999}', Reason.MALFORMED_JSON),
        (b'{"event":"\xff"}', Reason.INVALID_UTF8),
        (b"[" * 5_000 + b"]" * 5_000, Reason.TOO_DEEP),
        (gzip.compress(b"[]" * 99, mtime=0)[:-9], Reason.CORRUPT_ENCODING),
        (gzip.compress(b" " * (BODY_BYTES_MAX + 1), mtime=0), Reason.BODY_TOO_LARGE),
        (written([{"event": "a"}] * (EVENTS_MAX + 1)), Reason.TOO_MANY_EVENTS),
        (gzip.compress(b"[" + b"{}," * (BODY_BYTES_MAX // 3 - 9) + b"{}]"), Reason.BODY_TOO_LARGE),
        (b"data=", Reason.EMPTY_BODY),
        (b"data=%7Bnonsense", Reason.MALFORMED_JSON),
    ],
)
def test_a_body_that_is_none_is_refused_with_its_reason(body: bytes, reason: Reason) -> None:
    """Nothing is a 5xx, and each fault has its own reason."""
    assert refused(body) is reason


def test_a_large_batch_is_taken() -> None:
    """The SDK for Python makes batches of up to 5 MiB."""
    large = [
        said("$ai_generation", uuid=f"u-{at}") | {"properties": {"$ai_input": "so, what was said is this " * 8_000}}
        for at in range(20)
    ]
    assert len(decoded(written({"api_key": KEY, "batch": [*large, said("bought")]})).items) == 21


def test_a_compression_of_the_past_is_refused() -> None:
    """LZ64 is what clients before 2021 wrote."""
    assert refused(b"nonsense", b"/e/?compression=lz64") is Reason.UNSUPPORTED_ENCODING


def test_a_bad_event_costs_its_neighbours_nothing() -> None:
    """What has the wrong type is left out where an event can do without it, and is a reason where it can't."""
    odd = said(uuid=7)
    odd["properties"] |= {"title": 404, "$referrer": ["x"], "$session_id": None, "$screen_width": "wide"}
    body = written({"api_key": KEY, "batch": [odd, 5, None, said(timestamp={}), {}, said("ok")]})
    first, *others, last = decoded(body).items
    assert isinstance(first, Event)
    assert (first.id, first.title, first.referrer, first.screen) == ("7", "404", None, None)
    assert others == [Reason.NOT_AN_EVENT, Reason.NOT_AN_EVENT, Reason.INVALID_FIELD, Reason.NOT_AN_EVENT]
    assert isinstance(last, Event)
    assert last.name == "ok"


def test_a_key_is_found_wherever_a_client_writes_it() -> None:
    """In the event, beside it, or for the whole batch; one that is nowhere is a key that nobody registered."""
    bare = {"event": "a", "distinct_id": "x"}
    assert [event.site for event in events(written({"api_key": "k", "batch": [bare]}))] == ["posthog:k"]
    assert [event.site for event in events(written({"token": "k", "batch": [bare]}))] == ["posthog:k"]
    assert [event.site for event in events(written(bare | {"api_key": "k"}))] == ["posthog:k"]
    assert [event.site for event in events(written([bare | {"token": "k"}, bare]))] == ["posthog:k", "posthog:"]
    assert [event.site for event in events(written({"$token": "k", "$distinct_id": "x", "$set": {"a": 1}}))] == [
        "posthog:k"
    ]


def test_a_server_key_stands_behind_the_sites_key() -> None:
    """posthog-node and posthog for Python have one setting for a key, so both are written into it."""
    secret = "fbk_0123456789_" + "a" * 43
    found = decoded(written({"api_key": f"k:{secret}", "batch": [{"event": "a"}]}))
    assert found.credential == secret
    assert [one.site for one in found.items if isinstance(one, Event)] == ["posthog:k"]
    assert decoded(written(BATCH), headers=((b"Authorization", f"Bearer {secret}".encode()),)).credential == secret
    assert decoded(written(BATCH), headers=((b"Authorization", b"Bearer phx_personal"),)).credential == ""


@pytest.mark.parametrize(
    ("fates", "status"),
    [
        ([None], 200),
        ([None, Reason.INVALID_TIME], 200),
        ([Reason.PRIVACY], 200),
        ([Reason.EXCLUDED, Reason.PRIVACY], 200),
        ([Reason.INVALID_TIME, Reason.TOO_OLD], 400),
        ([Reason.UNKNOWN_SITE], 401),
        ([Reason.SERVER_ERROR], 503),
    ],
)
def test_answers_are_exactly_200_or_end_or_ask_for_more(fates: list[Reason | None], status: int) -> None:
    """202 and 204 would be sent again; 4xx is dropped; 5xx is sent again."""
    answer = PostHog(LIMITS).answer(head(), Decoded([], True, 0), fates)
    assert answer.status == status
    assert (b"content-type", b"application/json") in answer.headers
    assert msgspec.json.decode(answer.body)["status"] == (1 if status == 200 else 0)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_is_json_and_no_success(reason: Reason) -> None:
    """Only what a site does not want is a success; 503 says when to come again."""
    answer = PostHog(LIMITS).refusal(head(), reason)
    is_unwanted = reason in UNWANTED
    assert (answer.status == 200) if is_unwanted else (400 <= answer.status <= 503)
    assert msgspec.json.decode(answer.body)["code"] == reason
    assert (RETRY_AFTER[0] in answer.headers) == (answer.status == 503)


def test_back_pressure_is_said_without_a_quota() -> None:
    """posthog-js would drop its events for a minute, if the answer named a quota."""
    answer = PostHog(LIMITS).shed(Shed.REDIS)
    assert answer.status == 503
    assert RETRY_AFTER[0] in answer.headers
    assert b"quota" not in answer.body


def test_a_recording_is_counted_and_taken_for_sent() -> None:
    """`/s/` is not read; the browser is asked to stop."""
    replay = Unkept(LIMITS, "/s/", "$snapshot", NO_RECORDINGS)
    found = replay.decode(head(b"/s/"), b"\x1f\x8bwhatever")
    assert found.items == [Unsupported("$snapshot")]
    assert replay.answer(head(), found, [None]) == Answer(
        200, ((b"content-type", b"application/json"),), b'{"status":1,"quota_limited":["recordings"]}'
    )


V1 = (
    *JSON,
    (b"Authorization", b"Bearer phc_w1"),
    (b"PostHog-Request-Timestamp", b"2026-01-02T03:04:09Z"),
    (b"PostHog-Attempt", b"2"),
)


def test_capture_v1_has_its_key_and_clock_in_headers() -> None:
    """Session and options stand beside the properties there."""
    one = {
        "event": "bought",
        "uuid": "u-1",
        "distinct_id": "ada",
        "timestamp": "2026-01-02T03:04:05Z",
        "session_id": "s-9",
        "options": {"process_person_profile": True},
        "properties": {"sku": "A"},
    }
    other = one | {"uuid": "u-2", "options": {"process_person_profile": False, "disable_skew_correction": True}}
    body = written({"created_at": "2026-01-02T03:04:06Z", "batch": [one, other]})
    found = CaptureV1(LIMITS).decode(head(b"/i/v1/analytics/events", V1), body)
    first, second = found.items
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert (first.site, first.session, first.user, first.props) == ("posthog:phc_w1", "s-9", "ada", {"sku": "A"})
    assert (first.sent_at, second.sent_at) == (1_767_323_049_000, None)
    assert (second.user, second.visitor) == (None, "ada")


def test_capture_v1_says_what_became_of_each_event() -> None:
    """A client sends again what the answer names with `retry`, and takes for lost what it names with `drop`."""
    page = said(uuid="u-3")
    page["properties"] |= {"$prev_pageview_pathname": "/b", "$prev_pageview_duration": 2.5}
    body = written({"batch": [said(), said("bought", uuid="u-2"), said("$autocapture"), page]})
    dialect, asked = CaptureV1(LIMITS), head(b"/i/v1/analytics/events", V1)
    found = dialect.decode(asked, body)
    answer = dialect.answer(asked, found, [None, Reason.TOO_OLD, None, Reason.PRIVACY, None])
    assert answer.status == 200
    assert msgspec.json.decode(answer.body) == {
        "results": {
            "u-1": {"result": "ok"},
            "u-2": {"result": "drop", "details": "too_old"},
            "u-3": {"result": "ok"},
        }
    }
    assert dialect.answer(asked, found, [Reason.UNKNOWN_SITE] * 5).status == 401
