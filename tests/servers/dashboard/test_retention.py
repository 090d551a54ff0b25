"""People who come again are what can be counted on paper, and what plain Python counts of the same rows."""

from __future__ import annotations

from datetime import date

import pytest

from dashboard.catalogue.contract import Unanswered
from forebay.clickhouse import ClickHouse, ClickHouseError
from tests.support.dashboard.asking import days, rows_of
from tests.support.dashboard.chance import events, questions
from tests.support.dashboard.hand import FIRST, THIRD, ZONE
from tests.support.dashboard.reference import retention

SITE = "hand.example"


@pytest.mark.parametrize(
    ("unit", "since", "cohorts"),
    [
        # Dan came on the 2nd, a Monday, and again on the 3rd, from an assistant.
        ("day", FIRST, [["2026-03-02", 0, 1], ["2026-03-02", 1, 1]]),
        ("week", FIRST, [["2026-03-02", 0, 1]]),
        ("month", FIRST, [["2026-03-01", 0, 1]]),
        # On the 3rd he is nobody new.
        ("day", THIRD, []),
    ],
)
def test_people_of_the_hand_counted_site(seeded: ClickHouse, unit: str, since: date, cohorts: list[object]) -> None:
    """A cohort is of the people who were seen then for the first time; visitors without a `user` are in none."""
    period = days(since, THIRD, ZONE)
    assert rows_of(seeded, "retention", SITE, period, parameters={"unit": unit}) == cohorts


def test_people_are_what_python_counts(seeded: ClickHouse) -> None:
    """By days, weeks and months, over changes of clocks, with filters and without."""
    answers = 0
    for number, one in enumerate(questions(30, seed=3)):
        unit = ("day", "week", "month")[number % 3]
        found = rows_of(seeded, "retention", parameters={"unit": unit}, **one.arguments)
        wanted = retention(filter(one.fits, events()), one.asked, unit)
        assert [tuple(row) for row in found] == [
            (str(cohort), age, people) for (cohort, age), people in sorted(wanted.items())
        ], (one, unit)
        answers += bool(found)
    assert answers > 7


def test_another_unit_is_an_error(seeded: ClickHouse) -> None:
    """There are days, weeks and months."""
    with pytest.raises((ClickHouseError, Unanswered)):
        rows_of(seeded, "retention", SITE, days(FIRST, THIRD, ZONE), parameters={"unit": "fortnight"})
