"""Which rows of a refused block ClickHouse will never take, found against a probe.

The probe is a table with the columns of `events` that keeps nothing, so finding out stores
nothing (delivery.md, rule 6): halves are offered until the bad rows stand alone, about
2 log2(rows) INSERTs for each. The verdict is recorded once beside the checkpoint, fenced, so
that every later delivery of the block leaves out the same rows; the rest is stored under the
block's own token, and the dead rows move to the dead-letter stream with `stored`.

Not promised: a verdict about a block of which too much is refused. That is not bad rows but
a bad table or a bad version, and the shard stops instead of emptying a site.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from flusher.blocks.block import Block, EntryLike, Part
from flusher.delivery.table import Refused
from schemas.deadletter import DeadLetter
from schemas.entry import decode
from schemas.row import COLUMNS, INDEX

DEAD_ROWS_FREE = 10  # so many of any block may die
DEAD_SHARE_MAX = 0.01  # and of a larger one this share
TEXT_CHARS_MAX = 300


class Dead(NamedTuple):
    """One row's sentence: its place in the block, ClickHouse's error code and words."""

    place: int
    code: int
    text: str

    @property
    def reason(self) -> str:
        """A label of bounded cardinality."""
        return f"clickhouse_{self.code}" if self.code else "unencodable"


class Probe(Protocol):
    """Takes what the table takes and keeps nothing: table.Refused when the table would refuse."""

    async def probe(self, part: Part) -> None: ...


class TooMany(Exception):
    """So much of the block is refused that a person must look."""


async def judge(table: Probe, block: Block, *, is_settled: bool = False) -> list[Dead]:
    """The rows that must die for the rest to be taken; as many as there are where a person settled it.

    Raises TooMany, table.Unclear, table.Late.
    """
    dead: list[Dead] = []
    most = block.rows if is_settled else most_dead(block.rows)
    for part in block.parts:
        await _bisect(table, part, dead, most)
    return dead


def most_dead(rows: int) -> int:
    """How many rows of a block of so many may die without a person's word."""
    return max(DEAD_ROWS_FREE, int(rows * DEAD_SHARE_MAX))


async def _bisect(table: Probe, part: Part, dead: list[Dead], most: int) -> None:
    try:
        await table.probe(part)
    except Refused as refused:
        if part.rows == 1:
            dead.append(Dead(part.places[0], refused.code, str(refused)[:TEXT_CHARS_MAX]))
            if len(dead) > most:
                raise TooMany(f"more than {most} rows are refused, the last because {refused}") from refused
            return
        middle = part.rows // 2
        await _bisect(table, part.slice(0, middle), dead, most)
        await _bisect(table, part.slice(middle, part.rows), dead, most)


def letters(entries: Sequence[EntryLike], block: str, dead: Sequence[Dead]) -> list[DeadLetter]:
    """The rows as ingest made them, so that they can be tried again."""
    columns: list[list[Any]] = [[] for _ in COLUMNS]
    for entry in entries:
        for column, more in zip(columns, decode(entry.data), strict=True):
            column.extend(more)
    return [
        DeadLetter(
            msgspec.msgpack.encode([column[one.place] for column in columns]),
            one.reason,
            one.text,
            columns[INDEX["received_at"]][one.place],
            block,
        )
        for one in dead
    ]


def pack(dead: Sequence[Dead]) -> bytes:
    """A verdict as it is recorded."""
    return msgspec.msgpack.encode(dead)


def unpack(verdict: bytes) -> list[Dead]:
    """A recorded verdict."""
    return [Dead(*one) for one in msgspec.msgpack.decode(verdict)]
