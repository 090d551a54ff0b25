"""Says what a period is in days, moments and buckets of a site's own time, and which period it is compared with.

ClickHouse decides to which day a row belongs, by the local dates `since` and `until`. The moments and UTC dates computed here only limit
what it has to read. Moments are unix seconds.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from dashboard.catalogue.contract import ALWAYS, Period, Refused
from dashboard.catalogue.dimensions import INTERVALS
from dashboard.catalogue.values import Value
from runtime.zones import UnknownZone, load
from schemas.days import start_of

DAYS_MAX = 7_320  # 20 years
BUCKETS_MAX = 4_000
FIRST, LAST = date(1970, 1, 2), date(2105, 12, 31)  # what a moment of 32 bits can be, in any zone
QUARTER_S, HOUR_S, DAY_S = 900, 3_600, 86_400
# A series of so many days is by hours, days, weeks; a longer one by months.
HOURS_UP_TO, DAYS_UP_TO, WEEKS_UP_TO = 1, 92, 731
WEEKDAYS_BACK = 364  # a year, to the same weekday
Comparison = Literal["previous", "year", "weekday_year"]


def zone_of(name: str) -> ZoneInfo:
    """Returns a zone. Raises Refused."""
    try:
        return load(name)
    except UnknownZone as error:
        raise Refused(f"{error}.") from error


def checked(period: Period) -> Period:
    """Returns the period unchanged. Raises Refused if it is too long, out of range, or ends before it begins."""
    zone_of(period.zone)
    if period.until < period.since:
        raise Refused(f"A period begins before it ends: {period.since} is after {period.until}.")
    if not (period.since >= FIRST and period.until <= LAST):
        raise Refused(f"A period lies between {FIRST} and {LAST}.")
    if days_in(period) > DAYS_MAX:
        raise Refused(f"A period has at most {DAYS_MAX:,} days (20 years); this has {days_in(period):,}.")
    if period.starts is not None and period.ends is not None and period.ends <= period.starts:
        raise Refused("A period begins before it ends.")
    return period


def days_in(period: Period) -> int:
    """Returns how many local days the period has."""
    return (period.until - period.since).days + 1


def today(zone: str, now: int) -> date:
    """Returns the local date of a moment."""
    return datetime.fromtimestamp(now, zone_of(zone)).date()


def days(since: date, until: date, zone: str, now: int) -> Period:
    """Returns the period of whole local days; `is_running` if it has `now` in it. Raises Refused."""
    return checked(Period(since=since, until=until, zone=zone, is_running=since <= today(zone, now) <= until))


def moments(starts: int, ends: int, zone: str, now: int) -> Period:
    """Returns the period from one moment to another, which is not part of it, such as the last 24 hours. Raises Refused."""
    if not 0 <= starts < ends <= ALWAYS:
        raise Refused("A period begins before it ends, and no earlier than 1970.")
    since, until = today(zone, starts), today(zone, ends - 1)
    period = Period(since=since, until=until, zone=zone, starts=starts, ends=ends, is_running=starts <= now <= ends)
    return checked(period)


def compared(period: Period, how: Comparison, now: int) -> Period:
    """Returns the period that a period is compared with: the one before it, the same dates a year ago, or the same weekdays.

    One that is running is compared up to the same local quarter of an hour, so that a morning is not compared with a day.
    """
    if period.starts is not None and period.ends is not None:
        length = period.ends - period.starts if how == "previous" else WEEKDAYS_BACK * DAY_S
        return moments(period.starts - length, period.ends - length, period.zone, now)
    if how == "previous":
        back = timedelta(days=days_in(period))
        since, until = period.since - back, period.until - back
    elif how == "year":
        since, until = _year_before(period.since), _year_before(period.until)
    else:
        back = timedelta(days=WEEKDAYS_BACK)
        since, until = period.since - back, period.until - back
    return cut_off(days(since, until, period.zone, now), period, now)


def cut_off(other: Period, period: Period, now: int) -> Period:
    """Returns the other period up to where the first one has come: as many days and the same time of the day."""
    if not period.is_running:
        return other
    zone = zone_of(period.zone)
    local = datetime.fromtimestamp(now, zone)
    day = other.since + (local.date() - period.since)
    if day > other.until:
        return other
    same = local.replace(year=day.year, month=day.month, day=day.day, fold=0)
    moment = int(same.astimezone(UTC).timestamp())
    begun = min(max(moment, start_of(day, zone)), start_of(day + timedelta(days=1), zone))
    # Up to the end of the quarter that is running: the first period has a part of it, too.
    return replace(other, before=-(-(begun + 1) // QUARTER_S) * QUARTER_S, is_running=False)


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)


def parameters(period: Period) -> dict[str, Value]:
    """Returns the values of the parameters that files of the catalogue have of a period."""
    zone = zone_of(period.zone)
    begins = start_of(period.since, zone) if period.starts is None else period.starts
    ends = start_of(period.until + timedelta(days=1), zone) if period.ends is None else period.ends
    first_day, last_day = (datetime.fromtimestamp(moment, UTC).date() for moment in (begins, ends - 1))
    is_first_whole = begins == _midnight(first_day)
    is_last_whole = ends == _midnight(last_day + timedelta(days=1))
    return {
        "zone": period.zone,
        "since": str(period.since),
        "until": str(period.until),
        "first_day": str(first_day),
        "last_day": str(last_day),
        "first_whole": str(first_day + timedelta(days=not is_first_whole)),
        "last_whole": str(last_day - timedelta(days=not is_last_whole)),
        "first_session": max(0, begins - DAY_S) << 32,
        "end_session": min(ALWAYS, ends + DAY_S) << 32,
        "begins": begins,
        "before": period.before,
    }


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def default_interval(period: Period) -> str:
    """Returns the unit of a series of this period, if the question does not choose one."""
    length = days_in(period)
    if length <= HOURS_UP_TO or (period.starts is not None and period.ends is not None and length == HOURS_UP_TO + 1):
        return "hour"
    return "day" if length <= DAYS_UP_TO else "week" if length <= WEEKS_UP_TO else "month"


def buckets(period: Period, interval: str) -> list[str]:
    """Returns the labels of all buckets of a period, in order. Raises Refused for too many.

    Days and weeks are the date of their first day within the period, months of the month's first day. Hours are a local date and
    time; where clocks show the hour twice, with the offset.
    """
    if interval not in INTERVALS:
        raise Refused(f"An interval is one of {', '.join(INTERVALS)}.")
    counts = {"hour": 24, "day": 1, "week": 1 / 7, "month": 1 / 31}
    if days_in(period) * counts[interval] > BUCKETS_MAX:
        raise Refused(f"A series has at most {BUCKETS_MAX:,} buckets: choose a longer interval than '{interval}'.")
    if interval == "hour":
        return [label(hour, interval, period.zone) for hour in _hours(period)]
    listed = [period.since + timedelta(days=number) for number in range(days_in(period))]
    if interval == "week":
        listed = [max(day - timedelta(days=day.weekday()), period.since) for day in listed]
    if interval == "month":
        listed = [day.replace(day=1) for day in listed]
    return list(dict.fromkeys(map(str, listed)))


def _hours(period: Period) -> list[int]:
    """Returns the moments with which the local hours of a period begin."""
    zone = zone_of(period.zone)
    begins = start_of(period.since, zone) if period.starts is None else period.starts
    ends = start_of(period.until + timedelta(days=1), zone) if period.ends is None else period.ends
    # Offsets are whole quarters of an hour, and so is the beginning of every local hour.
    quarters = range(begins // QUARTER_S * QUARTER_S, ends, QUARTER_S)
    return list(dict.fromkeys(_start_of_hour(moment, zone) for moment in quarters))


def _start_of_hour(moment: int, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(moment, zone)
    return moment - local.minute * 60 - local.second


def label(value: int | str, interval: str, zone: str) -> str:
    """Returns the label of a bucket: of an hour from its moment; all others come as dates."""
    if interval != "hour":
        return str(value)
    local = datetime.fromtimestamp(int(value), zone_of(zone))
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    is_twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    return f"{text}{local.isoformat()[19:]}" if is_twice else text
