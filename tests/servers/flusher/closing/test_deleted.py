"""No note outlives the rows of its copy, and no visitor outlives the rows of all copies, whoever deletes them at whichever moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from dashboard.ask.closed import KnowsClosed
from dashboard.ask.files import query_of
from dashboard.catalogue.compiler import compiled
from dashboard.catalogue.contract import FileQuestion
from flusher.closing.closing import Closing
from forebay.clickhouse import ClickHouse
from forebay.erase.rows import COPIES, Rows
from schemas.closed import COPY_TABLES
from tests.support.closed_site import ONE_MORE, PERIOD, SITE, RowsAlone, Site
from tests.support.closing import closing, sweep_twice

# Days of visitor 77, and the erasure of somebody else whose rows are gone already.
OF_MANY_DAYS = (
    "INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, url)"
    " SELECT 'hand.example', 'pageview', toDateTime64('2026-02-27 12:00:00', 3, 'UTC') + INTERVAL number DAY, now64(3), 77,"
    " bitOr(bitShiftLeft(toUInt64(toUnixTimestamp('2026-02-27 12:00:00', 'UTC') + 86400 * number), 32), 77), 'https://hand.example/'"
    " FROM numbers(5)"
)
ERASED = (
    "INSERT INTO forebay.erased_rows (erasure, plan, block_id, site, rows) VALUES ('e', 'p', 'b', 'hand.example', 1)"
)
ROWLESS = "SELECT count() FROM forebay.closed_days WHERE " + " OR ".join(
    f"(site, opened, copy) NOT IN (SELECT site, opened, copy FROM forebay.{table})" for table in COPY_TABLES
)
REPEATS = "SELECT groupUniqArray(visitor) FROM forebay.closed_repeats"
COPY_AGAIN = (
    "INSERT INTO forebay.events (* EXCEPT late) SELECT * EXCEPT late REPLACE (1 AS attempt) FROM forebay.events"
)


class Killed(Exception):
    """Stands for a kill."""


class Interrupted:
    """Runs statements as ClickHouse's client does, and does something else before the one with a number."""

    def __init__(self, clickhouse: ClickHouse, at: int, act: Callable[[], object]) -> None:
        self._clickhouse = clickhouse
        self._left = at
        self._act = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clickhouse, name)

    def run(self, *given: Any, **more: Any) -> str:
        """Counts this statement, and runs it."""
        if self._left == 0:
            self._act()
        self._left -= 1
        return self._clickhouse.run(*given, **more)


