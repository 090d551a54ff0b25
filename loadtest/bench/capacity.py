"""`python -m loadtest.bench.capacity result.json`: turns what the bench measured into servers. Pure except for `main`.

It takes the result of `make bench`, and of `make bench-peers` if there is one of the same revision, keeps what pages
need of it as docs/measured.json, and rewrites the marked parts of README.md, docs/capacity.md and docs/performance.md.
Every number of them comes from that file and the assumptions below; a test holds the pages to it. A result of an older
bench is read too: its figures are judged by today's bars, and the page names the targets that it lacks.

Not promised: that your events are like the bench's. Their size, and how many come in a body, change all of it.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.bench import marks
from loadtest.bench.figures import markdown
from loadtest.report import result

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "docs" / "measured.json"
DAY_S = 86_400
MB, GB = 1e6, 1e9
# Assumptions, each of which the page names.
PEAK = 3.0  # the rate of a day's busiest minutes, as a multiple of its mean
USED = 0.5  # of a core at the peak: queues are short there, and a restart can catch up
SMALL_CORES = 1
SMALL_SPEED = 0.5  # of a shared virtual core against the measured one
SMALL_MEMORY = 1 * GB
SMALL_DISK = 25 * GB
DISK_USED = 0.8  # merges need room
SYSTEM_MEMORY = 200 * MB  # what the operating system keeps
REDIS_USED = 0.85  # of its limit; beyond it ingest spools
LARGE = 100_000_000  # events a day
OUTAGE_S = 3_600  # of ClickHouse at the peak: so long Redis has to hold all events
RATES = (1_000_000, 10_000_000, LARGE)


class Point(NamedTuple):
    """Holds the cores in use at a rate of single events, by process."""

    rate_per_s: float
    cores: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.cores.values())


class Costs(NamedTuple):
    """Holds what events cost, and what runs without any."""

    points: tuple[Point, ...]  # from no traffic to 70 % of the knee
    memory: dict[str, float]  # bytes, by process, at 70 % of the knee
    redis_bytes: float  # of an event that waits
    disk_bytes: float  # of an event, with its share of the rollups

    @property
    def event_us(self) -> float:
        """Returns the CPU time of an event at 70 % of the knee, in us."""
        return self.points[-1].total / self.points[-1].rate_per_s * 1e6

    @property
    def processes_bytes(self) -> float:
        return sum(self.memory.values())


def costs(found: dict[str, Any]) -> Costs:
    """Takes the costs from a result of the bench. Raises ValueError if a figure is missing that it needs."""
    figures = {figure["name"]: figure for figure in found["figures"] if not figure["fault"]}
    if lacking := [name for name in ("P7", "P9", "P11") if name not in figures]:
        raise ValueError(f"the result lacks {' '.join(lacking)}")
    points = tuple(Point(one["rate_per_s"], one["cores"]) for one in figures["P7"]["detail"].get("points", ()))
    if len(points) < 2:
        raise ValueError("the result lacks the points of P7, CPU at lower rates: an older `make bench` made it")
    used = {name: one for name, one in figures["P7"]["detail"]["processes"].items() if name not in result.OURS}
    if any(set(point.cores) != set(used) for point in points):
        raise ValueError("the points of P7 are not all of the same processes")
    on_disk = figures["P11"]["detail"]
    return Costs(
        points=points,
        memory={name: one["rss_mb_max"] * MB for name, one in used.items()},
        redis_bytes=figures["P9"]["value"],
        disk_bytes=sum(on_disk["tables"].values()) / on_disk["rows"],
    )


def in_use(cost: Costs, rate_per_s: float) -> dict[str, float]:
    """Returns the cores in use at a rate, by process.

    They lie on straight lines between the points, and beyond the last point they grow in proportion to the rate.
    """
    last = cost.points[-1]
    for low, high in pairwise(cost.points):
        if rate_per_s < high.rate_per_s:
            share = (rate_per_s - low.rate_per_s) / (high.rate_per_s - low.rate_per_s)
            return {name: low.cores[name] + share * (high.cores[name] - low.cores[name]) for name in last.cores}
    return {name: one * rate_per_s / last.rate_per_s for name, one in last.cores.items()}


def per_s(cost: Costs, used: float) -> tuple[float, str]:
    """Returns the rate at which so many cores are in use, and its arithmetic.

    Raises ValueError if that many are in use without traffic.
    """
    idle = cost.points[0].total
    if used <= idle:
        raise ValueError(f"without traffic {idle:.3f} cores are in use, the small server has {used:g} to give")
    for low, high in pairwise(cost.points):
        if low.total <= used < high.total:
            rise, run = high.total - low.total, high.rate_per_s - low.rate_per_s
            said = (
                f"{low.rate_per_s:,.0f} + ({used:g} − {low.total:.3f}) ÷ ({high.total:.3f} − {low.total:.3f})"
                f" × ({high.rate_per_s:,.0f} − {low.rate_per_s:,.0f})"
            )
            return low.rate_per_s + (used - low.total) / rise * run, said
    return used / cost.event_us * 1e6, f"{used:g} ÷ {cost.event_us:.0f} µs"


def by_process(cost: Costs) -> str:
    """Returns the table of CPU at each point, and of memory."""
    last = cost.points[-1]
    heads = [f"at {point.rate_per_s:,.0f}/s" if point.rate_per_s else "cores in use, idle" for point in cost.points]
    rows = [["process", *heads, "CPU-seconds per million events there", "memory there"]]
    for name, most in last.cores.items():
        shares = [f"{point.cores[name]:.3f}" for point in cost.points]
        rows.append([name, *shares, f"{most / last.rate_per_s * 1e6:.1f}", f"{cost.memory[name] / MB:.0f} MB"])
    sums = [f"{point.total:.3f}" for point in cost.points]
    rows.append(["all", *sums, f"{cost.event_us:.1f}", f"{cost.processes_bytes / MB:.0f} MB"])
    each = [f"{point.total / point.rate_per_s * 1e6:,.0f} µs" if point.rate_per_s else "" for point in cost.points]
    rows.append(["all ÷ rate: an event", *each, "", ""])
    text = (
        f"An event waiting in Redis takes {cost.redis_bytes:.0f} B, on disk {cost.disk_bytes:.0f} B with its rollups."
    )
    return f"{markdown(rows)}\n\n{text}"


def small(cost: Costs) -> str:
    """Returns the table of what a 5-dollar server can take."""
    used = SMALL_CORES * SMALL_SPEED * USED
    peak, said = per_s(cost, used)
    a_day = peak / PEAK * DAY_S
    room = SMALL_MEMORY - SYSTEM_MEMORY - (cost.processes_bytes - cost.memory.get("redis", 0))
    waiting = max(0.0, room * REDIS_USED / cost.redis_bytes)
    days = SMALL_DISK * DISK_USED / (cost.disk_bytes * a_day)
    rows = [
        ["question", "arithmetic", "answer"],
        ["cores in use at the peak, as measured", f"{SMALL_CORES} core × {SMALL_SPEED:g} × {USED:g}", f"{used:g}"],
        ["events a second at the peak", said, f"{peak:,.0f}"],
        ["events a day", f"{peak:,.0f} ÷ {PEAK:g} × {DAY_S:,}", millions(a_day)],
        [
            "memory left for Redis",
            f"{SMALL_MEMORY / MB:,.0f} − {SYSTEM_MEMORY / MB:.0f} − {(cost.processes_bytes - cost.memory.get('redis', 0)) / MB:.0f} MB",
            f"{room / MB:,.0f} MB",
        ],
        [
            "events that may wait",
            f"{room / MB:,.0f} MB × {REDIS_USED:g} ÷ {cost.redis_bytes:.0f} B",
            f"{millions(waiting)}, {waiting / (a_day / DAY_S) / 3600:.1f} h of a mean day",
        ],
        [
            "days until the disk is full",
            f"{SMALL_DISK / GB:.0f} GB × {DISK_USED:g} ÷ ({cost.disk_bytes:.0f} B × {millions(a_day)})",
            f"{days:,.0f}",
        ],
        [
            "the same at a million a day",
            f"{SMALL_DISK / GB:.0f} GB × {DISK_USED:g} ÷ ({cost.disk_bytes:.0f} B × 1 M)",
            f"{SMALL_DISK * DISK_USED / (cost.disk_bytes * 1e6):,.0f} days",
        ],
    ]
    return markdown(rows)


def large(cost: Costs) -> str:
    """Returns the table of what large numbers of events a day need."""
    rows = [["", *(f"{millions(rate)} a day" for rate in RATES)]]
    peaks = [rate / DAY_S * PEAK for rate in RATES]
    rows.append(
        [
            "events a second, mean × peak",
            *(f"{rate / DAY_S:,.0f} × {PEAK:g} = {rate / DAY_S * PEAK:,.0f}" for rate in RATES),
        ]
    )
    used = [in_use(cost, peak) for peak in peaks]
    rows.append(["cores in use then", *(f"{sum(each.values()):.3f}" for each in used)])
    rows.append([f"cores, of which {USED:.0%} are used at the peak", *(to_have(sum(each.values())) for each in used)])
    for name in cost.points[-1].cores:
        parts = [to_have(each[name]) for each in used]
        if set(parts) != {to_have(0)}:
            rows.append([f"of these {name}", *parts])
    rows.append(
        [
            f"Redis, {OUTAGE_S // 3600} h without ClickHouse at the peak",
            *(size(peak * OUTAGE_S * cost.redis_bytes / REDIS_USED) for peak in peaks),
        ]
    )
    rows.append(["disk a day", *(size(rate * cost.disk_bytes) for rate in RATES)])
    rows.append(
        [
            f"disk a year, {DISK_USED:.0%} of it used",
            *(size(rate * cost.disk_bytes * 365 / DISK_USED) for rate in RATES),
        ]
    )
    return markdown(rows)


def to_have(used: float) -> str:
    """Returns how many cores to have, like the measured ones, for so many in use."""
    return f"{used / USED:.2f}"


def millions(events: float) -> str:
    return f"{events / 1e6:,.0f} M" if events >= 1e7 else f"{events / 1e6:.2g} M"


def size(count: float) -> str:
    return f"{count / GB:,.1f} GB" if count >= GB else f"{count / MB:,.0f} MB"


def capacity_page(text: str, found: dict[str, Any]) -> str:
    """Returns docs/capacity.md with its tables made anew."""
    cost = costs(found)
    made = {"origin": marks.origin(found), "processes": by_process(cost), "small": small(cost), "large": large(cost)}
    for name, what in made.items():
        text = marks.replaced(text, name, what)
    return text


def performance_page(text: str, found: dict[str, Any]) -> str:
    """Returns docs/performance.md with its table made anew."""
    return marks.replaced(text, "targets", marks.targets(found))


def readme(text: str, found: dict[str, Any]) -> str:
    """Returns README.md with its first figure and its table made anew."""
    return marks.replaced(marks.replaced(text, "speed", marks.speed(found)), "measured", marks.measured(found))


PAGES = {"README.md": readme, "docs/capacity.md": capacity_page, "docs/performance.md": performance_page}


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if len(words) not in (1, 2) or words[0].startswith("-"):
        print("usage: python -m loadtest.bench.capacity RESULT.json [PEERS.json]", file=sys.stderr)
        return 2
    try:
        found, *peers = (json.loads(Path(word).read_text("utf-8")) for word in words)
        for one in peers:
            found = marks.with_peers(found, one)
        found = marks.kept(found)
        texts = {ROOT / name: made((ROOT / name).read_text("utf-8"), found) for name, made in PAGES.items()}
    except (OSError, ValueError) as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 1
    result.write(MEASURED, found)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    print(f"rewritten from {words[0]}: {', '.join(PAGES)} and {MEASURED.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
