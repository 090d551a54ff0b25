"""What was rejected lately, by reason and site: ingest counts it, and `forebay site list` shows it to whoever misses events.

    forebay:rejected:N   hash of ten minutes: "reason site" → events, "last reason site" → unix s. Gone after two hours

The name of an unknown site is whatever a stranger says. So a text that could be no name is not kept, nor is an address or a
server key, and each hash has NAMES_MAX names at most.

Not promised: that everything is counted here. The metric `forebay_events_rejected_total` is exact, and does not name unknown
sites.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from schemas.host import holds_server_key, is_word
from schemas.redis.keys import REJECTED_LAST, REJECTED_SPAN_SECONDS, rejected_key
from schemas.site_keys import is_site_key

SPANS_SHOWN = 6
NAMES_MAX = 500
OTHER, NO_NAME, ADDRESS, NONE = "(others)", "(no name of a site)", "(an address)", "(no site)"
SERVER_KEY = "(a server key)"
_address = re.compile(r"[0-9.]+|\[.*|.*:.*").fullmatch

Noted = tuple[str, str]  # reason, and what is shown of the site


class Rejected(NamedTuple):
    """Counts the events of one reason and site; `last` is the unix second of the last."""

    reason: str
    site: str
    events: int
    last: int


def shown(site: str) -> str:
    """Returns what may be kept, and written on a terminal, of the site that an event gives."""
    if not site:
        return NONE
    if holds_server_key(site):
        return SERVER_KEY
    if is_site_key(site):
        return site
    if _address(site):
        return ADDRESS
    return site if is_word(site) else NO_NAME


def keys_shown(seconds: float) -> list[str]:
    """Returns the keys of the hour that ends at a moment in unix s."""
    return [rejected_key(seconds - span * REJECTED_SPAN_SECONDS) for span in range(SPANS_SHOWN)]


def added_up(spans: list[Mapping[str, str]]) -> list[Rejected]:
    """Adds up the hashes, most events first. A field that ingest did not write is left out."""
    events: dict[Noted, int] = {}
    last: dict[Noted, int] = {}
    for span in spans:
        for name, value in span.items():
            reason, _, site = name.removeprefix(REJECTED_LAST).partition(" ")
            if not value.isdigit() or (shown(site) != site and site not in {OTHER, NO_NAME, ADDRESS, SERVER_KEY, NONE}):
                continue
            if name.startswith(REJECTED_LAST):
                last[reason, site] = max(last.get((reason, site), 0), int(value))
            else:
                events[reason, site] = events.get((reason, site), 0) + int(value)
    found = [Rejected(*noted, count, last.get(noted, 0)) for noted, count in events.items()]
    return sorted(found, key=lambda one: (-one.events, one.site, one.reason))
