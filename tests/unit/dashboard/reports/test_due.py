"""dashboard/reports/due.py: which period a report is of, and to whom it is due."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from dashboard.reports.due import is_due, last_period
from schemas.reports import What, Wish


def at(zone: str, *moment: int) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[arg-type,misc]  # year, month, day …


@pytest.mark.parametrize(
    ("what", "zone", "now", "since", "until"),
    [
        ("weekly", "Europe/Berlin", (2026, 3, 30, 5, 59), date(2026, 3, 16), date(2026, 3, 22)),
        ("weekly", "Europe/Berlin", (2026, 3, 30, 6, 0), date(2026, 3, 23), date(2026, 3, 29)),  # a week of 167 hours
        ("weekly", "Europe/Berlin", (2026, 4, 5, 23, 59), date(2026, 3, 23), date(2026, 3, 29)),
        ("weekly", "America/Los_Angeles", (2025, 11, 3, 6, 0), date(2025, 10, 27), date(2025, 11, 2)),  # of 169
        ("daily", "Europe/Berlin", (2026, 3, 29, 6, 0), date(2026, 3, 28), date(2026, 3, 28)),
        (
            "daily",
            "Europe/Berlin",
            (2026, 3, 29, 5, 59),
            date(2026, 3, 27),
            date(2026, 3, 27),
        ),  # the day has no 2 o'clock
        ("daily", "Asia/Kathmandu", (2026, 1, 1, 7, 0), date(2025, 12, 31), date(2025, 12, 31)),
        ("daily", "Pacific/Auckland", (2026, 4, 6, 0, 1), date(2026, 4, 4), date(2026, 4, 4)),
        ("weekly", "Pacific/Kiritimati", (2026, 1, 5, 6, 0), date(2025, 12, 29), date(2026, 1, 4)),
    ],
)
def test_the_last_whole_period(what: What, zone: str, now: tuple[int, ...], since: date, until: date) -> None:
    """It begins and ends by the clocks of the site, on whatever side of a change of them, and waits for the morning."""
    period = last_period(what, zone, at(zone, *now))
    assert (period.since, period.until, period.is_running) == (since, until, False)


@pytest.mark.parametrize(
    ("since", "told", "expected"),
    [
        ((2026, 3, 1), "", True),
        ((2026, 3, 1), "2026-03-16", True),
        ((2026, 3, 1), "2025-12-29", True),  # ten weeks were missed: the last one is sent
        ((2026, 3, 1), "2026-03-23", False),
        ((2026, 3, 1), "2026-03-30", False),  # somebody whose clock is ahead
        ((2026, 3, 30, 5), "", False),  # wished for behind the end of the week: the first report is of the next one
        ((2026, 3, 29, 20), "", True),
    ],
)
def test_whoever_had_it_gets_it_no_more(since: tuple[int, ...], told: str, *, expected: bool) -> None:
    """One note for each address says what it had last."""
    period = last_period("weekly", "Europe/Berlin", at("Europe/Berlin", 2026, 3, 31, 12))
    wish = Wish(to="ann@example.org", what="weekly", since=at("Europe/Berlin", *since))
    assert is_due(wish, period, told) is expected
