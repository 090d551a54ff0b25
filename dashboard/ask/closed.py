"""Finds once for all questions of two seconds which days of a site are closed, so that not each of them looks it up in ClickHouse.

A file that reads copies of closed days looks up which of them are true (`CLOSED`). That takes longer than reading a small site's
visits. So it is asked by itself, and its answer, which is made of numbers alone, is written into the questions in its place.

Not promised: that a question knows of rows that came in the last two seconds of a day that is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from dashboard.catalogue.conditions import CLOSED
from dashboard.catalogue.contract import Asker, Reply, Statement
from dashboard.catalogue.values import Value

KEPT_SECONDS = 2.0
KEPT_MAX = 200
GIVEN = ("site", "zone", "first_session", "end_session")
Key = tuple[Value, ...]


class KnowsClosed:
    """Asks through another Asker, and tells its questions which days are closed."""

    def __init__(self, asker: Asker, *, now: Callable[[], float] = time.monotonic) -> None:
        self._asker = asker
        self._now = now
        self._known: dict[Key, tuple[float, str]] = {}

    async def __call__(self, statement: Statement, /) -> Reply:
        """Returns the answer to a statement. Raises Unanswered."""
        if CLOSED in statement.sql and not statement.is_foreign:
            closed = await self._closed({name: statement.parameters[name] for name in GIVEN})
            statement = replace(statement, sql=statement.sql.replace(CLOSED, closed))
        return await self._asker(statement)

    async def _closed(self, given: dict[str, Value]) -> str:
        """Returns what `CLOSED` is for a site, a zone and a period, as SQL."""
        key, now = tuple(given.values()), self._now()
        if (found := self._known.get(key)) is not None and found[0] > now:
            return found[1]
        asked = await self._asker(Statement(file="closed", sql=f"SELECT {CLOSED} AS closed", parameters=given))
        days, copies, first, end = asked.rows[0][0]
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        written = f"({_numbers(days)}, {_numbers(copies)}, toUInt64({int(first)}), toUInt64({int(end)}))"
        self._known[key] = now + KEPT_SECONDS, written
        return written


def _numbers(listed: list[Any]) -> str:
    return f"CAST([{', '.join(str(int(one)) for one in listed)}], 'Array(UInt64)')"
