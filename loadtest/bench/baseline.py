"""The baseline of P3: `client.insert(column_oriented=True)` of lists, and what ClickHouse holds afterwards.

One thread, one INSERT a block, the same rows in the same blocks into the same tables as the flusher filled; the
lists are made before the clock runs. The settings make it one durable block, as the flusher's do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from loadtest.bench.ask import POLL_S, BenchError
from loadtest.watch.verify import ROLLUPS, ROLLUPS_SQL, ClickHouse, rollups_agree
from schemas.row import COLUMNS, DELIVERY, INDEX, INSERT_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS = "forebay.events"
PROBE = "forebay.probe"
WARM_ROWS = 100
AGREE_SECONDS = 5  # an older revision has a block in `events` a moment before its views have it
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
# What the table and the rollups in it take once everything is merged; parts that a merge replaced are gone.
DISK_SQL = """
SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'forebay' GROUP BY table ORDER BY table
"""


class Tables(ClickHouse):
    """The tables of one ClickHouse."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._sessions: dict[int, int] = {}

    def version(self) -> str:
        return str(self.rows("SELECT version()")[0][0])

    def warm(self, columns: list[list[Any]]) -> None:
        """A few rows to a table that keeps nothing: the client loads a third of a second of its own at first."""
        self.insert([column[:WARM_ROWS] for column in columns], "", PROBE)

    def insert(self, columns: list[list[Any]], block: str, table: str = EVENTS) -> tuple[float, float]:
        """Inserts a block's rows; seconds that it took, and CPU seconds of this process."""
        rows = len(columns[0])
        named: dict[str, Sequence[Any]] = dict(zip(COLUMNS, columns, strict=True))
        named["session_id"] = self._sessions_of(columns)
        named |= {"block_id": [block] * rows, "attempt": [0] * rows, "deadline": [FOREVER] * rows}
        data = [named[name] for name in NAMES]
        client = self._connected()
        client.write_compression = None  # as the flusher on loopback; lz4 would slow what we are measured against
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
        """One a visitor, for a fill is shorter than a visit: as many as the flusher made."""
        sessions = self._sessions
        pairs = zip(columns[INDEX["visitor_id"]], columns[INDEX["ts"]], strict=True)
        return [sessions.setdefault(visitor, ts // 1000 << 32 | visitor & 0xFFFFFFFF) for visitor, ts in pairs]

    def blocks(self) -> list[tuple[str, int]]:
        """Name and rows of every block that was stored, in order."""
        return [(str(name), int(rows)) for name, rows in self.rows(BLOCKS_SQL)]

    def booked(self) -> int:
        """Rows of all of them."""
        return sum(rows for _, rows in self.blocks())

    def check_rollups(self, rows: int) -> None:
        """Raises BenchError when raw and rollups are not just these rows, and do not become so in a moment."""
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
        """By table, merged."""
        self.run("OPTIMIZE TABLE forebay.events FINAL")
        return {str(table): int(size) for table, size in self.rows(DISK_SQL)}
