"""What was rejected lately, by reason and site, for the owner who asks why nothing arrives.

    forebay:rejected:N   hash of ten minutes: "reason site" → events, "last reason site" → unix s. Gone after two hours

A site that nobody knows is whatever a stranger says: what could be no name is not kept, nor is an address, and of each
ten minutes no more than NAMES_MAX.

Not promised: all of it. The counters of `forebay_events_rejected_total` are exact, and have no names of unknown sites.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

SPAN_SECONDS = 600
SPANS_SHOWN = 6
KEPT_SECONDS = 7_200
NAMES_MAX = 500
LAST = "last "
OTHER, NO_NAME, ADDRESS, NONE = "(others)", "(no name of a site)", "(an address)", "(no site)"
_name = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?").fullmatch
_address = re.compile(r"[0-9.]+|\[.*|.*:.*").fullmatch

Noted = tuple[str, str]  # reason, and what is shown of the site


class Rejected(NamedTuple):
    """Of one reason and site: events, and the unix second of the last."""

    reason: str
    site: str
    events: int
    last: int


def shown(site: str) -> str:
    """What may be kept, and written on somebody's terminal, of a site as an event says it."""
    if not site:
        return NONE
    if _address(site):
        return ADDRESS
    return site if _name(site) else NO_NAME


def rejected_key(seconds: float) -> str:
    """The key of the ten minutes around a moment in unix s."""
    return f"forebay:rejected:{int(seconds // SPAN_SECONDS)}"


def keys_shown(seconds: float) -> list[str]:
    """The keys of the last hour."""
    return [rejected_key(seconds - span * SPAN_SECONDS) for span in range(SPANS_SHOWN)]


def added_up(spans: list[Mapping[str, str]]) -> list[Rejected]:
    """What the hashes say together, most events first. What is not ours in them is left out."""
    events: dict[Noted, int] = {}
    last: dict[Noted, int] = {}
    for span in spans:
        for name, value in span.items():
            reason, _, site = name.removeprefix(LAST).partition(" ")
            if not value.isdigit() or (shown(site) != site and site not in {OTHER, NO_NAME, ADDRESS, NONE}):
                continue
            if name.startswith(LAST):
                last[reason, site] = max(last.get((reason, site), 0), int(value))
            else:
                events[reason, site] = events.get((reason, site), 0) + int(value)
    found = [Rejected(*noted, count, last.get(noted, 0)) for noted, count in events.items()]
    return sorted(found, key=lambda one: (-one.events, one.site, one.reason))
