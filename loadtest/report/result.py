"""Makes the JSON of a run: what was asked, on which machine, what came of it, second by second.

The JSON is the record, and its layout is a contract (docs/loadtest.md); `VERSION` moves when a figure changes its name
or meaning. It names its own weaknesses: `generator_limited` if the generator could not keep its clock (its numbers then
say nothing about the server), `generator_starved` if the machine had no core for it at times (a slow answer may then be
one that was read late), `connections_limited` if requests waited because all connections were busy.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from bisect import bisect_right
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.watch.outage import outage_of

if TYPE_CHECKING:
    from loadtest.load.generate import Plan
    from loadtest.load.generator import Ended
    from loadtest.load.generators import Generators
    from loadtest.load.tally import Tally
    from loadtest.processes import Usage
    from loadtest.settings import Settings
    from loadtest.watch.reconcile import Verdict
    from loadtest.watch.store import Store

VERSION = 2
LAG_P99_LIMIT_US = 10_000  # ten ticks of the driver's clock
CPU_LIMIT = 0.9  # of one core: above it answers wait here until they are read
STARVED_LIMIT = 0.1  # of the time: above it latencies include that the generator waited for a core
WAITED_LIMIT = 0.01  # of the requests
OURS = {"generators", "watcher"}  # processes of the load test itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Holds what a run left behind, which the figures are made of."""

    plan: Plan
    settings: Settings
    generators: Generators
    ended: list[Ended]
    store: Store | None
    usage: dict[str, Usage]
    looks: list[tuple[float, dict[str, dict[str, float]]]]  # (second of the run, by process name)
    markers: list[tuple[float, str]]
    verdict: Verdict | None
    unverified: str  # why there is no verdict

    @property
    def elapsed_s(self) -> float:
        """Returns the seconds from offset 0 to the last outcome."""
        return max(one.elapsed_s for one in self.ended)


@dataclass(frozen=True, slots=True)
class Result:
    """Holds the JSON as `figures`, and answers what a program asks of it."""

    figures: dict[str, Any]

    @property
    def is_exact(self) -> bool | None:
        """Tells whether every acknowledged event is stored once and the rollups agree; None if it is not known."""
        found = self.figures["verify"]
        return None if found is None else bool(found["is_exact"])

    @property
    def stored_after_s(self) -> float | None:
        """Returns the seconds from the last outcome until all acknowledged events were visible; None: never seen."""
        found = self.figures["verify"]
        return None if found is None else found["stored_after_s"]

    @property
    def all_acknowledged(self) -> bool:
        """Tells whether everything offered was sent and acknowledged, however late."""
        events = self.figures["events"]
        missed = (
            events["rejected"] + events["unsent"] + sum(events["refused"].values()) + sum(events["unclear"].values())
        )
        return not missed and not self.figures["stopped_early"]

    @property
    def is_complete(self) -> bool:
        """Tells whether everything offered was sent in time and acknowledged."""
        return self.all_acknowledged and self.figures["elapsed_s"] <= self.figures["plan"]["duration_s"] + 1.0

    @property
    def is_generator_limited(self) -> bool:
        return bool(self.figures["generator_limited"])

    @property
    def exit_status(self) -> int:
        """Returns 0 if the run is exact or was not asked to verify, 1 if it is not exact, 2 if that is not known."""
        if self.is_exact is None:
            return 2 if self.figures["settings"]["verify"] else 0
        return 0 if self.is_exact else 1


def result_of(facts: Facts, weights: dict[str, Any]) -> Result:
    """Makes the result of a run; `weights` is what cost.py found."""
    plan, generators, verdict = facts.plan, facts.generators, facts.verdict
    total, measured = generators.total(), generators.measured
    measured_s = max(facts.elapsed_s - facts.settings.warmup_s, 1e-9)
    waited_share = total.waited / max(1, total.sent)
    each = [_generator(facts, number) for number in range(len(facts.ended))]
    seconds = _seconds(facts)
    figures = {
        "version": VERSION,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(generators.started_s)),
        "profile": facts.settings.profile.name,
        "plan": asdict(plan),
        "settings": _settings(facts),
        "machine": machine() | {"clickhouse": facts.store.version if facts.store else None},
        "elapsed_s": round(facts.elapsed_s, 3),
        "stopped_early": any(one.was_stopped for one in facts.ended),
        "offered_per_s": round(plan.rate_mean, 1),
        "achieved_per_s": round(measured.acknowledged / measured_s, 1),
        "events": {
            "acknowledged": total.acknowledged,
            "logged": sum(one.logged for one in facts.ended),
            "rejected": total.rejected,
            "refused": dict(total.refused),
            "unclear": dict(total.unclear),
            "unsent": total.unsent,
        },
        "requests": {
            "sent": total.sent,
            "resent": total.resent,
            "answered": total.answered,
            "waited": total.waited,
            "odd_answers": total.odd_answers,
            "reconnects": sum(one.reconnects for one in facts.ended),
            "made_ahead": generators.ahead,
        },
        "latency_ms": measured.latency.summary_ms(),
        "service_ms": measured.service.summary_ms(),
        "lag_ms": measured.lag.summary_ms(),
        "freshness_ms": _freshness(facts),
        "generators": each,
        "generator_limited": is_generator_limited(measured, max(map(busy, each)), waited_share),
        "generator_starved": max(one["starved_share"] for one in each) > STARVED_LIMIT,
        "connections_limited": waited_share > WAITED_LIMIT,
        "cost": _cost(facts, total.acknowledged) | weights,
        "markers": [{"at_s": round(at, 2), "what": what} for at, what in facts.markers],
        "outage": outage_of(facts.markers, seconds, facts.store.counts if facts.store else [], generators.started),
        "lost": verdict.lost if verdict else None,
        "duplicated": verdict.duplicated if verdict else None,
        "verify": _verdict(verdict),
        "unverified": facts.unverified,
        "seconds": seconds,
        "latency_histogram_us": measured.latency.buckets(),
    }
    return Result(figures)


