"""Reads and answers Umami's clients: its script of all ages, @umami/node, its Python client, and batches (docs/compatibility.md).

A request is one object, `{"type": "event", "payload": {...}}`, or in a batch a list of them. `website` is a UUID, registered as
the key `umami:UUID` of a site. An event without a name is a pageview. Addresses may be paths, which belong to `hostname`.

Scripts send along in `x-umami-cache` what the answer before had in `cache`, and old ones the whole answer. Nothing here depends on it.
No client of Umami sends anything again, whatever it is told.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urljoin

import msgspec

from ingest.dialects.coding import text_of
from ingest.dialects.contract import RETRY_AFTER, STATUS, Answer, Decoded, Fates, Item, Unsupported
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import VITALS, Limits, Revenue, revenue_e4
from ingest.dialects.reading import Object, event_of, json_of, listed, mapping, number, text
from ingest.dialects.request import Head, Rejected
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

JSON_TYPE = (b"content-type", b"application/json")
# Umami tells its own numbers of the session and the visit; Forebay tells nobody whom it takes somebody for.
NOBODY = "00000000-0000-0000-0000-000000000000"
CACHE = "forebay"
TAKEN = {"cache": CACHE, "sessionId": NOBODY, "visitId": NOBODY}
UNCOUNTED = {"beep": "boop"}  # what Umami says to programs that it does not count
OTHERS = ("link", "pixel")  # what an event may be of in place of a website
KNOWN = frozenset(("event", "identify", "performance", "engagement"))
SECOND_MS = 1_000

_encode = msgspec.json.Encoder().encode
ACCEPTED = Answer(200, (JSON_TYPE,), _encode(TAKEN))


class Umami:
    """Reads and answers `POST /api/send`."""

    name = "umami"
    route = "/api/send"
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the event of a body. Raises Rejected."""
        plain = text_of(body, head.coding, self.limits.body_bytes_max)
        if len(plain) > self.limits.event_bytes_max:
            raise Rejected(Reason.EVENT_TOO_LARGE)
        item = _item(json_of(plain), self.limits)
        if isinstance(item, Reason):
            raise Rejected(item)
        return Decoded([item], False, len(plain), credential=server_key(bearer(head)))

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers with a cache, as the script expects it."""
        return ACCEPTED if fates[0] is None else self.refusal(head, fates[0])

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        """Answers in JSON, because the script reads it whatever the status is."""
        if reason in UNWANTED:
            return Answer(200, (JSON_TYPE,), _encode(UNCOUNTED))
        status = _status(reason)
        headers = (JSON_TYPE, *RETRY_AFTER) if status == 503 else (JSON_TYPE,)
        return Answer(status, headers, _encode(_error(reason)))

    def shed(self, reason: Shed) -> Answer:
        body = _encode({"error": {"message": reason.value, "code": "service-unavailable", "status": 503}})
        return Answer(503, (JSON_TYPE, *RETRY_AFTER), body)


class UmamiBatch(Umami):
    """Reads and answers `POST /api/batch`."""

    route = "/api/batch"

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of a list. Raises Rejected for what is wrong with all of it."""
        plain = text_of(body, head.coding, self.limits.body_bytes_max)
        said = json_of(plain)
        if not isinstance(said, list):
            raise Rejected(Reason.NOT_AN_EVENT)
        items = [_item(one, self.limits) for one in listed(said, self.limits)]
        return Decoded(items, True, len(plain), credential=server_key(bearer(head)))

    def answer(self, _head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 whatever became of the events, and names those that were refused, as Umami does."""
        details = [
            {"index": at, "response": _error(reason)}
            for at, reason in enumerate(fates)
            if reason is not None and reason not in UNWANTED
        ]
        size, errors = len(fates), len(details)
        body = {"size": size, "processed": size - errors, "errors": errors, "details": details, "cache": CACHE}
        return Answer(200, (JSON_TYPE,), _encode(body))


def _status(reason: Reason) -> int:
    return 400 if reason is Reason.UNKNOWN_SITE else STATUS.get(reason, 400)


def _error(reason: Reason) -> Object:
    message = "Website not found." if reason is Reason.UNKNOWN_SITE else EXPLAINED[reason]
    return {"error": {"message": message, "code": reason.value.replace("_", "-"), "status": _status(reason)}}


def _item(said: Any, limits: Limits) -> Item:
    if not isinstance(said, dict) or not isinstance(event := said.get("payload"), dict):
        return Reason.NOT_AN_EVENT
    kind, website = said.get("type"), event.get("website")
    if not isinstance(kind, str):
        return Reason.INVALID_FIELD
    if kind not in KNOWN:
        return Unsupported.named(kind)
    if website is None:
        other = next((name for name in OTHERS if event.get(name)), None)
        return Reason.INVALID_FIELD if other is None else Unsupported(other)
    if not isinstance(website, str):
        return Reason.INVALID_FIELD
    fields = _page(event) | {
        "site": f"umami:{website.lower()}",
        "language": text(event.get("language")),
        "screen": _screen(event.get("screen")),
        "user": (text(event.get("id")) or "")[: limits.id_chars_max],
        "ip": text(event.get("ip")),
        "user_agent": text(event.get("userAgent")),
    }
    if (seconds := number(event.get("timestamp"))) is not None:
        fields["ts"] = seconds * SECOND_MS
    return event_of(fields | _meaning(kind, event))


def _meaning(kind: str, event: Object) -> Object:
    """Returns the name of the event, and what it has by it."""
    data = dict(mapping(event.get("data")))
    if (tag := text(event.get("tag"))) is not None:
        data["$tag"] = tag
    if kind == "performance":
        vitals = {name: value for name in VITALS if (value := number(event.get(name))) is not None}
        if (duration := number(event.get("duration"))) is not None:
            data["duration"] = duration
        return {"name": "vitals", "vitals": vitals, "props": data}
    if kind == "engagement":
        return {"name": "engagement", "engaged_ms": number(event.get("engagement")), "props": data}
    if kind == "identify":
        return {"name": "identify", "props": data}
    return {"name": text(event.get("name")), "props": data} | _money(data)


def _money(data: Object) -> Object:
    """Takes the revenue out of the data, if it is an amount in a currency; otherwise it stays there as it is."""
    amount, currency = data.get("revenue"), data.get("currency")
    if not isinstance(amount, str | int | float) or isinstance(amount, bool) or not isinstance(currency, str):
        return {}
    revenue = Revenue(amount, currency)
    if revenue_e4(revenue) is None:
        return {}
    del data["revenue"], data["currency"]
    return {"revenue": revenue}


def _page(event: Object) -> Object:
    """Returns what is said of the page. A path without a `hostname` is on `localhost`, as it is in Umami."""
    host, url, referrer = text(event.get("hostname")), text(event.get("url")), text(event.get("referrer"))
    base = f"https://{host or 'localhost'}/"
    if url is not None or host is not None:
        url = _joined(base, url or "")
    if referrer is not None:
        referrer = _joined(base, referrer)
    return {"url": url, "referrer": referrer, "title": _decoded(text(event.get("title")))}


def _joined(base: str, address: str) -> str:
    """Returns an address as an absolute one. What is no address stays as it is, and is judged as one."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address


def _decoded(title: str | None) -> str | None:
    """Returns a title, which old scripts write with escapes of a URL."""
    if title is None or "%" not in title:
        return title
    try:
        return unquote(title, errors="strict").replace("\0", "\ufffd")
    except UnicodeDecodeError:
        return title


def _screen(said: Any) -> tuple[float, float] | None:
    width, _, height = said.partition("x") if isinstance(said, str) else ("", "", "")
    sizes = number(width), number(height)
    return None if None in sizes else sizes  # type: ignore[return-value]  # neither is None
