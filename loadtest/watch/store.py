"""Looks at ClickHouse and at the processes while a run goes on: how many rows, how fresh, at what cost.

Freshness, accepted to visible in a SELECT: each look lists the parts of `events` that ClickHouse
now shows and reads `received_at` of the rows in the new ones. A row's freshness is the time of
the answer less that: too long by up to the interval between looks, never too short. Reading
only new parts makes a look cheap (6 ms), whatever the table's size, but ten a second and the
counts beside them were more than half of ClickHouse's CPU at 6 000 events a second. So nobody
looks for a while after a part came, as long as none is expected. Parts that were merged away
between two looks are missed: `sampled` says how many rows were seen.

Two clocks meet when ingest is on another machine; then freshness is as wrong as they are.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from loadtest.load.histogram import Histogram
from loadtest.watch.verify import COUNT_SQL, OURS, ClickHouse, VerifyError, parameters

if TYPE_CHECKING:
    from loadtest.watch.deployment import Deployment

QUIET = 0.7  # of the shortest of the last gaps between new parts: so long none is looked for after one
GAPS_KEPT = 5
TIMEOUT_S = 10.0  # of one question: a stopped ClickHouse must not hold the end of a run for longer
PARTS_SQL = "SELECT name FROM system.parts WHERE database = 'forebay' AND table = 'events' AND active AND level = 0"
# Ten milliseconds are fine enough, and a block of a second is a hundred lines instead of thousands.
FRESH_SQL = f"""
SELECT intDiv(toUnixTimestamp64Milli(received_at), 10) AS at, count()
FROM forebay.events WHERE _part IN {{parts:Array(String)}} AND {OURS} GROUP BY at
"""


class Pace:
    """When to look for what comes about regularly. Times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._found_at = 0.0
        self._looks = 0  # since then

    def is_due(self, now: float) -> bool:
        """Whether something new may be there."""
        quiet_s = QUIET * min(self._gaps) if len(self._gaps) == GAPS_KEPT else 0.0
        return now - self._found_at >= quiet_s

    def looked(self, now: float, *, found: bool) -> None:
        self._looks += 1
        if not found:
            return
        if self._looks == 1:  # it had come already, nobody knows when: they are less regular than it seemed
            self._gaps.clear()
        else:
            self._gaps.append(now - self._found_at)
        self._found_at = now
        self._looks = 0


class Store:
    """What has become visible of one run. Blocking."""

    def __init__(self, deployment: Deployment, *, sites: tuple[str, ...]) -> None:
        self.since_s = 0.0  # unix time from which rows are looked for
        self.before = 0  # rows that were there already
        self.version = ""  # of ClickHouse
        self.counts: list[tuple[float, int]] = []  # (perf_counter, rows of the run), ascending
        self.freshness = Histogram()
        self.by_second: dict[int, Histogram] = {}  # of the run, by when rows became visible
        self.fault = ""  # why freshness is not known
        self._clickhouse = ClickHouse(
            deployment.clickhouse_url,
            user=deployment.clickhouse_user,
            password=deployment.clickhouse_password,
            timeout_s=TIMEOUT_S,
        )
        self._sites = sites
        self._parameters: dict[str, Any] = {}
        self._parts: set[str] = set()
        self._pace = Pace()
        self._started = self._measured_s = 0.0

    def begin(self) -> None:
        """Before the first event is sent. Raises VerifyError when ClickHouse can't be asked."""
        self.since_s = time.time()
        self._parameters = parameters(self._sites, self.since_s)
        self.version = str(self._clickhouse.rows("SELECT version()")[0][0])
        self.before = int(self._clickhouse.rows(COUNT_SQL, self._parameters)[0][0])
        try:
            self._parts = {str(row[0]) for row in self._clickhouse.rows(PARTS_SQL)}
        except VerifyError as error:
            self.fault = str(error)

    def clock(self, started: float, warmup_s: int) -> None:
        """`started`: perf_counter of the run's offset 0."""
        self._started = started
        self._measured_s = time.time() - (time.perf_counter() - started) + warmup_s

    def count(self) -> int:
        """Rows of the run as of now."""
        found = int(self._clickhouse.rows(COUNT_SQL, self._parameters)[0][0]) - self.before
        self.counts.append((time.perf_counter(), found))
        return found

    def is_due(self) -> bool:
        """Whether something new may have become visible."""
        return self._pace.is_due(time.perf_counter())

    def look(self) -> None:
        """Freshness of what became visible since the last look."""
        parts = {str(row[0]) for row in self._clickhouse.rows(PARTS_SQL)}
        now_s, second = time.time(), int(time.perf_counter() - self._started)
        fresh, self._parts = parts - self._parts, parts
        self._pace.looked(time.perf_counter(), found=bool(fresh))
        if not fresh:
            return
        for at, rows in self._clickhouse.rows(FRESH_SQL, self._parameters | {"parts": sorted(fresh)}):
            received_s = at / 100
            self.by_second.setdefault(second, Histogram()).record_times(now_s - received_s, rows)
            if received_s >= self._measured_s:
                self.freshness.record_times(now_s - received_s, rows)

    def close(self) -> None:
        self._clickhouse.close()


def reached(counts: list[tuple[float, int]], rows: float) -> float | None:
    """When so many rows were visible, by the first look that saw them."""
    return next((at for at, found in counts if found >= rows), None)
