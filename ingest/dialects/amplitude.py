"""Reads and answers Amplitude's clients: analytics-browser, analytics-node, amplitude-analytics for Python, and amplitude-js.

    POST /2/httpapi, /batch                     JSON {api_key, events, client_upload_time}
    POST /httpapi, /identify, /groupidentify    a form whose field has the JSON: what amplitude-js and version 1 of the API send

What events mean is in amplitude_events.py. The body says which of the two it is, and each path takes both.

The clients of JSON believe the number `code` in the answer, and not the status. After a 400 they drop the events that it names
and send the others again. So where all are refused, all of them are named, and where only some are, the answer is 200. After
413 they halve their batches. After a `code` of 503 a browser tries four times more, within ten seconds, and gives up; after
429 it waits for half a minute each time. So a process that is ending says 503, and whatever else keeps us from taking events
says 429, both with the status 503. Events over a limit get 429 as code and as status.

amplitude-js reads the status alone, and sends again for ever whatever is not answered 200. So events that would be refused
again are answered 200, and only an unknown key is not.

Not promised: multipart forms, and limits of devices and users (`exceeded_daily_quota_users`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import time
from typing import Any

import msgspec
from msgspec import Raw

from ingest.dialects.amplitude_events import FAMILY, Said, Text, item_of
from ingest.dialects.answers import JSON_TYPE, json_answer
from ingest.dialects.coding import form_of, mended, sniffed, uncrowded
from ingest.dialects.contract import (
    RETRY_AFTER,
    STATUS,
    Answer,
    Decoded,
    Endpoint,
    Fates,
    Item,
    are_many,
    refused_whole,
)
from ingest.dialects.credentials import server_key
from ingest.dialects.event import Limits, clean
from ingest.dialects.pieces import PIECE_BYTES, Large, Pieces, runs
from ingest.dialects.reading import decoded, item_by, require_some
from ingest.dialects.request import Head, Rejected
from ingest.fates import Reason, Shed
from schemas.reasons import EXPLAINED

TEXT_TYPE = (b"content-type", b"text/plain")
BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX = 5 << 20, 2_000, 200
FORM_FIELDS_MAX = 20
SUCCESS = Answer(200, (TEXT_TYPE,), b"success")
# Which events of a batch should wait: the clients send up to 200 at once, and one that is not named comes at once.
WAITING = list(range(200))
# Which field of an event is at fault. The clients read only the positions behind the name.
FIELDS = {
    Reason.NOT_AN_EVENT: "event_type",
    Reason.NAME_TOO_LONG: "event_type",
    Reason.INVALID_NAME: "event_type",
    Reason.INVALID_TIME: "time",
    Reason.TOO_OLD: "time",
    Reason.FIELD_TOO_LONG: "user_id",
    Reason.INVALID_REVENUE: "revenue",
}
MISSING = {Reason.EMPTY_BODY: "api_key", Reason.EMPTY_ARRAY: "events"}
TOO_LARGE = frozenset((Reason.BODY_TOO_LARGE, Reason.TOO_MANY_EVENTS))
UNKNOWN = frozenset((Reason.UNKNOWN_SITE, Reason.WRONG_KEY))  # no part of the batch would be taken with this key
# Of a form: where the key is, and where the events are. amplitude-js has `client` and `e`.
FORM_KEYS, FORM_EVENTS = ("api_key", "client"), ("event", "e", "identification")
NAMES_OF_IDENTIFICATIONS = {"/identify": "$identify", "/groupidentify": "$groupidentify"}


class Body(msgspec.Struct, gc=False):
    """Holds a body. Some clients write one event in place of an array of them."""

    events: list[Said] | Said
    api_key: str = ""
    client_upload_time: Text = None


class Batch(msgspec.Struct, gc=False):
    """Holds a body whose events are not decoded yet, because one of them may be at fault."""

    events: list[Raw] | dict[str, Any] | None = None
    api_key: Text = None
    client_upload_time: Any = None


_encode = msgspec.json.Encoder().encode
_body = msgspec.json.Decoder(Body).decode
_batch = msgspec.json.Decoder(Batch).decode
_one = msgspec.json.Decoder(Said).decode
_some = msgspec.json.Decoder(list[Raw] | dict[str, Any]).decode


class Amplitude(Large):
    """Reads and answers version 2 of the HTTP API, and its form for batches."""

    name = FAMILY
    route = "/2/httpapi"
    owns_visitors = True

    def __init__(self, limits: Limits) -> None:
        self.limits = limits.of_family(BODY_BYTES_MAX, EVENTS_MAX, ID_CHARS_MAX)

    def pieces(self, head: Head, body: bytes) -> Pieces[Decoded]:
        text = sniffed(body, head.coding, self.limits.body_bytes_max)
        if len(text) > PIECE_BYTES:
            yield len(text)
        said, key, sent_at = _form(head, text) if _is_form(text) else _json(text)
        key, _, credential = key.partition(":")  # a server writes its server key behind the site's
        site = f"{FAMILY}:{key}"
        items: list[Item] = []
        for piece in said:
            if items:
                yield len(text)
            items += [item_of(one, site, sent_at) if isinstance(one, Said) else one for one in piece]
        require_some(items, self.limits)
        return Decoded(items, are_many(items), len(text), credential=server_key(credential), site=site)

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 if something was taken or nothing was wanted, and otherwise names each event that was refused."""
        wrong = refused_whole(fates)
        if not wrong:
            taken = {
                "code": 200,
                "events_ingested": fates.count(None),
                "payload_size_bytes": decoded.size,
                "server_upload_time": int(time() * 1_000),
            }
            return json_answer(200, taken)
        wrong_key = next((reason for reason in wrong if reason in UNKNOWN), None)
        if wrong_key is not None:
            return self.refusal(head, wrong_key)
        at_fault: dict[str, list[int]] = {}
        for at, reason in enumerate(fates):
            field = "event_properties" if reason is None else FIELDS.get(reason, "event_properties")
            at_fault.setdefault(field, []).append(at)
        said = {"code": 400, "error": _explained(fates), "missing_field": None, "events_with_invalid_fields": at_fault}
        return json_answer(400, said | {"events_with_missing_fields": {}})

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = _status(reason)
        if status in {429, 503}:
            return _later(status, reason, status)
        if reason in UNKNOWN:
            return json_answer(400, {"code": 400, "error": f"Invalid API key: {EXPLAINED[reason]}"})
        said = {"code": status, "error": EXPLAINED[reason], "missing_field": MISSING.get(reason)}
        return json_answer(status, said)

    def shed(self, reason: Shed) -> Answer:
        return _later(503 if reason is Shed.DRAINING else 429, reason)


