"""Finds once for all questions of two seconds which days of a site are closed, and lets them read the copies of these days.

Looking it up in ClickHouse takes longer than a question about a small site, and one answer serves all panels of a page.

Not promised: that a question knows of rows that came in the last two seconds of a day that is over.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from msgspec.structs import replace

from dashboard.catalogue.contract import Asker, Reply, Statement
from dashboard.catalogue.copied_days import DAYS, Copies, copies_of, days_of
from dashboard.catalogue.copies import has_copies, with_copies

KEPT_SECONDS = 2.0
KEPT_MAX = 200
Key = tuple[str, str]


class KnowsClosed:
    """Asks through another Asker, and tells its questions which days are closed."""

    def __init__(self, asker: Asker, *, now: Callable[[], float] = time.monotonic) -> None:
        self._asker = asker
        self._now = now
        self._known: dict[Key, tuple[float, Copies]] = {}
        self._looking: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __call__(self, statement: Statement, /) -> Reply:
        """Returns the answer to a statement. Raises Unanswered."""
        if statement.zone and has_copies(statement.sql):
            given = statement.parameters
            copies, have_acts = await self._copies(str(given["site"]), statement.zone)
            statement = replace(statement, sql=with_copies(statement.sql, days_of(copies, given, have_acts)))
        return await self._asker(statement)

    async def _copies(self, site: str, zone: str) -> Copies:
        """Returns the true copy of each day on which a site has rows; 0 if there is none. And the days whose copies have acts."""
        key = site, zone
        async with self._looking[key]:  # all questions of a page come at once, and one of them looks
            now = self._now()
            if (found := self._known.get(key)) is not None and found[0] > now:
                return found[1]
            asked = await self._asker(Statement(file="closed", sql=DAYS, parameters={"site": site, "zone": zone}))
            copies = copies_of(asked.rows)
            if len(self._known) >= KEPT_MAX:
                self._known.clear()
                self._looking.clear()
            self._known[key] = now + KEPT_SECONDS, copies
            return copies
