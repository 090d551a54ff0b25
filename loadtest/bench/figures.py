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

VERSION = 2  # 1 had `measured_per_s` and `baseline_per_s`, and every ratio was one of rates
RATIO = "ratio"
Verdict = Literal["goal", "first bar", "missed", "failed"]
VERDICTS = {"goal": "goal met", "first bar": "first bar met", "missed": "missed", "failed": "FAILED"}


@dataclass(frozen=True, slots=True)
class Target:
    """Describes a target. `first` and `goal` are in `unit`; a figure must reach them, or stay below if `is_ceiling`.

    `sides` is the unit of the two figures that a ratio is made of.
    """

    name: str
    what: str
    first: float
    goal: float
    unit: str
    baseline: str = ""
    is_ceiling: bool = False
    sides: str = "/s"


NGINX = "nginx `return 202`, same script"
NGINX_OPEN = "nginx `return 202`, same rate"
BULK = "clickhouse-bulk, in turns"
AT_KNEE = "at 70 % of the knee"
# `--only` names those of MEASURED. P1c is measured with P1, P5 to P11 with P3 and P4, P14 by `make bench-peers`.
TARGETS = {
    target.name: target
    for target in (
        Target("P1", "one-event POST, acknowledged after fsync, one worker", 0.40, 0.50, RATIO, NGINX),
        Target("P1c", "the same by CPU: nginx's ÷ ingest's, of a request", 0.50, 0.60, RATIO, NGINX, sides="µs"),
        Target("P2", "bodies of 50: events/s ÷ nginx requests/s", 3.0, 3.6, RATIO, NGINX),
        Target("P3", "drain of a full buffer into `events` and views, rows/s", 0.5, 0.8, RATIO, "`client.insert`"),
        Target("P4", "drain knee, single events", 24_000, 30_000, "/s", "OpenPanel, published: 744/s (best 1,904)"),
        Target("P4b", "drain knee, bodies of 50", 60_000, 150_000, "/s"),
        Target("P5", f"latency {AT_KNEE}, p99", 20, 10, "ms", "OpenPanel, closed loop: 69 ms", is_ceiling=True),
        Target("P5b", f"latency {AT_KNEE}, p99.9", 60, 30, "ms", is_ceiling=True),
        Target("P6", f"freshness {AT_KNEE}, p99", 2_000, 1_200, "ms", is_ceiling=True),
        Target("P7", "CPU-seconds per million single events", 55, 45, "s", is_ceiling=True),
        Target("P8", f"memory of ingest worker and flusher {AT_KNEE}", 250, 150, "MB", "OpenPanel: 1.6 GB", True),
        Target("P9", "an event in Redis, at 5,000/s", 110, 75, "B", "one event per XADD: 379 B", True),
        Target("P11", "an event on disk, merged", 30, 22, "B", is_ceiling=True),
        Target("P13", "CPU-seconds per million single events, at 500/s", 350, 200, "s", NGINX_OPEN, True),
        Target("P13b", "the same at 2,000/s", 160, 100, "s", NGINX_OPEN, True),
        Target("P13c", "latency at 500/s, p50", 3, 1.5, "ms", NGINX_OPEN, True),
        Target("P13d", "the same at 2,000/s", 3, 1.5, "ms", NGINX_OPEN, True),
        Target("P14", "CPU of an event, whole chain, at saturation", 1.0, 0.7, RATIO, BULK, True, sides="µs"),
    )
}
MEASURED = ("P1", "P2", "P3", "P4", "P4b", "P13")


