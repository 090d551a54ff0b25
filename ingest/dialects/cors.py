"""Makes the CORS headers of the routes that pages of other origins call: they mirror the origin, if it can be one.

They allow credentials, because sendBeacon always asks with credentials; there is no cookie that
these could carry to us. Two joined origins, line ends or a kilobyte of text are not an origin, and
text of a client appears among our headers only if it is made of harmless bytes.
"""

from __future__ import annotations

import re

from ingest.dialects.request import Head

Pairs = tuple[tuple[bytes, bytes], ...]

ORIGINS_CACHED = 1_024  # at most 255 bytes each; all are forgotten when full
VARY = (b"vary", b"Origin")
CREDENTIALS = (b"access-control-allow-credentials", b"true")
MAX_AGE = (b"access-control-max-age", b"86400")  # browsers cap it at 2 or 24 hours
_origin = re.compile(rb"[!-~]{1,255}").fullmatch
_header_names = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}").fullmatch


class Cors:
    """Makes the headers, and remembers those of the origins that it saw, which takes 0.1 us instead of 0.5."""

    def __init__(self) -> None:
        self._known: dict[bytes, Pairs] = {}

    def of(self, origin: bytes | None) -> Pairs:
        """Returns the headers for an origin. Equal origins get the same object, so that a lane can remember heads by it."""
        if origin is None:
            return (VARY,)
        known = self._known.get(origin)
        if known is not None:
            return known
        if not _origin(origin):
            return (VARY,)
        if len(self._known) >= ORIGINS_CACHED:
            self._known.clear()
        made = self._known[origin] = ((b"access-control-allow-origin", origin), CREDENTIALS, VARY)
        return made

    def preflight(self, head: Head, allowed: bytes) -> Pairs:
        """Returns what a browser asks for before it sends: the methods, and the headers that it named."""
        asked = head.fields.get(b"access-control-request-headers", b"")
        names = ((b"access-control-allow-headers", asked),) if _header_names(asked) else ()
        return (
            *self.of(head.fields.get(b"origin")),
            (b"vary", b"Access-Control-Request-Headers"),
            (b"access-control-allow-methods", allowed),
            *names,
            MAX_AGE,
        )
