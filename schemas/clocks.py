"""How far two clocks may be apart before it is said, and what is then said.

No promise rests on clocks agreeing: ids order, ingest's clock dates events, leases and deadlines are each held against one
clock. But numbers that people read (lag, days, minutes of the ledger) are as wrong as the clocks are.
"""

from __future__ import annotations

SKEW_SECONDS_MAX = 5.0  # NTP keeps hosts within milliseconds


def skew(name: str, theirs_ms: int, ours_ms: int) -> str:
    """Returns what there is to say about a clock beside ours, both in unix ms; empty: nothing."""
    seconds = (theirs_ms - ours_ms) / 1000
    if abs(seconds) <= SKEW_SECONDS_MAX:
        return ""
    size = abs(seconds)
    text = f"{size:.0f} s" if size < 600 else f"{size / 60:.0f} min" if size < 36_000 else f"{size / 3600:.1f} h"
    return f"the clock of {name} is {text} {'ahead of' if seconds > 0 else 'behind'} this host's"
