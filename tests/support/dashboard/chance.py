"""Makes questions by chance: a site of the seed, local days around those that it has, and a filter, each in SQL's terms and in Python's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.catalogue.contract import Period
from dashboard.catalogue.filters import All, Compare, Filter, Not
from dashboard.catalogue.filters import Any as AnyOf
from tests.support.dashboard.crowd import world
from tests.support.dashboard.reference import Event, Range, Visit, events_of, visits_of
from tests.support.dashboard.seed import rows
from tests.support.volume import volume

# Where each site has its visits, with a day to spare on both sides, and the changes of clocks.
SPANS = (
    ("hand.example", "Asia/Kathmandu", date(2026, 2, 28), date(2026, 3, 4)),
    ("shop.example", "Europe/Berlin", date(2026, 2, 4), date(2026, 3, 31)),
    ("shop.example", "Europe/Berlin", date(2026, 3, 27), date(2026, 3, 31)),
    ("la.example", "America/Los_Angeles", date(2025, 10, 29), date(2025, 11, 5)),
    ("la.example", "America/Los_Angeles", date(2026, 3, 5), date(2026, 3, 11)),
    ("auckland.example", "Pacific/Auckland", date(2026, 4, 2), date(2026, 4, 7)),
    ("neighbour.example", "Asia/Kathmandu", date(2026, 2, 25), date(2026, 3, 6)),
    ("bots.example", "UTC", date(2026, 3, 1), date(2026, 3, 7)),
    ("empty.example", "UTC", date(2026, 3, 1), date(2026, 3, 7)),
)
QUESTIONS = 300
COUNTRIES = ("US", "DE", "GB", "IN", "FR", "NP")
PATHS = ("/", "/pricing", "/docs", "/shop", "/cart", "/blog/exactly-once")
DEVICES = {"Mobile": "mobile", "Tablet": "tablet"}


@dataclass(frozen=True)
class Chance:
    """Holds a question in both terms: the arguments of `asking.rows_of`, and a range and a condition of the reference."""

    asked: Range
    filters: Filter | None
    fits: Callable[[Event], bool]

    @property
    def period(self) -> Period:
        """Returns the period as the catalogue takes it."""
        return Period(since=self.asked.since, until=self.asked.until, zone=self.asked.zone, before=self.asked.before)

    @property
    def arguments(self) -> dict[str, Any]:
        """Returns what `rows_of` takes of it."""
        return {
            "site": self.asked.site,
            "period": self.period,
            "filters": self.filters,
            "bots": self.asked.bots,
            "limit": 10_000,
        }

    @property
    def rows(self) -> list[Event]:
        """Returns the events that it asks for."""
        return self.asked.rows(events(), self.fits)


@cache
def events() -> list[Event]:
    """Returns all events of the seed."""
    return events_of(rows(world()))


@cache
def visits(site: str) -> list[Visit]:
    """Returns all sessions of a site."""
    return visits_of(events(), site)


def questions(count: int, seed: int, *, with_filters: bool = True) -> Iterator[Chance]:
    """Yields so many questions, and 300 in `make thorough`; they are the same in each run."""
    choice = random.Random(seed)
    for _ in range(volume(count, QUESTIONS)):
        site, zone, first, last = choice.choice(SPANS)
        since = first + timedelta(days=choice.randrange((last - first).days + 1))
        until = min(last, since + timedelta(days=choice.choice((0, 0, 1, 3, 13))))
        asked = Range(site, zone, since, until, choice.random() < 0.25)
        if choice.random() < 0.2:
            noon = datetime(until.year, until.month, until.day, 12, tzinfo=ZoneInfo(zone))
            asked = asked._replace(before=int(noon.timestamp()) + 900 * choice.randrange(-40, 40))
        filters, fits = _filter(choice) if with_filters and choice.random() < 0.6 else (None, lambda event: True)
        yield Chance(asked, filters, fits)


def _filter(choice: random.Random, depth: int = 2) -> tuple[Filter, Callable[[Event], bool]]:
    if depth and choice.random() < 0.4:
        first, is_first = _filter(choice, depth - 1)
        second, is_second = _filter(choice, depth - 1)
        kind = choice.choice(("all", "any", "not"))
        if kind == "all":
            return All((first, second)), lambda event: is_first(event) and is_second(event)
        if kind == "any":
            return AnyOf((first, second)), lambda event: is_first(event) or is_second(event)
        return Not(first), lambda event: not is_first(event)
    return choice.choice((_country, _page, _wildcard, _device, _property))(choice)


def _country(choice: random.Random) -> tuple[Filter, Callable[[Event], bool]]:
    values = tuple(choice.sample(COUNTRIES, 2))
    if choice.random() < 0.5:
        return Compare("is", "country", values), lambda event: event.country in values
    return Compare("is_not", "country", values), lambda event: event.country not in values


def _page(choice: random.Random) -> tuple[Filter, Callable[[Event], bool]]:
    values = tuple(choice.sample(PATHS, 3))
    return Compare("is", "page", values), lambda event: event.path in values


def _wildcard(choice: random.Random) -> tuple[Filter, Callable[[Event], bool]]:
    begin = choice.choice(("/d", "/blog", "/p", "/"))
    return Compare("matches_wildcard", "page", (f"{begin}*",)), lambda event: event.path.startswith(begin)


def _device(choice: random.Random) -> tuple[Filter, Callable[[Event], bool]]:
    word, stored = choice.choice(list(DEVICES.items()))
    return Compare("is_not", "device", (word,)), lambda event: event.device != stored


def _property(choice: random.Random) -> tuple[Filter, Callable[[Event], bool]]:
    value = choice.choice(("pro", "team"))
    return Compare("is_not", "props.plan", (value,)), lambda event: event.props.get("plan", "") != value
