"""The histogram is close to the exact percentile, whatever was recorded, and can be added up."""

import math

from hypothesis import given
from hypothesis import strategies as st

from loadtest.load.histogram import Histogram, index_of, upper_us

US = st.integers(min_value=0, max_value=1 << 36)
VALUES = st.lists(US, min_size=1, max_size=200)


def of(values_us: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values_us:
        histogram.record(value / 1e6)
    return histogram


@given(US)
def test_a_bucket_holds_its_value_within_a_part_in_256(value: int) -> None:
    """Buckets are adjacent, and none is wider than that."""
    upper = upper_us(index_of(value))
    assert value <= upper <= value + value / 256
    assert index_of(upper) == index_of(value)
    assert index_of(upper + 1) == index_of(value) + 1 or upper >= 1 << 36


@given(VALUES, st.sampled_from([1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_the_exact_one_within_a_part_in_200(values: list[int], percent: float) -> None:
    """It holds for any values and any percentile, apart from 2 us for rounding."""
    exact = sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
    assert exact * 0.995 - 2 <= of(values).percentile_us(percent) <= exact * 1.005 + 2


@given(VALUES, VALUES)
def test_two_add_up_to_what_one_would_have_counted(left: list[int], right: list[int]) -> None:
    """Nothing is lost if seconds and processes are merged later."""
    both = of(left)
    both.add(of(right))
    whole = of(left + right)
    assert both.buckets() == whole.buckets()
    assert both.summary_ms() == whole.summary_ms()


def test_an_empty_one_says_zero() -> None:
    """A run in which nothing was acknowledged still has a report."""
    assert Histogram().summary_ms() == {"mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}


def test_a_negative_duration_counts_as_none() -> None:
    """Two clocks may disagree by a tick."""
    histogram = Histogram()
    histogram.record(-0.001)
    assert histogram.buckets() == [(0, 1)]
