"""Holds what a run, or a sweep of runs, is asked to do. The command line (config.py) makes it, or a program does."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from loadtest.load.generate import Plan
from loadtest.load.profile import PROFILES, Profile
from loadtest.watch.deployment import Deployment
from loadtest.watch.fault import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Holds all that decides a run. `rate` and `duration_s` are the profile's unless they are given."""

    profile: Profile = PROFILES["smoke"]
    deployment: Deployment = field(default_factory=Deployment)
    rate: float | None = None
    duration_s: float | None = None
    sites: tuple[str, ...] = ("demo",)
    seed: int = 1
    arrivals: Literal["poisson", "fixed"] = "poisson"
    generators: int = 1
    connections: int = 64  # of all generators together
    timeout_s: float = 10.0
    warmup_s: int = 0
    resends: int | None = None  # the profile's unless given
    ahead_bytes: int = 256_000_000  # memory for bodies that are made before the clock starts, of all generators
    fault_kind: Kind = "pause"
    ack_log: Path | None = None
    fsync: bool = False
    verify: bool = True
    verify_timeout_s: float = 60.0
    freshness_s: float = 0.1  # between two looks at new rows; 0: freshness is not measured
    cost: bool = False  # whether bytes per event are measured: merges the table and scans Redis

    @property
    def events_per_s(self) -> float:
        return self.profile.rate if self.rate is None else self.rate

    @property
    def seconds(self) -> float:
        return self.profile.duration_s if self.duration_s is None else self.duration_s

    def plan(self) -> Plan:
        """Returns what all generators together send."""
        return Plan(
            rate=self.events_per_s,
            duration_s=self.seconds,
            bodies=self.profile.bodies,
            stages=self.profile.stages,
            arrivals=self.arrivals,
            sites=self.sites,
            seed=self.seed,
            run=secrets.token_hex(8),
            base_ms=int(time.time() * 1000),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """Holds how a sweep searches. `rate_first` should pass; if it does not, rates are halved instead."""

    settings: Settings  # of every rung, except its rate and duration
    rate_first: float = 2_000.0
    rung_s: float = 20.0
    warmup_s: int = 3
    stored_within_s: float = 5.0
    seconds_max: float = 300.0  # no rung begins that would end later; the last run is not counted
    final: bool = True  # the run at 70 %
