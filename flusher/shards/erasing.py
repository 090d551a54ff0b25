"""Knows the erasures that a shard has acknowledged, and which rows they mean (docs/delivery.md, rule 13).

An erasure is acknowledged between two blocks, when no recorded block is left to deliver. Then the whole replay tail is
trimmed, so that nothing that was stored before comes again, and every block that is cut afterwards leaves out the rows
that the erasure means. So the rows that a block lacks depend only on its entries and on the erasures that were
acknowledged before its edge was recorded (I5).

Not promised: that an erasure is known before this shard has acknowledged it. `forebay erase` waits for the
acknowledgement of every shard before it deletes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from flusher.blocks.block import EntryLike
from flusher.redis.lease import Lease
from flusher.redis.records import Checkpoint
from schemas.entry import decode
from schemas.erasure import Erasure
from schemas.names import EntryId
from schemas.redis.records import Edge

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
REWRITE_SECONDS = 60.0  # after entries were trimmed, so that the append-only file is not rewritten for each of many


class Stream(Protocol):
    """Reads the erasures and records their acknowledgement. Raises lease.Unclear, lease.LeaseLost or reading.Moved."""

    async def erasures_version(self) -> int: ...
    async def erasures(self) -> Mapping[str, Erasure]: ...
    async def acknowledge(self, lease: Lease, stored: EntryId, erasure: str, upto: EntryId) -> None: ...
    async def rewrite(self) -> bool: ...
    async def trim(self, lease: Lease, edge_id: EntryId) -> None: ...


class Erasing:
    """Knows which rows one shard leaves out because of erasures, under one lease."""

    def __init__(self, lease: Lease, *, stream: Stream, before_trim: Callable[[], Awaitable[None]]) -> None:
        self._lease = lease
        self._stream = stream
        self._before_trim = before_trim
        self._standing: dict[str, Erasure] = {}
        self._version = -1
        self._due = 0.0
        self._rewrite_due: float | None = None

    async def recover(self, checkpoint: Checkpoint) -> None:
        """Begins anew with the erasures that the checkpoint says are acknowledged. Raises lease.Unclear."""
        self._version = -1
        self._standing = {}
        if checkpoint.erasures:
            erasures = await self._stream.erasures()
            self._standing = {name: erasures[name] for name in checkpoint.erasures if name in erasures}

    async def look(self, stored: EntryId, edges: Sequence[Edge]) -> bool:
        """Acknowledges new erasures, if LOOK_SECONDS have passed. Tells whether there were any.

        The whole replay tail is trimmed before, so no recorded block may be left to deliver. Raises as Stream does.
        """
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return False
        self._due = now + LOOK_SECONDS
        if self._rewrite_due is not None and now >= self._rewrite_due:
            self._rewrite_due = None if await self._stream.rewrite() else now + REWRITE_SECONDS
        version = await self._stream.erasures_version()
        if version == self._version:
            return False
        erasures = await self._stream.erasures()
        new = [erasure for name, erasure in erasures.items() if name not in self._standing]
        if new and edges:
            await self._before_trim()
            await self._stream.trim(self._lease, stored)
        for erasure in new:
            end = erasure.end_of(self._lease.shard, stored)
            upto = next((edge.id for edge in edges if edge.id >= end), stored)
            await self._stream.acknowledge(self._lease, stored, erasure.id, upto)
            log.info("shard %d: erasure %s is acknowledged at %s", self._lease.shard, erasure.id, stored)
            self._standing[erasure.id] = erasure
        self._version = version
        return bool(new)

    def trimmed(self) -> None:
        """Notes that entries with erased rows were trimmed, so that Redis's append-only file loses them a while later."""
        self._rewrite_due = asyncio.get_running_loop().time() + REWRITE_SECONDS

    def may_mean(self, received: Sequence[int], first_id: EntryId) -> bool:
        """Tells whether an erasure may mean rows received at these moments (unix ms), from this entry on."""
        earliest = min(received) if self._standing else 0
        return any(
            erasure.at_ms >= earliest or first_id <= erasure.end_of(self._lease.shard)
            for erasure in self._standing.values()
        )

    def places(self, entries: Sequence[EntryLike]) -> list[int]:
        """Returns the places of the rows that erasures mean. It decodes the entries, so it should run in a thread."""
        found: set[int] = set()
        start = 0
        for entry in entries:
            columns = decode(entry.data)
            meant = (one.accepted(columns, self._lease.shard, entry.id) for one in self._standing.values())
            found.update(start + at for at in chain.from_iterable(meant))
            start += entry.rows
        return sorted(found)
