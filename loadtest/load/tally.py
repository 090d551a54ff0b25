"""Counts what happened to the requests of one stretch of time, and their latencies; tallies can be added up.

Fates are counted in events, `sent` and `answered` in requests. Latency is measured from the moment at which a request
was *due*, and not from when it was sent: a generator that waits for a slow server before it sends the next request
hides exactly the slowness that it should find (coordinated omission). Latency covers the acknowledged, and with the
time that they were waited for also requests that never got an answer or a connection. Refusals are counted and not
timed, because a fast 503 would flatter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loadtest.load.histogram import Histogram

HISTOGRAMS = ("latency", "service", "lag")
COUNTERS = ("refused", "unclear")


@dataclass(slots=True)
class Tally:
    sent: int = 0  # requests, without resends
    resent: int = 0
    answered: int = 0
    acknowledged: int = 0  # events
    rejected: int = 0  # events named in the answer to an array
    refused: Counter[str] = field(default_factory=Counter)  # events by status
    unclear: Counter[str] = field(default_factory=Counter)  # events by "cut" or "timeout"
    unsent: int = 0  # events that found no connection in time: offered, never sent
    waited: int = 0  # requests that were due while every connection was busy or down
    odd_answers: int = 0  # 2xx to an array with a body of another form than docs/events.md says
    latency: Histogram = field(default_factory=Histogram)  # from due to answered
    service: Histogram = field(default_factory=Histogram)  # from sent to answered
    lag: Histogram = field(default_factory=Histogram)  # from when it could have been sent to sent: our own delay

    def add(self, other: Tally) -> None:
        self.sent += other.sent
        self.resent += other.resent
        self.answered += other.answered
        self.acknowledged += other.acknowledged
        self.rejected += other.rejected
        self.refused.update(other.refused)
        self.unclear.update(other.unclear)
        self.unsent += other.unsent
        self.waited += other.waited
        self.odd_answers += other.odd_answers
        self.latency.add(other.latency)
        self.service.add(other.service)
        self.lag.add(other.lag)

    @staticmethod
    def of(state: dict[str, Any]) -> Tally:
        """Makes a tally from the state of another."""
        whole = dict(state)
        whole |= {name: Histogram.of(state[name]) for name in HISTOGRAMS}
        whole |= {name: Counter(state[name]) for name in COUNTERS}
        return Tally(**whole)

    def state(self) -> dict[str, Any]:
        """Returns all of the tally as plain data, for another process."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {name: found[name].state() for name in HISTOGRAMS}

    def row(self, second: int) -> dict[str, Any]:
        """Returns one second of a run as a row for a plot or a progress line."""
        return {
            "second": second,
            "sent": self.sent,
            "answered": self.answered,
            "acknowledged": self.acknowledged,
            "refused": self.refused.total() + self.rejected,
            "unclear": self.unclear.total(),
            "unsent": self.unsent,
            "errors": dict(self.refused + self.unclear + Counter(rejected=self.rejected)),
            "p50_ms": self.latency.percentile_us(50) / 1000,
            "p90_ms": self.latency.percentile_us(90) / 1000,
            "p99_ms": self.latency.percentile_us(99) / 1000,
            "p999_ms": self.latency.percentile_us(99.9) / 1000,
            "max_ms": self.latency.max_us / 1000,
            "lag_p99_ms": self.lag.percentile_us(99) / 1000,
        }
