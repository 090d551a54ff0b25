"""Rates divide by what they say, nothing is None, and rounding is as people do it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.measures import change, cohorts_of, measure_of, money, rounded, steps_of, with_names


@pytest.mark.parametrize(
    ("name", "numbers", "divisor", "wanted"),
    [
        ("visitors", {"visitors": 3}, None, 3),
        ("visitors", {}, None, 0),
        ("bounce_rate", {"bounces": 1, "visits": 8}, None, 13),  # 12.5 is rounded away from zero
        ("bounce_rate", {"bounces": 0, "visits": 0}, None, None),
        ("bounce_rate", {}, None, None),
        ("visit_duration", {"seconds": 5, "visits": 2}, None, 3),
        ("views_per_visit", {"pageviews": 9, "visits": 7}, None, 1.29),
        ("time_on_page", {"engaged_ms": 2_500, "views": 1}, None, 3),
        ("scroll_depth", {"scroll_pct": 101, "views": 2}, None, 51),
        ("percentage", {"visitors": 1}, 3, 33.3),
        ("percentage", {}, 3, 0.0),
        ("percentage", {"visitors": 0}, 0, None),
        ("conversion_rate", {"visitors": 1}, 2_000, 0.1),  # 0.05
        ("exit_rate", {"exits": 2, "visits": 4}, 3, 66.7),
    ],
)
def test_a_number_is_made_of_its_columns(name: str, numbers: dict[str, int], divisor: int | None, wanted: Any) -> None:
    """Also where a file has no such row."""
    assert measure_of(name).value(numbers, divisor) == wanted


@pytest.mark.parametrize(
    ("number", "places", "wanted"), [("0.5", 0, 1), ("1.5", 0, 2), ("2.5", 0, 3), ("-2.5", 0, -3), ("0.25", 1, 0.3)]
)
def test_rounding_is_half_away_from_zero(number: str, places: int, wanted: float) -> None:
    """Two and a half are three, where the round of Python says two."""
    assert rounded(Decimal(number), places) == wanted


@pytest.mark.parametrize(
    ("name", "now", "before", "wanted"),
    [
        ("visitors", 150, 100, 50),
        ("visitors", 99, 200, -51),  # -50.5
        ("visitors", 5, 0, 100),
        ("visitors", 0, 0, 0),
        ("bounce_rate", 40, 50, -10),  # in points
        ("percentage", 12.5, 12.4, 0.1),
        ("bounce_rate", None, 50, None),
        ("bounce_rate", 50, None, None),
        ("visit_duration", 90, 60, 50),
        ("total_revenue", {"EUR": "2.0000"}, {"EUR": "1.0000"}, None),
    ],
)
def test_how_much_a_number_grew(name: str, now: Any, before: Any, wanted: Any) -> None:
    """Counts in percent, rates in points; from nothing to something is 100."""
    assert change(name, now, before) == wanted


def test_money_is_never_a_sum_of_two_currencies() -> None:
    """Each has its amount and its mean, as decimal texts of four digits."""
    sums = {"USD": ("20", 3), "EUR": ("5.5", 1)}
    assert money(measure_of("total_revenue"), sums) == {"EUR": "5.5000", "USD": "20.0000"}
    assert money(measure_of("average_revenue"), sums) == {"EUR": "5.5000", "USD": "6.6667"}
    assert money(measure_of("total_revenue"), {}) == {}


def test_steps_of_a_funnel() -> None:
    """Who took three steps took the first two as well; what divides by nothing is None."""
    assert steps_of([[1, 6], [3, 4]], ("a", "b", "c")) == [
        ["a", 10, 100.0, 0.0],
        ["b", 4, 40.0, 60.0],
        ["c", 4, 40.0, 0.0],
    ]
    assert steps_of([], ("a", "b")) == [["a", 0, None, None], ["b", 0, None, None]]


def test_goals_have_names() -> None:
    """The number of a goal is its place in the record, from 1."""
    assert with_names([[2, 5], [1, 3]], ("first", "second")) == [["second", 5], ["first", 3]]


def test_an_unknown_metric_is_named() -> None:
    """And so are those that there are."""
    with pytest.raises(Refused, match=r"'viewers' is not known. Known: visitors, visits,"):
        measure_of("viewers")


def test_people_of_a_cohort_are_a_percentage_of_its_first_day() -> None:
    """Each row of a cohort is compared with its own age 0, and an age at which nobody came has no row."""
    rows = [["2026-03-02", 0, 3], ["2026-03-02", 1, 2], ["2026-03-02", 3, 1], ["2026-03-09", 0, 1]]
    assert cohorts_of(rows) == [
        ["2026-03-02", 0, 3, 100.0],
        ["2026-03-02", 1, 2, 66.7],
        ["2026-03-02", 3, 1, 33.3],
        ["2026-03-09", 0, 1, 100.0],
    ]
