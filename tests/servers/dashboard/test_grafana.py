"""Every SQL of the dashboards for Grafana is asked of the engine, as Grafana and its plugin send it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dashboard.grafana.macros import BY, CHANNEL, COUNTRY, SITE, ZONE
from forebay.clickhouse import ClickHouse, ClickHouseError
from tests.support.dashboard.hand import FIRST, THIRD
from tests.support.grafana import ALL, asked, moments

ENGINE = "grafana-clickhouse-datasource"
CHOSEN = {SITE: "hand.example", ZONE: "Asia/Kathmandu", BY: "day", COUNTRY: ALL, CHANNEL: ALL}
HOSTILE = (
    "x' OR 1 = 1 -- ",
    "x\\' OR 1 = 1 -- ",
    "x\\",
    "') OR ('1' = '1",
    "$__fromTime",
    "${site}",
    "*/ x /*",
    "x\0y",
    "\u2028'",
)


class Query(NamedTuple):
    """Is one SQL of a dashboard, with a name for it."""

    name: str
    sql: str


def queries() -> Iterator[Query]:
    """Returns the SQL of all panels and variables of all dashboards of deploy/grafana."""
    for file in sorted((Path(__file__).parents[3] / "deploy/grafana/dashboards").glob("*.json")):
        board = json.loads(file.read_text("utf-8"))
        for panel in board["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == ENGINE:
                    yield Query(f"{file.stem} {panel['title']}", target["rawSql"])
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield Query(f"{file.stem} variable {variable['name']}", variable["query"]["rawSql"])


QUERIES = {query.name: query.sql for query in queries()}


def rows(clickhouse: ClickHouse, sql: str, **chosen: str) -> list[list[Any]]:
    """Returns what ClickHouse answers for three days, with these values of variables in place of the usual ones."""
    sent = asked(sql, CHOSEN | chosen, *moments(FIRST, THIRD, CHOSEN[ZONE]))
    assert chosen or "$" not in sent, "something is not filled in"
    answer = json.loads(clickhouse.run(f"{sent}\nFORMAT JSONCompact"))
    found: list[list[Any]] = answer["data"]
    return found


@pytest.mark.parametrize("name", QUERIES)
def test_every_sql_is_asked(seeded: ClickHouse, name: str) -> None:
    """Nothing is left that Grafana or its plugin would have to fill in; what people did in these days is found."""
    found = rows(seeded, QUERIES[name])
    assert found or name.endswith((" People now", "variable site"))  # those are of now


@pytest.mark.parametrize("unit", ["hour", "week", "month", "no unit"])
def test_series_have_the_unit_that_was_chosen(seeded: ClickHouse, unit: str) -> None:
    """A month is one bucket, and what is no unit is a day. All units count the same pageviews."""
    found = rows(seeded, QUERIES["sites Visitors, visits and pageviews"], by=unit)
    assert sum(int(row[3]) for row in found) == 10
    # 1 March is a Sunday, on which no week begins.
    assert len(found) == {"hour": 9, "week": 2, "month": 1, "no unit": 3}[unit]


def test_filters_of_both_kinds(seeded: ClickHouse) -> None:
    """A country is on rows; a channel on visits."""
    totals = QUERIES["sites Totals"]
    assert [row[0] for row in rows(seeded, totals)] == [9]
    assert [row[0] for row in rows(seeded, totals, country="DE")] == [2]
    assert [row[0] for row in rows(seeded, totals, country="DE", channel="Organic Search")] == [1]
    assert [row[0] for row in rows(seeded, totals, country="FR", channel="Organic Search")] == [0]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_ends_the_text_that_it_stands_in(seeded: ClickHouse, value: str) -> None:
    """As site, country and channel it selects nothing; as time zone it is refused as one."""
    sql = QUERIES["sites Pages"]
    assert rows(seeded, sql)
    for name in (SITE, COUNTRY, CHANNEL):
        assert rows(seeded, sql, **{name: value}) == [], name
    with pytest.raises(ClickHouseError, match="zone"):
        rows(seeded, sql, zone=value)


def test_the_format_of_texts_would_not_do(seeded: ClickHouse) -> None:
    """Grafana's `sqlstring` doubles quotes, and a backslash takes that back: shown, so that nobody takes it."""
    open_ = asked("SELECT 1 WHERE 'a' = ${site:sqlstring}", {SITE: "\\' OR 1 = 1 -- "}, 0, 1)
    assert seeded.run(open_).strip() == "1"


def test_a_range_need_not_be_days(seeded: ClickHouse) -> None:
    """Two hours of the picker are two hours: one person came at 12:00, and others before and after."""
    starts, _ = moments(FIRST, FIRST, CHOSEN[ZONE])
    sent = asked(QUERIES["sites Totals"], CHOSEN, starts + 11 * 3600, starts + 13 * 3600)
    assert json.loads(seeded.run(f"{sent}\nFORMAT JSONCompact"))["data"][0][:3] == [1, 1, 1]
