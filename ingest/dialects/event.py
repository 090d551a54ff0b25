"""Defines an event, as its client said it, and the limits that it must keep.

A dialect turns a body into Events, and `ingest/collect/steps.py` judges them. An Event holds only
what the client said: what the server knows (visitor, country, received time) joins it there.

Not promised: that the strings mean anything. They are bounded and free of NUL, and that is all.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from itertools import islice
from typing import Annotated, Any

import msgspec

from ingest.fates import Reason


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds what a client may send (docs/events.md). Bytes are bytes of UTF-8."""

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

    def of_family(self, body_bytes: int, events: int, id_chars: int) -> Limits:
        """Returns the limits of a family whose clients send larger bodies, more events in one, and longer ids than ours do."""
        return msgspec.structs.replace(
            self, body_bytes_max=max(self.body_bytes_max, body_bytes), events_max=events, id_chars_max=id_chars
        )


class Revenue(msgspec.Struct, frozen=True, gc=False):
    """Holds money as the client wrote it; `revenue_e4` makes it exact."""

    amount: str | int | float
    currency: str


# PHP writes an empty map as an empty array.
Nothing = Annotated[list[Any], msgspec.Meta(max_length=0)]


class Event(msgspec.Struct, kw_only=True, gc=False):
    """Holds what one client said about one moment (docs/events.md). None means that it was not said."""

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
    auto: Any = None  # bits; what is none of them has no effect


PAGEVIEW = "pageview"  # what an event without a name is
VITALS = frozenset(("lcp", "inp", "cls", "fcp", "ttfb"))
REVENUE_LIMIT = Decimal(10) ** 12  # Decimal(18,4) holds 14 digits before the point
TENTHS_OF_MILLI = Decimal("0.0001")
CURRENCY_CHARS = 3
INT64_LIMIT = 1 << 63
PROPS_READ_MAX = 1_000  # of one object: 250,000, which a large body has room for, would take 0.1 s, and a row keeps 30
REPLACED = "\ufffd"  # what NUL and half a pair of surrogates become on their way in


def is_over(text: str, bytes_max: int) -> bool:
    """Returns whether the text has more bytes of UTF-8 than that. A character has at most four."""
    return len(text) * 4 > bytes_max and len(text.encode("utf-8", "surrogatepass")) > bytes_max


# A decimal number as JSON writes it, and slightly beyond: 007, .5, +5. Python's own reader also takes digits of other
# scripts, underscores, blanks, NaN and infinity, and another reader behind us might not.
# No digit can be read in two ways, because a text of a client that does not fit would be tried in all of them.
is_decimal = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
# RFC 3339 allows lower-case letters and a leap second, which Python's reader does not.
_leap_second = re.compile(r"([Tt ][0-9]{2}:[0-9]{2}:)60").sub


def time_ms(value: float | str) -> int | None:
    """Returns the unix milliseconds of an ISO 8601 string (in UTC when it names no zone), or of a number of milliseconds.

    Returns None when the value is neither, or does not fit in 64 bits.
    """
    if isinstance(value, str):
        try:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:  # what it does not take as it is costs four times as much
                moment = datetime.fromisoformat(_leap_second(r"\g<1>59", value).upper())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            return None
    return int(value) if -INT64_LIMIT <= value < INT64_LIMIT else None  # NaN is in no range


def event_ms(ts: float | str, sent_at: float | str | None, received_ms: int, limits: Limits) -> int | Reason:
    """Returns an event's moment in unix milliseconds, by the client's clock, which `sent_at` corrects."""
    said = time_ms(ts)
    if said is None:
        return Reason.INVALID_TIME
    if sent_at is not None:
        sent = time_ms(sent_at)
        if sent is None:
            return Reason.INVALID_TIME
        said += received_ms - sent
    if said > received_ms + limits.ahead_ms_max:
        return received_ms
    if said < received_ms - limits.age_ms_max:
        return Reason.TOO_OLD
    return said


def revenue_e4(revenue: Revenue) -> int | None:
    """Returns the amount in ten-thousandths of the currency's unit, rounded half to even, or None if it can't be used.

    The result is exact for what the client wrote: a float goes through its shortest decimal form.
    """
    if len(revenue.currency) != CURRENCY_CHARS or not (revenue.currency.isascii() and revenue.currency.isalpha()):
        return None
    said = str(revenue.amount)
    if not is_decimal(said):
        return None
    try:
        amount = Decimal(said)
        if abs(amount) >= REVENUE_LIMIT:
            return None
        return int(amount.quantize(TENTHS_OF_MILLI, ROUND_HALF_EVEN).scaleb(4))
    except (InvalidOperation, ValueError):
        return None


def flatten(props: dict[str, Any], limits: Limits) -> tuple[dict[str, str], int]:
    """Returns the properties as the table keeps them (str to str), and how many were dropped.

    One is dropped when it breaks a limit, or when a later one has the same key. Nested objects become
    dotted keys down to `prop_depth_max`; an array becomes its JSON. Of two properties that come to the
    same key (`{"a": {"b": 1}, "a.b": 2}`) the later is kept.
    """
    kept: dict[str, str] = {}
    dropped = _flatten(props, "", 1, kept, limits)
    return kept, dropped


def _flatten(props: dict[str, Any], prefix: str, depth: int, kept: dict[str, str], limits: Limits) -> int:
    dropped = 0
    if len(props) > PROPS_READ_MAX:
        dropped = len(props) - PROPS_READ_MAX
        props = dict(islice(props.items(), PROPS_READ_MAX))
    for name, value in props.items():
        key = prefix + name
        if "\0" in key:
            key = clean(key)
        text: str | None
        if type(value) is str:  # most are
            text = value if "\0" not in value else clean(value)
        elif value is None:
            continue
        elif isinstance(value, dict):
            if depth < limits.prop_depth_max:
                dropped += _flatten(value, key + ".", depth + 1, kept, limits)
            else:
                dropped += 1
            continue
        else:
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
    """Returns a value that is no text as text; None if that can't be done."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:  # it was decoded, but from a stack less deep than this one
        return None


def identity(said: str) -> str:
    """Returns the client's id of an event, or "" if characters of it were replaced: two different ids could be equal then."""
    return said if said.isascii() or REPLACED not in said else ""


def clean(text: str) -> str:
    """Returns the text with each NUL replaced, because NUL ends strings in too many tools behind us."""
    return text.replace("\0", REPLACED) if "\0" in text else text
