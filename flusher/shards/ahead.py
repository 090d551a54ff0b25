"""Reads and prepares the entries of one shard ahead of the block that they will be cut into.

An entry that can't be stored (judging.py) is set aside alone, with an alarm, and its neighbours go on. An entry of
another version stops the shard once everything before it is stored.

Not promised: anything after an unclear answer. Then all that was read ahead is thrown away and read again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from flusher.blocks.block import BlockLimits, Cutter, Prepared, ShapeChanged, prepare
from flusher.metrics import Metrics
from flusher.redis.lease import Foreign, Lease, Unclear
from flusher.redis.reading import READ_ENTRIES_FIRST, Moved
from flusher.shards.judging import Unfit, unfit
from runtime.work import in_thread
from schemas.aside import Aside
from schemas.entry import Damaged, UnknownVersion, is_of_another_version, weight_of
from schemas.names import EntryId
from schemas.redis.records import Entry

log = logging.getLogger(__name__)


class Stream(Protocol):
    """Reads the shard's stream, and sets entries aside. Raises lease.Unclear, Foreign or LeaseLost, or reading.Moved."""

    async def read(self, shard: int, after: EntryId, upto: EntryId | None = None) -> list[Entry]: ...
    async def set_aside(self, lease: Lease, from_id: EntryId, entry_id: EntryId, aside: Aside) -> None: ...


class Ahead:
    """Holds the entries that wait behind the last block of one shard."""

    def __init__(self, lease: Lease, *, stream: Stream, metrics: Metrics, limits: BlockLimits) -> None:
        self._lease = lease
        self._stream = stream
        self._metrics = metrics
        self._limits = limits
        self._cutter = Cutter(limits)
        self._entries: list[Entry] = []
        self._prepared: Prepared | None = None  # made of the first of these entries, before their turn

    def clear(self) -> None:
        """Forgets what was read and prepared."""
        self._entries = []
        self._prepared = None

    def oldest(self) -> EntryId | None:
        """Returns the id of the oldest entry that waits; None when none does."""
        return self._entries[0].id if self._entries else None

    async def read(self, stored: EntryId) -> None:
        """Reads on to the end of the stream, or until there is enough for a block.

        `stored` is where the next block begins: what is stored, or what will be once the present block is.
        """
        rows = sum(entry.rows for entry in self._entries)
        size = sum(weight_of(entry.data) for entry in self._entries)
        while rows < self._limits.rows_max and size < self._limits.bytes_max:
            after = self._entries[-1].id if self._entries else stored
            more = await self._stream.read(self._lease.shard, after)
            if more and not more[-1].id.is_nameable:
                raise Foreign(f"entry {more[-1].id} is dated beyond what a block can be named by")
            self._entries += more
            if len(more) < READ_ENTRIES_FIRST or any(entry.fault for entry in more):
                break  # that was the end; or one can't be stored, and has no number of rows to go by
            rows += sum(entry.rows for entry in more)
            size += sum(weight_of(entry.data) for entry in more)

    async def prepare_next(self, after: EntryId) -> None:
        """Prepares the next block, if there is a full one, while the block that ends at `after` is being delivered."""
        try:
            await self.read(after)
            if count := self._cutter.full(self._entries):
                self._prepared = await in_thread(prepare, self._entries[:count])
        except (Unclear, Moved, UnknownVersion, Damaged, ShapeChanged):
            return  # the entries will be read, prepared and judged again in their turn

    def due(self, now_ms: int, *, drain: bool) -> int:
        """Returns how many of the waiting entries to cut into a block now; 0: wait. `drain` makes all of them due."""
        return self._cutter.ready(self._entries, now_ms, drain=drain)

    async def take(self, stored: EntryId, count: int) -> Prepared | None:
        """Takes the next block's entries, prepared: the first `count`, or those before the first of another version.

        Returns None when some of them can't be stored: these are set aside, and what is due must be asked again.
        Raises UnknownVersion when the very first entry is of another version.
        """
        entries = self._entries[:count]
        prepared, self._prepared = self._prepared, None
        if prepared is None or len(prepared.entries) != count:
            prepared = None
            with contextlib.suppress(Damaged, ShapeChanged, UnknownVersion):
                prepared = await in_thread(prepare, entries)
        if prepared is None or not prepared.is_encodable:
            if strange := await in_thread(unfit, entries):
                await self._set_aside(stored, entries, strange)
                return None
            known = _known(entries)
            if prepared is None or len(known) != count:
                prepared = await in_thread(prepare, known)
        self._entries = self._entries[len(prepared.entries) :]
        return prepared

    async def _set_aside(self, stored: EntryId, entries: Sequence[Entry], strange: Sequence[Unfit]) -> None:
        by_id = {entry.id: entry for entry in entries}
        for one in strange:
            entry = by_id[one.id]
            aside = Aside(
                one.reason, one.text, int(time.time() * 1000), entry.rows, entry.producer, entry.commit, one.totals
            )
            await self._stream.set_aside(self._lease, stored, one.id, aside)
            log.critical("shard %d: entry %s is set aside: %s: %s", self._lease.shard, one.id, one.reason, one.text)
            self._metrics.set_aside.labels(one.reason).inc()
            self._metrics.dead.labels(one.reason).inc(sum(one.totals.values()))
        gone = {one.id for one in strange}
        self._entries = [entry for entry in self._entries if entry.id not in gone]

    def wait_ms(self, now_ms: int) -> int | None:
        """Returns the milliseconds until the oldest entry is old enough to be cut; None when no entry waits."""
        return self._cutter.wait_ms(self._entries, now_ms) if self._entries else None


def _known(entries: Sequence[Entry]) -> list[Entry]:
    """Returns the entries before the first one of another version."""
    known = []
    for entry in entries:
        if is_of_another_version(entry.data):
            break
        known.append(entry)
    return known
