"""A dead letter: a row that ClickHouse will never take, as it lies in a shard's dead-letter stream.

The flusher writes it (stored.lua, in the order of the fields here), and the commands read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.redis.records import number_of


class DeadLetter(NamedTuple):
    """Holds a row that was put aside for good. `first_seen` in unix ms; `row` is msgpack in row.COLUMNS order."""

    row: bytes
    reason: str
    text: str
    first_seen: int
    block: str

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> DeadLetter:
        """Returns the letter of a record's fields, whoever wrote them: what is missing is empty."""
        row, reason, text, first_seen, block = (fields.get(name.encode(), b"") for name in cls._fields)
        return cls(
            row,
            reason.decode("utf-8", "replace") or "unreadable",
            text.decode("utf-8", "replace"),
            number_of(first_seen),
            block.decode("utf-8", "replace"),
        )
