"""Over midnight, whatever is counted of visits counts visitors on the days on which the events do."""

from __future__ import annotations

import asyncio

import pytest

from dashboard.ask.answers import answer
from dashboard.catalogue.contract import Question
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import EngineAsker, days, rows_of
from tests.support.dashboard.hand import FIRST, SECOND, ZONE
from tests.support.dashboard.seed import Hit, Site, Visit, insert, moment

MINUTE = 60_000
# An old tab is looked at two minutes before midnight, and its owner goes on from there five minutes after it; another one looks
# at a page before midnight, and only reads on after it; of the third one, only the first page is a person's.
SITE = Site(
    "midnight.example",
    ZONE,
    (
        Visit("old", moment(ZONE, FIRST, 23, 58), (Hit(0, "/", "engagement", engaged_ms=9), Hit(7 * MINUTE, "/next"))),
        Visit("read", moment(ZONE, FIRST, 23, 50), (Hit(0), Hit(20 * MINUTE, "/", "engagement", engaged_ms=9))),
        Visit("fast", moment(ZONE, FIRST, 23, 55), (Hit(0), Hit(10 * MINUTE, bot="rate", bot_reasons=128))),
        Visit("long", moment(ZONE, FIRST, 23, 40), (Hit(0), Hit(15 * MINUTE, "/b"), Hit(30 * MINUTE, "/c"))),
    ),
)


@pytest.mark.parametrize("file", ["visits", "matched", "events"])
def test_visitors_by_day(seeded: ClickHouse, file: str) -> None:
    """Three on the first day (not `old`), two on the second (not `read`, and not the program)."""
    if not seeded.run(f"SELECT count() FROM forebay.events WHERE site = '{SITE.name}'").strip("0\n"):
        sql, body = insert([SITE])
        seeded.run(f"{sql}\n{body.decode()}")
    rows = rows_of(
        seeded, file, SITE.name, days(FIRST, SECOND, ZONE), dimensions=("time:day",), columns=("d", "visitors")
    )
    assert rows == [["2026-03-01", 3], ["2026-03-02", 2]]
    for day, visitors in ((FIRST, 3), (SECOND, 2)):
        found = rows_of(seeded, file, SITE.name, days(day, day, ZONE), columns=("d", "visitors"))
        assert found == [[SITE.name, visitors]]


def test_a_visit_counts_on_the_day_on_which_it_began(seeded: ClickHouse) -> None:
    """Also that of an old tab; the one that a program was found in is none."""
    sql, body = insert([Site("begun.example", ZONE, SITE.visits)])
    seeded.run(f"{sql}\n{body.decode()}")
    period, columns = days(FIRST, SECOND, ZONE), ("d", "visitors", "visits")
    rows = rows_of(seeded, "visits", "begun.example", period, columns, dimensions=("time:day",))
    assert rows == [["2026-03-01", 3, 3], ["2026-03-02", 2, 0]]


@pytest.mark.parametrize("file", ["visits", "matched", "events"])
def test_visitors_of_days_that_began_elsewhere(seeded: ClickHouse, file: str) -> None:
    """A site whose zone was changed is asked in the new one, where midnight does not part its old visitors: they are as many."""
    sql, body = insert([Site(f"moved-{file}.example", ZONE, SITE.visits)])
    seeded.run(f"{sql}\n{body.decode()}")
    found = rows_of(
        seeded, file, f"moved-{file}.example", days(FIRST, FIRST, "UTC"), columns=("visitors",), dimensions=("country",)
    )
    assert [row[-1] for row in found] == [5]


def test_a_page_that_was_seen_after_the_period_was_no_exit_within_it(seeded: ClickHouse) -> None:
    """Of two visits that saw `/c` on the first day one ended there; two others ended there after midnight."""
    late = (Hit(0), Hit(20 * MINUTE, "/c"))
    early = moment(ZONE, FIRST, 9)
    visits = (
        *(Visit(f"late {number}", moment(ZONE, FIRST, 23, 50), late) for number in range(2)),
        Visit("ends", early, (Hit(0, "/c"),)),
        Visit("goes on", early, (Hit(0, "/c"), Hit(MINUTE, "/d"))),
    )
    sql, body = insert([Site("exits.example", ZONE, visits)])
    seeded.run(f"{sql}\n{body.decode()}")
    question = Question(
        site="exits.example",
        period=days(FIRST, FIRST, ZONE),
        metrics=("visits", "exit_rate"),
        dimensions=("exit_page",),
    )
    rows = asyncio.run(answer(EngineAsker(seeded), question)).rows
    assert rows == [["/c", 3, 50.0], ["/d", 1, 100.0]]
