"""Measures the baseline of P3: `client.insert(column_oriented=True)` of lists, and what ClickHouse holds afterwards.

One thread, one INSERT a block, the same rows in the same blocks into the same tables as the flusher filled; the lists
are made before the clock runs. The settings make each a durable block, as the flusher's do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from loadtest.bench.ask import POLL_S, BenchError
from loadtest.watch.reconcile import ROLLUPS, ROLLUPS_SQL, ClickHouse, rollups_agree
from schemas.row import COLUMNS, DELIVERY, INDEX, INSERT_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS = "forebay.events"
PROBE = "forebay.probe"
WARM_ROWS = 100
AGREE_SECONDS = 5  # in an older revision a block is in `events` a moment before it is in the views
FOREVER = (1 << 32) - 1
NAMES = tuple(name for name in (*COLUMNS, *DELIVERY) if name in INSERT_TYPES)
TYPES = [INSERT_TYPES[name] for name in NAMES]
SETTINGS = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 1_048_449,
    "min_insert_block_size_rows": 1_048_449,
    "min_insert_block_size_bytes": 1 << 30,
}
BLOCKS_SQL = "SELECT block_id, rows FROM forebay.blocks FINAL ORDER BY stored_at"
# The size of the table with its rollups, once everything is merged; parts that a merge replaced don't count.
DISK_SQL = """
SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'forebay' GROUP BY table ORDER BY table
"""


class Tables(ClickHouse):
    """Inserts into the tables of one ClickHouse, and asks about them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._sessions: dict[int, int] = {}

    def version(self) -> str:
        return str(self.rows("SELECT version()")[0][0])

    def warm(self, columns: list[list[Any]]) -> None:
        """Inserts a few rows into a table that keeps nothing, because the client loads for a third of a second at
        first.
        """
        self.insert([column[:WARM_ROWS] for column in columns], "", PROBE)

    def insert(self, columns: list[list[Any]], block: str, table: str = EVENTS) -> tuple[float, float]:
        """Inserts a block's rows; returns the seconds that it took, and the CPU seconds of this process."""
        rows = len(columns[0])
        named: dict[str, Sequence[Any]] = dict(zip(COLUMNS, columns, strict=True))
        named["session_id"] = self._sessions_of(columns)
        named |= {"block_id": [block] * rows, "attempt": [0] * rows, "deadline": [FOREVER] * rows}
        data = [named[name] for name in NAMES]
        client = self._connected()
        client.write_compression = None  # as the flusher on loopback; lz4 would slow the baseline
        began, used = time.perf_counter(), time.process_time()
        client.insert(
            table,
            data,
            column_names=NAMES,
            column_type_names=TYPES,
            column_oriented=True,
            settings=SETTINGS,
        )
        return time.perf_counter() - began, time.process_time() - used

    def _sessions_of(self, columns: list[list[Any]]) -> list[int]:
        """Returns a session for each visitor, as many as the flusher made, because a fill is shorter than a visit."""
        sessions = self._sessions
        pairs = zip(columns[INDEX["visitor_id"]], columns[INDEX["ts"]], strict=True)
        return [sessions.setdefault(visitor, ts // 1000 << 32 | visitor & 0xFFFFFFFF) for visitor, ts in pairs]

    def blocks(self) -> list[tuple[str, int]]:
        """Returns the names and rows of the blocks that were stored, in order."""
        return [(str(name), int(rows)) for name, rows in self.rows(BLOCKS_SQL)]

    def booked(self) -> int:
        """Counts the rows of all stored blocks."""
        return sum(rows for _, rows in self.blocks())

    def check_rollups(self, rows: int) -> None:
        """Raises BenchError if raw rows and rollups are not exactly these rows, and do not become so in a moment."""
        sites = [row[0] for row in self.rows("SELECT DISTINCT site FROM forebay.events")]
        over = time.monotonic() + AGREE_SECONDS
        while True:
            found = dict(zip(ROLLUPS, map(int, self.rows(ROLLUPS_SQL, {"sites": sites})[0]), strict=True))
            if found["events"] == rows and rollups_agree(found):
                return
            if time.monotonic() > over:
                raise BenchError(f"{rows:,} rows were to be stored; {found}")
            time.sleep(POLL_S)

    def disk_bytes(self) -> dict[str, int]:
        """Merges the tables, and returns the size of each."""
        self.run("OPTIMIZE TABLE forebay.events FINAL")
        return {str(table): int(size) for table, size in self.rows(DISK_SQL)}
