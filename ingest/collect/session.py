"""Reads from the id of an SDK's session when the session began.

The upper half of a `session_id` is the second in which the session began: rows are sorted by it, so a query of some days skips
the others. Therefore an SDK's session is kept only if its id says when it began:

    0193a5c0-7f3e-7…   a UUID of version 7, which begins with milliseconds (PostHog)
    1798718400000      milliseconds since 1970 (Amplitude)
    1798718400         seconds since 1970 (GA4)

Events with another id are put into sessions as those of all visitors are (flusher/blocks/sessions.py).

Not promised: that a session belongs to one person. The SDK decides that.
"""

from __future__ import annotations

import re
from functools import lru_cache

LENGTH_MS_MAX = 86_400_000  # an id that says an earlier beginning, measured from its event, is not believed
REMEMBERED = 4_096  # ids of 200 characters at most
AHEAD_MS_MAX = 60_000  # two clocks of one client do not agree to the millisecond
_uuid7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
_seconds = re.compile(r"[0-9]{10}").fullmatch
_milliseconds = re.compile(r"[0-9]{13}").fullmatch


def began_ms(session: str, moment_ms: int) -> int | None:
    """Returns when a session began, in unix ms; None if its id does not say it, or says a moment that can't be true.

    `moment_ms` is when its event happened. A session begins no later than its events.
    """
    start_ms = _said_ms(session)
    if start_ms is None or not moment_ms - LENGTH_MS_MAX <= start_ms <= moment_ms + AHEAD_MS_MAX:
        return None
    return start_ms


@lru_cache(REMEMBERED)  # a session has many events: 0.1 us in place of 1.2
def _said_ms(session: str) -> int | None:
    if found := _uuid7(session.lower()):
        return int(found[1] + found[2], 16)
    if _milliseconds(session):
        return int(session)
    return int(session) * 1_000 if _seconds(session) else None


def name_in_site(session: str, visitor_id: int) -> str:
    """Returns a name that no other session of the site has: a UUID is one by itself, and a number only beside its visitor."""
    return session.lower() if "-" in session else f"{visitor_id}\0{session}"
