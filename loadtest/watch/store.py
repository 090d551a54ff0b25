"""Looks at ClickHouse while a run goes on: how many rows are visible, and how fresh they are.

Freshness is the time from accepted to visible in a SELECT: each look lists the parts of `events` that ClickHouse now
shows, and reads `received_at` of the rows in the new ones. A row's freshness is the time of the answer less that: too
long by up to the interval between looks, and never too short. A look reads only new parts and so takes 6 ms, whatever
the table's size; but ten a second, with the counts beside them, were more than half of ClickHouse's CPU at 6 000 events
a second. So after a part came, there is no look until the next is expected. Parts that were merged away between two
looks are missed: `sampled` says how many rows were seen.

Two clocks meet if ingest is on another machine; then freshness is as wrong as they are.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from loadtest.load.histogram import Histogram
from loadtest.watch.reconcile import COUNT_SQL, OURS, ClickHouse, VerifyError, parameters

if TYPE_CHECKING:
    from loadtest.watch.deployment import Deployment

QUIET = 0.7  # after a new part there is no look for this share of the shortest of the last gaps between new parts
GAPS_KEPT = 5
TIMEOUT_S = 10.0  # of one question: a stopped ClickHouse must not delay the end of a run for longer
PARTS_SQL = "SELECT name FROM system.parts WHERE database = 'forebay' AND table = 'events' AND active AND level = 0"
# A resolution of 10 ms is enough, and makes a second of rows a hundred lines instead of thousands.
FRESH_SQL = f"""
SELECT intDiv(toUnixTimestamp64Milli(received_at), 10) AS at, count()
FROM forebay.events WHERE _part IN {{parts:Array(String)}} AND {OURS} GROUP BY at
"""


class Pace:
    """Decides when to look for what comes about regularly. Times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._found_at = 0.0
        self._looks = 0  # since then

    def is_due(self, now: float) -> bool:
        """Tells whether something new may be there."""
        quiet_s = QUIET * min(self._gaps) if len(self._gaps) == GAPS_KEPT else 0.0
        return now - self._found_at >= quiet_s

    def looked(self, now: float, *, found: bool) -> None:
        self._looks += 1
        if not found:
            return
        if self._looks == 1:  # it may have come long before: parts are less regular than it seemed
            self._gaps.clear()
        else:
            self._gaps.append(now - self._found_at)
        self._found_at = now
        self._looks = 0


class Store:
    """Watches what becomes visible of one run. Every method may block."""

    def __init__(self, deployment: Deployment, *, sites: tuple[str, ...]) -> None:
        self.since_s = 0.0  # unix time from which rows are looked for
        self.before = 0  # rows that were there already
        self.version = ""  # of ClickHouse
        self.counts: list[tuple[float, int]] = []  # (perf_counter, rows of the run), ascending
        self.freshness = Histogram()
        self.by_second: dict[int, Histogram] = {}  # of the run, by when rows became visible
        self.fault = ""  # the reason if freshness is not known
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
        """Counts what is there before the first event is sent. Raises VerifyError if ClickHouse can't be asked."""
        self.since_s = time.time()
        self._parameters = parameters(self._sites, self.since_s)
        self.version = str(self._clickhouse.rows("SELECT version()")[0][0])
        self.before = int(self._clickhouse.rows(COUNT_SQL, self._parameters)[0][0])
        try:
            self._parts = {str(row[0]) for row in self._clickhouse.rows(PARTS_SQL)}
        except VerifyError as error:
            self.fault = str(error)

    def clock(self, started: float, warmup_s: int) -> None:
        """Sets the run's clock; `started` is the perf_counter of offset 0."""
        self._started = started
        self._measured_s = time.time() - (time.perf_counter() - started) + warmup_s

    def count(self) -> int:
        """Counts the rows of the run that are visible now."""
        found = int(self._clickhouse.rows(COUNT_SQL, self._parameters)[0][0]) - self.before
        self.counts.append((time.perf_counter(), found))
        return found

    def is_due(self) -> bool:
        """Tells whether something new may have become visible."""
        return self._pace.is_due(time.perf_counter())

    def look(self) -> None:
        """Measures the freshness of what became visible since the last look."""
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
