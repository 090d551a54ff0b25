"""Finds the rows of a refused block that ClickHouse will never take, by offering them to a probe.

The probe is a table with the columns of `events` that keeps nothing, so searching stores nothing (docs/delivery.md,
rule 6). Halves of the block are offered until each bad row stands alone, which takes about 2 log2(rows) INSERTs for
each. The verdict is recorded once beside the checkpoint, under the lease, so that every later delivery of the block
leaves out the same rows. The rest is stored under the block's own token, and the script that moves `stored` also moves
the dead rows to the dead-letter stream.

Not promised: a verdict on a block of which too many rows are refused. Then the table or a version is wrong rather than
the rows, and the shard stops instead of emptying a site.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from flusher.blocks.block import Block, EntryLike, Part
from flusher.delivery.table import Refused
from schemas.deadletter import DeadLetter
from schemas.entry import whole
from schemas.row import INDEX

DEAD_ROWS_FREE = 10  # rows of any block that may die without a person's word
DEAD_SHARE_MAX = 0.01  # share of a larger block's rows that may
TEXT_CHARS_MAX = 300


class Dead(NamedTuple):
    """Names a row that can't be stored: its place in the block, and the error code and text that ClickHouse gave."""

    place: int
    code: int
    text: str

    @property
    def reason(self) -> str:
        """Returns the reason as a metric label: one of a small number of texts."""
        return f"clickhouse_{self.code}" if self.code else "unencodable"


class Probe(Protocol):
    """Takes the rows that `events` would take, and keeps nothing. Raises table.Refused for those it would refuse."""

    async def probe(self, part: Part) -> None: ...


class TooMany(Exception):
    """Says that so many rows of the block are refused that a person must look."""


async def judge(table: Probe, block: Block, *, is_settled: bool = False) -> list[Dead]:
    """Returns the rows that must be left out so that ClickHouse takes the rest.

    `is_settled`: a person said to go on, so any number of rows may die. Raises TooMany, table.Unclear or table.Late.
    """
    dead: list[Dead] = []
    most = block.rows if is_settled else most_dead(block.rows)
    for part in block.parts:
        await _bisect(table, part, dead, most)
    return dead


def most_dead(rows: int) -> int:
    """Returns how many rows may die in a block of this many rows, without a person's word."""
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
    """Returns the dead rows of a block as dead letters: as ingest made them, so that they can be appended again.

    A row has the columns of its entry, also those that only a newer release knows.
    """
    by_place = {one.place: one for one in dead}
    found: list[DeadLetter] = []
    start = 0
    for entry in entries:
        inside = [place for place in range(start, start + entry.rows) if place in by_place]
        columns = whole(entry.data) if inside else []
        for place in inside:
            one = by_place[place]
            row = [column[place - start] if len(column) == entry.rows else column[0] for column in columns]
            received_at: int = row[INDEX["received_at"]]
            found.append(DeadLetter(msgspec.msgpack.encode(row), one.reason, one.text, received_at, block))
        start += entry.rows
    return found


def pack(dead: Sequence[Dead]) -> bytes:
    """Encodes a verdict as it is recorded in the checkpoint."""
    return msgspec.msgpack.encode(dead)


def unpack(verdict: bytes) -> list[Dead]:
    """Decodes a recorded verdict."""
    return [Dead(*one) for one in msgspec.msgpack.decode(verdict)]
