"""The contract of a dialect: a client family's wire format, from a request to its events, and from their fates to its answer.

A dialect is a pure class of its own file. The collector finds it by route and method, hands it a request's head and
body, judges the events that it decoded, and asks it for the answer, which is sent when every accepted event is durable.
So no dialect knows of sites, visitors or Redis, and none can answer too early.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from ingest.dialects.event import Event, Limits
from ingest.dialects.request import Head
from ingest.fates import UNWANTED, Reason, Shed

Fates = list[Reason | None]  # of each item of a request, in order: why it was rejected, or None

# Statuses of requests of which nothing was taken; a reason that is not named here is answered 400.
STATUS = {
    Reason.BODY_TOO_LARGE: 413,
    Reason.UNSUPPORTED_ENCODING: 415,
    Reason.UNSUPPORTED_MEDIA_TYPE: 415,
    Reason.UNKNOWN_SITE: 403,
    Reason.BODY_INCOMPLETE: 408,
    Reason.SERVER_ERROR: 503,
    **dict.fromkeys(UNWANTED, 202),
}
# In seconds; longer than a Redis restart's stall, shorter than patience. A page of another origin may read it.
RETRY_AFTER = ((b"retry-after", b"2"), (b"access-control-expose-headers", b"retry-after"))


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """Holds what a request says: its events, and a reason in the place of each item that is not an event."""

    items: list[Event | Reason]
    is_many: bool
    size: int  # bytes of text it was decoded from
    ignored: list[list[str]] = []  # if the client asks for it: the names of the fields of each item that have no effect


class Answer(NamedTuple):
    """Holds an answer without its CORS headers, which the collector adds."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Dialect(Protocol):
    """Reads and answers the requests of one client family. Strings that it hands over hold no NUL."""

    name: str
    route: str  # as metrics name it
    limits: Limits
    owns_visitors: bool  # whether its SDK numbers visitors itself

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of a request. Raises Rejected if the request is refused as a whole."""
        ...

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Returns the answer to a request whose accepted events are all durable; `fates` has one entry for each item."""
        ...

    def refusal(self, head: Head, reason: Reason) -> Answer:
        """Returns the answer to a request that was rejected as a whole."""
        ...

    def shed(self, reason: Shed) -> Answer:
        """Returns the answer while events can't be made durable: a status on which the client tries again, if it can."""
        ...
