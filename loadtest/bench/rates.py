"""Measures CPU in use by process, from no traffic to 70 % of the knee: the points of P7, as capacity.py needs them.

A commit, a block and a process that waits cost about the same however few events there are: at thirty a second an event
costs many times what it costs at 70 % of the knee. So cores are measured at each rate, and not multiplied.

    idle       the stand left alone
    trickle    single events, thirty a second, the peak of a million a day; ClickHouse is asked nothing until they are sent
    P13        single events, 500 and 2,000 a second, until all are stored (low_rate.py)
    P9's run   single events, 5,000 a second, until all are stored; the load test's looks at ClickHouse are in it
    P7         70 % of the knee, the same

Not promised: what happens more seldom than these few seconds. Shares are of the kernel's ticks of 10 ms, so a process
idle for four seconds is known to 0.0025 cores.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from loadtest.bench import command
from loadtest.bench.ask import BenchError
from loadtest.report import result

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.stand import Stand

Point = dict[str, Any]  # {"rate_per_s": 100.0, "cores": {"redis": 0.02, ...}}

IDLE_SECONDS = 4
TRICKLE_PER_S = 30
TRICKLE_SECONDS = 8  # a block is stored each second; the first second has none


def idle(stand: Stand, seconds: float = IDLE_SECONDS) -> Point:
    """Measures a stand to which nobody sends anything, after everything was stored and merged."""
    usage = stand.usage()
    time.sleep(seconds)
    return at(0.0, {name: one["cpu"] for name, one in usage.look().items()})


def trickle(stand: Stand, directory: Path, seconds: int = TRICKLE_SECONDS) -> Point:
    """Measures a trickle of events. Raises BenchError if one of them is not acknowledged, or not stored afterwards."""
    return command.in_time(partial(_trickled, stand, directory, seconds))


def _trickled(stand: Stand, directory: Path, seconds: int) -> Point:
    before = stand.stored()
    # A reconciliation would count rows while events are sent, and its CPU would show here; so they are counted later.
    options = ["--profile", "single", "--rate", str(TRICKLE_PER_S), "--duration", str(seconds), "--no-verify"]
    found = command.run(stand, directory, *options, seconds=seconds)
    stand.drained(before + command.acknowledged(found, TRICKLE_PER_S))
    command.need_in_time(found, TRICKLE_PER_S)
    return sending(found)


def sending(found: dict[str, Any]) -> Point:
    """Takes a run's mean second from its JSON, without the first, in which nothing is stored yet."""
    rows = [row["processes"] for row in found["seconds"][1 : int(found["plan"]["duration_s"])]]
    names = dict.fromkeys(name for row in rows for name in row)  # a look that came late has left a row empty
    return at(found["offered_per_s"], {name: fmean(row[name]["cpu"] for row in rows if name in row) for name in names})


def until_stored(found: dict[str, Any]) -> Point:
    """Takes CPU from a run's JSON as P7 counts it: storing what is left at the end belongs to the events too."""
    rate = found["offered_per_s"]
    used = found["cost"]["processes"]
    return at(rate, {name: one["cpu_s_per_million"] * rate / 1e6 for name, one in used.items()})


def upto(points: list[Point], last: Point) -> list[Point]:
    """Returns the points in order of their rates, without those above the last one.

    A rate above it is more than this machine can take, and says nothing.
    """
    return [*(one for one in points if one["rate_per_s"] < last["rate_per_s"]), last]


def at(rate_per_s: float, cores: dict[str, float]) -> Point:
    """Makes a point, without the load test's own processes. Raises BenchError if no other was seen."""
    tested = {name: round(one, 5) for name, one in cores.items() if name not in result.OURS}
    if not tested:
        raise BenchError(f"no process was seen at {rate_per_s:,.0f} events/s")
    return {"rate_per_s": rate_per_s, "cores": tested}
