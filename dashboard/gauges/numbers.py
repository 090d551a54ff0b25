"""Asks for the numbers of today of each registered site, at most once in so many seconds, while somebody scrapes them.

The first scrape after that time starts a refresh, which asks one site after the other. So it never takes more than a few of the questions that may
run at once, whatever the number of sites is. A scrape waits for it for a few seconds, and then gets what is there. When nobody scrapes, nothing is asked.

There are bounds, because each number is a series that Prometheus keeps: a number of sites (the first by name), and a number of
currencies (those with the most purchases). What is left out is counted. A site whose numbers could not be asked has none until they can, so
that an old number is never taken for a new one.

Not promised: numbers of this second. `refreshed` says of each site when its numbers were asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

import msgspec

from dashboard.ask.answers import answer, answer_file
from dashboard.catalogue.contract import Answer, Asker, FileQuestion, Period, Question, Refused, Unanswered
from dashboard.catalogue.periods import days, today
from dashboard.sites.records import Sites, SiteView

WAIT_SECONDS = 5.0
CURRENCIES_MAX = 10
NOW_SECONDS = 5  # the moment of `live` is rounded up to it, as on the page, so that both share an answer


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Holds the numbers of a site's local day so far. `bot_share` is of pageviews, None without any; `refreshed` is in unix s."""

    visitors: int
    live: int
    pageviews: int
    bot_share: float | None
    revenue: dict[str, Decimal]
    vitals: dict[str, float]
    refreshed: int
    currencies_left_out: int = 0


class SiteNumbers:
    """Holds the numbers of sites, and asks for them anew."""

    def __init__(
        self, *, asker: Asker, sites: Sites, sites_max: int, seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        """Takes how many sites there may be, and how many seconds lie between two refreshes."""
        self._asker = asker
        self._sites = sites
        self._sites_max = sites_max
        self._seconds = seconds
        self._now = now
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = 0.0
        self.of_site: dict[str, Numbers] = {}
        self.sites_left_out = 0
        self.failures = 0  # how often the numbers of a site could not be asked

    async def look(self) -> None:
        """Asks anew if it is time for it, and waits for it for some seconds. Raises Away if the sites are not known."""
        await self._sites.read()
        is_due = not 0 <= self._now() - self._refreshed_at < self._seconds
        if self._refreshing is None and is_due:
            self._refreshing = asyncio.create_task(self._refresh(), name="numbers of sites")
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing], timeout=WAIT_SECONDS)

    async def close(self) -> None:
        """Gives up a refresh that runs."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    async def _refresh(self) -> None:
        try:
            views = [self._sites.get(name) for name in self._sites.names()]
            registered = [view for view in views if view is not None and view.is_registered]
            shown = registered[: self._sites_max]
            self.sites_left_out = len(registered) - len(shown)
            for name in self.of_site.keys() - {view.name for view in shown}:
                del self.of_site[name]
            for view in shown:
                await self._ask(view)
        finally:
            self._refreshed_at = self._now()
            self._refreshing = None

    async def _ask(self, site: SiteView) -> None:
        try:
            self.of_site[site.name] = await self._numbers(site)
        except (Unanswered, Refused):  # `forebay_dashboard_questions_total` says which question, and why
            self.failures += 1
            self.of_site.pop(site.name, None)

    async def _numbers(self, site: SiteView) -> Numbers:
        now = int(self._now())
        day = today(site.zone, now)
        period = days(day, day, site.zone, now)
        metrics = ("visitors", "pageviews")
        totals = await answer(self._asker, Question(site=site.name, period=period, metrics=metrics))
        [[visitors, pageviews]] = totals.rows
        live = await self._file("live", site.name, period, now=-(-now // NOW_SECONDS) * NOW_SECONDS)
        revenue = await self._file("revenue", site.name, period)
        bots = await self._file("bot_series", site.name, period)
        vitals = await self._file("vital_shares", site.name, period)
        people, programs = sum(column(bots, "people")), sum(column(bots, "bots"))
        purchases = zip(
            column(revenue, "purchases"), column(revenue, "currency"), column(revenue, "revenue"), strict=True
        )
        paid = sorted(purchases, key=lambda row: (-row[0], row[1]))
        return Numbers(
            visitors=visitors,
            live=sum(column(live, "visitors")),
            pageviews=pageviews,
            bot_share=programs / (people + programs) if people + programs else None,
            revenue={currency: Decimal(amount) for _, currency, amount in paid[:CURRENCIES_MAX]},
            vitals=dict(zip(column(vitals, "vital"), column(vitals, "p75"), strict=True)),
            refreshed=totals.as_of,
            currencies_left_out=max(0, len(paid) - CURRENCIES_MAX),
        )

    async def _file(self, file: str, site: str, period: Period, **parameters: int) -> Answer:
        return await answer_file(
            self._asker, FileQuestion(file=file, site=site, period=period, parameters=dict(parameters))
        )


def column(answer: Answer, name: str) -> list[Any]:
    """Returns the values of a column of an answer."""
    at = answer.columns.index(name)
    return [row[at] for row in answer.rows]


def left_out(numbers: Collection[Numbers]) -> int:
    """Returns how many currencies of these sites are over the bound."""
    return sum(one.currencies_left_out for one in numbers)
