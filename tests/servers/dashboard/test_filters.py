"""Filters by chance select, in ClickHouse, the events and the visits that plain Python selects."""

from __future__ import annotations

import random
from datetime import date

import pytest

from dashboard.catalogue.conditions import ROWS, VISITS, Conditions
from dashboard.catalogue.contract import EveryName, Statement
from dashboard.catalogue.periods import parameters
from dashboard.catalogue.values import Values
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import EngineAsker, days
from tests.support.dashboard.crowd import world
from tests.support.dashboard.filtering import OF_ROWS, OF_VISITS, Selection, by_chance
from tests.support.dashboard.reference import NO_DEED, Range, events_of
from tests.support.dashboard.seed import rows

TREES, AT_ONCE = 100, 25
SITE = "shop.example"
ZONE = "Europe/Berlin"
SINCE, UNTIL = date(2026, 3, 27), date(2026, 3, 30)  # with a change to summer time


@pytest.fixture(scope="module")
def selection() -> Selection:
    """Returns what there is to select of, in plain Python."""
    return Selection(events_of(rows(world())), Range(SITE, ZONE, SINCE, UNTIL))


def test_filters_select_what_python_selects(seeded: ClickHouse, selection: Selection) -> None:
    """Compares how many there are and the sum of their numbers, for events and for visits, of 300 filters."""
    known = {name: sorted({of(row) for row in selection.rows}) for name, of in OF_ROWS.items()}
    known |= {name: sorted({of(visit) for visit in selection.visits.values()})[:40] for name, of in OF_VISITS.items()}
    known["goal"] = [name for name in known["event"] if name not in ("pageview", *NO_DEED)]
    known["props.plan"].append("(none)")
    chance = random.Random(14)
    trees = [by_chance(chance, known) for _ in range(TREES)]
    period = parameters(days(SINCE, UNTIL, ZONE))
    first, end = int(str(period["first_session"])), int(str(period["end_session"]))
    visits = [visit for visit in selection.visits.values() if first <= visit.session < end]
    asker = EngineAsker(seeded)
    selected = []
    for at in range(0, TREES, AT_ONCE):
        some = trees[at : at + AT_ONCE]
        for alias, number, table in (
            ("e", "e.visitor_id", f"forebay.events AS e WHERE {ROWS.format('e')}"),
            ("s", "s.session_id", f"forebay.sessions AS s WHERE {VISITS}"),
        ):
            values = Values()
            conditions = Conditions(values, EveryName())
            made = [conditions.of_rows(tree) if alias == "e" else conditions.of_visits(tree) for tree in some]
            columns = ", ".join(f"countIf({one}), sumIf({number}, {one})" for one in made)
            asked = Statement(
                file=alias,
                sql=f"SELECT {columns} FROM {table}",
                parameters={**period, "site": SITE, "bots": 0, **values.parameters},
            )
            (row,) = asker.now(asked).rows
            for place, tree in enumerate(some):
                if alias == "e":
                    fitting = [one.visitor for one in selection.rows if selection.has_row(tree, one)]
                else:
                    fitting = [one.session for one in visits if selection.has_visit(tree, one)]
                assert row[2 * place : 2 * place + 2] == [len(fitting), sum(fitting) % (1 << 64)], (alias, tree)
                selected.append(len(fitting))
    assert len({count for count in selected if count}) > 50