def busy(generator: dict[str, Any]) -> float:
    """Returns a generator's share of a core: its mean, or that of its busiest twentieth of the seconds if it is larger.

    A mean must not hide a spike.
    """
    return max(float(generator["cpu_share"]), float(generator["cpu_share_p95"]))


def is_generator_limited(measured: Tally, cpu_share: float, waited_share: float) -> bool:
    """Tells whether the clock was missed by our own fault: late although a connection was free, or out of CPU."""
    is_behind = measured.unsent > 0 and waited_share <= WAITED_LIMIT
    return is_behind or cpu_share > CPU_LIMIT or measured.lag.percentile_us(99) > LAG_P99_LIMIT_US


def _settings(facts: Facts) -> dict[str, Any]:
    settings = facts.settings
    return {
        "url": settings.deployment.url,
        "generators": settings.generators,
        "connections": settings.connections,
        "timeout_s": settings.timeout_s,
        "warmup_s": settings.warmup_s,
        "resends": settings.profile.resends if settings.resends is None else settings.resends,
        "verify": settings.verify,
        "freshness_s": settings.freshness_s,
        "fault": asdict(settings.profile.fault) | {"kind": settings.fault_kind} if settings.profile.fault else None,
    }


def _generator(facts: Facts, number: int) -> dict[str, Any]:
    tally, ended, shares = (
        facts.generators.by_generator[number],
        facts.ended[number],
        facts.generators.cpu_shares[number],
    )
    return {
        "cpu_s": round(ended.cpu_s, 3),
        "cpu_share": round(ended.cpu_s / max(ended.elapsed_s, 1e-9), 3),
        "cpu_share_p95": round(_p95(shares[:-1]), 3),  # of the whole seconds; the last one is a part
        "starved_share": round(ended.starved_s / max(ended.elapsed_s, 1e-9), 3),
        "lag_ms": tally.lag.summary_ms(),
    }


def _p95(shares: list[float]) -> float:
    """Returns the 95th percentile; of a few seconds it is the second highest, because one may be an accident."""
    return sorted(shares)[max(0, int(len(shares) * 0.95) - 1)] if len(shares) > 1 else 0.0


def _freshness(facts: Facts) -> dict[str, Any] | None:
    store = facts.store
    if store is None or not store.freshness.count:
        return None
    return store.freshness.summary_ms() | {"sampled": store.freshness.count}


def _cost(facts: Facts, events: int) -> dict[str, Any]:
    """Returns CPU by process, from offset 0 until everything was visible, also per million events acknowledged."""
    usage = {name: one.figures() for name, one in facts.usage.items()}
    for figures in usage.values():
        figures["cpu_s_per_million"] = round(figures["cpu_s"] / max(1, events) * 1e6, 2)
    tested = [figures for name, figures in usage.items() if name not in OURS]
    return {
        "processes": usage,
        "cpu_s_per_million": round(sum(one["cpu_s_per_million"] for one in tested), 2) if tested else None,
    }


def _seconds(facts: Facts) -> list[dict[str, Any]]:
    """Returns a row for each second, to the end of the waiting."""
    generators, store = facts.generators, facts.store
    rows = [dict(row) for row in generators.seconds]
    looked = {
        round(at): found for at, found in reversed(facts.looks)
    }  # a second's own look hides the last, partial one
    moments = [at for at, _ in store.counts] if store is not None else []
    length = max(
        [len(rows), *looked, *(int(at - generators.started) + 1 for at, _ in (store.counts[-1:] if store else ()))]
    )
    rows += [{"second": second, "sent": 0, "acknowledged": 0} for second in range(len(rows), length)]
    for row in rows:
        second = row["second"]
        row["offered"] = round(_offered(facts.plan, second), 1)
        row["processes"] = looked.get(second + 1, {})
        row["markers"] = [what for at, what in facts.markers if second <= at < second + 1]
        if store is not None:
            looks = bisect_right(moments, generators.started + second + 1)
            row["stored"] = store.counts[looks - 1][1] if looks else 0
            fresh = store.by_second.get(second)
            row["freshness_p50_ms"] = fresh.percentile_us(50) / 1000 if fresh else None
            row["freshness_p99_ms"] = fresh.percentile_us(99) / 1000 if fresh else None
    return rows


def _offered(plan: Plan, second: int) -> float:
    """Returns how many events the plan has for that second."""
    return sum(
        rate * max(0.0, min(until_s, second + 1) - max(from_s, second)) for from_s, until_s, rate in plan.spans()
    )


def machine() -> dict[str, Any]:
    """Describes the machine, without which a figure means nothing."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    try:
        version = importlib.metadata.version("forebay")
    except importlib.metadata.PackageNotFoundError:
        version = "a checkout"
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "forebay": version,
    }


def write(path: Path, figures: dict[str, Any]) -> None:
    """Writes the JSON. Replaces the file in one step, so that a reader never sees half of it."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    unfinished.replace(path)


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return asdict(verdict) | {"rollups_agree": verdict.rollups_agree, "is_exact": verdict.is_exact}
