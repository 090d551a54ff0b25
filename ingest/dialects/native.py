"""Reads Forebay's own dialect: JSON by POST, and the same event as a GET that is answered with a picture.

A body is one object or an array of objects (docs/events.md). It is decoded whole, straight into
Events. Only when that fails, or when the body is so large that an event in it could be too large,
is an array cut into its items and each of them decoded alone, so that a bad one costs only itself.
A body that can't be cut is refused whole: JSON that ends early, or nests too deeply.

Not promised: that a browser shows a picture's status. An <img> shows the same 43 bytes whatever
became of its event; the status and `X-Forebay-Rejected` are for people.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ingest.dialects.coding import JSON_TYPES, mended, text_of
from ingest.dialects.contract import RETRY_AFTER, STATUS, Answer, Decoded, Fates
from ingest.dialects.credentials import basic, bearer, server_key
from ingest.dialects.event import Event, Limits, clean
from ingest.dialects.ignored import NAMES_MAX, ignored, without_effect
from ingest.dialects.request import Head, Rejected
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

JSON_TYPE = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
# Pages with Cross-Origin-Embedder-Policy show a picture of another origin only if it carries this header.
EMBEDDED = (b"cross-origin-resource-policy", b"cross-origin")
PICTURE = ((b"content-type", b"image/gif"), NO_STORE, EMBEDDED)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
OBJECT, ARRAY, BLANK = b"{[ "
ESCAPE = b"\\"
PARAMETERS_MAX = 100  # 30 properties and every field twice
# These are read, but have no effect without a server key.
UNPROVEN = frozenset(("visitor", "session", "ip", "user_agent"))
HEEDED = frozenset(Event.__struct_fields__) - UNPROVEN

# Digits are those of ASCII: Python takes any script's for a number, and no client means that.
_milliseconds = re.compile(r"[0-9]{1,18}").fullmatch
_size = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,4})?)x([0-9]{1,7}(?:\.[0-9]{1,4})?)").fullmatch

_header_word = re.compile(r"[A-Za-z0-9_.-]{1,120}").fullmatch

_encode = msgspec.json.Encoder().encode
_decode_one = msgspec.json.Decoder(Event).decode
_decode_many = msgspec.json.Decoder(list[Event]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_props = msgspec.json.Decoder(dict[str, Any]).decode


ACCEPTED = Answer(202, (), b"")


class Native:
    """Reads and answers `POST /f`."""

    name = "native"
    route = "/f"
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of the body. Raises Rejected for a fault of the whole body."""
        if head.media_type not in JSON_TYPES:
            raise Rejected(Reason.UNSUPPORTED_MEDIA_TYPE)
        text = text_of(body, head.coding, self.limits.body_bytes_max)
        if ESCAPE in text:
            text = mended(text)
        first, size = text[0], len(text)
        if first <= BLANK:
            first = text.lstrip()[0]
        credential = server_key(bearer(head), *basic(head)) if b"authorization" in head.fields else ""
        heeded = HEEDED | UNPROVEN if credential else HEEDED
        names = ignored(text, heeded=heeded, limits=self.limits) if head.is_debug else []
        if first == ARRAY:
            return Decoded(_many(text, self.limits), True, size, names, credential)
        if first != OBJECT:
            raise Rejected(_not_an_event(text))
        event = _one(text, size, self.limits)
        if isinstance(event, Reason):
            raise Rejected(event)
        return Decoded([event], False, size, names, credential)

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Answers a single event with its fate, and an array with how many events were accepted and why the others were not."""
        if not decoded.is_many:
            if fates[0] is not None:
                return self.refusal(head, fates[0])
            return Answer(202, (JSON_TYPE,), _encode({"ignored": decoded.ignored[0]})) if head.is_debug else ACCEPTED
        rejected = [
            {"index": at, "reason": reason, **_explained(head, reason)}
            for at, reason in enumerate(fates)
            if reason is not None
        ]
        is_fine = len(rejected) < len(fates) or all(reason in UNWANTED for reason in fates)
        body: dict[str, Any] = {"accepted": len(fates) - len(rejected), "rejected": rejected}
        if head.is_debug:
            body["ignored"] = [{"index": at, "fields": names} for at, names in enumerate(decoded.ignored) if names]
        return Answer(202 if is_fine else 400, (JSON_TYPE,), _encode(body))

    def refusal(self, head: Head, reason: Reason) -> Answer:
        """Answers with the reason for which nothing of the request was taken."""
        body = _encode({"reason": reason, **_explained(head, reason)})
        status = STATUS.get(reason, 400)
        return Answer(status, (JSON_TYPE, *RETRY_AFTER) if status == 503 else (JSON_TYPE,), body)

    def shed(self, reason: Shed) -> Answer:
        return Answer(503, (JSON_TYPE, *RETRY_AFTER), _encode({"reason": reason}))


class Pixel:
    """Reads and answers `GET /f.gif?name=...&url=...&p.plan=pro`, for pages without JavaScript and for e-mail."""

    name = "native"
    route = "/f.gif"
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, _body: bytes) -> Decoded:
        if len(head.query) > self.limits.event_bytes_max:
            raise Rejected(Reason.EVENT_TOO_LARGE)
        try:
            pairs = parse_qsl(head.query.decode("utf-8", "replace"), max_num_fields=PARAMETERS_MAX)
        except ValueError:
            raise Rejected(Reason.EVENT_TOO_LARGE) from None
        fields, props = _parameters(pairs)
        if "url" not in fields and (page := head.fields.get(b"referer")):
            fields["url"] = clean(page.decode("utf-8", "replace"))
        if props:
            fields["props"] = props
        try:
            event = msgspec.convert(fields, Event)
        except (msgspec.ValidationError, RecursionError):
            raise Rejected(Reason.INVALID_FIELD) from None
        names = []
        if head.is_debug:
            names = [name for name, _ in pairs if not _is_heeded(name)]
            names = (names + without_effect({"props": props}, ("props",), self.limits))[:NAMES_MAX]
        size = len(head.query) + len(head.fields.get(b"referer", b""))
        return Decoded([event], False, size, [names])

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        if fates[0] is not None:
            return self.refusal(head, fates[0])
        # a picture has no room for words: a header has, for names that a header can hold
        names = [name for name in decoded.ignored[0] if _header_word(name)]
        told = ((b"x-forebay-ignored", ", ".join(names).encode()),) if names else ()
        return Answer(200, (*PICTURE, *told), GIF)

    def refusal(self, head: Head, reason: Reason) -> Answer:
        status = STATUS.get(reason, 400)
        named = (b"x-forebay-rejected", reason.value.encode())
        retry = RETRY_AFTER if status == 503 else ()
        if head.is_debug:
            body = _encode({"reason": reason, **_explained(head, reason)})
            return Answer(status, (JSON_TYPE, NO_STORE, named, *retry), body)
        return Answer(status, (*PICTURE, named, *retry), GIF)

    def shed(self, _reason: Shed) -> Answer:
        return Answer(503, (*PICTURE, *RETRY_AFTER), GIF)


class PixelHead(Pixel):
    """Answers `HEAD /f.gif` as a GET, without the picture, for clients that look whether it is there. It counts nothing."""

    def decode(self, _head: Head, _body: bytes) -> Decoded:
        return Decoded([], False, 0)

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return Answer(200, PICTURE, GIF)


def _explained(head: Head, reason: Reason) -> dict[str, str]:
    return {"explanation": EXPLAINED[reason]} if head.is_debug else {}


def _one(text: bytes | msgspec.Raw, size: int, limits: Limits) -> Event | Reason:
    if size > limits.event_bytes_max:
        return Reason.EVENT_TOO_LARGE
    try:
        return _decode_one(text)
    except msgspec.ValidationError:
        return Reason.INVALID_FIELD
    except msgspec.DecodeError:
        return Reason.MALFORMED_JSON
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except RecursionError:
        return Reason.TOO_DEEP


def _many(text: bytes, limits: Limits) -> list[Event | Reason]:
    """Raises Rejected when the text is no array, an empty one, or one of too many items."""
    items: list[Event] | list[Event | Reason]
    if len(text) <= limits.event_bytes_max:
        try:
            items = _decode_many(text)
        except (ValueError, RecursionError):  # whatever it was, the next lines find it again
            items = _each(text, limits)
    else:
        items = _each(text, limits)
    if not items:
        raise Rejected(Reason.EMPTY_ARRAY)
    if len(items) > limits.events_max:
        raise Rejected(Reason.TOO_MANY_EVENTS)
    return items  # type: ignore[return-value]  # list is invariant; nobody appends to this one


def _each(text: bytes, limits: Limits) -> list[Event | Reason]:
    try:
        items = _decode_items(text)
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    except msgspec.DecodeError:
        raise Rejected(Reason.MALFORMED_JSON) from None
    except RecursionError:
        raise Rejected(Reason.TOO_DEEP) from None
    if len(items) > limits.events_max:
        raise Rejected(Reason.TOO_MANY_EVENTS)
    return [_item(item, limits) for item in items]


def _item(item: msgspec.Raw, limits: Limits) -> Event | Reason:
    text = memoryview(item)
    return _one(item, len(text), limits) if text[0] == OBJECT else Reason.NOT_AN_EVENT


def _not_an_event(text: bytes) -> Reason:
    """Finds the reason to reject text that begins as neither object nor array: whether it is JSON at all."""
    try:
        msgspec.json.decode(text)
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except msgspec.DecodeError:
        return Reason.MALFORMED_JSON
    return Reason.NOT_AN_EVENT


def _parameters(pairs: list[tuple[str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the fields and properties of a query. The first of two equal names wins; names that we don't know are ignored."""
    fields: dict[str, Any] = {}
    props: dict[str, Any] = {}
    for key, said in pairs:
        value = clean(said)
        if key.startswith("p."):
            props.setdefault(clean(key[2:]), value)
        elif key == "props":
            try:
                props = _decode_props(mended(value.encode())) | props
            except (ValueError, RecursionError):
                raise Rejected(Reason.INVALID_FIELD) from None
        elif key in TEXT_PARAMETERS:
            fields.setdefault(key, value)
        elif key == "ts":
            fields.setdefault("ts", int(value) if _milliseconds(value) else value)
        elif key == "screen":
            size = _size(value)
            if size is None:
                raise Rejected(Reason.INVALID_FIELD)
            fields.setdefault("screen", (float(size[1]), float(size[2])))
    return fields, props


def _is_heeded(name: str) -> bool:
    return name.startswith("p.") or name in PARAMETERS


TEXT_PARAMETERS = frozenset(("name", "url", "site", "referrer", "title", "language", "id", "user"))
PARAMETERS = TEXT_PARAMETERS | {"props", "ts", "screen", "debug"}
