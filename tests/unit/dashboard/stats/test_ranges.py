"""The words that the Stats APIs have for periods, at a known moment in zones whose days are not UTC's."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.periods import DAYS_MAX
from dashboard.stats.ranges import Clock, ends_of, of_v1, of_v2

# In Kathmandu it is already 1 March 2024, the day after a 29 February.
NOW = int(datetime(2024, 2, 29, 20, 30, 2, tzinfo=UTC).timestamp())
KATHMANDU = Clock(NOW, "Asia/Kathmandu")


def day(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("given", "since", "until", "is_running"),
    [
        ("day", "2024-03-01", "2024-03-01", True),
        ("7d", "2024-02-23", "2024-02-29", False),
        ("1d", "2024-02-29", "2024-02-29", False),
        ("month", "2024-03-01", "2024-03-31", True),
        ("6mo", "2023-09-01", "2024-02-29", False),
        ("12mo", "2023-03-01", "2024-02-29", False),
        ("year", "2024-01-01", "2024-12-31", True),
        ("all", "2024-01-05", "2024-03-01", True),
        (["2024-02-01", "2024-02-03"], "2024-02-01", "2024-02-03", False),
        (["2024-03-01", "2024-03-01"], "2024-03-01", "2024-03-01", True),
    ],
)
def test_ranges_of_v2(given: object, since: str, until: str, is_running: bool) -> None:
    """Days and months are those of the site, and those before today or before this month where Plausible has it so."""
    period = of_v2(given, KATHMANDU, day("2024-01-05"))
    assert (period.since, period.until, period.is_running) == (day(since), day(until), is_running)
    assert (period.zone, period.starts, period.ends) == ("Asia/Kathmandu", None, None)


def test_twenty_four_hours_end_now() -> None:
    """The moment is rounded up to five seconds, so that nothing of now is left out and neighbours ask the same."""
    period = of_v2("24h", KATHMANDU)
    assert (period.starts, period.ends) == (NOW - 2 + 5 - 86_400, NOW - 2 + 5)
    assert (period.since, period.until, period.is_running) == (day("2024-02-29"), day("2024-03-01"), True)
    assert ends_of(period) == ("2024-02-29T02:15:05+05:45", "2024-03-01T02:15:04+05:45")


def test_moments_keep_both_ends() -> None:
    """A range of moments has its last second in it, whatever offset it was written with."""
    period = of_v2(["2024-02-01T00:00:00Z", "2024-02-01T00:59:59-01:00"], KATHMANDU)
    assert ends_of(period) == ("2024-02-01T05:45:00+05:45", "2024-02-01T07:44:59+05:45")
    local = of_v2(["2024-02-01T05:45:00", "2024-02-01T07:44:59"], KATHMANDU)
    assert (local.starts, local.ends) == (period.starts, period.ends)


def test_a_day_of_twenty_three_hours_is_written_with_both_offsets() -> None:
    """The ends of a period of days are its local midnights, also over a change of summer time."""
    clock = Clock(NOW, "Europe/Berlin")
    assert ends_of(of_v2(["2024-03-31", "2024-03-31"], clock)) == (
        "2024-03-31T00:00:00+01:00",
        "2024-03-31T23:59:59+02:00",
    )


def test_all_of_a_site_without_events_is_today() -> None:
    """There is no first event, and an old one is as far back as a period may go."""
    assert of_v2("all", KATHMANDU).since == day("2024-03-01")
    longest = of_v2("all", KATHMANDU, day("1970-01-02"))
    assert (longest.until - longest.since).days + 1 == DAYS_MAX


@pytest.mark.parametrize(
    ("word", "given", "since", "until"),
    [
        ("day", "", "2024-03-01", "2024-03-01"),
        ("day", "2024-02-03", "2024-02-03", "2024-02-03"),
        ("7d", "", "2024-02-24", "2024-03-01"),
        ("30d", "", "2024-01-31", "2024-03-01"),
        ("30d", "2024-01-31", "2024-01-01", "2024-01-31"),
        ("month", "2024-02-10", "2024-02-01", "2024-02-29"),
        ("6mo", "", "2023-10-01", "2024-03-31"),
        ("12mo", "2024-02-10", "2023-03-01", "2024-02-29"),
        ("year", "", "2024-01-01", "2024-12-31"),
        ("custom", "2019-01-01,2024-03-01", "2019-01-01", "2024-03-01"),
    ],
)
def test_periods_of_v1(word: str, given: str, since: str, until: str) -> None:
    """They end with the day that is given, or with today, and `30d` has thirty days before it."""
    period = of_v1(word, given, KATHMANDU)
    assert (period.since, period.until) == (day(since), day(until))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("fortnight", 'The date_range "fortnight" is not known. Known: day, 24h, 7d'),
        ("0d", "is not known"),
        ("7D", "is not known"),
        ("٧d", "is not known"),
        (7, "The date_range 7 is not known"),
        (["2024-01-01"], "is not known"),
        (["2024-01-01", "2024-01-02T00:00:00Z"], "is not known"),
        (["2024-02-30", "2024-03-01"], '"2024-02-30" is no date like 2026-01-31.'),
        (["2024-02-03", "2024-02-01"], "A period begins before it ends: 2024-02-03 is after 2024-02-01."),
        (["1969-01-01", "2024-02-01"], "A period lies between 1970-01-02 and 2105-12-31; 1969-01-01 does not."),
        (["1974-02-01", "2024-02-01"], "A period has at most 7,320 days (20 years); this has 18,263."),
        ("8000d", "A period has at most 7,320 days (20 years)"),
        ("9999mo", "A period has at most 240 months; this has 9,999."),
        (["2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z"], "A period begins before it ends"),
        (["2024-01-01T25:00:00Z", "2025-01-01T00:00:00Z"], '"2024-01-01T25:00:00Z" is no moment like'),
        (["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"], "is no moment like"),
        (["1990-01-01T00:00:00Z", "2040-01-01T00:00:00Z"], "A period has at most 7,320 days"),
    ],
)
def test_what_is_no_range_of_v2(given: object, said: str) -> None:
    """Each is a sentence, also what is no date or would be too long to answer."""
    with pytest.raises(Refused) as caught:
        of_v2(given, KATHMANDU)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "given", "said"),
    [
        ("24h", "", 'The period "24h" is not known. Known: day, 7d, 30d'),
        ("custom", "", "The period custom needs a date like 2026-01-01,2026-01-31."),
        ("custom", "2024-01-01", "needs a date like"),
        ("custom", "2024-01-01,x", '"x" is no date'),
        ("day", "yesterday", '"yesterday" is no date'),
        ("12mo", "0001-01-01", "0001-01-01 does not."),
        ("month", "9999-12-31", "9999-12-31 does not."),
        ("30d", "1970-01-05", "A period lies between 1970-01-02"),
    ],
)
def test_what_is_no_period_of_v1(word: str, given: str, said: str) -> None:
    """Each is a sentence that says what would be one."""
    with pytest.raises(Refused) as caught:
        of_v1(word, given, KATHMANDU)
    assert said in str(caught.value)
