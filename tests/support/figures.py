"""Makes the figures of a load test's result, as loadtest/report/result.py makes them."""

from typing import Any

from loadtest.report.result import VERSION


def run_figures(**changes: Any) -> dict[str, Any]:
    """Makes the figures of a run of 40 seconds with an outage, as run.py does."""
    latency = {"mean": 2.0, "p50": 1.5, "p90": 3.0, "p99": 9.0, "p99.9": 30.0, "max": 44.0}
    seconds: list[dict[str, Any]] = []
    for second in range(40):
        is_out = 10 <= second < 20
        seconds.append(
            {
                "second": second, "offered": 5_000.0, "sent": 5_000, "acknowledged": 5_000, "refused": 0, "unclear": 0,
                "unsent": 3 if second == 11 else 0, "p50_ms": 1.5, "p90_ms": 3.0, "p99_ms": 9.0 + second,
                "p999_ms": 30.0, "stored": 5_000 * (10 if is_out else second),
                "freshness_p50_ms": None if is_out else 800.0, "freshness_p99_ms": None if is_out else 1_500.0,
                "processes": {name: {"cpu": 0.4, "rss_mb": 90.0} for name in ("redis", "clickhouse", "ingest", "<b>")},
            }
        )  # fmt: skip
    figures: dict[str, Any] = {
        "version": VERSION, "at": "2026-11-23T08:00:00Z", "profile": "outage", "offered_per_s": 5_000.0,
        "achieved_per_s": 4_998.2, "plan": {"duration_s": 40.0, "bodies": [[1, 1.0]]},
        "machine": {"cpu": "A CPU <i>", "cores": 2, "forebay": "0.1", "clickhouse": "26.9"},
        "events": {"acknowledged": 200_000, "rejected": 0, "refused": {}, "unclear": {}, "unsent": 3},
        "latency_ms": latency, "lag_ms": latency, "freshness_ms": latency | {"sampled": 1_000},
        "generators": [{"cpu_share": 0.5, "starved_share": 0.3}], "generator_limited": True, "generator_starved": True,
        "connections_limited": False, "stopped_early": False, "unverified": "",
        "verify": {
            "lost": 0, "duplicated": 0, "foreign": 0, "is_exact": True, "rollups_agree": True, "stored_after_s": 0.5,
            "stored": {"unclear": 0}, "lost_sample": [], "duplicated_sample": [],
        },
        "cost": {
            "cpu_s_per_million": 50.5,
            "processes": {
                "<b>": {"cpu_s": 4.0, "cpu_s_per_million": 20.0, "rss_mb_max": 90.0, "rss_mb_median": 80.0},
            },
            "disk": {"bytes_per_event": 25.2}, "redis": {"bytes_per_event": 70.1, "events_per_entry": 30.0}, "faults": [],
        },
        "outage": {
            "what": "clickhouse paused", "began_s": 10.0, "ended_s": 20.0, "catch_up": 9.5, "caught_up_after_s": 1.4,
            "waiting_max": 50_000, "drain_per_s": 47_500.0, "latency_p99_ms_before": 9.0, "latency_p99_ms_during": 9.5,
        },
        "seconds": seconds,
    }  # fmt: skip
    return figures | changes


def sweep_figures() -> dict[str, Any]:
    """Makes the figures of a sweep of three rungs, of which the last failed."""
    rungs = [
        {
            "offered_per_s": rate, "achieved_per_s": min(rate, 7_000.0), "p50_ms": 1.0, "p99_ms": 9.0, "p999_ms": 12.0,
            "stored_after_s": 1.0 if rate < 8_000 else None, "cpu_s_per_million": 60.0, "generator_cpu_share": 0.4,
            "passed": rate < 8_000, "verdict": "passed" if rate < 8_000 else "sent too late",
        }
        for rate in (2_000.0, 4_000.0, 8_000.0)
    ]  # fmt: skip
    return {
        "version": VERSION, "kind": "sweep", "at": "2026-11-23T08:00:00Z", "profile": "single", "knee_per_s": 4_000.0,
        "failed_per_s": 8_000.0, "generator_limited": False, "rungs": rungs, "settings": {"stored_within_s": 5.0},
        "machine": {"cpu": "A CPU", "cores": 2, "forebay": "0.1"}, "final": run_figures(outage=None, verify=None),
    }  # fmt: skip