@dataclass(slots=True, kw_only=True)
class Figure:
    """Holds one line of the table. `fault` says why there is no value."""

    name: str
    value: float  # in the target's unit
    measured: float = 0.0  # of a ratio: the medians that it is made of, in the target's `sides`
    beside: float = 0.0  # the baseline of this run; if there is no ratio, in the target's unit
    spread: tuple[float, float] | None = None  # of a ratio: the least and the most
    detail: dict[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def verdict(self) -> Verdict:
        return _verdict(self.name, self.value, self.fault)

    def as_json(self) -> dict[str, Any]:
        figure = {
            "name": self.name,
            "value": round(self.value, 3),
            "measured": round(self.measured, 1),
            "beside": round(self.beside, 2),
            "spread": [round(one, 3) for one in self.spread] if self.spread else None,
            "fault": self.fault,
            "detail": self.detail,
        }
        return judged(figure)


def judged(figure: dict[str, Any]) -> dict[str, Any]:
    """Returns a figure of a result with its target's words, bars and verdict as they are today.

    A figure of version 1 gets today's names. Raises ValueError for a figure that is no target any more.
    """
    name = figure["name"]
    if name not in TARGETS:
        raise ValueError(f"the result has {name}, which is no target of this revision: measure again with `make bench`")
    target = TARGETS[name]
    return {
        "name": name,
        "what": target.what,
        "unit": target.unit,
        "is_ceiling": target.is_ceiling,
        "first_bar": target.first,
        "goal": target.goal,
        "value": figure["value"],
        "baseline": target.baseline,
        "measured": figure["measured"] if "measured" in figure else figure["measured_per_s"],
        "beside": figure["beside"] if "beside" in figure else figure["baseline_per_s"],
        "sides": target.sides if target.unit == RATIO else target.unit,
        "spread": figure["spread"],
        "verdict": _verdict(name, figure["value"], figure["fault"]),
        "fault": figure["fault"],
        "detail": figure["detail"],
    }


def _verdict(name: str, value: float, fault: str) -> Verdict:
    target = TARGETS[name]
    if fault:
        return "failed"
    if _reaches(value, target.goal, target):
        return "goal"
    return "first bar" if _reaches(value, target.first, target) else "missed"


def _reaches(value: float, bar: float, target: Target) -> bool:
    return value <= bar if target.is_ceiling else value >= bar


def failed(name: str, fault: str) -> Figure:
    """Returns a figure that could not be measured."""
    return Figure(name=name, value=0, fault=fault)


def paired(name: str, measured: Sequence[float], baseline: Sequence[float], *, is_inverse: bool = False) -> Figure:
    """Makes a figure of rounds taken in turns: the n-th of one beside the n-th of the other, each in the target's `sides`.

    An inverse ratio is the baseline's ÷ ours: of costs, so that more is better.
    """
    found = ratios(baseline, measured) if is_inverse else ratios(measured, baseline)
    return Figure(
        name=name,
        value=statistics.median(found),
        measured=statistics.median(measured),
        beside=statistics.median(baseline),
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
        beside = amount(found["beside"], found["sides"]) if found["beside"] else ""
        rows.append(
            [
                found["name"],
                found["what"],
                amount(found["first_bar"], found["unit"]),
                amount(found["goal"], found["unit"]),
                amount(found["measured"], found["sides"]) if is_ratio else amount(found["value"], found["unit"]),
                f"{beside} ({found['baseline']})" if beside else found["baseline"],
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
        strict = found["P2"]["measured"] / found["P1"]["beside"]
        said.append(f"P2's nginx reads the same 12 kB. Against nginx with P1's body P2 is {strict:.2f}.")
    if "P3" in found:
        said.append(
            f"P3 by CPU time, flusher and ClickHouse against client and ClickHouse: {found['P3']['detail']['cpu_ratio']:.2f}."
        )
    limited = [name for name in ("P4", "P4b") if name in found and found[name]["detail"]["generator_limited"]]
    return said + [f"{name} is a lower bound: its generators could not keep their clock." for name in limited]


def absent(figures: Sequence[dict[str, Any]]) -> str:
    """Returns a sentence with the targets that the result has no figure of, or "" if it has all of them."""
    there = {figure["name"] for figure in figures}
    lacking = [name for name in TARGETS if name not in there]
    return f"Not in this run: {', '.join(lacking)}." if lacking else ""


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
