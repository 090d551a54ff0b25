"""A period has its moments and its buckets by the site's clock, and is compared with what is like it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.catalogue.contract import ALWAYS, Period, Refused
from dashboard.catalogue.periods import (
    buckets,
    compared,
    cut_off,
    days,
    default_interval,
    label,
    moments,
    parameters,
)
from tests.support.dashboard import reference

ZONES = ("UTC", "Asia/Kathmandu", "America/Los_Angeles", "Pacific/Auckland", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo", "Pacific/Apia")  # fmt: skip
LATER = 1_790_000_000  # 2026-09-21


def at(text: str, zone: str = "UTC") -> int:
    """Returns the unix second of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def test_parameters_of_whole_days() -> None:
    """A day of Kathmandu is of two days of UTC, none of which is whole; sessions of a day before may have rows in it."""
    found = parameters(days(date(2026, 3, 2), date(2026, 3, 2), "Asia/Kathmandu", LATER))
    begins = at("2026-03-01 18:15")
    assert found == {
        "zone": "Asia/Kathmandu",
        "since": "2026-03-02",
        "until": "2026-03-02",
        "first_day": "2026-03-01",
        "last_day": "2026-03-02",
        "first_whole": "2026-03-02",
        "last_whole": "2026-03-01",
        "first_session": (begins - 86_400) << 32,
        "end_session": (begins + 2 * 86_400) << 32,
        "begins": begins,
        "before": ALWAYS,
    }
    found = parameters(days(date(2026, 3, 1), date(2026, 3, 2), "UTC", LATER))
    assert [found[name] for name in ("first_day", "last_day", "first_whole", "last_whole")] == [
        "2026-03-01", "2026-03-02", "2026-03-01", "2026-03-02",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("since", "until", "how", "wanted"),
    [
        ("2026-03-08", "2026-03-14", "previous", ("2026-03-01", "2026-03-07")),
        ("2026-03-01", "2026-03-31", "previous", ("2026-01-29", "2026-02-28")),
        ("2026-03-01", "2026-03-31", "year", ("2025-03-01", "2025-03-31")),
        ("2024-02-29", "2024-02-29", "year", ("2023-02-28", "2023-02-28")),
        ("2026-03-02", "2026-03-08", "weekday_year", ("2025-03-03", "2025-03-09")),
    ],
)
def test_what_a_period_is_compared_with(since: str, until: str, how: str, wanted: tuple[str, str]) -> None:
    """As many days before it, the same dates a year ago, or the same weekdays. One that has ended is compared as a whole."""
    period = days(date.fromisoformat(since), date.fromisoformat(until), "UTC", LATER)
    other = compared(period, how, LATER)  # type: ignore[arg-type]  # a word of the table above
    assert (str(other.since), str(other.until)) == wanted
    assert other.before == ALWAYS


