"""Tests the arithmetic of answers."""

from dashboard.catalogue.measures import cohorts_of


def test_people_of_a_cohort_are_a_percentage_of_its_first_day() -> None:
    """Each row of a cohort is compared with its own age 0, and an age at which nobody came has no row."""
    rows = [["2026-03-02", 0, 3], ["2026-03-02", 1, 2], ["2026-03-02", 3, 1], ["2026-03-09", 0, 1]]
    assert cohorts_of(rows) == [
        ["2026-03-02", 0, 3, 100.0],
        ["2026-03-02", 1, 2, 66.7],
        ["2026-03-02", 3, 1, 33.3],
        ["2026-03-09", 0, 1, 100.0],
    ]
