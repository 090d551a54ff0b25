"""Finds sites and days whose counters in `daily` differ from their rows in `events`."""

from __future__ import annotations

from collections.abc import Iterator

from forebay.clickhouse import ClickHouse

# No projection holds `late`, which is always 0, so ClickHouse has to count the rows themselves, not a rollup of them.
ROLLUPS = """
SELECT site, toString(day) AS day, sum(raw) AS events, sum(rolled) AS daily FROM (
    SELECT site, toDate(ts) AS day, count() AS raw, 0 AS rolled
    FROM forebay.events WHERE late = 0 GROUP BY site, day
    UNION ALL SELECT site, day, 0, sum(events) FROM forebay.daily GROUP BY site, day
) GROUP BY site, day HAVING events != daily
"""


def faults(clickhouse: ClickHouse) -> Iterator[str]:
    """Yields a line for each site and day that differs. Raises ClickHouseError."""
    for row in clickhouse.rows(ROLLUPS):
        yield f"rollups: site {row['site']}, {row['day']}: {row['events']} events, daily says {row['daily']}"
