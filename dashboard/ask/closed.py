"""Finds once for all questions of two seconds which days of a site are closed, and lets them read the copies of these days.

Looking it up in ClickHouse takes longer than a question about a small site, and one answer serves all panels of a page.

Not promised: that a question knows of rows that came in the last two seconds of a day that is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from msgspec.structs import replace

from dashboard.catalogue.contract import Asker, Reply, Statement
from dashboard.catalogue.copied_days import DAYS, Copies, copies_of, days_of
from dashboard.catalogue.copies import has_copies, with_copies
from dashboard.catalogue.values import Value

KEPT_SECONDS = 2.0
KEPT_MAX = 200
Key = tuple[str, str]


class KnowsClosed:
    """Asks through another Asker, and tells its questions which days are closed."""

    def __init__(self, asker: Asker, *, now: Callable[[], float] = time.monotonic) -> None:
        self._asker = asker
        self._now = now
        self._known: dict[Key, tuple[float, Copies]] = {}
        self._looking: dict[Key, asyncio.Task[Copies]] = {}

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
        if (found := self._known.get(key)) is not None and found[0] > self._now():
            return found[1]
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.create_task(self._look(key), name=f"closed days of {site}")
            looking.add_done_callback(lambda task: self._looked(key, task))
        # All questions of a page come at once, and wait for one look. If it fails, all of them fail now, and not one after the other.
        return await asyncio.shield(looking)

    async def _look(self, key: Key) -> Copies:
        now = self._now()
        parameters: dict[str, Value] = {"site": key[0], "zone": key[1]}
        copies = copies_of((await self._asker(Statement(file="closed", sql=DAYS, parameters=parameters))).rows)
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        self._known[key] = now + KEPT_SECONDS, copies
        return copies

    def _looked(self, key: Key, task: asyncio.Task[Copies]) -> None:
        del self._looking[key]
        if not task.cancelled():
            task.exception()  # is told to those who wait, and there may be none any more