class AmplitudeForm(Amplitude):
    """Reads and answers version 1 of the HTTP API, and amplitude-js, whose answers are words."""

    route = "/httpapi"

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 also where all events are refused, because amplitude-js would send them again before all others."""
        if not UNKNOWN.isdisjoint(fates) and None not in fates:
            return self.refusal(head, Reason.UNKNOWN_SITE)
        return SUCCESS

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        if reason in UNKNOWN:
            return Answer(400, (TEXT_TYPE,), b"invalid_api_key")
        status = _status(reason)
        return Answer(status, (TEXT_TYPE, *RETRY_AFTER) if status == 503 else (TEXT_TYPE,), EXPLAINED[reason].encode())

    def shed(self, reason: Shed) -> Answer:
        return Answer(503, (TEXT_TYPE, *RETRY_AFTER), reason.value.encode())


class AmplitudeConfig(Endpoint):
    """Answers what analytics-browser asks for first, if its `remoteConfig.serverUrl` says so: nothing is set from afar."""

    name = FAMILY
    route = "/config"
    CONFIG = Answer(200, (JSON_TYPE, (b"cache-control", b"max-age=300")), b'{"configs":{}}')

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return self.CONFIG


def _is_form(text: bytes) -> bool:
    return text.lstrip()[:1] not in {b"{", b"["}


def _json(text: bytes) -> tuple[Iterable[Sequence[Said | Reason]], str, Text]:
    """Returns the events of a body, a piece of work each, the site's key, and the client's clock. Raises Rejected."""
    text = mended(text)
    if len(text) <= PIECE_BYTES:
        try:
            body = _body(text)
        except (ValueError, RecursionError):  # to read each alone finds what is wrong, and keeps the rest
            pass
        else:
            return (
                [body.events if isinstance(body.events, list) else [body.events]],
                body.api_key,
                body.client_upload_time,
            )
    batch = decoded(_batch, text)
    sent_at = batch.client_upload_time
    moment = sent_at if isinstance(sent_at, str | int | float) else None
    return _each(batch.events), "" if batch.api_key is None else str(batch.api_key), moment


def _form(head: Head, text: bytes) -> tuple[Iterable[Sequence[Said | Reason]], str, Text]:
    """Does what `_json` does for a form."""
    form = form_of(text, FORM_FIELDS_MAX)
    key = next((form[name] for name in FORM_KEYS if name in form), b"")
    said = next((form[name] for name in FORM_EVENTS if name in form), None)
    if said is None:
        raise Rejected(Reason.MALFORMED_JSON)
    events = decoded(_some, mended(uncrowded(said)))
    name = NAMES_OF_IDENTIFICATIONS.get(head.path.decode("latin-1").rstrip("/"))
    moment = form.get("upload_time", b"").decode("utf-8", "replace")
    return _each(events, name), clean(key.decode("utf-8", "replace")), moment or None


def _each(said: list[Raw] | dict[str, Any] | None, name: str | None = None) -> Iterable[Sequence[Said | Reason]]:
    """Returns events that are decoded one by one, a piece of work each. `name` is that of events without one. Raises Rejected."""
    items = said if isinstance(said, list) else [] if said is None else [Raw(_encode(said))]
    if len(items) > EVENTS_MAX:  # before a million of them are looked at
        raise Rejected(Reason.TOO_MANY_EVENTS)
    return ([_alone(item, name) for item in run] for run in runs(items))


def _alone(raw: Raw, name: str | None) -> Said | Reason:
    item = item_by(_one, raw)
    if name is not None and isinstance(item, Said) and item.event_type is None:
        item.event_type = name
    return item


def _status(reason: Reason) -> int:
    """Returns a status that the clients know: 400 for all that would be refused again."""
    status = 413 if reason in TOO_LARGE else STATUS.get(reason, 400)
    return status if status in {408, 413, 429, 503} else 400


def _explained(fates: Fates) -> str:
    return " ".join(dict.fromkeys(EXPLAINED[reason] for reason in fates if reason is not None))


def _later(code: int, reason: Reason | Shed, status: int = 503) -> Answer:
    """Returns the answer after which a client tries again: soon with the code 503, in half a minute with 429."""
    said: dict[str, Any] = {"code": code, "error": reason.value}
    if code == 429:
        said |= {"eps_threshold": 0, "throttled_devices": {}, "throttled_users": {}, "throttled_events": WAITING}
    return Answer(status, (JSON_TYPE, *RETRY_AFTER), _encode(said))
