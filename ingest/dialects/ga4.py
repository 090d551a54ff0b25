"""Reads and answers Google Analytics 4: what gtag.js sends from pages, and the Measurement Protocol of servers.

    /g/collect      an event in the query, or several as lines of the body, each of them a query that goes before that of the request
    /mp/collect     JSON {client_id, user_id, timestamp_micros, events}, with `measurement_id` and `api_secret` in the query
    /debug/mp/collect    the same, but nothing is kept, and the answer says what would be refused

What events mean is in ga4_events.py. None of these clients reads an answer, and none sends anything again.

Not promised: consent. An event is counted, or not, as the site wants it (docs/configuration.md, `privacy_signals`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ingest.dialects.answers import JSON_TYPE, json_answer
from ingest.dialects.coding import few_escapes, mended, sniffed
from ingest.dialects.contract import STATUS, Answer, Decoded, Fates, Item, are_many, refused_whole
from ingest.dialects.credentials import server_key
from ingest.dialects.event import Event, Limits, clean
from ingest.dialects.ga4_events import FAMILY, item_of
from ingest.dialects.reading import decoded, moment_ms, require_some
from ingest.dialects.request import Head, Rejected
from ingest.dialects.vocabulary import size_of
from ingest.fates import Reason, Shed
from schemas.reasons import EXPLAINED

TAKEN = Answer(204, (), b"")
EVENTS_MAX, FIELDS_MAX, ID_CHARS_MAX = 100, 300, 128
TEXT_PARAMETER, NUMBER_PARAMETER = "ep.", "epn."

Text = str | int | float | None


class Said(msgspec.Struct, gc=False):
    """Holds an event of the protocol."""

    name: str
    params: Any = None
    timestamp_micros: Text = None


class Body(msgspec.Struct, gc=False):
    """Holds a body of the protocol. `client_id` is a browser's, `app_instance_id` an app's."""

    events: list[msgspec.Raw]
    client_id: Text = None
    app_instance_id: Text = None
    user_id: Text = None
    timestamp_micros: Text = None
    ip_override: Any = None
    user_agent: Any = None


_body = msgspec.json.Decoder(Body).decode
_one = msgspec.json.Decoder(Said).decode


class Ga4:
    """Answers both ways of sending."""

    name = FAMILY
    route = "/g/collect"
    owns_visitors = True

    def __init__(self, limits: Limits) -> None:
        self.limits = msgspec.structs.replace(limits, events_max=EVENTS_MAX, id_chars_max=ID_CHARS_MAX)

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 204 if something was taken or nothing was wanted."""
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else TAKEN

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUS.get(reason, 400)
        return json_answer(status, {"reason": reason, "explanation": EXPLAINED[reason]})

    def shed(self, reason: Shed) -> Answer:
        return json_answer(503, {"reason": reason})


class Gtag(Ga4):
    """Reads what gtag.js sends."""

    def decode(self, head: Head, body: bytes) -> Decoded:
        is_empty = not body or body.isspace()
        text = b"" if is_empty else few_escapes(sniffed(body, head.coding, self.limits.body_bytes_max))
        query = _fields(head.query)
        lines = [line for line in text.splitlines() if line.strip()] or [b""]
        require_some(lines, self.limits)
        items = [self._item(query | _fields(line), at) for at, line in enumerate(lines)]
        return Decoded(items, are_many(items), len(text) + len(head.query))

    @staticmethod
    def _item(said: dict[str, str], at: int) -> Item:
        get = said.get
        page, hit = get("_p"), get("_s")
        common = Event(
            site=f"{FAMILY}:{get('tid', '')}",
            url=get("dl"),
            referrer=get("dr"),
            title=get("dt"),
            language=get("ul"),
            screen=size_of(get("sr")),
            id=f"{get('cid', '')}.{page}.{hit}.{at}" if page and hit else None,
            user=get("uid"),
            visitor=get("cid"),
            session=get("sid"),
        )
        found: dict[str, Any] = {}
        for name, value in said.items():
            if name.startswith((TEXT_PARAMETER, NUMBER_PARAMETER)):
                found[name.partition(".")[2]] = value
        if "_et" in said:
            found.setdefault("engagement_time_msec", said["_et"])
        if "cu" in said:
            found.setdefault("currency", said["cu"])
        name = get("en") or "page_view"
        return item_of(name, found, common)


class MeasurementProtocol(Ga4):
    """Reads what servers send."""

    route = "/mp/collect"

    def decode(self, head: Head, body: bytes) -> Decoded:
        text = mended(sniffed(body, head.coding, self.limits.body_bytes_max))
        query = _fields(head.query)
        said = decoded(_body, text)
        require_some(said.events, self.limits)
        key = query.get("measurement_id") or query.get("firebase_app_id", "")
        visitor = said.client_id if said.client_id is not None else said.app_instance_id
        common = Event(
            site=f"{FAMILY}:{key}",
            ts=moment_ms(said.timestamp_micros),
            user=_id(said.user_id),
            visitor=_id(visitor) or _id(said.user_id),
            ip=said.ip_override if isinstance(said.ip_override, str) else None,
            user_agent=said.user_agent if isinstance(said.user_agent, str) else None,
        )
        items = [self._item(one, common) for one in said.events]
        credential = server_key(query.get("api_secret", ""))
        return Decoded(items, are_many(items), len(text), credential=credential)

    @staticmethod
    def _item(raw: msgspec.Raw, common: Event) -> Item:
        try:
            said = decoded(_one, raw)
        except Rejected as rejected:
            return rejected.reason
        item = item_of(said.name, said.params if isinstance(said.params, dict) else {}, common)
        if isinstance(item, Event) and said.timestamp_micros is not None:
            item.ts = moment_ms(said.timestamp_micros)
        return item


class Validation(MeasurementProtocol):
    """Answers what would be refused of a body, and keeps nothing of it."""

    route = "/debug/mp/collect"

    def decode(self, head: Head, body: bytes) -> Decoded:
        super().decode(head, body)
        return Decoded([], True, len(body))

    def answer(self, _head: Head, _decoded: Decoded, _fates: Fates) -> Answer:
        return Answer(200, (JSON_TYPE,), b'{"validationMessages":[]}')

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        said = {"fieldPath": "events", "description": EXPLAINED[reason], "validationCode": reason}
        return json_answer(200, {"validationMessages": [said]})


def _fields(said: bytes) -> dict[str, str]:
    """Returns the fields of a query. Raises Rejected if there are too many."""
    try:
        return {
            clean(name): clean(value)
            for name, value in parse_qsl(said.decode("utf-8", "replace"), max_num_fields=FIELDS_MAX)
        }
    except ValueError:
        raise Rejected(Reason.EVENT_TOO_LARGE) from None


def _id(said: Text) -> str | None:
    return None if said is None or said == "" else str(said)
