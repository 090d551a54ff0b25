"""Local days and hours are made of whole quarters of an hour, which is what the projection `quarter_hours` counts by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

WEEK, QUARTER_S = timedelta(days=7), 900
SINCE, UNTIL = datetime(2012, 1, 1, tzinfo=UTC), datetime(2037, 12, 1, tzinfo=UTC)


def changes(zone: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """Returns the moments at which the zone's offset changed, as far as it stayed so until the next look, a week later."""
    found, before = [], since
    while before < until:
        after = before + WEEK
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            low, high = before, after
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                is_before = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if is_before else (low, middle)
            found.append(high)
        before = after
    return found


def faults(zone: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """Returns the moments from which a quarter of UTC is none of the zone's: by its offset, or by the moment itself."""
    moments = [since, *changes(zone, since, until)]
    return [
        moment
        for moment in moments
        if (moment.astimezone(zone).utcoffset() or timedelta()) % timedelta(seconds=QUARTER_S)
        or (moment is not since and int(moment.timestamp()) % QUARTER_S)
    ]


def test_every_zone_counts_in_whole_quarters_of_an_hour_since_2012() -> None:
    """Its offset is a multiple of 15 minutes, and changes at a full quarter of UTC.

    The exception is a station of Antarctica, which changed its clocks at one minute past three times up to 2022.
    """
    zones = sorted(available_timezones() - {"Factory", "localtime"})
    assert len(zones) > 400
    wrong = {zone: found for zone in zones if (found := faults(ZoneInfo(zone), SINCE, UNTIL))}
    assert set(wrong) <= {"Antarctica/Casey"}
    assert all(moment.year < 2023 for found in wrong.values() for moment in found)


@pytest.mark.parametrize(
    ("zone", "since"),
    [("Africa/Monrovia", datetime(1971, 1, 1, tzinfo=UTC)), ("America/St_Johns", datetime(2010, 1, 1, tzinfo=UTC))],
)
def test_it_was_not_always_so(zone: str, since: datetime) -> None:
    """Liberia was 44 minutes and 30 seconds behind until 1972, and Newfoundland changed its clocks at 00:01 until 2011."""
    assert faults(ZoneInfo(zone), since, SINCE)
