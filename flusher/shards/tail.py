"""Looks whether a ClickHouse that was started again still holds what it had stored, and has the rest delivered again.

A server that lost power may come back without rows that it had acknowledged: its disk lied, a part can't be read, or
its version deletes merged parts before the merge is on disk. So each shard notes beside its checkpoint when the
ClickHouse was started that its replay tail was last compared with. When a ClickHouse with another start answers, the
rows of every stored block in the tail are counted and compared with the row about it in `blocks`, or with its recorded
edge if that row is lost too. `stored` then goes back before the first block that is short or doubled, and the ordinary
flusher delivers from there. It verifies each block first (I6), so blocks that are whole stay as they are. Nothing is
trimmed that was not compared with the ClickHouse that runs (docs/delivery.md, rule 14).

Rows that somebody deleted by hand look like lost ones, and must not come back by themselves. So blocks from before the
last such deletion are named in the log and left as they are. An erasure is not such a deletion, because it trimmed the
tail. Blocks of the tail or of the last day whose entries are gone are named too, as nothing can bring them back.

Not promised: that two starts of a server within two seconds are told apart. And while a block is on its way back,
another shard takes a copy of one of its events for the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from itertools import compress, pairwise
from operator import not_
from typing import NamedTuple, Protocol

from flusher.copies import claims
from flusher.delivery import deadletter, verify
from flusher.delivery.table import Unclear
from flusher.metrics import Metrics
from flusher.redis.lease import Lease
from flusher.redis.reading import Moved
from flusher.redis.records import Checkpoint
from schemas.names import ORIGIN, BlockName, EntryId, blocks_upto, of_stream
from schemas.redis.records import Entry

log = logging.getLogger(__name__)
ACCESS_DENIED = 497
LOOK_SECONDS = 5.0  # a question costs the embedded engine 3 ms
# Answers of one server differ by less than a second, because `uptime()` leaves fractions out. Answers that differ by
# more are of two: taking one server for two costs a comparison, but taking two for one would cost rows.
SAME_MS = 1_000
DAY_MS = 86_400_000
FATES = ("delivered_again", "deleted", "gone")
NAMED = 20  # blocks named in one line of the log
STARTED = "SELECT toUnixTimestamp64Milli(now64(3)) - 1000 * toInt64(uptime())"
HELD = """
SELECT toString(block_id) AS block, count() AS held FROM forebay.events
WHERE block_id > {after:String} AND block_id < {upto:String}
  AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
GROUP BY block
"""
RECORDED = """
SELECT block_id AS block, argMax(rows, stored_at) AS recorded FROM forebay.blocks
WHERE block_id > {after:String} AND block_id < {upto:String}
  AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
GROUP BY block
"""
# Deletions by hand, so neither our own after a repair (flusher/delivery/table.py) nor those of erasures.
DELETED = """
SELECT toInt64(max(toUnixTimestamp(create_time))) FROM system.mutations
WHERE database = 'forebay' AND table = 'events' AND position(command, 'DELETE WHERE') > 0
  AND position(command, 'attempt < ') = 0
  AND NOT arrayExists(erasure -> position(command, erasure) > 0, {erasures:Array(String)})
"""
GONE = """
SELECT block, recorded FROM (
    SELECT block_id AS block, argMax(rows, stored_at) AS recorded FROM forebay.blocks
    WHERE block_id > {after:String} AND block_id < {upto:String}
      AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
    GROUP BY block
)
WHERE recorded > 0 AND block NOT IN (
    SELECT toString(block_id) FROM forebay.events
    WHERE block_id > {after:String} AND block_id < {upto:String}
      AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
)
ORDER BY block
"""


class Stream(Protocol):
    """Reads the shard's stream and moves its checkpoint. Raises lease.Unclear, reading.Moved or lease.LeaseLost."""

    async def checkpoint(self, shard: int) -> Checkpoint: ...
    async def read(self, shard: int, after: EntryId, upto: EntryId | None = None) -> list[Entry]: ...
    async def compared(self, lease: Lease, from_id: EntryId, back_to: EntryId, started: int) -> None: ...
    async def now_ms(self, shard: int) -> int: ...


