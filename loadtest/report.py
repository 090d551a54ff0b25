"""A run as JSON for machines and later plots, and as a few lines for people.

The JSON is the record: what was asked, on which machine, what came of it, second by second and
as one histogram. It names its own weaknesses: `generator_limited` when the generator could not
keep its clock (its numbers then say nothing about the server), `connections_limited` when
requests waited because all connections were busy.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loadtest.account import Account
    from loadtest.generate import Plan
    from loadtest.tally import Tally
    from loadtest.verify import Verdict

OnSecond = Callable[[dict[str, float]], None]

VERSION = 1
LAG_P99_LIMIT_US = 10_000  # ten ticks of the driver's clock
CPU_LIMIT = 0.9  # of one core: above it answers wait here to be read
SENT_LIMIT = 0.99  # of what was due
WAITED_LIMIT = 0.01  # of the requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What happened, beside the account: all that a report needs of a run."""

    url: str
    connections: int
    timeout_s: float
    warmup_s: int
    resends: int
    elapsed_s: float
    cpu_s: float  # the generator's own, user and system
    reconnects: int
    was_stopped: bool
    logged: int


def of(plan: Plan, run: Run, account: Account, verdict: Verdict | None) -> dict[str, Any]:
    """The result JSON."""
    total, measured = account.total(), account.measured
    measured_s = max(run.elapsed_s - run.warmup_s, 1e-9)
    cpu_share = run.cpu_s / max(run.elapsed_s, 1e-9)
    waited_share = total.waited / max(1, total.sent)
    return {
        "version": VERSION,
        "plan": asdict(plan),
        "settings": {name: getattr(run, name) for name in ("url", "connections", "timeout_s", "warmup_s", "resends")},
        "machine": machine(),
        "elapsed_s": round(run.elapsed_s, 3),
        "stopped_early": run.was_stopped,
        "offered_per_s": plan.rate,
        "achieved_per_s": round(measured.acknowledged / measured_s, 1),
        "events": {
            "acknowledged": total.acknowledged,
            "logged": run.logged,
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
            "reconnects": run.reconnects,
        },
        "latency_ms": measured.latency.summary_ms(),
        "service_ms": measured.service.summary_ms(),
        "lag_ms": measured.lag.summary_ms(),
        "generator_cpu_s": round(run.cpu_s, 3),
        "generator_cpu_share": round(cpu_share, 3),
        "generator_limited": is_generator_limited(measured, cpu_share, waited_share),
        "connections_limited": waited_share > WAITED_LIMIT,
        "lost": verdict.lost if verdict else None,
        "duplicated": verdict.duplicated if verdict else None,
        "verify": _verdict(verdict),
        "seconds": account.seconds,
        "latency_histogram_us": measured.latency.buckets(),
    }


def is_generator_limited(measured: Tally, cpu_share: float, waited_share: float) -> bool:
    """Whether the clock was missed by our own fault: late although a connection was free, or out of CPU."""
    is_behind = measured.unsent > 0 and waited_share <= WAITED_LIMIT
    return is_behind or cpu_share > CPU_LIMIT or measured.lag.percentile_us(99) > LAG_P99_LIMIT_US


def machine() -> dict[str, Any]:
    """Where it ran: a figure without its CPU is none."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Replaces the file in one step, so that a reader never sees half of it."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    unfinished.replace(path)


def progress(row: dict[str, float], duration_s: float) -> str:
    """One line while it runs."""
    done = min(1.0, (row["second"] + 1) / duration_s)
    bar = "█" * round(done * 20)
    text = (
        f"{bar:░<20} {row['second'] + 1:.0f}/{duration_s:.0f} s  acknowledged {row['acknowledged']:,.0f}/s"
        f"  p50 {row['p50_ms']:.1f}  p99 {row['p99_ms']:.1f} ms"
    )
    for name in ("refused", "unclear", "unsent"):
        if row[name]:
            text += f"  {name} {row[name]:,.0f}"
    return text


def summary(result: dict[str, Any]) -> str:
    """What a person wants to know, a dozen lines."""
    plan, computer, events = result["plan"], result["machine"], result["events"]
    latency, lag = result["latency_ms"], result["lag_ms"]
    size = f"{plan['duration_s']:g} s, {plan['events_per_body']} a request"
    place = f"{computer['cpu']}, {computer['cores']} cores"
    refused, unclear = sum(events["refused"].values()), sum(events["unclear"].values())
    times = (
        f"p50 {latency['p50']:.2f}  p99 {latency['p99']:.2f}  p99.9 {latency['p99.9']:.2f}  max {latency['max']:.2f} ms"
    )
    own = f"p50 {lag['p50']:.2f}  p99 {lag['p99']:.2f}  max {lag['max']:.2f} ms"
    lines = [
        f"offered       {result['offered_per_s']:,.0f} events/s, {size}; on {place}",
        f"achieved      {result['achieved_per_s']:,.0f} events/s acknowledged, {events['acknowledged']:,} in all",
        f"latency       {times}, from the moment due",
        f"own lag       {own}; {result['generator_cpu_share']:.0%} of a core",
        f"not taken     refused {refused:,}  rejected {events['rejected']:,}  unclear {unclear:,}  unsent {events['unsent']:,}",
    ]
    if refused:
        lines.append(f"refused with  {events['refused']}")
    if result["generator_limited"]:
        lines.append("WARNING       the generator could not keep its clock: these figures are not the server's")
    if result["connections_limited"]:
        lines.append("note          all connections were busy at times: a slow server, or too few --connections")
    found = result["verify"]
    if found is None:
        lines.append("reconciled    no")
        return "\n".join(lines)
    after = found["stored_after_s"]
    when = f"; all stored {after:.1f} s after the end" if after is not None and not found["lost"] else ""
    faults = f"lost {found['lost']:,}  duplicated {found['duplicated']:,}  foreign {found['foreign']:,}"
    lines += [
        f"reconciled    {faults}  unclear but stored {found['stored']['unclear']:,}{when}",
        f"rollups       {'agree' if found['rollups_agree'] else 'DISAGREE: ' + str(found['rollups'])}",
    ]
    lines += [f"  lost {name}" for name in found["lost_sample"]]
    lines += [f"  duplicated {name}" for name in found["duplicated_sample"]]
    return "\n".join(lines)


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return asdict(verdict) | {"rollups_agree": verdict.rollups_agree, "is_exact": verdict.is_exact}
