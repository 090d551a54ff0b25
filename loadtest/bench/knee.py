"""Measures P4 and P4b: the drain knee end to end, by the load test's own sweep, and what lies at 70 % of it (P5 to P8).

The sweep runs as a command, as anybody would run it: its generators share the two cores with everything that they test.
Short rungs flatter: what may be stored within L seconds after T seconds has (T + L) / T of the time. Here that is the
25 % of the target's own 20 and 5 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.bench import command, rates
from loadtest.bench.figures import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.stand import Stand

RUNG_SECONDS = 8
STORED_WITHIN_SECONDS = 2
RATE_REDIS = 5_000  # the rate at which an event's weight in Redis is measured
SECONDS_REDIS = 5


def sweep(stand: Stand, directory: Path, *, profile: str, rate: float, seconds: float) -> dict[str, Any]:
    """Returns a sweep's JSON; no rung begins that would end after so many seconds. Raises BenchError."""
    options = ["--sweep", "--rung", str(RUNG_SECONDS), "--stored-within", str(STORED_WITHIN_SECONDS)]
    options += ["--profile", profile, "--rate", f"{rate:.0f}", "--sweep-seconds", f"{seconds:.0f}"]
    return command.run(stand, directory, *options, seconds=seconds)


def weighed(stand: Stand, directory: Path) -> dict[str, Any]:
    """Returns the JSON of a run at P9's rate with its `cost`, on a stand whose streams hold nothing else."""
    options = ["--profile", "single", "--rate", str(RATE_REDIS), "--duration", str(SECONDS_REDIS), "--cost"]
    return command.run(stand, directory, *options, seconds=SECONDS_REDIS)


def knee(name: str, found: dict[str, Any]) -> Figure:
    """Makes P4 or P4b from a sweep."""
    rungs = [
        {key: rung[key] for key in ("offered_per_s", "achieved_per_s", "p99_ms", "stored_after_s", "verdict")}
        for rung in found["rungs"]
    ]
    detail = {
        "failed_per_s": found["failed_per_s"],
        "sustained_at_least_per_s": found["sustained_at_least_per_s"],
        "generator_limited": found["generator_limited"],
        "settings": found["settings"],
        "rungs": rungs,
    }
    fault = (
        "" if found["knee_per_s"] else f"no rung passed: {rungs[-1]['verdict']} at {rungs[-1]['offered_per_s']:,.0f}/s"
    )
    return Figure(name=name, value=float(found["knee_per_s"]), detail=detail, fault=fault)


def beside(found: dict[str, Any], points: list[rates.Point]) -> list[Figure]:
    """Makes P5 to P8 from a sweep's last run, or nothing if there was none. `points` is the CPU at lower rates."""
    final = found["final"]
    if final is None:
        return []
    latency, cost = final["latency_ms"], final["cost"]
    used = cost["processes"]
    figures = [
        Figure(name="P5", value=latency["p99"], detail={"offered_per_s": final["offered_per_s"]}),
        Figure(name="P5b", value=latency["p99.9"]),
        Figure(
            name="P7",
            value=cost["cpu_s_per_million"],
            detail={"processes": used, "points": rates.upto(points, rates.until_stored(final))},
        ),
        Figure(name="P8", value=used["ingest"]["rss_mb_max"] + used["flusher"]["rss_mb_max"]),
    ]
    if final["freshness_ms"]:
        figures.insert(2, Figure(name="P6", value=final["freshness_ms"]["p99"]))
    return figures


def weights(cost: dict[str, Any], disk: dict[str, int], rows: int) -> list[Figure]:
    """Makes P9, and P11 from what P3 stored."""
    figures = []
    if cost.get("redis"):
        figures.append(Figure(name="P9", value=cost["redis"]["bytes_per_event"], detail=cost["redis"]))
    if rows:
        figures.append(Figure(name="P11", value=disk["events"] / rows, detail={"tables": disk, "rows": rows}))
    return figures
