"""Reports, after an unclean end, which parts the engine could not read, and has rebuilt what can be rebuilt.

The engine sets a part aside that it can't read (`detached/broken-on-start_...`), takes the parts that it was merged
from if they are still there, and says nothing. And it does not fsync the projections of an INSERT: a part whose
projection a power cut took stays, and its rows are counted, but it is never merged again; so the projection is built
anew.

Not promised: rows that no part holds. The flusher looks for those, by block, in the replay tail.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from schemas.sql import literal

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
    """Answers a statement with rows of text, as an engine does."""

    def ask(self, sql: str) -> Sequence[Sequence[str]]: ...


def set_aside(engine_directory: Path) -> frozenset[Path]:
    """Returns the directories of parts that belong to no table, before the engine sets more aside."""
    return frozenset((engine_directory / "store").glob("*/*/detached/*"))


def look(engine: Asks, engine_directory: Path, before: frozenset[Path]) -> None:
    """Logs which parts were set aside since `before`, and begins to rebuild broken projections. Raises QueryFailed."""
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
        # It builds the broken ones anew and links to the others, in the background: by default 26.9 waits for it.
        engine.ask(
            f"ALTER TABLE {_name(database)}.{_name(table)} MATERIALIZE PROJECTION {_name(name)}"
            f" IN PARTITION ID {literal(partition)} SETTINGS mutations_sync = 0"
        )


def _rows(part: Path) -> int | None:
    """Returns how many rows a part says that it has, or None if that can't be read either."""
    try:
        return int((part / "count.txt").read_text("ascii"))
    except (OSError, ValueError):
        return None


def _name(value: str) -> str:
    return "`" + value.replace("\\", "\\\\").replace("`", "\\`") + "`"
