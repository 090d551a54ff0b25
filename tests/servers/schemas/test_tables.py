"""The tables that a fresh ClickHouse gets: those that are declared, and those that there were before the first release."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import migrate, packaged
from schemas.columns import DELIVERY_COLUMNS, ENTRY_COLUMNS, Column, Kept
from schemas.sql import literal
from tests.support.fresh import engine_with_tables
from tests.support.tables import dumped
from tests.unit.schemas.test_migrations import released

BEFORE = Path(__file__).parents[2] / "fixtures" / "tables_before_the_first_release.json"
DECLARED = ENTRY_COLUMNS | DELIVERY_COLUMNS
# Of events, and always empty: the views compute it. Every other column that is not declared has an expression.
UNFILLED = {"channel"}
# What the views of events have beside its columns.
COMPUTED = {"channel", "source_name"}
Described = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """A ClickHouse with the tables of this version."""
    process = engine_with_tables(tmp_path_factory.mktemp("engine"))
    yield process.tools
    process.close()


def columns(clickhouse: ClickHouse, table: str) -> list[Described]:
    """Returns name, type, kind and text of the default, and comment of a table's columns, in order."""
    said = clickhouse.rows(
        "SELECT name, type, default_kind, default_expression, comment FROM system.columns"
        f" WHERE database = 'forebay' AND table = {literal(table)} ORDER BY position FORMAT JSONEachRow"
    )
    return [tuple(row.values()) for row in said]


def described(name: str, column: Column, natural: Any) -> Described:
    """Returns what ClickHouse should say of a declared column. `natural` is what its type has without a default."""
    if column.kept is Kept.STORED and column.default == natural:
        return name, column.type, "", "", column.meaning
    kind = "DEFAULT" if column.kept is Kept.STORED else "EPHEMERAL"
    text = literal(column.default) if isinstance(column.default, str) else str(column.default)
    return name, column.type, kind, text, column.meaning


def test_events_has_the_declared_columns(clickhouse: ClickHouse) -> None:
    """Name, type, default and comment, in the declared order. What is not declared, ClickHouse derives by itself."""
    kinds = sorted({column.type for column in DECLARED.values()})
    asked = ", ".join(f"defaultValueOfTypeName({literal(kind)}) AS `{number}`" for number, kind in enumerate(kinds))
    (said,) = clickhouse.rows(f"SELECT {asked} FORMAT JSONEachRow")
    natural = {kind: 0 if kind.startswith("DateTime") else said[str(number)] for number, kind in enumerate(kinds)}
    found = columns(clickhouse, "events")
    assert [one for one in found if one[0] in DECLARED] == [
        described(name, column, natural[column.type])
        for name, column in DECLARED.items()
        if column.kept is not Kept.USED_UP
    ]
    derived = {name for name, _, kind, _, _ in found if name not in DECLARED and kind in ("DEFAULT", "ALIAS")}
    assert derived | UNFILLED == {one[0] for one in found} - set(DECLARED)


def test_the_probe_has_the_columns_of_events(clickhouse: ClickHouse) -> None:
    """It refuses what `events` refuses: also of a column that a later migration adds."""
    assert [one[:4] for one in columns(clickhouse, "probe")] == [one[:4] for one in columns(clickhouse, "events")]


@pytest.mark.parametrize("view", ["v_events", "v_pageviews"])
def test_views_of_events_have_its_columns(clickhouse: ClickHouse, view: str) -> None:
    """All that can be read, with their comments: `*` stands for the stored ones of the moment in which a view is made."""
    readable = {(one[0], one[1], one[4]) for one in columns(clickhouse, "events") if one[2] != "EPHEMERAL"}
    found = {(one[0], one[1], one[4]) for one in columns(clickhouse, view)}
    assert {one for one in found if one[0] not in COMPUTED} == {one for one in readable if one[0] not in COMPUTED}
    assert {name for name, _, comment in found if name in COMPUTED and comment} == COMPUTED


def test_every_column_that_people_read_is_explained(clickhouse: ClickHouse) -> None:
    """Each table and view says what its columns are, except for the migrations' own book and what fills `ids`."""
    silent = (
        "SELECT table, name FROM system.columns WHERE database = 'forebay' AND comment = ''"
        " AND table NOT IN ('forebay_migrations', 'ids_fill') FORMAT JSONEachRow"
    )
    assert clickhouse.rows(silent) == []


def test_what_is_stored_survives_a_power_cut(clickhouse: ClickHouse) -> None:
    """Whatever a merge makes is fsynced before it replaces what was: of every table that keeps anything."""
    said = clickhouse.rows(
        "SELECT name, engine_full FROM system.tables WHERE database = 'forebay' AND engine LIKE '%MergeTree' FORMAT JSONEachRow"
    )
    assert {
        "events",
        "blocks",
        "ids",
        "erasures",
        "erased_rows",
        "source_lists",
        "source_index",
        "closed_visits",
        "closed_sums",
        "closed_acts",
        "closed_act_sums",
        "closed_repeats",
        "closed_days",
        "forebay_migrations",
    } == {row["name"] for row in said}
    for row in said:
        for wanted in ("fsync_after_insert = 1", "fsync_part_directory = 1", "min_rows_to_fsync_after_merge = 1"):
            assert wanted in row["engine_full"], row["name"]


def test_the_first_migrations_make_the_tables_that_thirteen_made_before(clickhouse: ClickHouse) -> None:
    """The first release has one clean set of migrations instead of thirteen that undid each other; nothing else changed.

    The fixture is what ClickHouse said of a database that the thirteen had made (`python -m tests.support.tables`).
    On purpose there differ: `probe`, which had columns of an older `events`; the comment of `url_flags`, which named two
    of its four bits; and the tables of erasures, whose merges were not fsynced. The test is of the first release's
    migrations alone, so later ones leave it as it is; it has done its work when that release's tables are history.
    """
    first = [migration for migration in packaged() if migration.name in released()]
    assert len(first) == 6
    clickhouse.run("DROP DATABASE forebay SYNC")
    try:
        migrate(clickhouse.run, migrations=first)
        found, before = dumped(clickhouse), json.loads(BEFORE.read_text())
    finally:
        migrate(clickhouse.run)
    for tables in (found, before):
        del tables["probe"]
        tables["events"]["columns"]["url_flags"]["comment"] = ""
        tables["events"]["create"] = re.sub(
            r"(`url_flags` UInt8 EPHEMERAL 0 COMMENT) '[^']*'", r"\1 ''", tables["events"]["create"]
        )
        for name in ("erasures", "erased_rows"):
            tables[name]["create"] = ""
            tables[name]["settings"] = []
    assert found.keys() == before.keys()
    for name, table in before.items():
        assert found[name] == table, name
