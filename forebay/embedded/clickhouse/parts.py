"""Looks, after an unclean end, at what the engine could not read, says it, and has built anew what can be.

The engine sets a part aside that it cannot read (`detached/broken-on-start_...`), takes the parts that it was made of
where they are still there, and says nothing. And it fsyncs no projection of an INSERT: a part whose projection a power
cut took stays, its rows are counted themselves, but it is never merged any more; so the projection is built anew.

It does not promise that rows are there that no part holds: the flusher looks for those, by block, in the replay tail.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from forebay.clickhouse import literal

SET_ASIDE = """
SELECT database, table, partition_id, name, path, toString(ifNull(min_block_number, -1)), toString(ifNull(max_block_number, -1))
FROM system.detached_parts WHERE startsWith(ifNull(reason, ''), 'broken') ORDER BY database, table, name
"""
HELD = """
SELECT toString(sum(rows)) FROM system.parts WHERE active AND database = {} AND table = {} AND partition_id = {}
  AND min_block_number >= {} AND max_block_number <= {}
"""
BROKEN_PROJECTIONS = """
SELECT database, table, name, partition_id, toString(count()), toString(sum(parent_rows)) FROM system.projection_parts
WHERE active AND is_broken GROUP BY database, table, name, partition_id ORDER BY database, table, name, partition_id
"""
_log = logging.getLogger("forebay.embedded.clickhouse")


class Asks(Protocol):
    """An engine that answers a statement with rows of text."""

    def ask(self, sql: str) -> Sequence[Sequence[str]]: ...


def set_aside(engine_directory: Path) -> frozenset[Path]:
    """Returns the directories of parts that are not part of their tables, before the engine sets aside more."""
    return frozenset((engine_directory / "store").glob("*/*/detached/*"))


def look(engine: Asks, engine_directory: Path, before: frozenset[Path]) -> None:
    """Says which parts were set aside since `before`, and begins to build broken projections anew. Raises QueryFailed."""
    for database, table, partition, name, path, first, final in engine.ask(SET_ASIDE):
        if engine_directory / path in before:
            continue
        rows = _rows(engine_directory / path)
        ((held,),) = engine.ask(HELD.format(literal(database), literal(table), literal(partition), first, final))
        is_replaced = rows is not None and int(held) >= rows
        _log.log(
            logging.WARNING if is_replaced else logging.CRITICAL,
            "after an unclean end: a part of %s.%s can't be read and is set aside as %s: %s rows; other parts hold %s"
            " of these rows",
            database, table, name, "an unknown number of" if rows is None else rows, held,
        )  # fmt: skip
    for database, table, name, partition, parts, rows_held in engine.ask(BROKEN_PROJECTIONS):
        _log.warning(
            "after an unclean end: the projection %s of %s parts of %s.%s (%s rows) is broken and is built anew",
            name, parts, database, table, rows_held,
        )  # fmt: skip
        # Of the broken ones alone; the others are linked to. In the background: mutations_sync is 0.
        engine.ask(
            f"ALTER TABLE {_name(database)}.{_name(table)} MATERIALIZE PROJECTION {_name(name)}"
            f" IN PARTITION ID {literal(partition)}"
        )


def _rows(part: Path) -> int | None:
    """Returns how many rows a part says that it has; None where that can't be read either."""
    try:
        return int((part / "count.txt").read_text("ascii"))
    except (OSError, ValueError):
        return None


def _name(value: str) -> str:
    return "`" + value.replace("\\", "\\\\").replace("`", "\\`") + "`"
