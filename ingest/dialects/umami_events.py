"""Reads what Umami's clients say of an event, and makes ours of it (docs/compatibility-umami.md).

A field of another type than Umami's makes its event `invalid_field`, as Umami refuses it. A batch is decoded whole, and item by
item only if that fails, as in native.py: an event costs 2.8 us so, and 10 where it is taken out of a dict.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urljoin

import msgspec

from ingest.dialects.contract import Item, Unsupported
from ingest.dialects.event import VITALS, Event, Limits, Nothing, Revenue, revenue_e4
from ingest.dialects.reading import Object, decoded, listed, number
from ingest.dialects.vocabulary import ENGAGEMENT, IDENTIFY, VITALS_NAME
from ingest.fates import Reason

KNOWN = frozenset(("event", IDENTIFY, "performance", ENGAGEMENT))
SECOND_MS = 1_000
_size = re.compile(r"([0-9]{1,7})x([0-9]{1,7})").fullmatch


class Said(msgspec.Struct, gc=False):
    """Holds what is said of an event, by Umami's names."""

    website: str | None = None
    link: str | None = None
    pixel: str | None = None
    hostname: str | None = None
    url: str | None = None
    referrer: str | None = None
    title: str | None = None
    language: str | None = None
    screen: str | None = None
    name: str | None = None
    tag: str | None = None
    data: dict[str, Any] | Nothing | None = None
    id: str | int | None = None
    timestamp: int | float | str | None = None
    ip: str | None = None
    userAgent: str | None = None  # noqa: N815  its name on the wire
    lcp: float | None = None
    inp: float | None = None
    cls: float | None = None
    fcp: float | None = None
    ttfb: float | None = None
    duration: float | None = None
    engagement: float | None = None


class Wrapped(msgspec.Struct, gc=False):
    """Holds an item of a batch, or a request."""

    type: str
    said: Said = msgspec.field(name="payload")


class Kind(msgspec.Struct, gc=False):
    """Holds as much of an item as says whether it is one that we keep."""

    type: str


_decode_one = msgspec.json.Decoder(Wrapped).decode
_decode_many = msgspec.json.Decoder(list[Wrapped]).decode
_decode_kind = msgspec.json.Decoder(Kind).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def many(text: bytes, limits: Limits) -> list[Item]:
    """Returns the items of a batch. Raises Rejected for what is wrong with all of it."""
    return _whole(text, limits) or _each(text, limits)


def _whole(text: bytes, limits: Limits) -> list[Item]:
    """Returns the items of a batch whose every field is right, and which is too short to hold an item that is too large; else []."""
    if len(text) > limits.event_bytes_max:
        return []
    try:
        return [_item(item, limits) for item in listed(_decode_many(text), limits)]
    except (ValueError, RecursionError):
        return []


def _each(text: bytes, limits: Limits) -> list[Item]:
    items = decoded(_decode_items, text, Reason.NOT_AN_EVENT)
    return [one(bytes(item), limits) for item in listed(items, limits)]


def one(text: bytes, limits: Limits) -> Item:
    """Returns what one object says. Raises nothing."""
    if len(text) > limits.event_bytes_max:
        return Reason.EVENT_TOO_LARGE
    try:
        return _item(_decode_one(text), limits)
    except msgspec.ValidationError:
        return _of_another_kind(text)
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except msgspec.DecodeError:
        return Reason.MALFORMED_JSON
    except RecursionError:
        return Reason.TOO_DEEP


def _of_another_kind(text: bytes) -> Item:
    """Returns an item whose form is not that of the types that we keep: one of another type, or one of these with a wrong field."""
    try:
        kind = _decode_kind(text).type
    except msgspec.ValidationError:
        return Reason.NOT_AN_EVENT
    except RecursionError:  # the decoder before met a wrong type before it came so deep
        return Reason.TOO_DEEP
    return Reason.INVALID_FIELD if kind in KNOWN else Unsupported.named(kind)


def _item(wrapped: Wrapped, limits: Limits) -> Item:
    kind, said = wrapped.type, wrapped.said
    if kind not in KNOWN:
        return Unsupported.named(kind)
    if said.website is None:
        return Unsupported("link") if said.link else Unsupported("pixel") if said.pixel else Reason.INVALID_FIELD
    props = dict(said.data) if said.data else {}
    if said.tag:
        props["$tag"] = said.tag
    host = said.hostname
    found = Event(
        name=said.name or None,
        site=f"umami:{said.website.lower()}",
        url=_absolute(said.url or "", host) if said.url or host else None,
        referrer=_absolute(said.referrer, host) if said.referrer else None,
        title=_decoded(said.title),
        language=said.language,
        screen=_pixels(said.screen),
        props=props,
        ip=said.ip,
        user_agent=said.userAgent,
    )
    if said.id is not None:
        found.user = str(said.id)[: limits.id_chars_max]
    if said.timestamp is not None:
        seconds = number(said.timestamp)
        if seconds is None:
            return Reason.INVALID_TIME
        found.ts = seconds * SECOND_MS
    if kind != "event":
        _add_measured(found, kind, said, props)
    elif "revenue" in props:
        found.revenue = _revenue(props)
    return found


def _add_measured(found: Event, kind: str, said: Said, props: Object) -> None:
    """Gives an event that is neither a pageview nor named by its site its name, and what was measured."""
    found.name = VITALS_NAME if kind == "performance" else kind
    if kind == ENGAGEMENT:
        found.engaged_ms = said.engagement
    elif kind == "performance":
        found.vitals = {name: value for name in VITALS if (value := getattr(said, name)) is not None}
        if said.duration is not None:
            props["duration"] = said.duration


def _revenue(data: Object) -> Revenue | None:
    """Takes the revenue out of the data, if it is an amount in a currency; otherwise it stays there as it is."""
    amount, currency = data["revenue"], data.get("currency")
    if not isinstance(amount, str | int | float) or isinstance(amount, bool) or not isinstance(currency, str):
        return None
    revenue = Revenue(amount, currency)
    if revenue_e4(revenue) is None:
        return None
    del data["revenue"], data["currency"]
    return revenue


def _pixels(screen: str | None) -> tuple[float, float] | None:
    size = _size(screen) if screen else None
    return (float(size[1]), float(size[2])) if size else None


def _absolute(address: str, host: str | None) -> str:
    """Returns an address as an absolute one, or what can't be read as it is: a step rejects its event."""
    if address.startswith(("https://", "http://")):
        return address
    try:
        return urljoin(f"https://{host or 'localhost'}/", address)
    except ValueError:
        return address


def _decoded(title: str | None) -> str | None:
    """Returns a title, which old scripts write with escapes of a URL."""
    if title is None or "%" not in title:
        return title or None
    try:
        return unquote(title, errors="strict").replace("\0", "\ufffd")
    except UnicodeDecodeError:
        return title
