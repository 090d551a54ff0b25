"""schemas/days.py: where local days begin, and the calendar of a site whose zone changes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import zones
from schemas.days import Calendar, Day, day_of, next_start, start_of

HOUR = 3_600


def at(text: str) -> int:
    """Returns the unix second of a moment in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", "2026-11-29", "2026-11-29 00:00", 24),
        ("America/Los_Angeles", "2026-11-29", "2026-11-29 08:00", 24),
        ("America/Los_Angeles", "2026-03-08", "2026-03-08 08:00", 23),
        ("America/Los_Angeles", "2025-11-02", "2025-11-02 07:00", 25),
        ("Europe/Berlin", "2025-03-30", "2025-03-29 23:00", 23),
        ("Europe/Berlin", "2025-10-26", "2025-10-25 22:00", 25),
        ("Asia/Kathmandu", "2026-01-01", "2025-12-31 18:15", 24),
        ("Pacific/Auckland", "2025-09-28", "2025-09-27 12:00", 23),
        ("Pacific/Auckland", "2025-04-06", "2025-04-05 11:00", 25),
        ("Australia/Lord_Howe", "2025-04-06", "2025-04-05 13:00", 24.5),
        ("Pacific/Chatham", "2025-01-01", "2024-12-31 10:15", 24),
        ("Pacific/Kiritimati", "2025-01-01", "2024-12-31 10:00", 24),
        ("Etc/GMT+12", "2025-01-01", "2025-01-01 12:00", 24),
        # midnight does not exist
        ("Africa/Cairo", "2024-04-26", "2024-04-25 22:00", 23),
        ("Asia/Beirut", "2024-03-31", "2024-03-30 22:00", 23),
        ("America/Santiago", "2024-09-08", "2024-09-08 04:00", 23),
        ("America/Havana", "2024-03-10", "2024-03-10 05:00", 23),
        # it comes twice: an hour of the old day lies between the two
        ("Africa/Cairo", "2024-10-31", "2024-10-30 21:00", 25),
        ("Asia/Beirut", "2024-10-26", "2024-10-25 21:00", 25),
        ("Asia/Beirut", "2024-10-27", "2024-10-26 22:00", 24),
        ("America/Santiago", "2024-04-06", "2024-04-06 03:00", 25),
        # it comes twice, both in the new day
        ("America/Havana", "2024-11-03", "2024-11-03 04:00", 25),
        # the old day comes back for an hour after a minute of the new one
        ("America/St_Johns", "2010-11-06", "2010-11-06 02:30", 25),
        ("America/St_Johns", "2010-11-07", "2010-11-07 03:30", 24),
        # a day that does not exist lies before it
        ("Pacific/Apia", "2011-12-29", "2011-12-29 10:00", 24),
        ("Pacific/Apia", "2011-12-31", "2011-12-30 10:00", 24),
        # three hours at once
        ("Antarctica/Troll", "2024-03-31", "2024-03-31 00:00", 22),
    ],
)
def test_a_local_day(zone: str, day: str, start: str, hours: float) -> None:
    """Its first and its last second belong to it, the ones beside them to its neighbours."""
    known = zones.load(zone)
    expected = Day(at(start), at(start) + int(hours * HOUR))
    assert start_of(date.fromisoformat(day), known) == expected.start
    assert day_of(expected.start, known) == day_of(expected.end - 1, known) == expected
    assert day_of(expected.start - 1, known).end == expected.start
    assert day_of(expected.end, known).start == expected.end
    assert next_start(expected.start, known) == expected.end


def test_nothing_belongs_to_a_day_that_does_not_exist() -> None:
    """Samoa went from the 29th to the 31st of December 2011."""
    samoa = zones.load("Pacific/Apia")
    assert start_of(date(2011, 12, 30), samoa) == start_of(date(2011, 12, 31), samoa)


@given(st.integers(at("1975-01-01"), at("2070-01-01")), st.sampled_from(sorted(zones.names())))
def test_days_follow_one_another_without_a_gap(moment: int, name: str) -> None:
    """Every moment is in exactly one day, which begins on a quarter of an hour and lasts for a day or so."""
    zone = zones.load(name)
    day = day_of(moment, zone)
    assert day.start <= moment < day.end
    assert 20 * HOUR <= day.end - day.start <= 28 * HOUR
    assert day_of(day.end, zone).start == day.end
    assert day_of(day.start - 1, zone).end == day.start


@given(st.integers(at("2000-01-01"), at("2040-01-01")), st.sampled_from(sorted(zones.names())))
def test_days_begin_and_end_on_a_quarter_of_an_hour(moment: int, name: str) -> None:
    """So a salt that ends half an hour after a day expires at 23:00 UTC or at 23:15, and not while the AOF is rewritten."""
    day = day_of(moment, zones.load(name))
    assert day.start % 900 == day.end % 900 == 0


UTC_ZONE, TOKYO, LOS_ANGELES = zones.load("UTC"), zones.load("Asia/Tokyo"), zones.load("America/Los_Angeles")


def test_a_new_zone_ends_the_day_that_is_under_way() -> None:
    """On the 29th of November the site changed from UTC to Los Angeles, whose next day begins at 08:00 UTC."""
    calendar = Calendar(LOS_ANGELES, [(UTC_ZONE, at("2026-11-30 08:00"))])
    assert calendar.day(at("2026-11-29 23:59")) == Day(at("2026-11-29"), at("2026-11-30"))
    assert calendar.day(at("2026-11-30 07:59")) == Day(at("2026-11-30"), at("2026-11-30 08:00"))
    assert calendar.day(at("2026-11-30 08:00")) == Day(at("2026-11-30 08:00"), at("2026-12-01 08:00"))


def test_zones_follow_one_another() -> None:
    """A site that changed twice had the zone between the two in between."""
    calendar = Calendar(UTC_ZONE, [(LOS_ANGELES, at("2026-11-29 15:00")), (TOKYO, at("2026-12-01"))])
    assert calendar.day(at("2026-11-29 14:59")) == Day(at("2026-11-29 08:00"), at("2026-11-29 15:00"))
    assert calendar.day(at("2026-11-29 15:00")) == Day(at("2026-11-29 15:00"), at("2026-11-30 15:00"))
    assert calendar.day(at("2026-11-30 23:59")) == Day(at("2026-11-30 15:00"), at("2026-12-01"))
    assert calendar.day(at("2026-12-01")) == Day(at("2026-12-01"), at("2026-12-02"))
