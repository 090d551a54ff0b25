"""Says what a fault did: how much waited, how fast it was caught up, and whether ingest noticed.

It is caught up when no more waits than before the fault, by ClickHouse's counts against what was acknowledged. The
drain rate is counted from the first new row after the fault, live events included; the time from the fault's end to
that row stands beside it, so that a fast drain does not hide a slow wake-up.
"""

from __future__ import annotations

from bisect import bisect_right
from statistics import median
from typing import Any

Counts = list[tuple[float, int]]
SLACK_S = 0.5  # so many seconds of live traffic more than usual may wait


def outage_of(
    markers: list[tuple[float, str]], seconds: list[dict[str, Any]], counts: Counts, started: float
) -> dict[str, Any] | None:
    """Returns the figures of a fault, or None without one.

    `counts` are (perf_counter, rows), and `started` is offset 0 on that clock.
    """
    if len(markers) < 2:
        return None
    began_s, ended_s = markers[0][0], markers[-1][0]
    within = [row for row in seconds if began_s - 1 < row["second"] < ended_s]
    before = [row for row in seconds if 0 < row["second"] < began_s - 1]
    found: dict[str, Any] = {
        "what": markers[0][1],
        "began_s": round(began_s, 2),
        "ended_s": round(ended_s, 2),
        "latency_p99_ms_before": _p99(before),
        "latency_p99_ms_during": _p99(within),
        "caught_up_after_s": None,
        "drain_per_s": None,
        "live_per_s": None,
        "catch_up": None,
    }
    return found | _drain([(at - started, rows) for at, rows in counts], seconds, began_s, ended_s)


def _p99(rows: list[dict[str, Any]]) -> float | None:
    """Returns the median of the seconds' 99th percentiles."""
    known = [row["p99_ms"] for row in rows if row.get("p99_ms")]
    return round(median(known), 3) if known else None


def _drain(counts: Counts, seconds: list[dict[str, Any]], began_s: float, ended_s: float) -> dict[str, Any]:
    acknowledged = Acknowledged(seconds)
    waiting = [(at, acknowledged.at(at) - rows) for at, rows in counts]
    usual = [number for at, number in waiting if 1 < at < began_s]
    after = [(at, rows) for at, rows in counts if at >= ended_s]
    if not usual or not after:
        return {}
    live_per_s = (acknowledged.at(ended_s) - acknowledged.at(began_s)) / (ended_s - began_s)
    enough = max(usual) + SLACK_S * live_per_s
    base = [rows for at, rows in counts if at < ended_s]
    woken = next((at for at, rows in after if rows > (base[-1] if base else 0)), None)
    caught = next((at for at, number in waiting if at >= ended_s and number <= enough), None)
    found: dict[str, Any] = {
        "waiting_max": round(max(number for _, number in waiting)),
        "waiting_before": round(median(usual)),
        "live_per_s": round(live_per_s, 1),
    }
    if woken is None or caught is None or caught < woken:
        return found
    # Draining began after the last look that saw no new rows.
    begin = max((at for at, _ in counts if at < woken), default=ended_s)
    begin = max(begin, ended_s)
    drained = next(rows for at, rows in counts if at >= caught) - (base[-1] if base else 0)
    drain_per_s = drained / max(caught - begin, 1e-9)
    return found | {
        "woken_after_s": round(woken - ended_s, 2),
        "caught_up_after_s": round(caught - ended_s, 2),
        "drain_per_s": round(drain_per_s, 1),
        "catch_up": round(drain_per_s / live_per_s, 2) if live_per_s else None,
    }


class Acknowledged:
    """Counts the events acknowledged by a moment, on a straight line between the ends of two seconds."""

    def __init__(self, seconds: list[dict[str, Any]]) -> None:
        self._sums = [0]
        for row in seconds:
            self._sums.append(self._sums[-1] + row["acknowledged"])

    def at(self, moment_s: float) -> float:
        last = len(self._sums) - 1
        whole = bisect_right(range(last + 1), moment_s) - 1
        if whole < 0:
            return 0.0
        if whole >= last:
            return float(self._sums[last])
        return self._sums[whole] + (moment_s - whole) * (self._sums[whole + 1] - self._sums[whole])
