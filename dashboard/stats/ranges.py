"""Turns the words that the Stats APIs have for a period into local days of the site.

The same word means different days in the two APIs. In v2 `7d` is the seven days before today and `6mo` the six months before this one; in
v1 they end with today and with this month, and `30d` has thirty-one days. Plausible has the same differences, and programs written for
it rely on them.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

import msgspec

from dashboard.catalogue import periods
from dashboard.catalogue.contract import ALWAYS, Period, Refused
from dashboard.catalogue.filter_json import shown
from schemas.days import start_of

MONTHS_MAX = 240
STEP_SECONDS = 5  # the present moment is rounded up to it, so that requests of the same seconds share an answer
ONE_DAY = timedelta(days=1)
V2_FORMS = "day, 24h, 7d, 28d, 30d, 91d, month, 6mo, 12mo, year, all, or two dates or moments in a list"
V1_FORMS = "day, 7d, 30d, month, 6mo, 12mo, year, or custom with a date like 2026-01-01,2026-01-31"
_COUNTED = re.compile(r"([1-9]\d{0,3})(d|mo)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Clock(msgspec.Struct, frozen=True):
    """Holds the present moment (unix s) and the zone of a site, in which days are counted."""

    now: int
    zone: str

    @property
    def today(self) -> date:
        """Returns the local date of the present moment."""
        return periods.today(self.zone, self.now)

    def days(self, since: date, until: date) -> Period:
        """Returns the period of two local days and those between them. Raises Refused."""
        return periods.days(since, until, self.zone, self.now)

    def moments(self, starts: int, ends: int) -> Period:
        """Returns the period between two moments (unix s, the end excluded). Raises Refused."""
        return periods.moments(starts, ends, self.zone, self.now)


def ends_of(period: Period) -> tuple[str, str]:
    """Returns the first and the last second of a period, in local time with its offset from UTC."""
    zone = periods.zone_of(period.zone)
    starts = start_of(period.since, zone) if period.starts is None else period.starts
    ends = start_of(period.until + ONE_DAY, zone) if period.ends is None else period.ends
    first, last = (datetime.fromtimestamp(moment, zone).isoformat(timespec="seconds") for moment in (starts, ends - 1))
    return first, last


def of_v2(given: object, clock: Clock, first_day: date | None = None) -> Period:
    """Returns the period of a `date_range` of v2. `first_day` is that of the first event, for `all`. Raises Refused."""
    today = clock.today
    match given:
        case "day":
            return clock.days(today, today)
        case "24h":
            ends = clock.now - clock.now % STEP_SECONDS + STEP_SECONDS
            return clock.moments(ends - 86_400, ends)
        case "month":
            return clock.days(_month(today, 0), _month(today, 1) - ONE_DAY)
        case "year":
            return clock.days(date(today.year, 1, 1), date(today.year, 12, 31))
        case "all":
            return clock.days(max(first_day or today, today - (periods.DAYS_MAX - 1) * ONE_DAY), today)
        case str() if counted := _COUNTED.fullmatch(given):
            return _before_today(int(counted[1]), counted[2], clock)
        case [str(since), str(until)] if _DATE.fullmatch(since) and _DATE.fullmatch(until):
            return clock.days(a_date(since), a_date(until))
        case [str(since), str(until)] if "T" in since.upper() and "T" in until.upper():
            return clock.moments(_a_moment(since, clock.zone), _a_moment(until, clock.zone) + 1)
    raise Refused(f"The date_range {shown(given)} is not known. Known: {V2_FORMS}.")


def of_v1(word: str, given: str, clock: Clock) -> Period:
    """Returns the period of `period` and `date` of v1; an empty `given` is today. Raises Refused."""
    if word == "custom":
        since, separator, until = given.partition(",")
        if not separator:
            raise Refused("The period custom needs a date like 2026-01-01,2026-01-31.")
        return clock.days(a_date(since), a_date(until))
    day = a_date(given) if given else clock.today
    match word:
        case "day":
            return clock.days(day, day)
        case "7d" | "30d":
            return clock.days(day - (6 if word == "7d" else 30) * ONE_DAY, day)
        case "month":
            return clock.days(_month(day, 0), _month(day, 1) - ONE_DAY)
        case "6mo" | "12mo":
            return clock.days(_month(day, -5 if word == "6mo" else -11), _month(day, 1) - ONE_DAY)
        case "year":
            return clock.days(date(day.year, 1, 1), date(day.year, 12, 31))
    raise Refused(f"The period {shown(word)} is not known. Known: {V1_FORMS}.")


def a_date(text: str) -> date:
    """Returns the date of a text like 2026-01-31. Raises Refused."""
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise Refused(f"{shown(text)} is no date like 2026-01-31.")
    if not periods.FIRST <= found <= periods.LAST:
        raise Refused(f"A period lies between {periods.FIRST} and {periods.LAST}; {found} does not.")
    return found


def _a_moment(text: str, zone: str) -> int:
    """Returns the unix second of an ISO 8601 text; one without an offset is local time. Raises Refused."""
    try:
        found = datetime.fromisoformat(text)
        moment = int((found if found.tzinfo else found.replace(tzinfo=periods.zone_of(zone))).timestamp())
    except (ValueError, OverflowError):
        moment = -1
    if not 0 <= moment < ALWAYS:
        raise Refused(f"{shown(text)} is no moment like 2026-01-31T12:00:00+01:00.")
    return moment


def _before_today(count: int, unit: str, clock: Clock) -> Period:
    if unit == "d":
        longest = min(count, periods.DAYS_MAX + 1)  # one more is refused, and no day of it is before the first
        return clock.days(clock.today - longest * ONE_DAY, clock.today - ONE_DAY)
    if count > MONTHS_MAX:
        raise Refused(f"A period has at most {MONTHS_MAX} months; this has {count:,}.")
    return clock.days(_month(clock.today, -count), _month(clock.today, 0) - ONE_DAY)


def _month(day: date, later: int) -> date:
    """Returns the first day of the month that is so many months later."""
    months = day.year * 12 + day.month - 1 + later
    return date(months // 12, months % 12 + 1, 1)
