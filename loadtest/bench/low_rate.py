"""Measures P13: what a single event costs at low rates, and how long its answer takes, beside nginx at the same rates.

    Forebay 500/s, nginx 500/s, Forebay 2,000/s, nginx 2,000/s, and again: the median of the rounds is the figure

The load test sends, an open loop, so latency counts from the moment at which a request was due. CPU time is that of all
processes of the stand, from before the first event until the last one is stored, divided by the events. At a low rate
most of it is the price of commits, blocks and wake-ups, and not of the events.

Not promised: that nothing else is in it. The load test needs about a second until its first event, and an idle stand
takes a hundredth of a core meanwhile; afterwards ClickHouse is asked ten times a second whether all is stored, for 3 ms each. By that
reckoning 5 to 15 CPU-seconds of the million at 500/s are the measurement's own, and a quarter of them at 2,000/s.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtest.bench import command, rates
from loadtest.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.bench.nginx import Nginx
    from loadtest.bench.stand import Stand

COST = {500: "P13", 2_000: "P13b"}  # the figures of CPU time, by events a second
ANSWERED = {500: "P13c", 2_000: "P13d"}  # the figures of latency
ROUNDS = 3
SECONDS = 6
NGINX_SECONDS = 4
WARMUP = ("--warmup", "1")


class Round(NamedTuple):
    """Holds one side's run at a rate: CPU seconds by process of so many events, and the median latency."""

    cpu_s: dict[str, float]
    events: int
    p50_ms: float

    @property
    def cpu_s_per_million(self) -> float:
        return sum(self.cpu_s.values()) / self.events * 1e6


def measure(
    stand: Stand, nginx: Nginx, directory: Path, *, rounds: int = ROUNDS, seconds: int = SECONDS
) -> tuple[list[Figure], list[rates.Point]]:
    """Returns P13 to P13d, and the cores in use at their rates. Raises BenchError if an event is not stored."""
    ours: dict[int, list[Round]] = {rate: [] for rate in COST}
    theirs: dict[int, list[Round]] = {rate: [] for rate in COST}
    for _ in range(rounds):
        for rate in COST:
            ours[rate].append(command.in_time(partial(stored, stand, directory, rate, seconds)))
            short = min(seconds, NGINX_SECONDS)
            theirs[rate].append(command.in_time(partial(answered, nginx, directory, rate, short)))
    made = [one for rate in COST for one in figures(rate, ours[rate], theirs[rate])]
    return made, [point(rate, ours[rate]) for rate in COST]


def stored(stand: Stand, directory: Path, rate: int, seconds: int) -> Round:
    """Does a run on a stand that has stored everything, until everything is stored again. Raises Late."""
    before = stand.stored()
    usage = stand.usage()
    found = command.run(stand, directory, *_options(rate, seconds), seconds=seconds)
    events = command.acknowledged(found, rate)
    stand.drained(before + events)
    usage.look()
    command.need_in_time(found, rate)
    return Round({name: one.cpu_s for name, one in usage.usage.items()}, events, found["latency_ms"]["p50"])


def answered(nginx: Nginx, directory: Path, rate: int, seconds: int) -> Round:
    """Does a run on nginx, which stores nothing. Raises Late."""
    usage = nginx.usage()
    found = command.send(["--url", nginx.url], directory, *_options(rate, seconds), seconds=seconds)
    usage.look()
    events = command.acknowledged(found, rate)
    command.need_in_time(found, rate)
    return Round({"nginx": usage.usage["nginx"].cpu_s}, events, found["latency_ms"]["p50"])


def _options(rate: int, seconds: int) -> tuple[str, ...]:
    # A reconciliation would ask ClickHouse while events are sent, and its CPU would show here.
    return ("--profile", "single", "--rate", str(rate), "--duration", str(seconds), *WARMUP, "--no-verify")


def figures(rate: int, ours: Sequence[Round], theirs: Sequence[Round]) -> list[Figure]:
    """Makes the two figures of a rate: medians of the rounds, with nginx's beside them."""
    cost = Figure(
        name=COST[rate],
        value=statistics.median(one.cpu_s_per_million for one in ours),
        beside=statistics.median(one.cpu_s_per_million for one in theirs),
        detail={"rounds": [_round(*pair) for pair in zip(ours, theirs, strict=True)]},
    )
    latency = Figure(
        name=ANSWERED[rate],
        value=statistics.median(one.p50_ms for one in ours),
        beside=statistics.median(one.p50_ms for one in theirs),
    )
    return [cost, latency]


def _round(ours: Round, theirs: Round) -> dict[str, Any]:
    return {
        "events": ours.events,
        "cpu_s_per_million": {name: round(used / ours.events * 1e6, 1) for name, used in ours.cpu_s.items()},
        "nginx_cpu_s_per_million": round(theirs.cpu_s_per_million, 1),
        "p50_ms": ours.p50_ms,
        "nginx_p50_ms": theirs.p50_ms,
    }


def point(rate: int, ours: Sequence[Round]) -> rates.Point:
    """Returns the cores in use at that rate, by process, over all rounds."""
    events = sum(one.events for one in ours)
    return rates.at(float(rate), {name: sum(one.cpu_s[name] for one in ours) / events * rate for name in ours[0].cpu_s})
