"""Reads and answers Snowplow's trackers: those of pages, of servers and of apps.

    POST /com.snowplowanalytics.snowplow/tp2    JSON {schema, data: [event, ...]}, whose fields are texts
    GET /i                                      one event in the query

What events mean is in snowplow_events.py. The trackers take every 2xx for a success, drop what is answered 400, 401, 403, 410
or 422, and send everything else again, so what is too large is answered 400.

Not promised: schemas. Nothing is validated against them.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ingest.dialects.coding import sniffed
from ingest.dialects.contract import RETRY_AFTER, STATUS, Answer, Decoded, Fates, Item, are_many, refused_whole
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import Limits, clean
from ingest.dialects.native import GIF, PICTURE
from ingest.dialects.reading import listed, object_of
from ingest.dialects.request import Head, Rejected
from ingest.dialects.snowplow_events import FAMILY, item_of
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

TEXT_TYPE = (b"content-type", b"text/plain")
FIELDS_MAX, ID_CHARS_MAX = 200, 128
STATUSES = {**STATUS, **dict.fromkeys(UNWANTED, 200), Reason.BODY_TOO_LARGE: 400, Reason.BODY_INCOMPLETE: 503}


class Snowplow:
    """Reads and answers batches."""

    name = FAMILY
    route = "/com.snowplowanalytics.snowplow/tp2"
    owns_visitors = True
    TAKEN = Answer(200, (TEXT_TYPE,), b"ok")

    def __init__(self, limits: Limits) -> None:
        self.limits = msgspec.structs.replace(limits, id_chars_max=ID_CHARS_MAX)

    def decode(self, head: Head, body: bytes) -> Decoded:
        text = sniffed(body, head.coding, self.limits.body_bytes_max)
        said = listed(object_of(text).get("data"), self.limits)
        return self._decoded(head, [self._item(one) for one in said], len(text))

    @staticmethod
    def _item(said: Any) -> Item:
        return item_of(said) if isinstance(said, dict) else Reason.NOT_AN_EVENT

    @staticmethod
    def _decoded(head: Head, items: list[Item], size: int) -> Decoded:
        return Decoded(items, are_many(items), size, credential=server_key(bearer(head)))

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 if something was taken or nothing was wanted."""
        wrong = refused_whole(fates)
        return self.refusal(head, wrong[0]) if wrong else self.TAKEN

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        status = STATUSES.get(reason, 400)
        status = 400 if status == 415 else status
        return Answer(status, (TEXT_TYPE, *RETRY_AFTER) if status == 503 else (TEXT_TYPE,), EXPLAINED[reason].encode())

    def shed(self, reason: Shed) -> Answer:
        return Answer(503, (TEXT_TYPE, *RETRY_AFTER), reason.value.encode())


class SnowplowPixel(Snowplow):
    """Reads one event of a query, and answers with a picture."""

    route = "/i"
    TAKEN = Answer(200, PICTURE, GIF)

    def decode(self, head: Head, _body: bytes) -> Decoded:
        try:
            pairs = parse_qsl(head.query.decode("utf-8", "replace"), max_num_fields=FIELDS_MAX)
        except ValueError:
            raise Rejected(Reason.EVENT_TOO_LARGE) from None
        said = {clean(name): clean(value) for name, value in pairs}
        return self._decoded(head, [item_of(said)], len(head.query))
