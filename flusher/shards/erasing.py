"""The erasures that a shard knows: which rows of its entries are left out because somebody had them erased.

An erasure is acknowledged between two blocks, when no recorded block is left to deliver: the replay
tail goes, so nothing that was stored before comes again, and all blocks that are cut afterwards
leave out what it means. So which rows a block lacks depends on its entries and on what was
acknowledged before its edge was recorded, and on nothing else (I5).

Not promised: that an erasure which nobody records here is known. `forebay erase` waits for every
shard's acknowledgement before it deletes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from flusher.blocks.block import EntryLike
from flusher.redis.lease import Lease
from flusher.redis.records import Checkpoint, Edge
from schemas.entry import decode, entry_order
from schemas.erasure import Erasure

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
REWRITE_SECONDS = 60.0  # after entries went: while many go, the append-only file is not rewritten for each


class Stream(Protocol):
    """Where erasures stand, and what they change. Raises lease.Unclear, LeaseLost or stream.Moved."""

    async def erasures_version(self) -> int: ...
    async def erasures(self) -> Mapping[str, Erasure]: ...
    async def acknowledge(self, lease: Lease, stored: str, erasure: str, upto: str) -> None: ...
    async def rewrite(self) -> bool: ...
    async def trim(self, lease: Lease, edge_id: str) -> None: ...


class Erasing:
    """What one shard leaves out, under one lease."""

    def __init__(self, lease: Lease, *, stream: Stream, before_trim: Callable[[], Awaitable[None]]) -> None:
        self._lease = lease
        self._stream = stream
        self._before_trim = before_trim
        self._standing: dict[str, Erasure] = {}
        self._version = -1
        self._due = 0.0
        self._rewrite_due: float | None = None

    async def recover(self, checkpoint: Checkpoint) -> None:
        """Begin anew: what the shard has acknowledged applies again. Raises lease.Unclear."""
        self._version = -1
        self._standing = {}
        if checkpoint.erasures:
            erasures = await self._stream.erasures()
            self._standing = {name: erasures[name] for name in checkpoint.erasures if name in erasures}

    async def look(self, stored: str, edges: Sequence[Edge]) -> bool:
        """Acknowledge what is new, if it is time to look; whether the replay tail went.

        No recorded block may be left to deliver. Raises as Stream does.
        """
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return False
        self._due = now + LOOK_SECONDS
        if self._rewrite_due is not None and now >= self._rewrite_due and await self._stream.rewrite():
            self._rewrite_due = None
        version = await self._stream.erasures_version()
        if version == self._version:
            return False
        erasures = await self._stream.erasures()
        new = [erasure for name, erasure in erasures.items() if name not in self._standing]
        if new and edges:
            await self._before_trim()
            await self._stream.trim(self._lease, stored)
        for erasure in new:
            end = entry_order(erasure.ends.get(self._lease.shard, stored))
            upto = next((edge.id for edge in edges if entry_order(edge.id) >= end), stored)
            await self._stream.acknowledge(self._lease, stored, erasure.id, upto)
            log.info("shard %d: erasure %s is acknowledged at %s", self._lease.shard, erasure.id, stored)
            self._standing[erasure.id] = erasure
        self._version = version
        return bool(new)

    def trimmed(self) -> None:
        """Entries with erased rows went from the stream: they are still in Redis's append-only file."""
        self._rewrite_due = asyncio.get_running_loop().time() + REWRITE_SECONDS

    def may_mean(self, received: Sequence[int], first_id: str) -> bool:
        """Whether rows received at these moments, the first of them in this entry, need a closer look."""
        earliest = min(received) if self._standing else 0
        return any(
            erasure.at_ms >= earliest
            or entry_order(first_id) <= entry_order(erasure.ends.get(self._lease.shard, "0-0"))
            for erasure in self._standing.values()
        )

    def places(self, entries: Sequence[EntryLike]) -> list[int]:
        """Places of rows that are erased. Decodes the entries: for a thread."""
        found: set[int] = set()
        start = 0
        for entry in entries:
            columns = decode(entry.data)
            meant = (one.accepted(columns, self._lease.shard, entry.id) for one in self._standing.values())
            found.update(start + at for at in chain.from_iterable(meant))
            start += entry.rows
        return sorted(found)
