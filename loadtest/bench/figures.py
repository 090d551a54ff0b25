"""Holds what the bench aims at, and the arithmetic from rounds to a verdict. Pure.

A ratio is against a baseline that was measured in the same run, in turns with it, so both meet the same noisy
neighbours. It is formed pair by pair, and its median is the figure; the spread (least to most) says how far to trust
it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1
RATIO = "ratio"
Verdict = Literal["goal", "first bar", "missed", "failed"]
VERDICTS = {"goal": "goal met", "first bar": "first bar met", "missed": "missed", "failed": "FAILED"}


@dataclass(frozen=True, slots=True)
class Target:
    """Describes a target. `first` and `goal` are in `unit`; a figure must reach them, or stay below if `is_ceiling`."""

    name: str
    what: str
    first: float
    goal: float
    unit: str
    baseline: str = ""
    is_ceiling: bool = False


NGINX = "nginx `return 202`, same script"
AT_KNEE = "at 70 % of the knee"
# `--only` names those of MEASURED; the others are measured with P4, on the same deployment.
TARGETS = {
    target.name: target
    for target in (
        Target("P1", "one-event POST, acknowledged after fsync, one worker", 0.30, 0.45, RATIO, NGINX),
        Target("P2", "bodies of 50: events/s ÷ nginx requests/s", 1.5, 2.5, RATIO, NGINX),
        Target("P3", "drain of a full buffer into `events` and views, rows/s", 0.5, 0.8, RATIO, "`client.insert`"),
        Target("P4", "drain knee, single events", 15_000, 40_000, "/s", "OpenPanel, published: 744/s (best 1,904)"),
        Target("P4b", "drain knee, bodies of 50", 60_000, 150_000, "/s"),
        Target("P5", f"latency {AT_KNEE}, p99", 10, 5, "ms", "OpenPanel, closed loop: 69 ms", is_ceiling=True),
        Target("P5b", f"latency {AT_KNEE}, p99.9", 50, 25, "ms", is_ceiling=True),
        Target("P6", f"freshness {AT_KNEE}, p99", 2_000, 1_200, "ms", is_ceiling=True),
        Target("P7", "CPU-seconds per million single events", 60, 35, "s", is_ceiling=True),
        Target("P8", f"memory of ingest worker and flusher {AT_KNEE}", 250, 150, "MB", "OpenPanel: 1.6 GB", True),
        Target("P9", "an event in Redis, at 5,000/s", 110, 75, "B", "one event per XADD: 379 B", True),
        Target("P11", "an event on disk, merged", 30, 22, "B", is_ceiling=True),
    )
}
MEASURED = ("P1", "P2", "P3", "P4", "P4b")


@dataclass(slots=True, kw_only=True)
class Figure:
    """Holds one line of the table. `fault` says why there is no value."""

    name: str
    value: float  # in the target's unit
    measured_per_s: float = 0.0  # of a ratio: the medians that it is made of
    baseline_per_s: float = 0.0
    spread: tuple[float, float] | None = None  # of a ratio: the least and the most
    detail: dict[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def verdict(self) -> Verdict:
        target = TARGETS[self.name]
        if self.fault:
            return "failed"
        if _reaches(self.value, target.goal, target):
            return "goal"
        return "first bar" if _reaches(self.value, target.first, target) else "missed"

    def as_json(self) -> dict[str, Any]:
        target = TARGETS[self.name]
        return {
            "name": self.name,
            "what": target.what,
            "unit": target.unit,
            "is_ceiling": target.is_ceiling,
            "first_bar": target.first,
            "goal": target.goal,
            "value": round(self.value, 3),
            "baseline": target.baseline,
            "measured_per_s": round(self.measured_per_s),
            "baseline_per_s": round(self.baseline_per_s),
            "spread": [round(one, 3) for one in self.spread] if self.spread else None,
            "verdict": self.verdict,
            "fault": self.fault,
            "detail": self.detail,
        }


def _reaches(value: float, bar: float, target: Target) -> bool:
    return value <= bar if target.is_ceiling else value >= bar


def failed(name: str, fault: str) -> Figure:
    """Returns a figure that could not be measured."""
    return Figure(name=name, value=0, fault=fault)


def paired(name: str, measured: Sequence[float], baseline: Sequence[float]) -> Figure:
    """Makes a figure of rounds taken in turns: the n-th of one beside the n-th of the other, each per second."""
    found = ratios(measured, baseline)
    return Figure(
        name=name,
        value=statistics.median(found),
        measured_per_s=statistics.median(measured),
        baseline_per_s=statistics.median(baseline),
        spread=(min(found), max(found)),
    )


def ratios(measured: Sequence[float], baseline: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(measured, baseline, strict=True)]


def is_decided(found: Sequence[float]) -> bool:
    """Tells whether the ratios of a change to its base all lie on one side of 1, and are enough to say so.

    If nothing had changed, all of four would in one case of eight, and all of six in one of 32.
    """
    return len(found) >= 4 and (min(found) > 1 or max(found) < 1)


def table(figures: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Returns header and rows of the table, from figures as JSON has them."""
    rows = [["#", "target", "first bar", "goal", "measured", "baseline", "ratio (least to most)", "verdict"]]
    for found in figures:
        is_ratio = found["unit"] == RATIO
        baseline = (
            f"{found['baseline_per_s']:,}/s ({found['baseline']})" if found["baseline_per_s"] else found["baseline"]
        )
        rows.append(
            [
                found["name"],
                found["what"],
                amount(found["first_bar"], found["unit"]),
                amount(found["goal"], found["unit"]),
                f"{found['measured_per_s']:,}/s" if is_ratio else amount(found["value"], found["unit"]),
                baseline,
                _spread(found) if is_ratio else "",
                VERDICTS[found["verdict"]] + (f": {found['fault']}" if found["fault"] else ""),
            ]
        )
        if found["fault"]:
            rows[-1][4] = rows[-1][6] = ""
    return rows


def notes(figures: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the sentences that the table needs beside it."""
    found = {figure["name"]: figure for figure in figures if not figure["fault"]}
    said = []
    if {"P1", "P2"} <= set(found):
        strict = found["P2"]["measured_per_s"] / found["P1"]["baseline_per_s"]
        said.append(f"P2's nginx reads the same 12 kB. Against nginx with P1's body P2 is {strict:.2f}.")
    if "P3" in found:
        said.append(
            f"P3 by CPU time, flusher and ClickHouse against client and ClickHouse: {found['P3']['detail']['cpu_ratio']:.2f}."
        )
    limited = [name for name in ("P4", "P4b") if name in found and found[name]["detail"]["generator_limited"]]
    return said + [f"{name} is a lower bound: its generators could not keep their clock." for name in limited]


def amount(value: float, unit: str) -> str:
    """Formats a number with its unit: three digits, or all digits of a large one."""
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return text if unit == RATIO else f"{text}{'' if unit.startswith('/') else ' '}{unit}"


def _spread(found: dict[str, Any]) -> str:
    least, most = found["spread"] or (found["value"], found["value"])
    return f"{found['value']:.2f} ({least:.2f} to {most:.2f})"


def text(rows: Sequence[Sequence[str]]) -> str:
    """Formats a table for a terminal."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Formats a table for a page."""
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])
