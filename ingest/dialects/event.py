"""One validated fact, its limits, and the closed list of reasons to reject one.

A dialect turns a body into Events; `fault` says whether an Event may become a row. An Event
holds only what the client said: what the server knows (visitor, country, received time)
joins it in `ingest/collect/collector.py`.

Not promised: that the strings mean anything. They are bounded and free of NUL, no more.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import msgspec


class Reason(StrEnum):
    """Why a request or an event was rejected. Closed: a new reason is a visible diff."""

    MALFORMED_REQUEST = "malformed_request"
    MALFORMED_JSON = "malformed_json"
    INVALID_UTF8 = "invalid_utf8"
    TOO_DEEP = "too_deep"
    NOT_AN_EVENT = "not_an_event"
    INVALID_FIELD = "invalid_field"
    EMPTY_BODY = "empty_body"
    EMPTY_ARRAY = "empty_array"
    TOO_MANY_EVENTS = "too_many_events"
    BODY_TOO_LARGE = "body_too_large"
    BODY_INCOMPLETE = "body_incomplete"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    CORRUPT_ENCODING = "corrupt_encoding"
    EVENT_TOO_LARGE = "event_too_large"
    MISSING_URL = "missing_url"
    INVALID_URL = "invalid_url"
    URL_TOO_LONG = "url_too_long"
    INVALID_NAME = "invalid_name"
    NAME_TOO_LONG = "name_too_long"
    FIELD_TOO_LONG = "field_too_long"
    INVALID_TIME = "invalid_time"
    TOO_OLD = "too_old"
    INVALID_REVENUE = "invalid_revenue"
    UNKNOWN_SITE = "unknown_site"
    PRIVACY = "privacy"
    SERVER_ERROR = "server_error"


EXPLAINED: dict[Reason, str] = {
    Reason.MALFORMED_REQUEST: "The request is not valid HTTP/1.1.",
    Reason.MALFORMED_JSON: "The body is not valid JSON.",
    Reason.INVALID_UTF8: "The body is not valid UTF-8.",
    Reason.TOO_DEEP: "The JSON is nested too deeply.",
    Reason.NOT_AN_EVENT: "An event is a JSON object; a body is one object or an array of objects.",
    Reason.INVALID_FIELD: "A field has the wrong type; docs/events.md has the types.",
    Reason.EMPTY_BODY: "The body is empty.",
    Reason.EMPTY_ARRAY: "The array holds no event.",
    Reason.TOO_MANY_EVENTS: "The array holds more events than one request may carry.",
    Reason.BODY_TOO_LARGE: "The body is larger than the limit, before or after decompression.",
    Reason.BODY_INCOMPLETE: "The body ended, or its time ran out, before its declared length.",
    Reason.UNSUPPORTED_ENCODING: "Content-Encoding may be gzip, deflate or zstd.",
    Reason.UNSUPPORTED_MEDIA_TYPE: "Content-Type may be application/json or text/plain.",
    Reason.CORRUPT_ENCODING: "The body does not decompress with its Content-Encoding.",
    Reason.EVENT_TOO_LARGE: "The event is larger than one event may be.",
    Reason.MISSING_URL: "The event has neither a url nor a site.",
    Reason.INVALID_URL: "The url is not absolute (scheme://host/...), or has no host and the event no site.",
    Reason.URL_TOO_LONG: "The url is longer than the limit, without what its site does not keep of it.",
    Reason.INVALID_NAME: "The name is empty.",
    Reason.NAME_TOO_LONG: "The name is longer than the limit.",
    Reason.FIELD_TOO_LONG: "A title, language, id, user, visitor or session is longer than the limit.",
    Reason.INVALID_TIME: "ts is neither ISO 8601 nor milliseconds since 1970.",
    Reason.TOO_OLD: "ts is older than the oldest event accepted.",
    Reason.INVALID_REVENUE: "revenue needs a decimal number below 10^12, with a point and no other sign between its"
    " digits, and a three-letter currency.",
    Reason.UNKNOWN_SITE: "The site is not registered here: `forebay site add`.",
    Reason.PRIVACY: "The site drops events of browsers that send Sec-GPC or DNT.",
    Reason.SERVER_ERROR: "A fault on our side; it is logged and counted.",
}


class Shed(StrEnum):
    """Why an event was not taken although nothing is wrong with it (503, Retry-After)."""

    REDIS = "redis"
    QUEUE_FULL = "queue_full"
    DRAINING = "draining"
    SPOOL_FULL = "spool_full"
    MEMORY = "memory"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what a client may send (contracts.md, section 1). Bytes are UTF-8 bytes."""

    body_bytes_max: int = 1 << 20
    events_max: int = 500
    event_bytes_max: int = 32 << 10
    url_bytes_max: int = 2_048
    name_chars_max: int = 120
    field_chars_max: int = 500
    id_chars_max: int = 64
    props_max: int = 30
    prop_key_chars_max: int = 60
    prop_value_chars_max: int = 500
    prop_depth_max: int = 3
    ahead_ms_max: int = 60_000
    age_ms_max: int = 30 * 86_400_000


