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
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from ingest.dialects.answers import JSON_TYPE, json_answer
from ingest.dialects.coding import from_base64, mended, sniffed, unescaped
from ingest.dialects.contract import (
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
from ingest.dialects.pieces import PIECE_BYTES, Large, Pieces, runs
from ingest.dialects.posthog_events import LEFT, Said, Sent, items_of, loose, sent, site_of
from ingest.dialects.reading import decoded, json_of, require_some, text
from ingest.dialects.request import Head, Rejected
from ingest.dialects.vocabulary import is_number
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

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


class Around(msgspec.Struct, gc=False):
    """Holds an object that is a whole body, whose events are not decoded yet, and in which anything may have a wrong type."""

    batch: list[msgspec.Raw] | None = None
    api_key: Any = None
    token: Any = None
    sent_at: Any = None


# Of a query only these are read, the last of equal names.
_asked = re.compile(rb"(?:^|(?<=&))(_|sent_at|compression|data)=([^&]*)").findall
_body = msgspec.json.Decoder(Body).decode
_many = msgspec.json.Decoder(list[Said]).decode
_around = msgspec.json.Decoder(Around).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_one = msgspec.json.Decoder(Said).decode


class PostHogAnswers:
    """Answers PostHog's clients."""

    name = "posthog"
    route = "/e/"
    owns_visitors = True

    def __init__(self, limits: Limits) -> None:
        self.limits = limits.of_family(BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX)

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 if something was taken or nothing was wanted: a client would send the whole batch again."""
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else TAKEN

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        explained = EXPLAINED[reason]
        said = {"status": 0, "error": reason, "code": reason, "detail": explained, "error_description": explained}
        return json_answer(status, said)

    def shed(self, reason: Shed) -> Answer:
        """Answers 503, without `quota_limited`: with it posthog-js drops for a minute what it could send again."""
        return json_answer(503, {"status": 0, "error": reason, "code": reason})


class PostHog(PostHogAnswers, Large):
    """Reads and answers the paths of all generations but Capture V1."""

    def pieces(self, head: Head, body: bytes) -> Pieces[Decoded]:
        clock, most = None, self.limits.body_bytes_max
        if head.query:
            asked = dict(_asked(head.query))
            clock = _moment(asked.get(b"sent_at") or asked.get(b"_"))
            if asked.get(b"compression") == b"lz64":
                raise Rejected(Reason.UNSUPPORTED_ENCODING)
            if not body:
                body = unescaped(asked.get(b"data", b""))
        text = sniffed(body, head.coding, most)
        for _ in range(WRAPPINGS_MAX):
            if len(text) > PIECE_BYTES:
                yield len(text)
            inner = _unwrapped(text)
            if inner is None:
                break
            text = sniffed(inner, b"", most)
        said, of_all = _said(mended(text) if b"\\" in text else text, Sent(None, clock, NOWHERE), self.limits)
        of_all = self._of_head(head, of_all)
        items: list[Item] = []
        key = of_all.key or ""
        for piece in said:
            if items:
                yield len(text)
            for one in piece:
                if isinstance(one, Said):
                    items += items_of(one, of_all)
                    key = key or one.api_key or one.token or ""
                else:
                    items.append(one)
        token = bearer(head) if b"authorization" in head.fields else ""
        credential = server_key(key.partition(":")[2], token) if token or ":" in key else ""
        return Decoded(items, are_many(items), len(text), credential=credential, site=site_of(key) if key else "")

    def _of_head(self, _head: Head, said: Sent) -> Sent:
        """Returns what counts for all events of a request: what its body says."""
        return said


class CaptureV1(PostHog):
    """Reads and answers Capture V1, whose key and clock are in headers, and whose answer names each event."""

    route = "/i/v1/analytics/events"

    def _of_head(self, head: Head, _said: Sent) -> Sent:
        clock = head.fields.get(b"posthog-request-timestamp", b"").decode("latin-1")
        return sent(bearer(head), clock or None)

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Says of each event whether it was taken. One that is not named counts as taken."""
        if fates and all(reason is Reason.UNKNOWN_SITE for reason in fates):
            return self.refusal(head, Reason.UNKNOWN_SITE)
        results: dict[str, dict[str, str]] = {}
        for item, reason in zip(decoded.items, fates, strict=True):
            if isinstance(item, Event) and item.id and not item.id.endswith(LEFT):
                is_taken = reason is None or reason in UNWANTED
                results[item.id] = {"result": "ok"} if is_taken else {"result": "drop", "details": str(reason)}
        return json_answer(200, {"results": results})


class Unkept(PostHogAnswers):
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


def _unwrapped(text: bytes) -> bytes | None:
    """Returns what is in one of the forms in which PostHog's clients write JSON; None if it is JSON. Raises Rejected."""
    begins = text[:8].lstrip()[:1] or text.lstrip()[:1]
    if begins in {b"{", b"["}:
        return None
    if begins == b'"':  # JSON in JSON
        return str(json_of(text)).encode()
    if text.startswith(b"data="):
        return unescaped(text[5:].partition(b"&")[0])
    try:
        return from_base64(text)
    except Rejected:
        raise Rejected(Reason.MALFORMED_JSON) from None


def _said(plain: bytes, asked: Sent, limits: Limits) -> tuple[Iterable[Sequence[Said | Reason]], Sent]:
    """Returns the events of a body, a piece of work each, and what the body says for all of them. Raises Rejected.

    A reason stands in the place of what is no event.
    """
    begins = plain.lstrip()[:1] if plain[0] <= BLANK else plain[:1]
    if len(plain) <= PIECE_BYTES:
        try:
            if begins == b"[":
                items: list[Said] = _many(plain)
                of_all = asked
            else:
                body = _body(plain)
                items = [body] if body.batch is None else body.batch
                of_all = sent(body.api_key or body.token, body.sent_at or asked.sent_at)
        except (ValueError, RecursionError):  # to read each alone finds what is wrong, and keeps the rest
            pass
        else:
            require_some(items, limits)
            return [items], of_all
    if begins == b"[":
        raws = decoded(_raws, plain)
    else:
        around = decoded(_around, plain, Reason.NOT_AN_EVENT)
        is_moment = isinstance(around.sent_at, str) or is_number(around.sent_at)
        asked = sent(text(around.api_key or around.token), around.sent_at if is_moment else asked.sent_at)
        if around.batch is None:
            one = _alone(msgspec.Raw(plain))
            if isinstance(one, Reason):
                raise Rejected(one)
            return [[one]], asked
        raws = around.batch
    require_some(raws, limits)
    return ([_alone(raw) for raw in run] for run in runs(raws)), asked


def _alone(raw: msgspec.Raw) -> Said | Reason:
    """Returns one event, also if something in it has the wrong type; or why it is none."""
    try:
        return _one(raw)
    except (ValueError, RecursionError):
        try:
            return loose(json_of(bytes(raw)))
        except Rejected as rejected:
            return rejected.reason


def _moment(said: bytes | None) -> int | None:
    """Returns the client's clock as a query says it, in milliseconds; None for what is no clock."""
    if not said:
        return None
    return int(said) if said.isdigit() and len(said) <= DIGITS_MAX else time_ms(unquote(said.decode("latin-1")))
