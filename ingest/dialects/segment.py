"""Reads and answers clients of Segment's HTTP API: analytics-next, the SDKs of servers, and those of RudderStack and Jitsu.

A body is a message or an object with a `batch` of them, as application/json or text/plain, from servers often with gzip. A
message without a `type` has that of its path. The site's key is the user of Basic, or `X-Write-Key` (Jitsu), or `writeKey`
in the body. What messages mean is in segment_events.py; the settings that a browser asks for first are in segment_settings.py.

All of these clients take any 2xx for a success and drop what is answered 4xx. They send again after 503, with the same
`messageId`; Jitsu's does not.

Not promised: a reason of its own for a body without a key. It is refused as that of an unknown site.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ingest.dialects.answers import JSON_TYPE, json_answer
from ingest.dialects.coding import from_base64, mended, sniffed
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
from ingest.dialects.credentials import basic, bearer, server_key
from ingest.dialects.event import Limits
from ingest.dialects.native import GIF
from ingest.dialects.reading import json_of, require_some, text
from ingest.dialects.request import Head, Rejected
from ingest.dialects.segment_events import Said, item_of, loose
from ingest.dialects.vocabulary import is_number
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

PICTURE = ((b"content-type", b"image/gif"), (b"cache-control", b"no-store"))
BLANK = 32
# Segment takes 500 kB in a batch, in which smaller messages than any client writes are fewer than these.
EVENTS_MAX, ID_CHARS_MAX = 2_500, 200
STATUSES = {**STATUS, **dict.fromkeys(UNWANTED, 200), Reason.BODY_INCOMPLETE: 503}
TAKEN = Answer(200, (JSON_TYPE,), b'{"success":true}')
# The types as paths write them, in short by browsers.
KINDS = {
    **{kind: kind for kind in ("track", "page", "identify", "group", "alias", "screen")},
    "t": "track", "p": "page", "i": "identify", "g": "group", "a": "alias", "s": "screen", "event": "track",
}  # fmt: skip


class Body(Said, gc=False, rename="camel"):
    """Holds an object that is a whole body: a message, or a batch of them."""

    batch: list[Said] | None = None


_body = msgspec.json.Decoder(Body).decode


class Segment:
    """Reads and answers the paths below /v1."""

    name = "segment"
    route = "/v1/batch"
    owns_visitors = True
    taken = TAKEN

    def __init__(self, limits: Limits) -> None:
        self.limits = msgspec.structs.replace(
            limits, events_max=EVENTS_MAX, event_bytes_max=limits.body_bytes_max, id_chars_max=ID_CHARS_MAX
        )

    def decode(self, head: Head, body: bytes) -> Decoded:
        plain = sniffed(body, head.coding, self.limits.body_bytes_max)
        messages, key, sent_at = _said(mended(plain) if b"\\" in plain else plain)
        return self._decoded(head, messages, key, sent_at, len(plain))

    def _decoded(
        self, head: Head, messages: list[Said | Reason], key: str | None, sent_at: str | float | None, size: int
    ) -> Decoded:
        require_some(messages, self.limits)
        said, credential = _key(head)
        key = said or key
        site = site_of(key)
        kind = KINDS.get(head.path.rpartition(b"/")[2].decode("latin-1"), "")
        items: list[Item] = [
            item_of(one, kind, site if key else site_of(one.write_key), sent_at) if isinstance(one, Said) else one
            for one in messages
        ]
        if not credential and key and ":" in key:
            credential = server_key(key.partition(":")[2])
        return Decoded(items, are_many(items), size, credential=credential, site=site if key else "")

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 if something was taken or nothing was wanted: a client would send or drop the whole batch."""
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else self.taken

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        return json_answer(status, {"success": False, "code": reason, "message": EXPLAINED[reason]})

    def shed(self, reason: Shed) -> Answer:
        return json_answer(503, {"success": False, "code": reason})


class Jitsu(Segment):
    """Reads and answers `/api/s/TYPE` and `/api/s/s2s/TYPE`, whose client wants JSON in every answer."""

    route = "/api/s/*"
    taken = Answer(200, (JSON_TYPE,), b'{"ok":true}')


class SegmentPixel(Segment):
    """Reads and answers `GET /v1/pixel/TYPE?data=BASE64`, which mails and pages without scripts have."""

    route = "/v1/pixel/*"
    taken = Answer(200, PICTURE, GIF)

    def decode(self, head: Head, _body: bytes) -> Decoded:
        asked = dict(parse_qsl(head.query.decode("latin-1")))
        return super().decode(head, from_base64(asked.get("data", "").encode()))


class Metrics(Segment):
    """Answers what SDKs say of themselves, which is not kept: counted, and taken for sent."""

    route = "/v1/m"

    def decode(self, _head: Head, _body: bytes) -> Decoded:
        return Decoded([Unsupported("metrics")], True, 0)


def site_of(key: str | None) -> str:
    """Returns the site's key as sites know it. Behind a colon a server writes its server key, and Jitsu its secret."""
    return f"segment:{key.partition(':')[0]}" if key else "segment:"


def _key(head: Head) -> tuple[str, str]:
    """Returns the key that a head gives, and what could be a server key."""
    key = head.fields.get(b"x-write-key", b"").decode("latin-1")
    if b"authorization" in head.fields:
        user, password = basic(head)
        return user or key, server_key(password.rstrip(":"), bearer(head))
    return key, ""


def _said(plain: bytes) -> tuple[list[Said | Reason], str | None, str | float | None]:
    """Returns the messages of a body, with a reason in place of what is none, its key, and the client's clock."""
    try:
        body = _body(plain)
    except (ValueError, RecursionError):  # the slower reading below finds what is wrong, and keeps the rest
        return _loosely(json_of(plain))
    return [body] if body.batch is None else list(body.batch), body.write_key, body.sent_at


def _loosely(said: Any) -> tuple[list[Said | Reason], str | None, str | float | None]:
    """Does what `_said` does for a body in which something has the wrong type."""
    key = sent_at = None
    if isinstance(said, str):  # JSON in JSON
        said = json_of(said.encode())
    if isinstance(said, dict):
        key, sent_at = text(said.get("writeKey")), said.get("sentAt")
        said = said.get("batch", [said])
    if not isinstance(said, list):
        raise Rejected(Reason.NOT_AN_EVENT)
    if len(said) > EVENTS_MAX:
        raise Rejected(Reason.TOO_MANY_EVENTS)
    is_moment = isinstance(sent_at, str) or is_number(sent_at)
    return [loose(one) for one in said], key, sent_at if is_moment else None
