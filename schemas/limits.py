"""How many events a site, and each of its clients, may send: as people write it, and as ingest counts it.

    2000/s      50/s,burst=500      6000/min      10000/h      off

A limit is a bucket that holds `burst` events when it is full, and is filled at `rate`. Where no burst is written, the bucket holds as
many events as come in ten seconds at that rate, or as many as the written number says, whichever is more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OFF = "off"
UNITS = {"s": 1, "min": 60, "h": 3_600}  # in seconds
BURST_SECONDS = 10
_form = re.compile(r"([1-9][0-9]{0,8})/(s|min|h)(?:,burst=([1-9][0-9]{0,8}))?").fullmatch


class Limit(NamedTuple):
    """Holds a limit: `rate` in events a second, and how many events a full bucket holds."""

    rate: float
    burst: int


def limit_form(said: str) -> str:
    """Returns a limit that somebody wrote, in its one form. Raises ValueError."""
    text = "".join(said.split()).lower()
    limit_of(text)
    return text or OFF


def limit_of(text: str) -> Limit | None:
    """Returns the limit in a text; None where the text is `off` or empty, because there is no limit. Raises ValueError."""
    if text in {"", OFF}:
        return None
    found = _form(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is no limit: write 2000/s, 6000/min, 10000/h, 50/s,burst=500 or off")
    count, unit, burst = found.groups()
    rate = int(count) / UNITS[unit]
    return Limit(rate, int(burst) if burst else max(int(count), int(rate * BURST_SECONDS)))
