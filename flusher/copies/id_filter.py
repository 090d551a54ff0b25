"""Remembers the client ids that were seen lately, in Bloom filters: a miss is definite, a hit means "ask ClickHouse".

Each filter holds the ids of one stretch of time. A new one is begun when the last one is full or half a window old, and
the oldest is dropped when its last id is older than the window. An id takes 4 bytes. When the filters would take more
than `bytes_max`, the oldest are dropped early, and `reach_ms` says how far back every id is still known.

Not promised: that a hit is true. One in 200 000 ids that were never seen is a hit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rbloom import Bloom

# With 8 hashes and 4 B for each id, 5e-6 of the ids that were never seen are taken for seen. The textbook's 17 hashes
# and 3 B come to 1e-5, but each hash in a large filter misses the CPU's cache: 0.47 us for an id against 0.25. At 1e-3
# every block of 1 000 rows would ask ClickHouse about the whole window.
HASHES = 8
BYTES_PER_ID = 4
SLICE = 10_000  # ids that are added without letting go of the interpreter, which takes 3 ms
ROOM_FIRST = 1 << 18  # ids, in 1 MB
ROOM_GROWTH = 2  # times the ids of the last half window: few filters to ask, and not much room that stays empty


@dataclass(slots=True)
class Stretch:
    """Holds `count` ids that were seen from `first_ms` to `final_ms`, and has room for `room` of them."""

    ids: Bloom
    room: int
    first_ms: int
    final_ms: int
    count: int = 0


class IdFilter:
    """Remembers the ids of the window. It must not be used by two threads at once."""

    def __init__(self, *, window_ms: int, bytes_max: int) -> None:
        self._window_ms = window_ms
        self._bytes_max = bytes_max
        self._stretches: list[Stretch] = []
        self._forgotten_ms: int | None = None

    def clear(self) -> None:
        """Forgets all ids, so that the filter can be filled again."""
        self._stretches.clear()
        self._forgotten_ms = None

    def among(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the ids that may have been seen."""
        found: set[str] = set()
        for stretch in self._stretches:
            known = stretch.ids
            found.update([one for one in ids if one in known])
        return found

    def add(self, ids: Sequence[str], at_ms: int) -> None:
        """Remembers ids that were seen at this time, in ms of a monotonic clock and not long before the last ones."""
        last = self._stretches[-1] if self._stretches else None
        if last is None or last.count + len(ids) > last.room or at_ms - last.first_ms > self._window_ms // 2:
            last = self._begin(len(ids), at_ms)
        for at in range(0, len(ids), SLICE):  # so that the event loop has its turn in between
            last.ids.update(ids[at : at + SLICE])
        last.count += len(ids)
        last.final_ms = max(last.final_ms, at_ms)

    def reach_ms(self, now_ms: int) -> int:
        """Returns how far back every id is known: the window, or less where memory was short."""
        return self._window_ms if self._forgotten_ms is None else min(self._window_ms, now_ms - self._forgotten_ms)

    @property
    def bytes(self) -> int:
        """Returns the memory that the filters take."""
        return sum(stretch.room * BYTES_PER_ID for stretch in self._stretches)

    def _begin(self, count: int, at_ms: int) -> Stretch:
        self._stretches = [one for one in self._stretches if at_ms - one.final_ms <= self._window_ms]
        seen = sum(one.count for one in self._stretches if at_ms - one.final_ms <= self._window_ms // 2)
        room = max(count, ROOM_FIRST, min(seen * ROOM_GROWTH, self._bytes_max // 4 // BYTES_PER_ID))
        begun = Stretch(_filter(room), room, at_ms, at_ms)
        self._stretches.append(begun)
        while len(self._stretches) > 1 and self.bytes > self._bytes_max:
            gone = self._stretches.pop(0)
            self._forgotten_ms = max(self._forgotten_ms or gone.final_ms, gone.final_ms)
        return begun


def _filter(room: int) -> Bloom:
    """Returns an empty filter with room for so many ids, of BYTES_PER_ID and HASHES.

    rbloom takes an expected number of ids and a rate of false hits, so these are the ones for which HASHES are best.
    """
    return Bloom(math.ceil(room * BYTES_PER_ID * 8 * math.log(2) / HASHES), 2.0**-HASHES)
