"""Judges whether far more or far fewer people than usual are on a site now.

What is usual is the median of the same local hour, of the same weekday, of the last eight weeks. A median is not moved by
one week in which somebody wrote about the site. How much these weeks differ from each other (the median of their
distances from it, as a standard deviation) keeps a site with restless numbers quiet.

An hour here is that up to the last whole quarter, because rows are counted by quarters of an hour. It is looked at a minute
later, when the last events of it are stored.

Not promised: that a drop means that people stay away. Events may be late, or the snippet may be gone from the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

import msgspec

from dashboard.ask.answers import answer
from dashboard.ask.files import query_of
from dashboard.catalogue import periods
from dashboard.catalogue.contract import Asker, Period, Question, Statement
from dashboard.sites.records import SiteView
from schemas.reports import What, Wishes

HOUR_S, QUARTER_S = 3_600, 900
STORED_SECONDS = 60  # until events of a moment are in ClickHouse; they take a few
WEEKS, WEEKS_MIN = 8, 3
DEVIATIONS = 4.0
DEVIATION = 1.4826  # of a median of distances: the standard deviation of numbers that are normally distributed
ROWS = 5


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Holds that far more people (`spike`) or far fewer (`drop`) than usual came in an hour.

    `weeks` has the numbers of the weeks before, the last one first; `usual` is their median. `pages` and `sources` have
    the most frequent ones of this hour with their visitors.
    """

    what: What
    site: str
    period: Period
    visitors: int
    usual: float
    weeks: tuple[int, ...]
    pages: list[tuple[str, int]] = []
    sources: list[tuple[str, int]] = []


class Hour(NamedTuple):
    """Is an hour between two moments (unix s) that are whole quarters."""

    starts: int
    ends: int


def hour_before(now: int) -> Hour:
    """Returns the last hour that can be judged."""
    ends = (now - STORED_SECONDS) // QUARTER_S * QUARTER_S
    return Hour(ends - HOUR_S, ends)


def hours_of_weeks(hour: Hour, zone: str) -> list[Hour]:
    """Returns the same hour of the weeks before, by the clocks of the site, the last one first."""
    local = datetime.fromtimestamp(hour.starts, periods.zone_of(zone))
    found = []
    for week in range(1, WEEKS + 1):
        starts = int((local - timedelta(weeks=week)).timestamp()) // QUARTER_S * QUARTER_S
        found.append(Hour(starts, starts + HOUR_S))
    return found


def judged(visitors: int, weeks: Sequence[int], wishes: Wishes) -> What | None:
    """Returns whether this is a spike or a drop, compared with the same hour of the weeks before. Of fewer than three nothing is usual."""
    if len(weeks) < WEEKS_MIN:
        return None
    usual = median(weeks)
    restless = DEVIATIONS * DEVIATION * median(abs(week - usual) for week in weeks)
    if visitors >= wishes.spike_visitors and visitors >= wishes.spike_times * usual and visitors > usual + restless:
        return "spike"
    if usual >= wishes.drop_usual and visitors <= wishes.drop_percent / 100 * usual and visitors < usual - restless:
        return "drop"
    return None


async def alarm_of(asker: Asker, site: SiteView, wishes: Wishes, now: int) -> Alarm | None:
    """Returns the alarm of the last hour, if there is one. Raises Refused and Unanswered."""
    hour, first = hour_before(now), await _first_event(asker, site.name)
    then = [one for one in hours_of_weeks(hour, site.zone) if first is not None and one.starts >= first]
    if len(then) < WEEKS_MIN:
        return None
    period = periods.moments(*hour, site.zone, now)
    visitors = await _visitors(asker, site.name, period)
    weeks = [await _visitors(asker, site.name, periods.moments(*one, site.zone, now)) for one in then]
    what = judged(visitors, weeks, wishes)
    if what is None:
        return None
    pages, sources = await asyncio.gather(*(_most(asker, site.name, period, by) for by in ("page", "source")))
    return Alarm(
        what=what,
        site=site.name,
        period=period,
        visitors=visitors,
        usual=median(weeks),
        weeks=tuple(weeks),
        pages=pages,
        sources=sources,
    )


async def _visitors(asker: Asker, site: str, period: Period) -> int:
    return int((await answer(asker, Question(site=site, period=period, metrics=("visitors",)))).rows[0][0])


async def _most(asker: Asker, site: str, period: Period, dimension: str) -> list[tuple[str, int]]:
    question = Question(site=site, period=period, metrics=("visitors",), dimensions=(dimension,), limit=ROWS)
    return [(str(name), int(visitors)) for name, visitors in (await answer(asker, question)).rows]


async def _first_event(asker: Asker, site: str) -> int | None:
    """Returns when the first event of a site was (unix s); None without any."""
    query = query_of("bounds")
    statement = Statement(file=query.name, sql=query.sql, parameters={"site": site}, seconds=query.seconds)
    first, _, events, _ = (await asker(statement)).rows[0]
    return int(first) if events else None