def before_each(works: Closing, monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Does something before each statement by which days are copied and swept."""
    table = works._connect()
    run = table.run

    async def acted(sql: str, *given: Any) -> None:
        act(sql)
        await run(sql, *given)

    monkeypatch.setattr(table, "run", acted)


@pytest.fixture(name="erased")
def with_an_erasure(engine_of_ours: Site) -> Site:
    """Returns the site with a visitor of many days, and an erasure whose copies have to be forgotten."""
    site = engine_of_ours

    def erase() -> None:
        site.fill()
        site.run(OF_MANY_DAYS)
        site.close()
        site.run(ERASED)
        assert site.agrees()

    site.begin("erased", erase)
    return site


def test_an_erasure_comes_before_the_note(erased: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy was whole when it was looked at. Its rows are gone when it is noted, so the note is withdrawn."""
    erased.run(ONE_MORE)
    works = closing(erased.url)

    def erase(sql: str) -> None:
        if "INSERT INTO forebay.closed_days" in sql:
            Rows(erased.clickhouse).forget_copies("e", "p")

    before_each(works, monkeypatch, erase)
    (due,) = asyncio.run(works.due())
    assert asyncio.run(works.close([due])) == 0
    assert erased.agrees()
    assert erased.closed() == 0
    assert erased.close() >= 3
    assert erased.agrees()


@pytest.mark.parametrize("at", range(len(COPIES)))
def test_copies_are_noted_while_they_are_erased(erased: Site, at: int) -> None:
    """A note that comes between two statements of an erasure does not stay without rows."""
    erased.run("CREATE OR REPLACE TABLE forebay.kept ENGINE = Memory AS SELECT * FROM forebay.closed_days")
    note = "INSERT INTO forebay.closed_days SELECT * FROM forebay.kept"
    interrupted: Any = Interrupted(erased.clickhouse, at, lambda: erased.run(note))
    Rows(interrupted).forget_copies("e", "p")
    erased.run("DROP TABLE forebay.kept")
    assert erased.run(ROWLESS).strip() == "0"
    assert erased.agrees()


@pytest.mark.parametrize("at", range(len(COPIES)))
def test_days_are_copied_while_copies_are_erased(erased: Site, at: int) -> None:
    """A visitor of many days is counted once, whichever of the copies the erasure leaves."""
    interrupted: Any = Interrupted(erased.clickhouse, at, erased.close)
    Rows(interrupted).forget_copies("e", "p")
    assert erased.agrees()
    erased.close()
    assert erased.agrees()


@pytest.mark.parametrize("at", range(2 + len(COPY_TABLES) * 2))
def test_a_flusher_is_killed_while_it_sweeps(site: Site, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies may be true again, because rows that were twice there are there once. Then they have rows, or no notes."""
    site.run(COPY_AGAIN)
    works = closing(site.url)
    left = [at]

    def kill(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    before_each(works, monkeypatch, kill)

    async def sweep() -> None:
        for _ in range(2):
            await works.sweep(before=4e9)

    with suppress(Killed):
        asyncio.run(sweep())
    site.run("ALTER TABLE forebay.events DELETE WHERE attempt = 0")
    assert site.run(ROWLESS).strip() == "0"
    assert site.agrees()


@pytest.mark.parametrize("table", COPY_TABLES)
def test_a_note_without_rows_does_not_stay(site: Site, table: str) -> None:
    """However it came to be there, its day is copied again, and the note is swept."""
    days = site.closed()
    site.run(f"TRUNCATE TABLE forebay.{table}")
    assert site.run(ROWLESS).strip() != "0"
    assert site.close() == days
    assert site.agrees()
    asyncio.run(closing(site.url).sweep(before=0))
    assert site.run(ROWLESS).strip() == "0"
    assert site.agrees()


def test_visitors_of_no_copy_are_forgotten(erased: Site) -> None:
    """Visitors go who were erased while days were copied, or whose partitions were dropped. All others stay."""
    sweep_twice(erased.url)
    erased.run("INSERT INTO forebay.closed_repeats VALUES ('hand.example', 5), ('other.example', 77)")
    assert "77" in erased.run(REPEATS)
    assert sweep_twice(erased.url) == 0
    assert erased.run("SELECT count() FROM forebay.closed_repeats WHERE visitor = 5 OR site = 'other.example'") == "0\n"
    assert "77" in erased.run(REPEATS)
    assert erased.agrees()
    erased.run("TRUNCATE TABLE forebay.events")
    assert sweep_twice(erased.url) >= 5
    assert erased.run(REPEATS).strip() == "[]"


def test_a_copy_that_was_true_a_moment_ago_can_be_read(site: Site) -> None:
    """A question remembers for two seconds which copies are true. The next sweep but one deletes them, and no earlier one."""
    asker = RowsAlone(site.clickhouse)
    knows = KnowsClosed(asker, now=lambda: 0.0)
    statement = compiled(query_of("visits"), FileQuestion(file="visits", site=SITE, period=PERIOD))
    before = asyncio.run(knows(statement)).rows
    assert before[0][3] > 0
    site.run(ONE_MORE)
    works = closing(site.url)
    assert asyncio.run(works.sweep(before=4e9)) == 0
    assert asyncio.run(knows(statement)).rows == before
    assert asyncio.run(works.sweep(before=4e9)) == 1
    assert asyncio.run(knows(statement)).rows != before
