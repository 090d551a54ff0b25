"""Finds the knee: the highest rate at which everything offered is stored within seconds of the end.

Rates are doubled until one fails, then the interval is halved until it is narrow or the time is up. Each rung is a run
of its own, with fresh generator processes, its warm-up left out of its latencies, and its own exact reconciliation. A
rung that fails is drained before the next begins.

A rung of T seconds with L seconds of grace can pass a rate that is (T + L) / T of what can be sustained: 20 and 5 allow
25 %, 60 and 5 allow 8 %. The result gives both rates.

After the search, one run at 70 % of the knee measures latency and freshness where a server should work.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from loadtest.report import result
from loadtest.report import text as report
from loadtest.report.progress import Progress
from loadtest.report.result import Result
from loadtest.run import run
from loadtest.settings import Settings, SweepSettings

GROWTH = 2.0
NARROW = 1.1  # the search ends when the failed rate is at most so many times the passed one
SHARE = 0.7  # of the knee, for the last run
VERIFY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Knee:
    """Holds the JSON as `figures`; `rate` is 0 if no rung passed."""

    figures: dict[str, Any]

    @property
    def rate(self) -> float:
        return float(self.figures["knee_per_s"])

    @property
    def is_generator_limited(self) -> bool:
        """Tells whether the rung that ended the search failed because of the generator: then the knee is higher."""
        return bool(self.figures["generator_limited"])


def sweep(asked: SweepSettings, progress: Progress | None = None) -> Knee:
    """Searches for the knee, and returns it. Blocks until the search is over; raises what `run.run` raises."""
    progress = Progress(is_quiet=True) if progress is None else progress
    over = time.monotonic() + asked.seconds_max
    rungs: list[dict[str, Any]] = []
    passed, failed = 0.0, 0.0
    rate = asked.rate_first
    cost_s = asked.rung_s + asked.stored_within_s
    while time.monotonic() + cost_s <= over or not rungs:
        began = time.monotonic()
        progress.say(f"rung {len(rungs) + 1}: {rate:,.0f} events/s")
        found = run(_settings(asked, rate), progress)
        rung = _rung(asked, found)
        rungs.append(rung)
        progress.say(report.table([rung]))
        if rung["passed"]:
            passed = max(passed, rate)
        else:
            failed = min(failed or rate, rate)
        next_rate = _next(passed, failed)
        if next_rate is None:
            break
        rate, cost_s = next_rate, time.monotonic() - began
    final = None
    if asked.final and passed:
        progress.say(f"at {SHARE:.0%} of the knee: {passed * SHARE:,.0f} events/s")
        there = replace(
            _settings(asked, passed * SHARE), freshness_s=asked.settings.freshness_s, cost=asked.settings.cost
        )
        final = run(there, progress).figures
    return Knee(_figures(asked, rungs, passed, failed, final))


def _settings(asked: SweepSettings, rate: float) -> Settings:
    return replace(
        asked.settings,
        rate=rate,
        duration_s=asked.rung_s,
        warmup_s=asked.warmup_s,
        freshness_s=0.0,  # its ten questions a second use the CPU that the knee depends on
        cost=False,  # merging a table takes minutes
        verify_timeout_s=max(asked.settings.verify_timeout_s, VERIFY_TIMEOUT_S),
    )


def _next(passed: float, failed: float) -> float | None:
    """Returns the next rate to try, or None when enough is known."""
    if not failed:
        return passed * GROWTH
    if not passed:
        return failed / GROWTH if failed > 1 else None
    if failed / passed <= NARROW:
        return None
    return round((passed + failed) / 2)


def _rung(asked: SweepSettings, found: Result) -> dict[str, Any]:
    figures = found.figures
    verdict = _verdict(asked, found)
    return {
        "offered_per_s": figures["offered_per_s"],
        "achieved_per_s": figures["achieved_per_s"],
        "p50_ms": figures["latency_ms"]["p50"],
        "p99_ms": figures["latency_ms"]["p99"],
        "p999_ms": figures["latency_ms"]["p99.9"],
        "stored_after_s": found.stored_after_s,
        "cpu_s_per_million": figures["cost"]["cpu_s_per_million"],
        "rss_mb": {name: one["rss_mb_max"] for name, one in figures["cost"]["processes"].items()},
        "generator_cpu_share": max(one["cpu_share"] for one in figures["generators"]),
        "generator_lag_p99_ms": figures["lag_ms"]["p99"],
        "generator_limited": found.is_generator_limited,
        "generator_starved": figures["generator_starved"],
        "passed": verdict == "passed",
        "verdict": verdict if verdict == "passed" or not found.is_generator_limited else f"{verdict} (generator)",
    }


def _verdict(asked: SweepSettings, found: Result) -> str:
    events = found.figures["events"]
    if found.is_exact is not True:
        return "NOT EXACT" if found.is_exact is False else "not reconciled"
    if sum(events["refused"].values()) or events["rejected"]:
        return "refused some"
    if sum(events["unclear"].values()) or events["unsent"]:
        return "answered too late"
    if not found.is_complete:
        return "sent too late"
    if found.stored_after_s is None or found.stored_after_s > asked.stored_within_s:
        return "stored too late"
    return "passed"


def _figures(
    asked: SweepSettings, rungs: list[dict[str, Any]], passed: float, failed: float, final: dict[str, Any] | None
) -> dict[str, Any]:
    lowest_failed = [rung for rung in rungs if not rung["passed"] and rung["offered_per_s"] <= failed * 1.001]
    return {
        "version": result.VERSION,
        "kind": "sweep",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "profile": asked.settings.profile.name,
        "machine": result.machine(),
        "settings": {
            "rung_s": asked.rung_s,
            "warmup_s": asked.warmup_s,
            "stored_within_s": asked.stored_within_s,
            "generators": asked.settings.generators,
            "connections": asked.settings.connections,
            "bodies": asked.settings.profile.bodies,
        },
        "knee_per_s": passed,
        "failed_per_s": failed or None,
        "sustained_at_least_per_s": round(passed * asked.rung_s / (asked.rung_s + asked.stored_within_s)),
        "generator_limited": any(rung["generator_limited"] for rung in lowest_failed),
        "rungs": rungs,
        "final": final,
    }
