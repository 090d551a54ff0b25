"""Words a warning about two clocks that disagree, for ingest, the flusher and `forebay audit`.

No promise rests on clocks agreeing: entries are put in order by their ids, ingest's clock dates events, and each lease and
deadline is held against one clock. But numbers that people read (lag, days, minutes of the ledger) are as wrong as the
clocks are.
"""

from __future__ import annotations

SKEW_SECONDS_MAX = 5.0  # NTP keeps hosts within milliseconds


def skew(name: str, theirs_ms: int, ours_ms: int) -> str:
    """Returns a sentence about a clock that is off ours, both in unix ms; an empty text where it is near enough."""
    seconds = (theirs_ms - ours_ms) / 1000
    if abs(seconds) <= SKEW_SECONDS_MAX:
        return ""
    size = abs(seconds)
    text = f"{size:.0f} s" if size < 600 else f"{size / 60:.0f} min" if size < 36_000 else f"{size / 3600:.1f} h"
    return f"the clock of {name} is {text} {'ahead of' if seconds > 0 else 'behind'} this host's"
