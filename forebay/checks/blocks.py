"""Finds stored blocks that hold other rows than were recorded for them, less what was erased of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from forebay.clickhouse import ClickHouse

# The rows of an erasure that is not done may still be there or be gone already (`going`): both are right.
BLOCKS = """
SELECT b.block_id AS block, any(b.rows) AS recorded, countIf(e.block_id != '') AS held, any(x.gone) AS erased,
  any(x.leaving) AS going
FROM (SELECT block_id, rows FROM forebay.blocks FINAL WHERE stored_at > now() - INTERVAL 1 DAY) AS b
LEFT JOIN (SELECT toString(block_id) AS block_id FROM forebay.events WHERE received_at > now() - INTERVAL 32 DAY) AS e
  ON b.block_id = e.block_id
LEFT JOIN (
  SELECT block_id, sumIf(rows, state = 'done') AS gone, sumIf(rows, state != 'done') AS leaving
  FROM forebay.erased_rows AS r
  INNER JOIN (
    SELECT id, argMax(plan, written_at) AS chosen, argMax(state, written_at) AS state FROM forebay.erasures GROUP BY id
  ) AS w ON r.erasure = w.id AND r.plan = w.chosen
  GROUP BY block_id
) AS x ON b.block_id = x.block_id
GROUP BY block HAVING held + erased > recorded OR held + erased + going < recorded
"""


class Differing(NamedTuple):
    """Describes a block that holds other rows than it should."""

    block: str
    recorded: int
    held: int
    erased: int

    @property
    def missing(self) -> int:
        """Returns how many rows are neither there nor erased; below zero if there are too many."""
        return self.recorded - self.held - self.erased


def differing(clickhouse: ClickHouse) -> list[Differing]:
    """Returns the blocks of the last day that hold other rows than they should. Raises ClickHouseError."""
    return [
        Differing(str(row["block"]), int(row["recorded"]), int(row["held"]), int(row["erased"]))
        for row in clickhouse.rows(BLOCKS)
    ]


def faults(clickhouse: ClickHouse) -> Iterator[str]:
    """Yields a line for each block that holds other rows than it should. Raises ClickHouseError."""
    for block in differing(clickhouse):
        erased = f", of which {block.erased} were erased," if block.erased else ""
        yield f"blocks: {block.block} was recorded with {block.recorded} rows{erased} and holds {block.held}"