class Revenue(msgspec.Struct, frozen=True, gc=False):
    """Money as the client wrote it; `revenue_e4` makes it exact."""

    amount: str | int | float
    currency: str


# PHP writes an empty map as an empty array.
Nothing = Annotated[list[Any], msgspec.Meta(max_length=0)]


class Event(msgspec.Struct, kw_only=True):
    """What one client said about one moment (contracts.md, section 2). None means not said."""

    name: str | None = None
    url: str | None = None
    site: str | None = None
    referrer: str | None = None
    title: str | None = None
    language: str | None = None
    screen: tuple[float, float] | None = None
    props: dict[str, Any] | Nothing | None = None
    revenue: Revenue | None = None
    engaged_ms: int | float | None = None
    scroll_pct: int | float | None = None
    vitals: dict[str, float | None] | Nothing | None = None
    id: str | None = None
    ts: int | float | str | None = None
    sent_at: int | float | str | None = None
    user: str | None = None
    visitor: str | None = None
    session: str | None = None
    ip: str | None = None
    user_agent: str | None = None


VITALS = frozenset(("lcp", "inp", "cls", "fcp", "ttfb"))
REVENUE_LIMIT = Decimal(10) ** 12  # Decimal(18,4) holds 14 digits before the point
TENTHS_OF_MILLI = Decimal("0.0001")
CURRENCY_CHARS = 3
INT64_LIMIT = 1 << 63
REPLACED = "\ufffd"  # what NUL and half a pair of surrogates become on their way in


def fault(event: Event, limits: Limits) -> Reason | None:
    """Returns the reason why this event may not become a row, or None. URL, site and time are judged elsewhere.

    A long title is cut in place.
    """
    if event.name is not None:
        if len(event.name) > limits.name_chars_max:
            return Reason.NAME_TOO_LONG
        if not event.name.strip():
            return Reason.INVALID_NAME
    if event.title is not None and len(event.title) > limits.field_chars_max:
        event.title = event.title[: limits.field_chars_max]  # common and harmless: kept, cut
    return _long_field(event, limits.id_chars_max)


def _long_field(event: Event, most: int) -> Reason | None:
    # Spelt out: a loop over a tuple of the five costs 2.4 times as much.
    if (
        (event.id is not None and len(event.id) > most)
        or (event.language is not None and len(event.language) > most)
        or (event.user is not None and len(event.user) > most)
        or (event.visitor is not None and len(event.visitor) > most)
        or (event.session is not None and len(event.session) > most)
    ):
        return Reason.FIELD_TOO_LONG
    return None


def is_over(text: str, bytes_max: int) -> bool:
    """Whether the text has more UTF-8 bytes than that. A character has at most four."""
    return len(text) * 4 > bytes_max and len(text.encode("utf-8", "surrogatepass")) > bytes_max