class Stored(NamedTuple):
    """Holds a stored block of the tail: its name, the rows that it should have, and those of its entries."""

    name: BlockName
    rows: int
    entry_rows: int


class Tail:
    """Compares one shard's replay tail with ClickHouse, under one lease."""

    def __init__(self, lease: Lease, *, stream: Stream, table: verify.Asks, metrics: Metrics) -> None:
        self._lease = lease
        self._stream = stream
        self._table = table
        self._metrics = metrics
        self._compared = 0
        self._due = 0.0
        for fate in FATES:  # from the start on, because an alert sees a number rise but not one appear
            metrics.missing.labels(fate)

    async def made_good(self, checkpoint: Checkpoint) -> Checkpoint:
        """Returns the checkpoint, set back where ClickHouse no longer holds what was stored.

        Raises lease.Unclear, table.Unclear, Moved or LeaseLost.
        """
        started = await self._started()
        if abs(started - checkpoint.compared) > SAME_MS:
            back_to = await self._missing_from(checkpoint)
            await self._stream.compared(self._lease, checkpoint.stored, back_to or checkpoint.stored, started)
            checkpoint = await self._stream.checkpoint(self._lease.shard)
        # The recorded start and not the answer, because answers of two servers can be nearer to each other than to it.
        self._compared = checkpoint.compared
        return checkpoint

    async def look(self) -> None:
        """Does the same as `must_be_compared`, if LOOK_SECONDS have passed since the last look."""
        now = asyncio.get_running_loop().time()
        if now >= self._due:
            self._due = now + LOOK_SECONDS
            await self.must_be_compared()

    async def must_be_compared(self) -> None:
        """Raises Moved when the ClickHouse that runs is not the one that the tail was compared with."""
        started = await self._started()
        if abs(started - self._compared) > SAME_MS:
            raise Moved(f"shard {self._lease.shard}: ClickHouse was started again, so its rows are compared")

    async def _started(self) -> int:
        """Returns when ClickHouse was started, in unix ms of its own clock, or up to a second later."""
        return int((await self._table.ask(STARTED, {}))[0][0])

    async def _missing_from(self, checkpoint: Checkpoint) -> EntryId | None:
        """Returns the edge before the first block that must be delivered again, or None if no block must."""
        blocks = _stored(checkpoint, self._lease)
        if checkpoint.edges:
            await self._name_the_gone(checkpoint.edges[0].id)
        if not blocks:
            return None
        between = self._between(blocks[0].name.after, blocks[-1].name.upto)
        recorded = await self._rows_of(RECORDED, between)
        held = await self._rows_of(HELD, between)
        blocks = [block._replace(rows=recorded.get(block.name, block.rows)) for block in blocks]
        off = [block for block in blocks if held.get(block.name, 0) != block.rows]
        if not off:
            return None
        deleted_ms = await self._deleted_ms(checkpoint)
        lost = [block for block in off if block.name.upto.ms > deleted_ms]
        kept = len(off) - len(lost)
        if kept:
            self._say(
                off[:kept], held, "deleted", "somebody deleted rows meanwhile, so they are left as they are: if these"
                " are missed, `forebay replay` brings them back",
            )  # fmt: skip
        lost, gone = await self._divided(blocks, lost)
        if gone:
            self._say(gone, held, "gone", "Redis no longer has all of their entries: the rows are lost")
        if not lost:
            return None
        self._say(lost, held, "delivered_again", "they are delivered again from the replay tail")
        return lost[0].name.after

    async def _divided(self, blocks: Sequence[Stored], lost: Sequence[Stored]) -> tuple[list[Stored], list[Stored]]:
        """Returns the lost blocks behind the last one that can't be formed again, and the lost blocks up to that one.

        A Redis that failed over may lack entries of a block whose edge it has; delivering from there would stop the
        shard.
        """
        at = blocks.index(lost[0]) if lost else len(blocks)
        bound = ORIGIN
        for block in blocks[at:]:
            if await self._entry_rows(block) != block.entry_rows:
                bound = block.name.upto
        is_behind = [block.name.after >= bound for block in lost]
        return list(compress(lost, is_behind)), list(compress(lost, map(not_, is_behind)))

    async def _entry_rows(self, block: Stored) -> int:
        """Returns how many rows the stream holds of the block."""
        rows, after = 0, block.name.after
        while entries := await self._stream.read(self._lease.shard, after, block.name.upto):
            rows += sum(entry.rows for entry in entries)
            after = entries[-1].id
        return rows

    async def _rows_of(self, sql: str, between: dict[str, str]) -> dict[BlockName, int]:
        found = {}
        for block, rows in await self._table.ask(sql, between):
            with contextlib.suppress(ValueError):  # none of ours: a row that somebody inserted under another name
                found[BlockName.parse(block)] = int(rows)
        return found

    async def _deleted_ms(self, checkpoint: Checkpoint) -> int:
        """Returns when rows were last deleted by hand, in unix ms; the present if ClickHouse does not let us look."""
        try:
            rows = await self._table.ask(DELETED, {"erasures": sorted(checkpoint.erasures)})
        except Unclear as error:
            if error.code != ACCESS_DENIED:
                raise
            log.error("shard %d: it is not known whether rows were deleted by hand: %s", self._lease.shard, error)  # noqa: TRY400  it is expected, and the trace says no more
            return await self._stream.now_ms(self._lease.shard)
        return int(rows[0][0]) * 1000

    async def _name_the_gone(self, floor: EntryId) -> None:
        """Logs the blocks of the last day of which neither rows nor entries are left."""
        day_before = EntryId(max(0, await self._stream.now_ms(self._lease.shard) - DAY_MS), 0)
        if day_before >= floor:
            return
        gone = await self._rows_of(GONE, self._between(day_before, floor))
        if gone:
            nowhere = [Stored(name, rows, rows) for name, rows in gone.items()]
            self._say(
                nowhere, {}, "gone", "Redis no longer has their entries: they are lost, unless somebody deleted them"
            )

    def _between(self, after: EntryId, upto: EntryId) -> dict[str, str]:
        incarnation = self._lease.incarnation
        return {
            "after": blocks_upto(incarnation, after),
            "upto": blocks_upto(incarnation, upto),
            **of_stream(incarnation, self._lease.shard),
        }

    def _say(self, off: Sequence[Stored], held: dict[BlockName, int], fate: str, what: str) -> None:
        self._metrics.missing.labels(fate).inc(len(off))
        rows = sum(block.rows for block in off)
        found = sum(held.get(block.name, 0) for block in off)
        names = ", ".join(str(block.name) for block in off[:NAMED]) + (", ..." if len(off) > NAMED else "")
        level = logging.ERROR if fate == "delivered_again" else logging.CRITICAL
        log.log(
            level, "shard %d: ClickHouse was started again and holds %d of the %d rows of %d blocks; %s: %s",
            self._lease.shard, found, rows, len(off), what, names,
        )  # fmt: skip


def _stored(checkpoint: Checkpoint, lease: Lease) -> list[Stored]:
    """Returns the stored blocks of which both edges are recorded, the oldest first."""
    blocks = []
    for before, edge in pairwise(checkpoint.edges):
        if edge.id > checkpoint.stored:
            break
        places = (checkpoint.duplicates, checkpoint.erased)
        left_out = {place for kind in places if edge.id in kind for place in claims.unpack(kind[edge.id])}
        if edge.id in checkpoint.verdicts:
            left_out |= {one.place for one in deadletter.unpack(checkpoint.verdicts[edge.id])}
        name = BlockName(lease.incarnation, lease.shard, before.id, edge.id)
        blocks.append(Stored(name, edge.rows - len(left_out), edge.rows))
    return blocks
