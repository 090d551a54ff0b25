"""`python -m tests.support.tables URL`: what a ClickHouse says of every table of ours, as JSON that two of them are compared by."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import RECORDS

TABLES = """
SELECT name, engine, partition_key, sorting_key, primary_key, sampling_key, comment, as_select, engine_full, create_table_query
FROM system.tables WHERE database = 'forebay' ORDER BY name FORMAT JSONEachRow
"""
COLUMNS = """
SELECT table, name, position, type, default_kind, default_expression, compression_codec, comment,
    is_in_partition_key, is_in_sorting_key, is_in_primary_key
FROM system.columns WHERE database = 'forebay' ORDER BY table, position FORMAT JSONEachRow
"""
INDICES = """
SELECT table, name, type_full, expr, granularity FROM system.data_skipping_indices WHERE database = 'forebay'
ORDER BY table, name FORMAT JSONEachRow
"""
PROJECTIONS = """
SELECT table, name, type, sorting_key, query FROM system.projections WHERE database = 'forebay'
ORDER BY table, name FORMAT JSONEachRow
"""


def dumped(clickhouse: ClickHouse) -> dict[str, Any]:
    """Returns by table: what it is, its settings in order of their names, its columns, indices and projections."""
    found: dict[str, Any] = {}
    for row in clickhouse.rows(TABLES):
        settings = _settings(row.pop("engine_full"))
        create = row.pop("create_table_query").partition(" SETTINGS ")[0]
        found[row.pop("name")] = {
            **row, "create": create, "settings": settings, "columns": {}, "indices": {}, "projections": {}
        }  # fmt: skip
    for kind, question in (("columns", COLUMNS), ("indices", INDICES), ("projections", PROJECTIONS)):
        for row in clickhouse.rows(question):
            found[row.pop("table")][kind][row.pop("name")] = row
    return found


def before_release(clickhouse: ClickHouse) -> None:
    """Leaves what a revision from before the first release left: a table, and its records of migrations."""
    clickhouse.run("CREATE DATABASE forebay")
    clickhouse.run("CREATE TABLE forebay.events (`site` String) ENGINE = MergeTree ORDER BY site")
    clickhouse.run(
        f"CREATE TABLE {RECORDS} (name String, checksum String, applied_at DateTime64(3)) ENGINE = MergeTree ORDER BY name"
    )
    names = ("0001_events", "0002_rollups", "0003_blocks", "0004_views", "0013_view_comments")
    rows = ", ".join(f"('{name}', 'ddd316b84645529ff4184060691462c1', now64(3))" for name in names)
    clickhouse.run(f"INSERT INTO {RECORDS} VALUES {rows}")


def _settings(engine: str) -> list[str]:
    """Returns the settings of an engine's declaration: ALTER appends them, whatever the order in a CREATE."""
    return sorted(re.findall(r"(\w+ = \w+)", engine.partition(" SETTINGS ")[2]))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dumped(ClickHouse(sys.argv[1])), indent=1, ensure_ascii=False) + "\n")
