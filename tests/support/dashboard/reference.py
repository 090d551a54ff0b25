"""States what the numbers of the dashboard mean, as plain Python, for tests to compare the catalogue with.

It is slow and simple on purpose: it looks through lists from end to end. It imports nothing of Forebay, and does by hand
what ClickHouse derives: it takes the rows that an INSERT gives (`seed.rows`), with addresses, and not what is stored. docs/visits.md has
the rules in words. Moments are unix ms; money is in ten-thousandths.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

NO_DEED = ("engagement", "vitals", "identify", "alias", "group")
BOUNCE_MS = 10_000
QUARTER_S = 900


class Event(NamedTuple):
    """Holds one row."""

    site: str
    name: str
    ms: int
    visitor: int
    session: int
    user: str
    hostname: str
    path: str
    utm: dict[str, str]
    referrer: str
    source: str
    props: dict[str, str]
    vitals: dict[str, float]
    money: int
    currency: str
    engaged_ms: int
    scroll: int
    bot: str
    bot_reasons: int
    bot_name: str
    bot_purpose: str
    country: str
    device: str

    @property
    def is_deed(self) -> bool:
        """Tells whether somebody did something, and not only looked at it for longer."""
        return self.name not in NO_DEED


def events_of(rows: Iterable[Mapping[str, Any]]) -> list[Event]:
    """Returns the events of rows as an INSERT gives them."""
    return [_event(row) for row in rows]


def _event(row: Mapping[str, Any]) -> Event:
    at = datetime.strptime(row["ts"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    url, referrer = urlsplit(row["url"]), urlsplit(row["referrer_url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    is_internal = bool(row["url_flags"] & 4)
    return Event(
        site=row["site"],
        name=row["name"],
        ms=round(at.timestamp() * 1000),
        visitor=row["visitor_id"],
        session=row["session_id"],
        user=row["user_id"],
        hostname=url.netloc,
        path=url.path or "/",
        utm={name: value for name, value in query.items() if name.startswith("utm_")},
        referrer=row["referrer_url"].partition("?")[0].partition("#")[0],
        source=query.get("utm_source") or ("" if is_internal else referrer.netloc.removeprefix("www.")),
        props=row["props"],
        vitals=row["vitals"],
        money=row["revenue_e4"],
        currency=row["currency"],
        engaged_ms=row["engaged_ms"],
        scroll=row["scroll_pct"],
        bot=row["bot"],
        bot_reasons=row["bot_reasons"],
        bot_name=row["bot_name"],
        bot_purpose=row["bot_purpose"],
        country=row["country"],
        device=row["device"],
    )


class Range(NamedTuple):
    """Holds what is asked for: local days of a site, both included. `before` (unix s) cuts it off."""

    site: str
    zone: str
    since: date
    until: date
    bots: bool = False
    before: int = 4_294_967_295

    def day(self, ms: int) -> date:
        """Returns the local date of a moment."""
        return datetime.fromtimestamp(ms / 1000, ZoneInfo(self.zone)).date()

    def holds(self, ms: int) -> bool:
        """Tells whether a moment is in it."""
        return self.since <= self.day(ms) <= self.until and ms < self.before * 1000

    def rows(self, events: Iterable[Event], fits: Callable[[Event], bool] = lambda event: True) -> list[Event]:
        """Returns the events in it: of people, or of everybody."""
        return [
            one
            for one in events
            if one.site == self.site and (self.bots or not one.bot) and self.holds(one.ms) and fits(one)
        ]


# Visits


class Visit(NamedTuple):
    """Holds the numbers of one session."""

    session: int
    is_visit: bool
    bot: str
    started: int
    seconds: int
    pageviews: int
    engaged_ms: int
    is_bounce: bool
    entry: str
    exit: str
    source: str
    utm: dict[str, str]
    parts: tuple[tuple[int, int], ...]  # who came and when: the first of its people's deeds, and the last

    def is_counted(self, bots: bool) -> bool:
        """Tells whether it is a visit of people, or of anybody."""
        return self.is_visit and (bots or not self.bot)


def visits_of(events: Iterable[Event], site: str) -> list[Visit]:
    """Returns the sessions of a site, also those that are no visits."""
    sessions: dict[int, list[Event]] = defaultdict(list)
    for one in events:
        if one.site == site:
            sessions[one.session].append(one)
    return [_visit(number, rows) for number, rows in sessions.items()]


def _visit(number: int, rows: list[Event]) -> Visit:
    started, ended = min(one.ms for one in rows), max(one.ms for one in rows)
    views = sorted((one for one in rows if one.name == "pageview"), key=lambda one: (one.ms, one.path))
    custom = [one for one in rows if one.is_deed and one.name != "pageview"]
    came_by = views[0] if views else min(rows, key=lambda one: (one.ms, one.path))
    engaged = sum(one.engaged_ms for one in rows)
    deeds = sorted((one.ms, one.visitor) for one in rows if one.is_deed and not one.bot)
    return Visit(
        session=number,
        is_visit=bool(views or custom),
        bot=max(one.bot for one in rows),
        started=started,
        seconds=ended // 1000 - started // 1000,
        pageviews=len(views),
        engaged_ms=engaged,
        is_bounce=len(views) == 1 and not custom and engaged < BOUNCE_MS,
        entry=views[0].path if views else "",
        exit=views[-1].path if views else "",
        source=came_by.source,
        utm=came_by.utm,
        parts=tuple(dict.fromkeys([deeds[0], deeds[-1]])) if deeds else (),
    )


def visitors(rows: Iterable[Event]) -> int:
    """Counts who did something."""
    return len({one.visitor for one in rows if one.is_deed})


class Totals(NamedTuple):
    """Holds the numbers of visits that the catalogue sums, before anything is divided."""

    visitors: int
    visits: int
    bounces: int
    seconds: int
    pageviews: int
    engaged_ms: int


def totals(visits: Iterable[Visit], asked: Range, fits: Callable[[Visit], bool] = lambda visit: True) -> Totals:
    """Returns the numbers of the visits that began in the range; and of its visitors, also of those who came before it."""
    there = [one for one in visits if fits(one)]
    counted = [one for one in there if one.is_counted(asked.bots) and asked.holds(one.started)]
    people = {who for one in there for at, who in one.parts if asked.holds(at)}
    return Totals(
        visitors=len(people),
        visits=len(counted),
        bounces=sum(one.is_bounce for one in counted),
        seconds=sum(one.seconds for one in counted),
        pageviews=sum(one.pageviews for one in counted),
        engaged_ms=sum(one.engaged_ms for one in counted),
    )


class Page(NamedTuple):
    """Holds the numbers of a page: time and depth are means over the visits that viewed it."""

    visits: int
    pageviews: int
    seconds: float
    depth: float


def pages(events: Sequence[Event], asked: Range) -> dict[str, Page]:
    """Returns the pages that were viewed in the range, by path; sessions with an event of a program are left out as a whole."""
    programs = {one.session for one in events if one.site == asked.site and one.bot}
    by_page: dict[str, dict[int, list[Event]]] = defaultdict(lambda: defaultdict(list))
    for one in asked.rows(events):
        if asked.bots or one.session not in programs:
            by_page[one.path][one.session].append(one)
    found = {}
    for path, sessions in by_page.items():
        viewed = [rows for rows in sessions.values() if any(one.name == "pageview" for one in rows)]
        if viewed:
            found[path] = Page(
                visits=len(viewed),
                pageviews=sum(one.name == "pageview" for rows in viewed for one in rows),
                seconds=sum(one.engaged_ms for rows in sessions.values() for one in rows) / 1000 / len(viewed),
                depth=sum(max(one.scroll for one in rows) for rows in viewed) / len(viewed),
            )
    return found


# Rates: what divides by what


def percentage(of_row: int, of_all_rows_with_the_filters: int) -> Decimal | None:
    """Returns the share of a row, of all rows under the same filters, with one decimal."""
    return share(of_row, of_all_rows_with_the_filters)


def conversion_rate(converted_of_row: int, everybody_without_goal_filters: int) -> Decimal | None:
    """Returns what part of everybody converted and is in this row; filters by goal and property do not make everybody fewer."""
    return share(converted_of_row, everybody_without_goal_filters)


def group_conversion_rate(converted_of_row: int, of_the_same_value_without_goal_filters: int) -> Decimal | None:
    """Returns what part converted of those who have the value of this row."""
    return share(converted_of_row, of_the_same_value_without_goal_filters)


def share(part: int, whole: int) -> Decimal | None:
    """Returns a percentage with one decimal, halves away from zero; None of nothing."""
    return rounded(Decimal(100 * part) / whole, 1) if whole else None


def mean(amount: int, number: int, places: int = 0) -> Decimal | None:
    """Returns what there is of an amount for each, halves away from zero; None of nothing."""
    return rounded(Decimal(amount) / number, places) if number else None


def rounded(number: Decimal, places: int) -> Decimal:
    """Returns a number with so many decimals, halves away from zero."""
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def change(new: int, old: int) -> int:
    """Returns the change in percent; from nothing to something it is 100."""
    if not old:
        return 100 if new else 0
    return int(rounded(Decimal(100 * (new - old)) / old, 0))


# Goals, funnels, people who come again


class Reached(NamedTuple):
    """Holds who reached a goal, how often, and the money by currency."""

    visitors: int
    conversions: int
    money: dict[str, int]
    purchases: dict[str, int]


def reached(rows: Iterable[Event], fits: Callable[[Event], bool]) -> Reached:
    """Returns the numbers of one goal."""
    those = [one for one in rows if one.is_deed and fits(one)]
    return Reached(len({one.visitor for one in those}), len(those), *money(those))


def money(rows: Iterable[Event]) -> tuple[dict[str, int], dict[str, int]]:
    """Returns sums and numbers of purchases by currency."""
    sums: dict[str, int] = defaultdict(int)
    purchases: dict[str, int] = defaultdict(int)
    for one in rows:
        if one.currency:
            sums[one.currency] += one.money
            purchases[one.currency] += 1
    return dict(sums), dict(purchases)


def funnel(rows: Iterable[Event], steps: Sequence[Callable[[Event], bool]], window_ms: int) -> list[int]:
    """Returns how many visitors took each step, after all steps before it, in the window that begins with the first one."""
    deeds: dict[int, list[Event]] = defaultdict(list)
    for one in rows:
        if one.is_deed:
            deeds[one.visitor].append(one)
    levels = [_level(sorted(of_one, key=lambda one: one.ms), steps, window_ms) for of_one in deeds.values()]
    return [sum(level > number for level in levels) for number in range(len(steps))]


def _level(deeds: list[Event], steps: Sequence[Callable[[Event], bool]], window_ms: int) -> int:
    """Returns how far somebody got: from each first step the earliest next one is the best to go on with."""
    best = 0
    for first in (one for one in deeds if steps[0](one)):
        at, level = first.ms, 1
        for step in steps[1:]:
            later = [one.ms for one in deeds if at <= one.ms <= first.ms + window_ms and step(one)]
            if not later:
                break
            at, level = min(later), level + 1
        best = max(best, level)
    return best


def retention(events: Iterable[Event], asked: Range, unit: str) -> dict[tuple[date, int], int]:
    """Returns how many people of each cohort (who were first seen then) came again so many units later."""
    came: dict[str, set[date]] = defaultdict(set)
    ever = Range(asked.site, asked.zone, date(1970, 1, 2), asked.until, asked.bots, asked.before)
    for one in ever.rows(events):
        if one.user and one.is_deed:
            came[one.user].add(asked.day(one.ms))
    found: dict[tuple[date, int], int] = defaultdict(int)
    for days in came.values():
        if min(days) >= asked.since:
            cohort = start_of_unit(min(days), unit)
            for age in {units_between(cohort, start_of_unit(day, unit), unit) for day in days}:
                found[cohort, age] += 1
    return dict(found)


def start_of_unit(day: date, unit: str) -> date:
    """Returns the first day of the week or month that has a day."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def units_between(first: date, second: date, unit: str) -> int:
    """Returns how many days, weeks or months lie between two first days of one."""
    if unit == "month":
        return (second.year - first.year) * 12 + second.month - first.month
    return (second - first).days // (7 if unit == "week" else 1)


