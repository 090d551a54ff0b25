"""Which days are closed is looked up once for the questions of two seconds, and copies change no answer."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest

from dashboard.ask.closed import KEPT_SECONDS, KnowsClosed
from dashboard.ask.files import query_of
from dashboard.catalogue.compiler import compiled
from dashboard.catalogue.contract import Away, FileQuestion, Reply, Statement
from dashboard.catalogue.filters import Compare
from forebay.clickhouse import ClickHouse
from tests.support.closed_site import RowsAlone
from tests.support.dashboard.asking import days

PERIOD = days(date(2026, 3, 9), date(2026, 3, 20), "Europe/Berlin")
SOURCE = Compare("is", "source", ("Google",))


@pytest.mark.parametrize(
    ("file", "filters"),
    [("visits", None), ("visits", SOURCE), ("counts", SOURCE), ("counts", None), ("events", SOURCE)],
)
def test_the_answer_is_that_of_rows(seeded: ClickHouse, file: str, filters: Compare | None) -> None:
    """For files with copies, files with a filter that reads copies, and files with neither."""
    clock = [0.0]
    asker = RowsAlone(seeded)
    knows = KnowsClosed(asker, now=lambda: clock[0])
    statement = compiled(query_of(file), FileQuestion(file=file, site="shop.example", period=PERIOD, filters=filters))
    wanted = asker.now(statement)
    assert wanted.rows
    asker.asked.clear()
    for _ in range(2):
        assert asyncio.run(knows(statement)).rows == wanted.rows
    reads = ["closed"] if file == "visits" or filters else []
    assert [one.file for one in asker.asked] == [*reads, file, file]
    assert all(("closed_visits" in one.sql) == bool(reads) for one in asker.asked[len(reads) :])
    clock[0] += KEPT_SECONDS
    asyncio.run(knows(statement))
    assert [one.file for one in asker.asked][3 if reads else 2 :] == [*reads, file]


def test_questions_that_come_at_once_look_once(seeded: ClickHouse) -> None:
    """As those of a page that is opened."""
    asker = RowsAlone(seeded)
    knows = KnowsClosed(asker, now=lambda: 0.0)
    statement = compiled(query_of("visits"), FileQuestion(file="visits", site="shop.example", period=PERIOD))

    async def at_once() -> None:
        await asyncio.gather(*(knows(statement) for _ in range(4)))

    asyncio.run(at_once())
    assert [one.file for one in asker.asked] == ["closed", *["visits"] * 4]


def test_a_look_that_fails_fails_for_all_who_wait_for_it() -> None:
    """At once: each with a look of its own would wait for those before it. The next question looks again."""
    looks = []

    async def away(statement: Statement) -> Reply:
        looks.append(statement.file)
        await asyncio.sleep(0)
        raise Away("ClickHouse does not answer")

    knows = KnowsClosed(away, now=lambda: 0.0)
    statement = compiled(query_of("visits"), FileQuestion(file="visits", site="shop.example", period=PERIOD))

    async def at_once() -> list[Reply | BaseException]:
        return await asyncio.gather(*(knows(statement) for _ in range(4)), return_exceptions=True)

    for times in (1, 2):
        assert [type(one) for one in asyncio.run(at_once())] == [Away] * 4
        assert looks == ["closed"] * times


def test_it_knows_many_sites_and_not_too_many(seeded: ClickHouse) -> None:
    """Each site and zone by itself."""
    asker = RowsAlone(seeded)
    knows = KnowsClosed(asker, now=lambda: 0.0)
    for site in ("shop.example", "la.example"):
        statement = compiled(query_of("visits"), FileQuestion(file="visits", site=site, period=PERIOD))
        assert asyncio.run(knows(statement)).rows == asker.now(statement).rows
    assert [one.file for one in asker.asked].count("closed") == 2
