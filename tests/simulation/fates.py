"""Decides what befalls a request or a write to disk before it starts: by a plan or by chance."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable


class Fate(enum.Enum):
    """Names what befalls one I/O call of one process."""

    NONE = "-"
    BEFORE = "before"  # it fails and had no effect
    AFTER = "after"  # it had its effect, the answer is lost
    LATE = "late"  # the client gives up, then it has its effect
    SLOW = "slow"  # an INSERT rests between its steps, for longer than its client waits
    DIE_BEFORE = "die before"
    DIE_AFTER = "die after"  # it had its effect, nobody heard
    DIE_LATE = "die late"  # the process dies first, then it has its effect
    PAUSE_BEFORE = "pause before"  # the process is stopped for longer than its lease, then it is sent
    PAUSE_AFTER = "pause after"
    FAIL = "fail"  # an INSERT breaks off after some of its steps; the server lives
    CRASH = "crash"  # the server dies in the middle of it (an INSERT: after any of its steps)


REQUEST = tuple(fate for fate in Fate if fate not in {Fate.NONE, Fate.SLOW, Fate.FAIL, Fate.CRASH})
INSERT = (*REQUEST, Fate.SLOW, Fate.FAIL, Fate.FAIL, Fate.CRASH, Fate.CRASH, Fate.CRASH)
DISK = (Fate.BEFORE, Fate.CRASH, Fate.DIE_BEFORE, Fate.DIE_AFTER)  # crash: the process dies inside a write
POLLS = (
    "xrange",
    "xinfo_stream",
    "memory_usage",
    "pipeline",
    "renew",
    "enrol",
    "exists",
    "pttl",
    "get",
    "set",
    "info",
    "hget",
    "time",
    "zrem",
    "ask",
    "confirm",
)


def kinds(what: str) -> tuple[Fate, ...]:
    """Returns the fates that such a call can have."""
    if what.startswith("insert "):
        return INSERT
    return DISK if what.startswith("disk") else REQUEST


Fates = Callable[[int, str], Fate]  # of a call's number and name


def planned(plan: dict[int, Fate]) -> Fates:
    """Returns fates by which exactly these calls fail."""
    return lambda number, _: plan.get(number, Fate.NONE)


def by_chance(rng: random.Random, rate: float) -> Fates:
    """Returns fates by which any call may fail at this rate; calls that only ask fail more seldom."""

    def fate(_: int, what: str) -> Fate:
        if rng.random() >= (rate * 0.15 if what.startswith(POLLS) else rate):
            return Fate.NONE
        return rng.choice(kinds(what))

    return fate
