"""Asks the catalogue for the numbers of a report. It computes none itself, so they are those of the page."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec

from dashboard.ask.answers import answer
from dashboard.catalogue import periods
from dashboard.catalogue.contract import Answer, Asker, Period, Question
from dashboard.catalogue.goals import goals_of
from dashboard.catalogue.measures import change
from dashboard.sites.records import SiteView

TOTALS = ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration")
ROWS = 7
# The tables of a report: their dimension and the numbers of a row, the first of which is compared.
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "pages": ("page", ("visitors", "pageviews")),
    "sources": ("source", ("visitors",)),
    "countries": ("country", ("visitors",)),
    "goals": ("goal", ("visitors", "events", "conversion_rate")),
}


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a number of a period, the same of the one before, and how it changed: in percent, of a rate in points."""

    name: str
    now: Any
    before: Any
    change: int | float | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a row of a table: what it is of, and its numbers."""

    name: str
    numbers: tuple[Number, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Holds all that a report says. `revenue` has a row for each currency, and is empty without any money."""

    site: str
    period: Period
    compared: Period
    totals: tuple[Number, ...]
    tables: dict[str, list[Row]]
    revenue: list[Number]


async def summary_of(asker: Asker, site: SiteView, period: Period, now: int) -> Summary:
    """Returns the summary of a period that is over. Raises Refused and Unanswered."""
    compared = periods.compared(period, "previous", now)

    def question(metrics: tuple[str, ...], *dimensions: str) -> Question:
        return Question(
            site=site.name,
            period=period,
            compare=compared,
            metrics=metrics,
            dimensions=dimensions,
            limit=ROWS,
            goals=goals_of(site.record.goals),
            is_filled=True,
        )

    asked = [
        question(TOTALS),
        question(("total_revenue",)),
        *(question(metrics, dimension) for dimension, metrics in TABLES.values()),
    ]
    totals, revenue, *tables = await asyncio.gather(*(answer(asker, one) for one in asked))
    return Summary(
        site=site.name,
        period=period,
        compared=compared,
        totals=_rows(totals, 0)[0].numbers,
        tables={name: _rows(found, 1) for name, found in zip(TABLES, tables, strict=True)},
        revenue=_money(revenue),
    )


def _rows(found: Answer, dimensions: int) -> list[Row]:
    names = found.columns[dimensions:]
    rows = []
    for row, other in zip(found.rows, found.compared or [], strict=True):
        before = [None] * len(names) if other is None else other[dimensions:]
        pairs = zip(names, row[dimensions:], before, strict=True)
        numbers = tuple(
            Number(name=name, now=value, before=was, change=change(name, value, was)) for name, value, was in pairs
        )
        rows.append(Row(name=str(row[0]) if dimensions else "", numbers=numbers))
    return rows


def _money(found: Answer) -> list[Number]:
    """Returns the revenue of each currency that came in, in either period: never a sum of two."""
    (row,), (other,) = found.rows, found.compared or [None]
    now, before = row[0], (other or [{}])[0]
    return [
        _amount(currency, now.get(currency, "0"), before.get(currency, "0")) for currency in sorted({*now, *before})
    ]


def _amount(currency: str, now: str, before: str) -> Number:
    grew = change("visitors", Decimal(now), Decimal(before))  # in percent, as of every number that is no rate
    return Number(name=currency, now=now, before=before, change=grew)
