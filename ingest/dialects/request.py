"""Holds the head of a request as HTTP hands it over, and reads the few header fields that anything here uses.

Names are matched without regard to case. A field that came more than once is one value joined
by ", " (RFC 9110, 5.3), except that equal copies of a field that is not a list count as one. So
a doubled field needs no rule of its own: "text/plain, text/html" is not a media type that we take,
"https://a, https://b" is not an origin that we mirror, "1.2.3.4, 5.6.7.8" is not a
CF-Connecting-IP, and "gzip, gzip" is two codings where we undo one.

Not promised: that a value makes sense. Each reader of a field judges its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from ingest.fates import Reason

Headers = Sequence[tuple[bytes, bytes]]

READ = frozenset(
    (
        b"accept-language",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"authorization",
        b"cf-connecting-ip",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"dnt",
        b"expect",
        b"forwarded",
        b"host",
        b"openpanel-client-id",
        b"openpanel-client-secret",
        b"origin",
        b"posthog-request-timestamp",
        b"referer",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-model",
        b"sec-ch-ua-platform",
        b"sec-ch-ua-platform-version",
        b"sec-gpc",
        b"transfer-encoding",
        b"user-agent",
        b"x-client-ip",
        b"x-forebay-debug",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-plausible-ip",
        b"x-retry-count",
        b"x-umami-cache",
        b"x-write-key",
    )
)
# These three say to which host a request goes and where it ends. They are not lists, but a second one must be noticed.
FRAMING = frozenset((b"content-length", b"host", b"transfer-encoding"))
LISTS = FRAMING | {b"connection", b"content-encoding", b"forwarded", b"x-forwarded-for"}
SPELLINGS_MAX = 4_096  # names of up to 8 KiB each; browsers and proxies use some 200


@lru_cache(64)  # browsers and SDKs send some ten; a field has 8 KiB at most
def _type_of(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


class Rejected(Exception):
    """Refuses the request as a whole: it is the client's fault."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Head(msgspec.Struct, gc=False):
    """Holds what a request says before its body: `fields` by lower-case name, and `headers` as they came.

    `media_type`, `coding` and `is_debug` are judged once, because a head that is known again is not judged again.
    """

    method: str
    target: bytes
    path: bytes
    query: bytes
    headers: Headers
    fields: dict[bytes, bytes]
    media_type: bytes  # in lower case and without its parameters; empty when there is none
    coding: bytes  # of the body, in lower case; empty when there is none
    is_debug: bool  # the client asked for explanations of what was rejected or ignored


class FieldReader:
    """Picks the fields out of a request's headers.

    It remembers how names are spelt, because one dict look-up for each header, 0.6 us a request
    of 12 headers, takes half the time of lowering each name.
    """

    def __init__(self, more: Iterable[bytes] = ()) -> None:
        """Takes in `more` the names that settings ask for, in any case."""
        self._spelt = _Spellings(READ | {name.lower() for name in more if name})

    def head(self, method: str, target: bytes, headers: Headers) -> Head:
        """Returns a request's head."""
        path, _, query = target.partition(b"?")
        fields = self.fields(headers)
        # The tracker says so what navigator.globalPrivacyControl says: a page can't send the header.
        if b"gpc=1" in query and b"gpc=1" in query.split(b"&"):
            fields[b"sec-gpc"] = b"1"
        asked = fields.get(b"x-forebay-debug", b"0") not in {b"", b"0"}
        is_debug = asked or (b"debug=1" in query and b"debug=1" in query.split(b"&"))
        media_type = _type_of(fields.get(b"content-type", b""))
        coding = fields.get(b"content-encoding", b"")
        return Head(method, target, path, query, headers, fields, media_type, coding.strip().lower(), is_debug)

    def fields(self, headers: Headers) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        spelt = self._spelt
        for header, value in headers:
            name = spelt[header]
            if name is not None:
                found[name] = _joined(name, found[name], value) if name in found else value
        return found


class _Spellings(dict[bytes, bytes | None]):
    """Maps a name as it was spelt to the name under which we read it, or to None if we do not read it."""

    def __init__(self, read: frozenset[bytes]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, spelt: bytes) -> bytes | None:
        name = spelt.lower()
        known = name if name in self._read else None
        if len(self) < SPELLINGS_MAX:
            self[spelt] = known
        return known


def _joined(name: bytes, before: bytes, value: bytes) -> bytes:
    return before if before == value and name not in LISTS else before + b", " + value
