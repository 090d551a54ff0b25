"""Client ids that were seen lately: a filter whose no is certain and whose yes is a reason to look.

Bloom filters one behind the other, each for a stretch of time: a new one is begun when the
last is full or half the window has passed, and the oldest is dropped when the window has
passed all of it. So an id is known for between one and two windows, at 4 bytes
each. When they would take more than `bytes_max`, the oldest go early and `reach_ms` says so.

Not promised: that a yes is true (1 in 200 000 isn't). Whoever is told one asks ClickHouse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rbloom import Bloom

# 8 hashes and 4 B an id: 5e-6 of what was never seen is taken for seen. The textbook's 17 hashes and 3 B come to 1e-5,
# but every hash of a big filter is a miss of the cache: 0.47 us an id against 0.25. At 1e-3 any block of 1 000 rows
# would ask ClickHouse about the whole window.
HASHES = 8
BYTES_PER_ID = 4
SLICE = 10_000  # ids added without letting go of the interpreter: 3 ms
ROOM_FIRST = 1 << 18  # 1 MB
ROOM_GROWTH = 2  # times what half a window saw: few filters to ask, and not too much room that stays empty


@dataclass(slots=True)
class Stretch:
    """Ids of a stretch of time; `count` of them, room for `room`."""

    ids: Bloom
    room: int
    first_ms: int
    final_ms: int
    count: int = 0


class IdFilter:
    """Ids of the window. Not for two threads: who shares it works in turns."""

    def __init__(self, *, window_ms: int, bytes_max: int) -> None:
        self._window_ms = window_ms
        self._bytes_max = bytes_max
        self._stretches: list[Stretch] = []
        self._forgotten_ms: int | None = None

    def clear(self) -> None:
        """Forget all, to be filled again."""
        self._stretches.clear()
        self._forgotten_ms = None

    def among(self, ids: Sequence[str]) -> set[str]:
        """Those of them that may have been seen."""
        found: set[str] = set()
        for stretch in self._stretches:
            known = stretch.ids
            found.update([one for one in ids if one in known])
        return found

    def add(self, ids: Sequence[str], at_ms: int) -> None:
        """These were seen at a time, in ms of a clock that nobody sets, not far from the last one."""
        last = self._stretches[-1] if self._stretches else None
        if last is None or last.count + len(ids) > last.room or at_ms - last.first_ms > self._window_ms // 2:
            last = self._begin(len(ids), at_ms)
        for at in range(0, len(ids), SLICE):  # so that the event loop has its turn between two
            last.ids.update(ids[at : at + SLICE])
        last.count += len(ids)
        last.final_ms = max(last.final_ms, at_ms)

    def reach_ms(self, now_ms: int) -> int:
        """How far back it knows every id: the window, or less where memory was short."""
        return self._window_ms if self._forgotten_ms is None else min(self._window_ms, now_ms - self._forgotten_ms)

    @property
    def bytes(self) -> int:
        """What it takes."""
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
    """Of BYTES_PER_ID and HASHES, told to rbloom in its own terms: as the size that HASHES are best for."""
    return Bloom(math.ceil(room * BYTES_PER_ID * 8 * math.log(2) / HASHES), 2.0**-HASHES)
