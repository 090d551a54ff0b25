"""Reads and answers PostHog's clients: posthog-js since 1.96, posthog-node, posthog for Python, and those of apps.

A body has many forms (docs/compatibility-posthog.md): JSON, gzip that no header announces, a form with base64, base64 alone;
an event, an array of events, or an object with a `batch`. What a body begins with says what it is, because headers do
not. What events mean is in posthog_events.py; what SDKs ask for before they send is in posthog_config.py.

posthog-js takes exactly 200 for a success. It drops what is answered 4xx, and sends everything else again: ten times, after
3 s and twice as long each time. So what must come again is answered 503, and all else 200 or 4xx.

Not promised: LZ64, which clients before 2021 wrote.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from ingest.dialects.coding import from_base64, mended, sniffed, unescaped
from ingest.dialects.contract import (
    RETRY_AFTER,
    STATUS,
    Answer,
    Decoded,
    Fates,
    Item,
    Unsupported,
    are_many,
    refused_whole,
)
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import Event, Limits, time_ms
from ingest.dialects.posthog_events import LEFT, Said, Sent, items_of, loose, sent, site_of
from ingest.dialects.reading import json_of, require_some, text
from ingest.dialects.request import Head, Rejected
from ingest.dialects.vocabulary import is_number
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

JSON_TYPE = (b"content-type", b"application/json")
# posthog for Python makes batches of 5 MiB at most, and posthog-node halves one that is answered 413.
BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX = 5 << 20, 2_500, 200
WRAPPINGS_MAX = 3  # a form, base64 in it, gzip in that
BLANK, DIGITS_MAX = 32, 18
NOWHERE = site_of(None)
STATUSES = {
    **STATUS,
    **dict.fromkeys(UNWANTED, 200),
    Reason.UNKNOWN_SITE: 401,
    Reason.TOO_MANY_EVENTS: 413,
    Reason.BODY_INCOMPLETE: 503,
    Reason.RATE_LIMITED: 503,  # posthog-js drops what is answered 429
}
TAKEN = Answer(200, (JSON_TYPE,), b'{"status":1}')


class Body(Said, gc=False):
    """Holds an object that is a whole body: an event, or a batch of them."""

    batch: list[Said] | None = None
    sent_at: str | int | float | None = None


# Of a query only these are read, the last of equal names.
_asked = re.compile(rb"(?:^|(?<=&))(_|sent_at|compression|data)=([^&]*)").findall
_encode = msgspec.json.Encoder().encode
_body = msgspec.json.Decoder(Body).decode
_many = msgspec.json.Decoder(list[Said]).decode


class PostHog:
    """Reads and answers the paths of all generations but Capture V1."""

    name = "posthog"
    route = "/e/"
    owns_visitors = True

    def __init__(self, limits: Limits) -> None:
        self.limits = limits.of_family(BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX)

    def decode(self, head: Head, body: bytes) -> Decoded:
        clock = None
        if head.query:
            asked = dict(_asked(head.query))
            clock = _moment(asked.get(b"sent_at") or asked.get(b"_"))
            if asked.get(b"compression") == b"lz64":
                raise Rejected(Reason.UNSUPPORTED_ENCODING)
            if not body:
                body = unescaped(asked.get(b"data", b""))
        text = unwrapped(body, head.coding, self.limits.body_bytes_max)
        said, of_all = _said(text, Sent(None, clock, NOWHERE))
        return self._decoded(said, of_all, len(text), bearer(head) if b"authorization" in head.fields else "")

    def _decoded(self, said: list[Said | Reason], of_all: Sent, size: int, token: str) -> Decoded:
        require_some(said, self.limits)
        items: list[Item] = []
        for one in said:
            if isinstance(one, Said):
                items += items_of(one, of_all)
            else:
                items.append(one)
        key = of_all.key or next((one.api_key or one.token or "" for one in said if isinstance(one, Said)), "")
        credential = server_key(key.partition(":")[2], token) if token or ":" in key else ""
        return Decoded(items, are_many(items), size, credential=credential)

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 if something was taken or nothing was wanted: a client would send the whole batch again."""
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else TAKEN

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        headers = (JSON_TYPE, *RETRY_AFTER) if status == 503 else (JSON_TYPE,)
        explained = EXPLAINED[reason]
        said = {"status": 0, "error": reason, "code": reason, "detail": explained, "error_description": explained}
        return Answer(status, headers, _encode(said))

    def shed(self, reason: Shed) -> Answer:
        """Answers 503, without `quota_limited`: with it posthog-js drops for a minute what it could send again."""
        return Answer(503, (JSON_TYPE, *RETRY_AFTER), _encode({"status": 0, "error": reason, "code": reason}))