def p75(values: Sequence[float]) -> float | None:
    """Returns the smallest value that three quarters of them do not exceed; None of none."""
    return sorted(values)[math.ceil(0.75 * len(values)) - 1] if values else None


# Periods


def previous(since: date, until: date) -> tuple[date, date]:
    """Returns as many days, up to the day before."""
    length = (until - since).days + 1
    return since - timedelta(days=length), until - timedelta(days=length)


def year_before(since: date, until: date) -> tuple[date, date]:
    """Returns the same dates a year before; of a 29 February the 28th."""

    def before(day: date) -> date:
        return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)

    return before(since), before(until)


def buckets(since: date, until: date, zone: str, unit: str) -> list[Any]:
    """Returns the buckets of a period: days as dates, and hours as the unix second with which they begin."""
    days = [since + timedelta(days=number) for number in range((until - since).days + 1)]
    if unit != "hour":
        return list(
            dict.fromkeys(
                max(since, start_of_unit(one, unit)) if unit == "week" else start_of_unit(one, unit) for one in days
            )
        )
    # Each quarter of an hour that there may be is looked at, because a day may have 23 hours, or 25, or the same hour twice.
    first = int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()) - 26 * 3_600
    quarters = range(first, first + (len(days) + 2) * 86_400 + 4 * 3_600, QUARTER_S)
    local = {one: datetime.fromtimestamp(one, ZoneInfo(zone)) for one in quarters}
    return list(dict.fromkeys(one - at.minute * 60 for one, at in local.items() if since <= at.date() <= until))