@pytest.mark.parametrize(
    ("now", "zone", "before"),
    [
        # At 10:07 of a day, the day before counts up to the end of the quarter of an hour that is running.
        ("2026-03-20 10:07", "UTC", "2026-03-19 10:15"),
        ("2026-03-20 10:00", "Asia/Kathmandu", "2026-03-19 10:15"),
        ("2026-03-20 23:59", "UTC", "2026-03-20 00:00"),
        # Clocks went forward on 8 March: the local time is what is compared, and not how many hours have passed.
        ("2026-03-08 10:07", "America/Los_Angeles", "2026-03-07 10:15"),
        ("2026-03-09 02:30", "America/Los_Angeles", "2026-03-08 03:45"),  # 02:30 of the day before never was
    ],
)
def test_a_running_period_is_compared_up_to_the_same_moment(now: str, zone: str, before: str) -> None:
    """A morning is compared with a morning."""
    today = datetime.fromisoformat(now).date()
    period = days(today, today, zone, at(now, zone))
    assert period.is_running
    other = compared(period, "previous", at(now, zone))
    assert datetime.fromtimestamp(other.before, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") == before


def test_a_running_month_is_compared_up_to_the_same_day() -> None:
    """On the fifth of April, the first five days of the 30 before; a shorter period counts as a whole."""
    now = at("2026-04-05 12:00")
    period = days(date(2026, 4, 1), date(2026, 4, 30), "UTC", now)
    other = compared(period, "previous", now)
    assert (other.since, other.until) == (date(2026, 3, 2), date(2026, 3, 31))
    assert other.before == at("2026-03-06 12:15")
    short = Period(since=date(2026, 2, 1), until=date(2026, 2, 3), zone="UTC")
    assert cut_off(short, period, now).before == ALWAYS


def test_moments() -> None:
    """The last 24 hours are of two days, and are compared with the 24 hours before them."""
    now = at("2026-03-20 10:07")
    period = moments(now - 86_400, now, "UTC", now)
    assert (period.since, period.until, period.is_running) == (date(2026, 3, 19), date(2026, 3, 20), True)
    other = compared(period, "previous", now)
    assert (other.starts, other.ends) == (now - 2 * 86_400, now - 86_400)
    assert parameters(period)["begins"] == now - 86_400
    assert default_interval(period) == "hour"
    assert len(buckets(period, "hour")) == 25


def test_labels() -> None:
    """An hour that clocks show twice has its offset; others are the local time."""
    first = at("2025-11-02 08:00")
    assert [label(first + hour * 3_600, "hour", "America/Los_Angeles") for hour in range(3)] == [
        "2025-11-02 01:00:00-07:00", "2025-11-02 01:00:00-08:00", "2025-11-02 02:00:00",
    ]  # fmt: skip
    assert label("2026-03-01", "week", "UTC") == "2026-03-01"


@given(
    zone=st.sampled_from(ZONES),
    since=st.dates(date(2011, 12, 1), date(2024, 12, 31)),  # what no release of the zones changes any more
    length=st.integers(0, 40),
    unit=st.sampled_from(("hour", "day", "week", "month")),
)
def test_buckets_are_those_of_the_reference(zone: str, since: date, length: int, unit: str) -> None:
    """Days of 23 and 25 hours, weeks that are cut, months."""
    until = date.fromordinal(since.toordinal() + length)
    wanted = reference.buckets(since, until, zone, unit)
    found = buckets(days(since, until, zone, LATER), unit)
    assert found == [label(one if unit == "hour" else str(one), unit, zone) for one in wanted]


@given(
    zone=st.sampled_from(ZONES),
    since=st.dates(date(2012, 1, 1), date(2030, 1, 1)),
    length=st.integers(0, 400),
    later=st.integers(0, 400 * 86_400),
)
def test_what_a_period_is_compared_with_is_that_of_the_reference(
    zone: str, since: date, length: int, later: int
) -> None:
    """Whatever the moment: the dates are the reference's, and a cut lies within them at a whole quarter of an hour."""
    until = date.fromordinal(since.toordinal() + length)
    now = int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()) + later
    period = days(since, until, zone, now)
    for how, wanted in (("previous", reference.previous), ("year", reference.year_before)):
        other = compared(period, how, now)  # type: ignore[arg-type]  # a word of the table above
        assert (other.since, other.until) == wanted(since, until)
        if other.before != ALWAYS:
            assert period.is_running
            assert other.before % 900 == 0
            assert int(str(parameters(other)["begins"])) < other.before


@pytest.mark.parametrize(
    ("since", "until", "zone", "said"),
    [
        ("2026-03-02", "2026-03-01", "UTC", "begins before it ends"),
        ("1976-03-02", "2026-03-01", "UTC", "at most 7,320 days"),
        ("0001-01-01", "0001-01-02", "UTC", "lies between"),
        ("2105-12-30", "2106-01-01", "UTC", "lies between"),
        ("2026-03-01", "2026-03-01", "Mars/Olympus", "not a known time zone"),
    ],
)
def test_periods_that_nobody_can_ask_for(since: str, until: str, zone: str, said: str) -> None:
    """Are refused in words."""
    with pytest.raises(Refused, match=said):
        days(date.fromisoformat(since), date.fromisoformat(until), zone, LATER)


@pytest.mark.parametrize(
    ("length", "wanted"), [(1, "hour"), (2, "day"), (92, "day"), (93, "week"), (731, "week"), (732, "month")]
)
def test_the_unit_that_suits_a_period(length: int, wanted: str) -> None:
    """Is the shortest that a chart has room for."""
    since = date(2020, 1, 1)
    period = days(since, date.fromordinal(since.toordinal() + length - 1), "UTC", LATER)
    assert default_interval(period) == wanted


def test_a_series_has_an_end() -> None:
    """Ten years by hours are refused, by days they are not."""
    period = days(date(2016, 1, 1), date(2025, 12, 31), "UTC", LATER)
    with pytest.raises(Refused, match="choose a longer interval"):
        buckets(period, "hour")
    assert len(buckets(period, "day")) == 3_653
    with pytest.raises(Refused, match="An interval is one of"):
        buckets(period, "minute")
