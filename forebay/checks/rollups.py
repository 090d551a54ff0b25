"""Finds sites and days whose counters in the projections `daily` and `quarter_hours` differ from their rows in `events`."""

from __future__ import annotations

from collections.abc import Iterator

from forebay.clickhouse import ClickHouse

# No projection holds `late`, which is always 0, so ClickHouse has to count the rows themselves, not a rollup of them; and only
# `quarter_hours` has quarters.
ROLLUPS = """
SELECT site, toString(day) AS day, sum(raw) AS events, sum(rolled) AS daily, sum(of_quarters) AS quarter_hours FROM (
    SELECT site, toDate(ts) AS day, count() AS raw, 0 AS rolled, 0 AS of_quarters
    FROM forebay.events WHERE late = 0 GROUP BY site, day
    UNION ALL SELECT site, day, 0, sum(events), 0 FROM forebay.daily GROUP BY site, day
    UNION ALL SELECT site, toDate(ts), 0, 0, count() FROM forebay.events
    GROUP BY site, toDate(ts), toStartOfFifteenMinutes(ts)
) GROUP BY site, day HAVING events != daily OR events != quarter_hours
"""


def faults(clickhouse: ClickHouse) -> Iterator[str]:
    """Yields a line for each site and day that differs. Raises ClickHouseError."""
    for row in clickhouse.rows(ROLLUPS):
        says = ", ".join(
            f"{name} says {row[name]}" for name in ("daily", "quarter_hours") if row[name] != row["events"]
        )
        yield f"rollups: site {row['site']}, {row['day']}: {row['events']} events, {says}"
