"""CPU in use by process, from no traffic to 70 % of the knee: the points of P7, through which capacity.py draws its lines.

A commit, a block and a process that waits cost about the same however few events there are: at thirty a second an
event costs many times what it costs at 70 % of the knee. So cores are measured at each rate, and not multiplied.

    idle       the stand left alone
    trickle    single events, thirty a second, the peak of a million a day; ClickHouse is asked nothing until they are sent
    P9's run   single events, 5,000 a second, until all are stored; the load test's looks at ClickHouse are in it
    P7         70 % of the knee, the same

Not promised: what happens more seldom than these few seconds. Shares are of the kernel's ticks of 10 ms, so that a
process idle for four seconds is known to 0.0025 cores.
"""

from __future__ import annotations

import time
from statistics import fmean
from typing import TYPE_CHECKING, Any

from loadtest.bench import command
from loadtest.bench.ask import BenchError
from loadtest.report import result
from loadtest.report.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.stand import Stand

Point = dict[str, Any]  # {"rate_per_s": 100.0, "cores": {"redis": 0.02, ...}}

IDLE_SECONDS = 4
TRICKLE_PER_S = 30
TRICKLE_SECONDS = 8  # a block is stored each second; the first second has none


def idle(stand: Stand, seconds: float = IDLE_SECONDS) -> Point:
    """Nobody sends anything, and everything is stored and merged."""
    usage = stand.usage()
    time.sleep(seconds)
    return _point(0.0, {name: one["cpu"] for name, one in usage.look().items()})


def trickle(stand: Stand, directory: Path, seconds: int = TRICKLE_SECONDS) -> Point:
    """Raises BenchError when one of its events is not acknowledged, or not stored afterwards."""
    before = stand.stored()
    # A reconciliation counts rows while events are sent, at a cost that would be seen here; they are counted later.
    options = ["--profile", "single", "--rate", str(TRICKLE_PER_S), "--duration", str(seconds), "--no-verify"]
    found = command.run(stand, directory, *options, seconds=seconds)
    if not Result(found).is_complete:
        raise BenchError(f"not all of {TRICKLE_PER_S} events a second were taken: {found['events']}")
    stand.drained(before + found["events"]["acknowledged"])
    return sending(found)


def sending(found: dict[str, Any]) -> Point:
    """From a run's JSON: its mean second, but for the first, in which nothing is stored yet."""
    rows = [row["processes"] for row in found["seconds"][1 : int(found["plan"]["duration_s"])]]
    names = dict.fromkeys(name for row in rows for name in row)  # a look that came late has left a row empty
    return _point(
        found["offered_per_s"], {name: fmean(row[name]["cpu"] for row in rows if name in row) for name in names}
    )


def until_stored(found: dict[str, Any]) -> Point:
    """From a run's JSON, as P7 counts: what is left to be stored at the end is its events' too."""
    rate = found["offered_per_s"]
    used = found["cost"]["processes"]
    return _point(rate, {name: one["cpu_s_per_million"] * rate / 1e6 for name, one in used.items()})


def upto(points: list[Point], last: Point) -> list[Point]:
    """In order of their rates. A rate above the last one is beyond what this machine bears, and says nothing."""
    return [*(one for one in points if one["rate_per_s"] < last["rate_per_s"]), last]


def _point(rate_per_s: float, cores: dict[str, float]) -> Point:
    tested = {name: round(one, 5) for name, one in cores.items() if name not in result.OURS}
    if not tested:
        raise BenchError(f"no process was seen at {rate_per_s:,.0f} events/s")
    return {"rate_per_s": rate_per_s, "cores": tested}
