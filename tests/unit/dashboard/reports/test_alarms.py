"""dashboard/reports/alarms.py: what counts as far above or below what is usual."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from dashboard.reports.alarms import Hour, hour_before, hours_of_weeks, judged
from schemas.reports import Wishes

STEADY = (98, 104, 100, 96, 110, 99, 101, 103)


@pytest.mark.parametrize(
    ("visitors", "weeks", "expected"),
    [
        (330, STEADY, "spike"),
        (250, STEADY, None),
        (19, STEADY, "drop"),
        (0, STEADY, "drop"),
        (40, STEADY, None),  # a holiday
        (330, (98, 104, 2_000, 96, 110, 99, 101, 103), "spike"),  # one week somebody wrote about it
        (330, (10, 400, 20, 350, 15, 380, 12, 390), None),  # never the same twice
        (0, (10, 400, 20, 350, 15, 380, 12, 390), None),
        (31, (0, 0, 1, 0, 0, 0, 0, 2), "spike"),  # nobody comes at night
        (29, (0, 0, 1, 0, 0, 0, 0, 2), None),  # too few to wake anybody
        (0, (12, 14, 11, 12, 13, 12, 10, 12), None),  # a small site has empty hours
        (330, (98, 104), None),  # too young
        (0, (98, 104), None),
        (0, (), None),
        (90, (30, 30, 30), "spike"),
        (6, (30, 30, 30), "drop"),
        (7, (30, 30, 30), None),
    ],
)
def test_robust_thresholds(visitors: int, weeks: tuple[int, ...], expected: str | None) -> None:
    """Several times the usual number, more than weeks differ from each other, and enough people to matter."""
    assert judged(visitors, weeks, Wishes()) == expected


def test_a_site_has_thresholds_of_its_own() -> None:
    """What is quiet for one is loud for another."""
    assert judged(180, STEADY, Wishes(spike_times=1.5)) == "spike"
    assert judged(330, STEADY, Wishes(spike_visitors=1_000)) is None
    assert judged(60, STEADY, Wishes(drop_percent=70)) == "drop"
    assert judged(0, STEADY, Wishes(drop_usual=1_000)) is None


def test_an_hour_ends_with_a_quarter_whose_events_are_stored() -> None:
    """A minute behind a quarter it is looked at, and not before."""
    quarter = 1_774_800_000 // 900 * 900
    assert hour_before(quarter + 60) == Hour(quarter - 3_600, quarter)
    assert hour_before(quarter + 59) == Hour(quarter - 4_500, quarter - 900)


def test_weeks_are_those_of_the_clock() -> None:
    """At nine on a Monday behind the change of clocks, the same is asked of Mondays at nine before it."""
    zone = ZoneInfo("Europe/Berlin")
    starts = int(datetime(2026, 4, 6, 9, 0, tzinfo=zone).timestamp())
    found = [
        datetime.fromtimestamp(one.starts, zone)
        for one in hours_of_weeks(Hour(starts, starts + 3_600), "Europe/Berlin")
    ]
    assert [(one.hour, one.minute, one.weekday()) for one in found] == [(9, 0, 0)] * 8
    assert [one.utcoffset() != found[-1].utcoffset() for one in found[:2]] == [True, False]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Los_Angeles"])
def test_every_hour_begins_with_a_quarter(zone: str) -> None:
    """Also in the hour that clocks leave out, and in that which they show twice."""
    for day in range(0, 366, 1):
        starts = int(datetime(2026, 1, 1, 1, 45, tzinfo=UTC).timestamp()) + day * 86_400
        assert all(not one.starts % 900 for one in hours_of_weeks(Hour(starts, starts + 3_600), zone))
