"""Looks for stored blocks that hold other rows than were recorded for them."""

from __future__ import annotations

from collections.abc import Iterator

from forebay.clickhouse import ClickHouse

BLOCKS = """
SELECT b.block_id AS block, any(b.rows) AS recorded, countIf(e.block_id != '') AS held
FROM (SELECT block_id, rows FROM forebay.blocks FINAL WHERE stored_at > now() - INTERVAL 1 DAY) AS b
LEFT JOIN (SELECT toString(block_id) AS block_id FROM forebay.events WHERE received_at > now() - INTERVAL 32 DAY) AS e
  ON b.block_id = e.block_id
GROUP BY block HAVING recorded != held FORMAT JSONEachRow
"""


def faults(clickhouse: ClickHouse) -> Iterator[str]:
    for row in clickhouse.rows(BLOCKS):
        yield f"blocks: {row['block']} was recorded with {row['recorded']} rows and holds {row['held']}"