# A decimal number as JSON writes it, and a little more leniently: 007, .5, +5. Python's own reader takes digits of other
# scripts, underscores, blanks, NaN and infinity too, and what one reader takes the next may not.
_decimal = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
# RFC 3339 allows lower-case letters and a leap second, which Python's reader does not.
_leap_second = re.compile(r"([Tt ][0-9]{2}:[0-9]{2}:)60").sub


def time_ms(value: float | str) -> int | None:
    """Unix milliseconds of an ISO 8601 string (UTC when it names no zone) or of milliseconds.

    None when it is neither, or does not fit in 64 bits.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(_leap_second(r"\g<1>59", value).upper())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
    return int(value) if -INT64_LIMIT <= value < INT64_LIMIT else None  # NaN is in no range


def event_ms(event: Event, received_ms: int, limits: Limits) -> int | Reason:
    """The event's moment in unix milliseconds: the client's clock, corrected by its `sent_at`."""
    if event.ts is None:
        return received_ms
    said = time_ms(event.ts)
    if said is None:
        return Reason.INVALID_TIME
    if event.sent_at is not None:
        sent = time_ms(event.sent_at)
        if sent is None:
            return Reason.INVALID_TIME
        said += received_ms - sent
    if said > received_ms + limits.ahead_ms_max:
        return received_ms
    if said < received_ms - limits.age_ms_max:
        return Reason.TOO_OLD
    return said


def revenue_e4(revenue: Revenue) -> int | None:
    """Amount in ten-thousandths of the currency's unit, rounded half to even; None when unusable.

    Exact for what the client wrote: a float goes through its shortest decimal form.
    """
    if len(revenue.currency) != CURRENCY_CHARS or not (revenue.currency.isascii() and revenue.currency.isalpha()):
        return None
    said = str(revenue.amount)
    if not _decimal(said):
        return None
    try:
        amount = Decimal(said)
        if abs(amount) >= REVENUE_LIMIT:
            return None
        return int(amount.quantize(TENTHS_OF_MILLI, ROUND_HALF_EVEN).scaleb(4))
    except (InvalidOperation, ValueError):
        return None


def flatten(props: dict[str, Any], limits: Limits) -> tuple[dict[str, str], int]:
    """Properties as the table keeps them (str to str), and how many were dropped: for a limit, or for a later one.

    Nested objects become dotted keys down to `prop_depth_max`; an array becomes its JSON. Of two that
    come to the same key (`{"a": {"b": 1}, "a.b": 2}`) the later is kept.
    """
    kept: dict[str, str] = {}
    dropped = _flatten(props, "", 1, kept, limits)
    return kept, dropped


def _flatten(props: dict[str, Any], prefix: str, depth: int, kept: dict[str, str], limits: Limits) -> int:
    dropped = 0
    for name, value in props.items():
        key = prefix + clean(name)
        if value is None:
            continue
        if isinstance(value, dict):
            if depth < limits.prop_depth_max:
                dropped += _flatten(value, key + ".", depth + 1, kept, limits)
            else:
                dropped += 1
            continue
        text = _prop_text(value)
        if (
            text is None
            or len(kept) >= limits.props_max
            or not 0 < len(key) <= limits.prop_key_chars_max
            or len(text) > limits.prop_value_chars_max
        ):
            dropped += 1
            continue
        if key in kept:
            dropped += 1
        kept[key] = text
    return dropped


def _prop_text(value: Any) -> str | None:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:  # it was decoded, but from a stack less deep than this one
        return None


def identity(said: str) -> str:
    """A client's id of an event; "" for one that lost characters: what stands for them may make one id of two."""
    return said if said.isascii() or REPLACED not in said else ""


def clean(text: str) -> str:
    """Text without NUL, which ends strings in too many tools behind us."""
    return text.replace("\0", REPLACED) if "\0" in text else text
