"""Says in the log that events are answered 503, and why: the first one at once, then once a minute how many there were.

The log may be on the disk that is full, and 503s come by the thousand a second: hence no line for each.
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
    """The 503s of one process. `why` is asked what is wrong now, in words; empty where nothing else is known."""

    def __init__(self, why: Callable[[], str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._why = why
        self._clock = clock
        self._said_at = -SAY_SECONDS
        self._unsaid: Counter[Shed] = Counter()

    def shed(self, reason: Shed, events: int) -> None:
        """Events are answered 503 for this reason."""
        self._unsaid[reason] += events
        self.flush()

    def flush(self) -> None:
        """Says what is not said yet, unless something was said within the last minute."""
        now = self._clock()
        if not self._unsaid or now - self._said_at < SAY_SECONDS:
            return
        counts = ", ".join(f"{events} events for {reason.value}" for reason, events in self._unsaid.items())
        why = self._why()
        log.critical("answered 503: %s%s", counts, f" ({why})" if why else "")
        self._said_at = now
        self._unsaid.clear()
