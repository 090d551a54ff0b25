"""Notices visitors that look at more pages in a minute than a person can.

A visitor that has more than PAGEVIEWS_MAX pageviews within a minute of this worker's clock is too fast: whatever it sends in the rest of
that minute and in the next one has the reason `rate`. 120 is two pages a second for a whole minute. A person who opens pages as fast as they
load reaches one a second for some seconds; a class of 30 behind one address with equal browsers, which is one visitor here, reaches 120
when each of them opens four pages in a minute. Crawlers that drive a browser reach several hundred.

The counts of this minute are one dict. When it holds VISITORS_MAX visitors, those with a single page leave it; if that does not halve it,
it is emptied. So a flood of invented visitors takes 9 MB at most, and while it lasts it hides the rate of others.

Not promised: exactness. Each worker counts what it got (a browser's connection stays with one worker). The minutes are those of the clock,
so 119 pageviews before a minute's end and 119 after it are not noticed. Requests of a batch in which our own code failed are collected again,
one by one, and counted twice: that matters only for visitors that look at 60 pages or more in that minute.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.row import MINUTE_MS

PAGEVIEWS_MAX = 120
VISITORS_MAX = 65_536


class Rates:
    """Counts the pageviews of each visitor in a minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._views: dict[int, int] = {}
        self._fast: set[int] = set()
        self._fast_before: set[int] = set()  # in the minute before

    @property
    def is_anybody_fast(self) -> bool:
        """Returns whether any visitor was too fast in this minute or the one before."""
        return bool(self._fast or self._fast_before)

    def is_fast(self, visitor: int) -> bool:
        """Returns whether a visitor was too fast in this minute or the one before."""
        return visitor in self._fast or visitor in self._fast_before

    def count(self, visitors: Sequence[int], now_ms: int) -> dict[int, int]:
        """Counts a pageview of each of these visitors. Returns those that became too fast, each with its place in `visitors`."""
        minute = now_ms // MINUTE_MS
        # What was received just before the minute began, and is collected after it, counts as of this one.
        if minute > self._minute or minute < self._minute - 1:
            self._begin(minute)
        views = self._views
        known = views.get
        over: dict[int, int] = {}
        for at, visitor in enumerate(visitors):
            views[visitor] = count = known(visitor, 0) + 1
            if count == PAGEVIEWS_MAX + 1:
                over[visitor] = at
        self._fast.update(over)
        if len(views) > VISITORS_MAX:
            self._make_room()
        return over

    def forget(self) -> None:
        """Forgets all visitors: a salt ended, and what was hashed under it must not stay here (I8)."""
        self._minute, self._views, self._fast, self._fast_before = 0, {}, set(), set()

    def _begin(self, minute: int) -> None:
        """Begins another minute. After a pause, or a clock that jumped, nobody was fast in the minute before."""
        self._fast_before = self._fast if minute == self._minute + 1 else set()
        self._fast, self._views, self._minute = set(), {}, minute

    def _make_room(self) -> None:
        self._views = {visitor: count for visitor, count in self._views.items() if count > 1}
        if len(self._views) > VISITORS_MAX // 2:
            self._views = {}
