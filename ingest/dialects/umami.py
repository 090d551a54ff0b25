"""Reads and answers Umami's clients: its script of all ages, @umami/node, its Python client, and batches (docs/compatibility-umami.md).

A request is one object, `{"type": "event", "payload": {...}}`, or in a batch a list of them. `website` is a UUID, registered as
the key `umami:UUID` of a site. An event without a name is a pageview. Addresses may be paths, which belong to `hostname`.
What they say is read in umami_events.py.

Scripts send along in `x-umami-cache` what the answer before had in `cache`, and old ones the whole answer. Nothing here depends on it.
No client of Umami sends anything again, whatever it is told.
"""

from __future__ import annotations

from ingest.dialects.answers import json_answer
from ingest.dialects.coding import mended, text_of
from ingest.dialects.contract import STATUS, Answer, Decoded, Fates
from ingest.dialects.credentials import bearer, server_key
from ingest.dialects.event import Limits
from ingest.dialects.reading import Object
from ingest.dialects.request import Head, Rejected
from ingest.dialects.umami_events import many, one
from ingest.fates import UNWANTED, Reason, Shed
from schemas.reasons import EXPLAINED

# Umami answers with its ids of the session and the visit. Forebay shows its own to nobody, so these are zeros.
NOBODY = "00000000-0000-0000-0000-000000000000"
CACHE = "forebay"
TAKEN = {"cache": CACHE, "sessionId": NOBODY, "visitId": NOBODY}
UNCOUNTED = {"beep": "boop"}  # Umami's answer to bots, which it does not count

ACCEPTED = json_answer(200, TAKEN)


class Umami:
    """Reads and answers `POST /api/send`."""

    name = "umami"
    route = "/api/send"
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the event of a body. Raises Rejected."""
        plain = mended(text_of(body, head.coding, self.limits.body_bytes_max))
        item = one(plain, self.limits)
        if isinstance(item, Reason):
            raise Rejected(item)
        return Decoded([item], False, len(plain), credential=server_key(bearer(head)))

    def answer(self, head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers with a cache, as the script expects it."""
        return ACCEPTED if fates[0] is None else self.refusal(head, fates[0])

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        """Answers in JSON, because the script reads it whatever the status is."""
        if reason in UNWANTED:
            return json_answer(200, UNCOUNTED)
        status = _status(reason)
        return json_answer(status, _error(reason))

    def shed(self, reason: Shed) -> Answer:
        said = {"message": reason.value, "code": "service-unavailable", "status": 503}
        return json_answer(503, {"error": said})


class UmamiBatch(Umami):
    """Reads and answers `POST /api/batch`."""

    route = "/api/batch"

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of a list. Raises Rejected for what is wrong with all of it."""
        plain = mended(text_of(body, head.coding, self.limits.body_bytes_max))
        return Decoded(many(plain, self.limits), True, len(plain), credential=server_key(bearer(head)))

    def answer(self, _head: Head, _decoded: Decoded, fates: Fates) -> Answer:
        """Answers 200 whatever became of the events, and names those that were refused, as Umami does."""
        details = [
            {"index": at, "response": _error(reason)}
            for at, reason in enumerate(fates)
            if reason is not None and reason not in UNWANTED
        ]
        size, errors = len(fates), len(details)
        body = {"size": size, "processed": size - errors, "errors": errors, "details": details, "cache": CACHE}
        return json_answer(200, body)


def _status(reason: Reason) -> int:
    return 400 if reason is Reason.UNKNOWN_SITE else STATUS.get(reason, 400)


def _error(reason: Reason) -> Object:
    message = "Website not found." if reason is Reason.UNKNOWN_SITE else EXPLAINED[reason]
    return {"error": {"message": message, "code": reason.value.replace("_", "-"), "status": _status(reason)}}
