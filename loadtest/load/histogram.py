"""Counts durations in log-linear buckets, as HdrHistogram does: every value is known to within 0.4 %.

A value of up to 2^9 us has a bucket of its own; above, each power of two is cut into 256 equal buckets. Recording is
one shift and one increment (0.5 us). Histograms can be added up, so seconds are merged into a run, and processes into
one.

Not promised: values above 2^36 us (19 h); they count as that.
"""

from __future__ import annotations

BITS = 8  # 2^8 buckets to a power of two: relative error at most 2^-8
_TOP = 1 << 36

State = tuple[int, int, list[tuple[int, int]]]  # max_us, sum_us, (bucket, count)


class Histogram:
    __slots__ = ("_counts", "count", "max_us", "sum_us")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}  # sparse: a second's worth fills a few hundred of 7 680
        self.count = 0
        self.max_us = 0
        self.sum_us = 0

    @staticmethod
    def of(state: State) -> Histogram:
        """Makes a histogram from the state of another."""
        found = Histogram()
        found.max_us, found.sum_us = state[0], state[1]
        found._counts = dict(state[2])
        found.count = sum(found._counts.values())
        return found

    def state(self) -> State:
        """Returns what another process needs to add this histogram to its own."""
        return self.max_us, self.sum_us, list(self._counts.items())

    def record(self, seconds: float) -> None:
        """Counts one value; a negative one, from two clocks that disagree, counts as 0."""
        value = int(seconds * 1e6)
        if value < 0:  # not max(): a call costs twice as much
            value = 0
        index = index_of(value)
        counts = self._counts
        counts[index] = counts.get(index, 0) + 1
        self.count += 1
        self.sum_us += value
        if value > self.max_us:
            self.max_us = value

    def record_times(self, seconds: float, times: int) -> None:
        """Counts one value so many times."""
        value = max(0, int(seconds * 1e6))
        index = index_of(value)
        self._counts[index] = self._counts.get(index, 0) + times
        self.count += times
        self.sum_us += value * times
        self.max_us = max(self.max_us, value)

    def add(self, other: Histogram) -> None:
        counts = self._counts
        for index, number in other._counts.items():
            counts[index] = counts.get(index, 0) + number
        self.count += other.count
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)

    def percentile_us(self, percent: float) -> int:
        """Returns the value that `percent` of all values don't exceed, rounded up to its bucket; 0 if there are none."""
        if not self.count:
            return 0
        rank = max(1, -(-self.count * percent // 100))
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= rank:
                return min(upper_us(index), self.max_us)
        return self.max_us

    def summary_ms(self) -> dict[str, float]:
        """Returns the figures that a report prints, in milliseconds."""
        marks = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
        found = {name: self.percentile_us(percent) / 1000 for name, percent in marks.items()}
        mean = self.sum_us / self.count / 1000 if self.count else 0.0
        return {"mean": round(mean, 3), **found, "max": self.max_us / 1000}

    def buckets(self) -> list[tuple[int, int]]:
        """Returns (upper edge in us, count) of each bucket, ascending, as a plot needs them."""
        return [(upper_us(index), self._counts[index]) for index in sorted(self._counts)]


def index_of(value_us: int) -> int:
    value = min(value_us, _TOP)
    shift = value.bit_length() - BITS - 1
    if shift <= 0:
        return value
    return (shift << BITS) + (value >> shift)


def upper_us(index: int) -> int:
    """Returns the largest value that falls into a bucket."""
    if index < 2 << BITS:
        return index
    shift = (index >> BITS) - 1
    mantissa = (index & ((1 << BITS) - 1)) + (1 << BITS)
    return ((mantissa + 1) << shift) - 1
