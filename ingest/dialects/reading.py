"""Reads the JSON of other families, whose fields may have any name and any type, so that nothing in it raises a type error.

A dialect takes what it knows out of objects with unknown fields of unknown types, and makes an Event of them by `event_of`,
which judges the types. What a client may leave out, or says in another type than it should, is None (`text`, `number`,
`mapping`): a page is counted although its title is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, TypeVar

import msgspec

from ingest.dialects.coding import mended
from ingest.dialects.event import Event, Limits
from ingest.dialects.request import Rejected
from ingest.fates import Reason

T = TypeVar("T")
Object = dict[str, Any]
Moment = int | float | str | None
NOTHING: Object = {}
SECONDS_MAX, MILLISECONDS_MAX = 1e11, 1e14  # as times: the year 5138

_decode = msgspec.json.Decoder().decode


def decoded(decode: Callable[[Any], T], text: bytes | msgspec.Raw, misfit: Reason = Reason.INVALID_FIELD) -> T:
    """Returns what a decoder makes of JSON. Raises Rejected; `misfit` is the reason for a type that is not the decoder's."""
    try:
        return decode(text)
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    except msgspec.ValidationError:
        raise Rejected(misfit) from None
    except msgspec.DecodeError:
        raise Rejected(Reason.MALFORMED_JSON) from None
    except RecursionError:
        raise Rejected(Reason.TOO_DEEP) from None


def item_by(decode: Callable[[Any], T], text: bytes | msgspec.Raw) -> T | Reason:
    """Returns what a decoder makes of one item of a batch, or the reason for which it can't: it costs no neighbour."""
    if bytes(memoryview(text)[:1]) != b"{":
        return Reason.NOT_AN_EVENT
    try:
        return decoded(decode, text)
    except Rejected as rejected:
        return rejected.reason


def json_of(text: bytes) -> Any:
    """Returns what JSON says; its strings hold no NUL. Raises Rejected."""
    return decoded(
        _decode, mended(text), Reason.MALFORMED_JSON
    )  # any type is right here, so only a number such as 1e999 is a misfit


def object_of(text: bytes) -> Object:
    """Returns the object that JSON says. Raises Rejected."""
    said = json_of(text)
    if not isinstance(said, dict):
        raise Rejected(Reason.NOT_AN_EVENT)
    return said


def listed(said: Any, limits: Limits) -> list[Any]:
    """Returns a batch's items; one object is a batch of one. Raises Rejected if it is not a list, is empty or is too long."""
    items = [said] if isinstance(said, dict) else said
    if not isinstance(items, list):
        raise Rejected(Reason.NOT_AN_EVENT)
    require_some(items, limits)
    return items


def require_some(items: Sized, limits: Limits) -> None:
    """Raises Rejected for a batch that is empty or too long."""
    if not items:
        raise Rejected(Reason.EMPTY_ARRAY)
    if len(items) > limits.events_max:
        raise Rejected(Reason.TOO_MANY_EVENTS)


def event_of(fields: Object) -> Event | Reason:
    """Returns the event with these fields, or INVALID_FIELD if one of them has the wrong type."""
    try:
        return msgspec.convert(fields, Event)
    except (msgspec.ValidationError, RecursionError):
        return Reason.INVALID_FIELD


def text(value: Any) -> str | None:
    """Returns a text, or a number as text; None for anything else and for an empty text."""
    if isinstance(value, str):
        return value or None
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def string(value: Any) -> str | None:
    """Returns a text; None for anything else and for an empty text."""
    return value if type(value) is str and value else None


def number(value: Any) -> float | None:
    """Returns a number, also one that is written in a text; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and -1e300 < value < 1e300 else None


def mapping(value: Any) -> Object:
    """Returns an object, or an empty one for anything else."""
    return value if isinstance(value, dict) else NOTHING


def embedded(value: Any) -> Object:
    """Returns an object, also one that is written as JSON within a text; an empty one for anything else."""
    if not isinstance(value, str):
        return mapping(value)
    try:
        return mapping(_decode(value))
    except (ValueError, RecursionError):
        return NOTHING


def without_nulls(said: Object) -> Object:
    """Returns the fields that are not null."""
    return {name: value for name, value in said.items() if value is not None}


def moment_ms(said: Any) -> Moment:
    """Returns a moment as an Event has it. Its size tells whether it is in seconds, milliseconds or microseconds."""
    if type(said) is str:
        if not (said.isascii() and said.replace(".", "", 1).isdigit() and len(said) <= 20):
            return said
        said = float(said)
    if not (type(said) is int or type(said) is float):
        return None
    if -SECONDS_MAX < said < SECONDS_MAX:
        return round(said * 1_000)
    if -MILLISECONDS_MAX < said < MILLISECONDS_MAX:
        return said
    return said // 1_000 if type(said) is int else said / 1_000  # a whole number can be larger than any float
