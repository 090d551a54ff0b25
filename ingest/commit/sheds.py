"""Logs that events are answered 503, and why: the first one at once, then once a minute how many there were.

There is not a line for each, because 503s can come by the thousand a second, and the log may be on the disk that is full.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from ingest.fates import Shed

log = logging.getLogger(__name__)
SAY_SECONDS = 60.0


class Sheds:
    """Counts the 503s of one process. `why` returns what is wrong now, in words, or "" if nothing more is known."""

    def __init__(self, why: Callable[[], str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._why = why
        self._clock = clock
        self._said_at = -SAY_SECONDS
        self._unsaid: Counter[Shed] = Counter()

    def shed(self, reason: Shed, events: int) -> None:
        """Counts events that are answered 503 for this reason."""
        self._unsaid[reason] += events
        self.flush()

    def flush(self) -> None:
        """Logs what was not logged yet, unless a line was logged within the last minute."""
        now = self._clock()
        if not self._unsaid or now - self._said_at < SAY_SECONDS:
            return
        counts = ", ".join(f"{events} events for {reason.value}" for reason, events in self._unsaid.items())
        why = self._why()
        log.critical("answered 503: %s%s", counts, f" ({why})" if why else "")
        self._said_at = now
        self._unsaid.clear()
