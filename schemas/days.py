"""Says when a local day begins and ends, for every process that must agree on it.

A local day lasts from one local midnight to the next: 24 hours, 23 or 25 where clocks change, and in a few zones other
lengths. Where midnight is no single moment, the rule is ClickHouse's, so that `toDate(ts, zone)` of a row is the day
under whose salt its visitor was hashed (tests/servers/schemas/test_days.py compares the two over all zones):

    midnight does not exist (Beirut, Cairo)   the day begins when clocks are put forward over it
    it comes twice, all of it in the new day  the day begins with the first (Havana: from 01:00 back to 00:00)
    it comes twice, with an hour of the old   the day begins with the second (Beirut: from 00:00 back to 23:00)
    day between the two
    the day does not exist (Samoa, 30         nothing belongs to it
    December 2011)

Moments are unix seconds. Zones are loaded by runtime/zones.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

ONE_DAY = timedelta(days=1)
DAYS_LOOKED_AT = 8  # no zone skips more than one; without an end a broken zone would hang a worker


class Day(NamedTuple):
    """Holds a local day: its first second, and the first of the next day."""

    start: int
    end: int


@lru_cache(4_096)  # finding it takes 5 us, and looking it up 0.3; many calendars have the same zone
def start_of(day: date, zone: tzinfo) -> int:
    """Returns the second with which a local day begins; that of the next day if this one does not exist."""
    midnight = datetime.combine(day, time(), zone)
    first, second = _seconds(midnight), _seconds(midnight.replace(fold=1))
    # One before the second midnight shows which side of the change the old day's last second is on.
    is_old_day_between = second > first and datetime.fromtimestamp(second - 1, zone).date() < day
    return second if is_old_day_between else first


def day_of(moment: int, zone: tzinfo) -> Day:
    """Returns the local day that holds a moment."""
    day = datetime.fromtimestamp(moment, zone).date()
    while (start := start_of(day, zone)) > moment:
        day -= ONE_DAY
    for _ in range(DAYS_LOOKED_AT):
        day += ONE_DAY
        end = start_of(day, zone)
        if end > moment:
            return Day(start, end)
        start = end
    raise ValueError(f"{zone}: no day ends after {moment}")


class Calendar:
    """Holds the local days of one site, whose zone may have been changed.

    Two calendars are never equal: what is found by one is remembered under the object itself, because comparing zones
    would cost more than the look-up.
    """

    __slots__ = ("_before", "zone")

    def __init__(self, zone: tzinfo, before: Sequence[tuple[tzinfo, int]] = ()) -> None:
        """Takes the zone that counts in the end, and the earlier ones, each with the moment up to which it counts."""
        self.zone = zone
        self._before = tuple(before)

    def __repr__(self) -> str:
        return f"<Calendar of {' then '.join(map(str, (*(zone for zone, _ in self._before), self.zone)))}>"

    def day(self, moment: int) -> Day:
        """Returns the local day that holds a moment. A day that is under way when a new zone begins to count ends there."""
        for zone, until in self._before:
            if moment < until:
                start, end = day_of(moment, zone)
                return Day(start, min(end, until))
        return day_of(moment, self.zone)


UTC_DAYS = Calendar(UTC)  # of sites that nobody gave a zone, unless a setting says another


def next_start(moment: int, zone: tzinfo) -> int:
    """Returns the second after a moment with which the next local day begins."""
    return day_of(moment, zone).end


def _seconds(local: datetime) -> int:
    return int(local.astimezone(UTC).timestamp())
