"""A row about every stored block, in `forebay.blocks`."""

from __future__ import annotations

import time
from typing import Any

from flusher.blocks.block import Block
from flusher.delivery.table import Table

BLOCKS = "forebay.blocks"
NAMES = ("block_id", "incarnation", "shard", "to_id", "rows", "bytes", "attempts", "took_ms", "stored_at")


class BlockBooks:
    """Writes down what was stored. ReplacingMergeTree: writing twice is writing once."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def record(self, block: Block, *, attempts: int, took_ms: int) -> None:
        """One row. Raises table.Unclear."""
        row: list[Any] = [
            block.id,
            block.id.partition(":")[0],
            block.shard,
            block.to_id,
            block.rows,
            block.bytes,
            attempts,
            took_ms,
            int(time.time() * 1000),
        ]
        await self._table.insert_rows(BLOCKS, NAMES, [row])
