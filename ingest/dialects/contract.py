"""The contract of a dialect: a client family's wire format, from a request to its events, and from their fates to its answer.

A dialect is a pure class of its own file. The collector finds it by route and method, hands it a request's head and
body, judges the events that it decoded, and asks it for the answer, which is sent when every accepted event is durable.
So no dialect knows of sites, visitors or Redis, and none can answer too early.

Which dialect has which path is in table.py. Where two families share a path there, a Fork chooses between them for each
request. An Endpoint is a dialect of a path that carries no events, such as a configuration that an SDK asks for first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ingest.dialects.coding import opening
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
    Reason.WRONG_KEY: 401,
    Reason.REVENUE_NEEDS_KEY: 403,
    Reason.RATE_LIMITED: 429,
    Reason.BODY_INCOMPLETE: 408,
    Reason.SERVER_ERROR: 503,
    **dict.fromkeys(UNWANTED, 202),
}
# In seconds; longer than a Redis restart's stall, shorter than patience. A page of another origin may read it.
RETRY_AFTER = ((b"retry-after", b"2"), (b"access-control-expose-headers", b"retry-after"))
# What an answer says of a limit, and that a page of another origin may read it.
LIMIT_HEADERS = (
    b"retry-after", b"access-control-expose-headers", b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset",
)  # fmt: skip
EXPOSED = b"retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset"


UNSUPPORTED_CHARS_MAX = 64
_unprintable = re.compile(r"[^ -~]").sub


class Unsupported(msgspec.Struct, frozen=True, gc=False):
    """Holds the name of something that a client says and that becomes no event, such as a heatmap or a feature flag.

    It is counted under its dialect and this name, and answered as a success, so that the client does not send it again.
    """

    name: str

    @classmethod
    def named(cls, said: str) -> Unsupported:
        """Returns one under a name that a client chose: short, and of printable ASCII. A constant needs no cleaning."""
        return cls(_unprintable("?", said[:UNSUPPORTED_CHARS_MAX]))


Item = Event | Reason | Unsupported


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """Holds what a request says: its events, and what stands in the place of each item that is not an event.

    `is_many` says that the answer needs a fate for each item: `are_many`, or the dialect answers so in any case.
    `credential` is what could be a server key: what its client gave as a password, a token or a field of the body
    (credentials.py). Only a server key has an effect; other text there has none. `needs_key` says that its client is a
    server that must have one: without a key that is valid the request is refused. `site` is the site's key where a request
    names one for all that it says: one that nobody registered is refused also where nothing else would become an event.
    """

    items: Sequence[Item]
    is_many: bool
    size: int  # bytes of text it was decoded from
    ignored: list[list[str]] = []  # if the client asks for it: the names of the fields of each item that have no effect
    credential: str = ""
    needs_key: bool = False
    site: str = ""

    @property
    def events(self) -> int:
        """Returns how many items are meant as events, also those that are none."""
        return sum(not isinstance(item, Unsupported) for item in self.items)


def are_many(items: Sequence[Item]) -> bool:
    """Tells whether a request has not exactly one event, so that its answer needs a fate for each item."""
    return len(items) > 1 or not isinstance(items[0], Event)


def refused_whole(fates: Fates) -> list[Reason]:
    """Returns the reasons why nothing of a request was taken; [] if something was taken, or the site leaves all of it out."""
    if None in fates:
        return []
    return [reason for reason in fates if reason is not None and reason not in UNWANTED]


class Answer(NamedTuple):
    """Holds an answer without its CORS headers, which the collector adds."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Limited(NamedTuple):
    """Holds by how much a request was over a limit: what its bucket holds when it is full and now, and how soon it has room."""

    burst: int
    left: int
    seconds: int

    def told(self, answer: Answer) -> Answer:
        """Returns a refusal with the headers that say when its client may come again, whatever its status is."""
        kept = [pair for pair in answer.headers if pair[0] not in LIMIT_HEADERS]
        said = (b"%d" % self.seconds, EXPOSED, b"%d" % self.burst, b"%d" % self.left, b"%d" % self.seconds)
        return answer._replace(headers=(*kept, *zip(LIMIT_HEADERS, said, strict=True)))


class Dialect(Protocol):
    """Reads and answers the requests of one client family. Strings that it hands over hold no NUL.

    `owns_visitors`: its SDK numbers visitors and sessions itself, and is believed: they are hashed with the site.
    """

    name: str
    route: str  # as metrics name it
    limits: Limits
    owns_visitors: bool

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of a request. Raises Rejected if the request is refused as a whole."""
        ...

    def answer(self, head: Head, decoded: Decoded, fates: Fates) -> Answer:
        """Returns the answer to a request whose accepted events are all durable; `fates` has one entry for each item.

        That of an `Unsupported` is None, as if it had been stored.
        """
        ...

    def refusal(self, head: Head, reason: Reason) -> Answer:
        """Returns the answer to a request that was rejected as a whole.

        That to RATE_LIMITED has a status on which its client comes again, if it has one: 429 or 503. The collector adds
        the headers that say when.
        """
        ...

    def shed(self, reason: Shed) -> Answer:
        """Returns the answer while events can't be made durable: a status on which the client tries again, if it can."""
        ...


Rule = Callable[[Head, bytes], bool]
OPENING_BYTES = 1_024  # of a decoded body, by which a Fork chooses


class Fork:
    """Chooses between the dialects of families that send to the same path by the same method.

    Each of the `others` has a rule: whether a request is its own, by its head and by the first OPENING_BYTES of its body
    without a coding. The first rule that holds decides; where none holds, and for a request that was not read to
    its end, it is the first dialect's.
    """

    def __init__(self, first: Dialect, *others: tuple[Rule, Dialect]) -> None:
        self.first = first
        self._others = others
        self.dialects = (first, *[dialect for _, dialect in others])

    def choose(self, head: Head, body: bytes) -> Dialect:
        """Returns the dialect of a request. Raises nothing: a body that can't be decoded has an empty beginning."""
        begins = opening(body, head.coding, OPENING_BYTES)
        for is_own, dialect in self._others:
            if is_own(head, begins):
                return dialect
        return self.first


NO_EVENTS = Decoded([], False, 0)


class Endpoint:
    """Answers a path that carries no events: a dialect gives it a name, a route and an `answer`."""

    name: str
    route: str
    owns_visitors = False

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def decode(self, _head: Head, _body: bytes) -> Decoded:
        return NO_EVENTS

    def refusal(self, _head: Head, reason: Reason) -> Answer:
        return Answer(STATUS.get(reason, 400), (), b"")

    def shed(self, _reason: Shed) -> Answer:
        return Answer(503, RETRY_AFTER, b"")
