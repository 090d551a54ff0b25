"""Holds the profiles of runs: which bodies, which rate over time, what is broken meanwhile. Data only.

A profile gives shapes and shares; its rate and duration are defaults that the command line may change. Faults act on
processes of this machine (loadtest/watch/fault.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Victim = Literal["clickhouse", "redis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Describes a fault: one process is stopped (SIGSTOP, then SIGCONT) or killed, at shares of the duration."""

    victim: Victim
    at: float
    until: float  # at the latest after a kill, because the victim's supervisor decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    name: str
    about: str
    rate: float = 200.0  # events per second, where a stage's factor is 1
    duration_s: float = 30.0
    bodies: tuple[tuple[int, float], ...] = ((1, 1.0),)  # (events in a body, share of the bodies)
    stages: tuple[tuple[float, float], ...] = ((1.0, 1.0),)  # (share of the duration, factor on the rate)
    fault: Fault | None = None
    resends: int = 0  # of shed and unclear requests, as SDKs do


# Browsers send one event at a time; SDKs on servers and phones send arrays of very different lengths.
MIXED = ((1, 0.9), (2, 0.03), (5, 0.03), (20, 0.025), (50, 0.01), (200, 0.005))

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="smoke", about="a few single events, to see that all is well", duration_s=10.0),
        Profile(name="single", about="one event a request, as browsers send", rate=5_000.0),
        Profile(name="batch", about="fifty events a request, as SDKs send", rate=20_000.0, bodies=((50, 1.0),)),
        Profile(name="mixed", about="browsers and SDKs: one to 200 events a request", rate=5_000.0, bodies=MIXED),
        Profile(
            name="spike",
            about="five times the rate for a fifth of the time",
            rate=2_000.0,
            stages=((0.4, 1.0), (0.2, 5.0), (0.4, 1.0)),
        ),
        Profile(
            name="soak",
            about="mixed for long, in slow waves",
            rate=2_000.0,
            duration_s=1_800.0,
            bodies=MIXED,
            stages=((1, 0.6), (1, 0.9), (1, 1.2), (1, 1.4), (1, 1.2), (1, 0.9)) * 6,
        ),
        Profile(
            name="outage",
            about="ClickHouse answers nothing for a quarter of the time",
            rate=5_000.0,
            duration_s=60.0,
            fault=Fault(victim="clickhouse", at=0.25, until=0.5),
        ),
        Profile(
            name="redis-outage",
            about="Redis answers nothing for a quarter of the time",
            rate=2_000.0,
            duration_s=40.0,
            fault=Fault(victim="redis", at=0.25, until=0.5),
            resends=2,
        ),
    )
}
