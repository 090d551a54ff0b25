"""Every file of the catalogue runs as it stands, has the columns that its header says, and takes every dimension and filter that fits it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from dashboard.ask.files import catalogue, query_of
from dashboard.catalogue.compiler import DIMENSIONS_MAX, PAGES, compiled
from dashboard.catalogue.contract import ALWAYS, FileQuestion, Period, Statement
from dashboard.catalogue.dimensions import DIMENSIONS
from dashboard.catalogue.filters import All, Compare, Done
from dashboard.catalogue.filters import Any as AnyOf
from dashboard.catalogue.periods import parameters
from dashboard.catalogue.query import Query
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import EngineAsker, days
from tests.support.dashboard.hand import FIRST, THIRD, ZONE

# Conditions of each kind that there is, on rows and on visits.
EVERY_KIND = All(
    (
        Compare("is_not", "source", ("Google", "(not set)")),
        Compare("contains", "page", ("/", "shop"), is_case_sensitive=False),
        AnyOf((Compare("matches", "entry_page", ("^/",)), Compare("is", "props.plan", ("(none)",)))),
        Compare("matches_wildcard", "country", ("*", "D*E")),
        Done(Compare("is", "goal", ("signup",)), is_done=False),
    )
)


def as_it_stands(query: Query) -> Statement:
    """Returns the SELECT of a file as it is, with the values of its example."""
    given: dict[str, Any] = dict(query.example)
    shared: dict[str, Any] = {"bots": 0, "before": ALWAYS, "limit": 10, "offset": 0}
    if {"zone", "since", "until"} <= set(given):
        period = days(date.fromisoformat(given["since"]), date.fromisoformat(given["until"]), given["zone"])
        shared |= parameters(period)
    return Statement(
        file=query.name,
        sql=query.sql,
        parameters={name: given.get(name, shared.get(name, "")) for name in query.parameters},
    )


@pytest.mark.parametrize("name", catalogue())
def test_a_file_runs_as_it_stands(seeded: ClickHouse, name: str) -> None:
    """With the values of its example it has the columns, of the types, that its header names. Each has an example answer."""
    query = query_of(name)
    statement = as_it_stands(query)
    asker = EngineAsker(seeded)
    described = asker.now(Statement(file=name, sql=f"DESCRIBE (\n{statement.sql}\n)", parameters=statement.parameters))
    found = {row[0]: row[1] for row in described.rows}
    assert list(found) == list(query.columns)
    assert {column: kind for column, kind in found.items() if query.columns[column] != "Dimension"} == {
        column: kind for column, kind in query.columns.items() if kind != "Dimension"
    }
    asker.now(statement)


def fitting(query: Query) -> list[str]:
    """Returns all dimensions that a file can be asked by."""
    forms = {"row": ("row",), "session": ("visit",), "both": ("row", "visit")}.get(query.dimensions, ())
    found = [name for name, one in DIMENSIONS.items() if any(getattr(one, form) for form in forms)]
    return [*PAGES] if query.dimensions == "page" else [*found, *(["props.plan"] if "row" in forms else [])]


@pytest.mark.parametrize(
    "name", [name for name, query in catalogue().items() if query.dimensions != "none" or query.filters != "none"]
)
def test_a_file_takes_every_dimension_and_filter(seeded: ClickHouse, name: str) -> None:
    """Asked by each dimension, in as few questions as hold them all, with conditions of every kind and moments for edges."""
    query = query_of(name)
    standing = as_it_stands(query)
    has_filters = query.filters != "none"
    period = Period(since=FIRST, until=THIRD, zone=ZONE)
    if has_filters:
        period = Period(since=FIRST, until=THIRD, zone=ZONE, starts=1_772_338_500, ends=1_772_532_900)
    dimensions = fitting(query)
    shared = {"site", "bots", "limit", "offset", "numbers", *parameters(period)}
    asker = EngineAsker(seeded)
    for first in range(0, max(1, len(dimensions)), DIMENSIONS_MAX):
        chosen = tuple(dimensions[first : first + DIMENSIONS_MAX])
        question = FileQuestion(
            file=name,
            site="hand.example",
            period=period,
            filters=EVERY_KIND if has_filters else None,
            dimensions=chosen,
            order=((chosen[-1], False),) if chosen and "order" in query.marks else (),
            parameters={key: value for key, value in standing.parameters.items() if key not in shared},
            steps=("Visit /", "signup") if query.dimensions == "steps" else (),
        )
        asked = asker.now(compiled(query, question))
        assert asked.columns == tuple(query.columns)
        assert all(len(row[0]) == len(chosen) for row in asked.rows if len(chosen) > 1)


QUICK = {
    "counts": ("time:hour", "time:day", "time:week", "time:month", "event", ""),
    "revenue": ("time:day", ""),
    "bot_series": ("time:day",),
    "pages": ("page", "hostname"),
}


@pytest.mark.parametrize("name", QUICK)
def test_a_projection_answers(seeded: ClickHouse, name: str) -> None:
    """ClickHouse refuses what no projection answers. What is counted by time, name or page is never counted from rows."""
    query = query_of(name)
    for dimension in QUICK[name]:
        question = FileQuestion(
            file=name,
            site="hand.example",
            period=days(FIRST, THIRD, ZONE),
            dimensions=(dimension,) if dimension else (),
            filters=Compare("is", "event", ("pageview",)) if query.filters != "none" else None,
        )
        columns = [column for column in query.columns if column != "buyers"]  # visitors are in no projection
        statement = compiled(query, question, columns=columns)
        EngineAsker(seeded).now(statement, force_optimize_projection="1")