class CaptureV1(PostHog):
    """Reads and answers Capture V1, whose key and clock are in headers, and whose answer names each event."""

    route = "/i/v1/analytics/events"

    def decode(self, head: Head, body: bytes) -> Decoded:
        text = unwrapped(body, head.coding, self.limits.body_bytes_max)
        key = bearer(head)
        clock = head.fields.get(b"posthog-request-timestamp", b"").decode("latin-1")
        said, _ = _said(text, Sent(None, None, NOWHERE))
        return self._decoded(said, sent(key, clock or None), len(text), key.partition(":")[2])

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Says of each event whether it was taken. One that is not named counts as taken."""
        if fates and all(reason is Reason.UNKNOWN_SITE for reason in fates):
            return self.refusal(head, Reason.UNKNOWN_SITE)
        results: dict[str, dict[str, str]] = {}
        for item, reason in zip(decoded.items, fates, strict=True):
            if isinstance(item, Event) and item.id and not item.id.endswith(LEFT):
                is_taken = reason is None or reason in UNWANTED
                results[item.id] = {"result": "ok"} if is_taken else {"result": "drop", "details": str(reason)}
        return Answer(200, (JSON_TYPE,), _encode({"results": results}))


class Unkept(PostHog):
    """Answers a path whose bodies are not kept, such as recordings: they are not read, are counted by name, and answered as taken."""

    def __init__(self, limits: Limits, route: str, name: str, taken: Answer = TAKEN) -> None:
        super().__init__(limits)
        self.route = route
        self._items: list[Item] = [Unsupported(name)]
        self._taken = taken

    def decode(self, _head: Head, _body: bytes) -> Decoded:
        return Decoded(self._items, True, 0)

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return self._taken


# Asks posthog-js to send no recordings for a minute.
NO_RECORDINGS = Answer(200, (JSON_TYPE,), b'{"status":1,"quota_limited":["recordings"]}')


def unwrapped(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """Returns the JSON that a body holds, out of the forms in which PostHog's clients write it. Raises Rejected."""
    text = sniffed(body, coding, bytes_max)
    for _ in range(WRAPPINGS_MAX):
        begins = text[:8].lstrip()[:1] or text.lstrip()[:1]
        if begins in {b"{", b"["}:
            break
        if begins == b'"':  # JSON in JSON
            text = str(json_of(text)).encode()
        elif text.startswith(b"data="):
            value = text[5:].partition(b"&")[0]
            text = unescaped(value)
        else:
            try:
                text = from_base64(text)
            except Rejected:
                raise Rejected(Reason.MALFORMED_JSON) from None
        text = sniffed(text, b"", bytes_max)
    return mended(text) if b"\\" in text else text


def _said(plain: bytes, asked: Sent) -> tuple[list[Said | Reason], Sent]:
    """Returns the events of a body, with a reason in place of what is none, and what the body says for all of them."""
    begins = plain.lstrip()[:1] if plain[0] <= BLANK else plain[:1]
    try:
        if begins == b"[":
            return list(_many(plain)), asked
        body = _body(plain)
    except (ValueError, RecursionError):  # the slower reading below finds what is wrong, and keeps the rest
        return _loosely(json_of(plain), asked)
    of_all = sent(body.api_key or body.token, body.sent_at or asked.sent_at)
    return [body] if body.batch is None else list(body.batch), of_all


def _loosely(said: Any, asked: Sent) -> tuple[list[Said | Reason], Sent]:
    """Does what `_said` does for a body in which something has the wrong type."""
    if isinstance(said, dict):
        sent_at = said.get("sent_at")
        is_moment = isinstance(sent_at, str) or is_number(sent_at)
        asked = sent(text(said.get("api_key") or said.get("token")), sent_at if is_moment else asked.sent_at)
        said = said.get("batch", [said])
    if not isinstance(said, list):
        raise Rejected(Reason.NOT_AN_EVENT)
    if len(said) > EVENTS_MAX:
        raise Rejected(Reason.TOO_MANY_EVENTS)
    return [loose(one) for one in said], asked


def _moment(said: bytes | None) -> int | None:
    """Returns the client's clock as a query says it, in milliseconds; None for what is no clock."""
    if not said:
        return None
    return int(said) if said.isdigit() and len(said) <= DIGITS_MAX else time_ms(unquote(said.decode("latin-1")))
