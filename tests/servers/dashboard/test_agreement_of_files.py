"""Three files count visitors and visits, and it makes no difference which is asked; buckets of time are where clocks change what they are."""

from __future__ import annotations

import asyncio
import random
from datetime import date, timedelta
from typing import Any

import pytest

from dashboard.ask.answers import answer
from dashboard.catalogue.contract import Period, Question
from dashboard.catalogue.filters import Compare
from dashboard.catalogue.periods import buckets, days
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import EngineAsker, rows_of
from tests.support.dashboard.crowd import world
from tests.support.dashboard.reference import Range, events_of, totals, visits_of
from tests.support.dashboard.seed import rows

# Sites, their zones and ranges, which have days of 23 and of 25 hours.
RANGES = [
    ("la.example", "America/Los_Angeles", date(2025, 10, 31), date(2025, 11, 4)),
    ("la.example", "America/Los_Angeles", date(2026, 3, 6), date(2026, 3, 10)),
    ("auckland.example", "Pacific/Auckland", date(2026, 4, 3), date(2026, 4, 6)),
    ("shop.example", "Europe/Berlin", date(2026, 3, 9), date(2026, 3, 31)),
    ("hand.example", "Asia/Kathmandu", date(2026, 3, 1), date(2026, 3, 3)),
]
NOW = 1_790_000_000


def parts_of(count: int) -> list[tuple[str, Period]]:
    """Returns sites with parts of their ranges, by chance."""
    chance = random.Random(14)
    found = []
    for _ in range(count):
        site, zone, since, until = chance.choice(RANGES)
        first = since + timedelta(days=chance.randrange((until - since).days + 1))
        last = first + timedelta(days=chance.randrange((until - first).days + 1))
        found.append((site, days(first, last, zone, NOW)))
    return found


@pytest.mark.parametrize("dimension", ["", "country", "device", "time:day"])
def test_files_agree(seeded: ClickHouse, dimension: str) -> None:
    """Visitors, visits, pageviews and events are the same people's in each file that has them."""
    dimensions = (dimension,) if dimension else ()
    # A visit that began on the day before has an event on the first day of this one.
    over_midnight = ("hand.example", days(date(2026, 3, 2), date(2026, 3, 3), "Asia/Kathmandu", NOW))
    for site, period in (over_midnight, *parts_of(5)):
        by_file: dict[str, dict[str, list[int]]] = {}
        for file, columns in (
            ("visits", ("d", "visitors", "visits")),
            ("events", ("d", "visitors", "visits", "pageviews", "events")),
            ("matched", ("d", "visitors", "visits", "pageviews", "events")),
            ("counts", ("d", "pageviews", "events")),
        ):
            if file == "counts" and dimension not in ("", "time:day"):
                continue
            more: dict[str, Any] = {} if file == "counts" else {"limit": 10_000}
            found = rows_of(seeded, file, site, period, columns, dimensions=dimensions, **more)
            by_file[file] = {row[0]: row[1:] for row in found}
        assert by_file["events"] == by_file["matched"]
        visitors = {key: row[0] for key, row in by_file["visits"].items() if row[0]}
        assert visitors == {key: row[0] for key, row in by_file["events"].items()}, (site, period)
        if (
            dimension != "time:day"
        ):  # by day a visit counts on the day on which it began, or on each that it has an event on
            visits = {key: row[1] for key, row in by_file["visits"].items() if row[0]}
            assert visits == {key: row[1] for key, row in by_file["events"].items()}, (site, period)
        if "counts" in by_file:
            assert {key: row[2:] for key, row in by_file["events"].items()} == {
                key: row for key, row in by_file["counts"].items() if row[1]
            }


def test_numbers_of_visits_are_those_of_the_reference(seeded: ClickHouse) -> None:
    """Plain Python counts the same, in every range."""
    events = events_of(rows(world()))
    for site, period in parts_of(12):
        wanted = totals(visits_of(events, site), Range(site, period.zone, period.since, period.until))
        columns = ("d", *wanted._fields)
        assert rows_of(seeded, "visits", site, period, columns) == [[site, *wanted]]


@pytest.mark.parametrize(("site", "zone", "since", "until"), RANGES[:3])
@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_buckets_are_those_of_clickhouse(
    seeded: ClickHouse, site: str, zone: str, since: date, until: date, interval: str
) -> None:
    """No row falls into a bucket that Python does not know, and the sums of a series are the totals."""
    period = days(since, until, zone, NOW)
    question = Question(
        site=site, period=period, metrics=("pageviews", "visits", "visitors"), dimensions=(f"time:{interval}",)
    )
    asker = EngineAsker(seeded)
    series = asyncio.run(answer(asker, Question(**_fields(question, is_filled=True, limit=1_000)))).rows
    found = asyncio.run(answer(asker, Question(**_fields(question, limit=1_000)))).rows
    assert [row[0] for row in series] == buckets(period, interval)
    assert [row for row in series if any(row[1:])] == found
    totals_ = asyncio.run(answer(asker, Question(**_fields(question, dimensions=())))).rows[0]
    assert [sum(row[1] for row in series), sum(row[2] for row in series)] == totals_[:2]
    if interval == "hour" and zone == "America/Los_Angeles" and since.year == 2025:
        assert len(series) == 5 * 24 + 1
        assert [row[0] for row in series if row[0].startswith("2025-11-02 01")] == ["2025-11-02 01:00:00-07:00", "2025-11-02 01:00:00-08:00"]  # fmt: skip


def _fields(question: Question, **more: Any) -> dict[str, Any]:
    return {name: getattr(question, name) for name in question.__struct_fields__} | more


CLICKED = (
    *(
        (name, False)
        for name in ("page", "event", "props.plan", "goal", "source", "channel", "entry_page", "exit_page")
    ),
    *((name, True) for name in ("page", "source", "browser")),
)


@pytest.mark.parametrize(("dimension", "bots"), CLICKED)
def test_a_row_has_the_numbers_of_a_filter_by_it(seeded: ClickHouse, dimension: str, bots: bool) -> None:
    """A click on a row shows the numbers that stood in the row, whichever files they come from."""
    asker = EngineAsker(seeded)
    for site, period in parts_of(1):
        question = Question(
            site=site, period=period, metrics=("visitors", "visits"), dimensions=(dimension,), limit=3, bots=bots
        )
        for value, *numbers in asyncio.run(answer(asker, question)).rows:
            clicked = _fields(question, dimensions=(), filters=Compare("is", dimension, (value,)))
            assert asyncio.run(answer(asker, Question(**clicked))).rows == [numbers], (site, period, value)
