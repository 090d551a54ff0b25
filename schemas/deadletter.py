"""A dead letter: a row that ClickHouse will never take, as it lies in a shard's dead-letter stream."""

from __future__ import annotations

from typing import NamedTuple


class DeadLetter(NamedTuple):
    """A row put aside for good. `first_seen` in unix ms; `row` is msgpack in row.COLUMNS order."""

    row: bytes
    reason: str
    text: str
    first_seen: int
    block: str
