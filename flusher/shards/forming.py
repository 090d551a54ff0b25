"""Forms the blocks of one shard: decides which rows are left out of a block, and records them.

Copies (copies/claims.py) and erased rows (erasing.py) are not in a block and take no part in its sessions. Their places
are recorded under the block's edge before its first INSERT, so that every delivery leaves out the same rows (I5).

Not promised: anything after an unclear answer. `recover` begins anew from the checkpoint.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from flusher.blocks.block import Block, Prepared, form
from flusher.blocks.sessions import Sessions
from flusher.copies import claims
from flusher.delivery import verify
from flusher.redis.lease import Lease
from flusher.redis.records import Checkpoint
from flusher.shards.erasing import Erasing
from runtime.work import in_thread
from schemas.ledger import Key
from schemas.names import BlockName, EntryId
from schemas.redis.records import Edge
from schemas.row import MINUTE_MS

log = logging.getLogger(__name__)


class Stream(Protocol):
    """Records places of rows under a block's edge, and has replicas know of them.

    Raises lease.Unclear, lease.LeaseLost or reading.Moved.
    """

    async def secure(self, lease: Lease, from_id: EntryId) -> None: ...
    async def set_duplicates(self, lease: Lease, from_id: EntryId, to_id: EntryId, places: bytes) -> None: ...
    async def set_erased(self, lease: Lease, from_id: EntryId, to_id: EntryId, places: bytes) -> None: ...


class Claims(Protocol):
    """Finds copies across all shards: copies.claims.Claims. Raises lease.Unclear or table.Unclear."""

    async def copies(
        self, block: BlockName, sites: Sequence[str], ids: Sequence[str], received_at: Sequence[int], *, is_first: bool
    ) -> list[int]: ...


class Formed(NamedTuple):
    """Holds a block, and the rows that are left out of it, counted by minute and site: its copies and its erased rows.

    `has_erased`: the block's entries hold rows that somebody erased, if only as copies.
    """

    block: Block
    duplicates: Counter[Key]
    erased: Counter[Key]
    has_erased: bool


class Forming:
    """Forms the blocks of one shard under one lease."""

    def __init__(self, lease: Lease, *, stream: Stream, claims: Claims, erasing: Erasing, table: verify.Asks) -> None:
        self._lease = lease
        self._stream = stream
        self._claims = claims
        self._erasing = erasing
        self._table = table
        self._sessions = Sessions()
        self._duplicates: dict[EntryId, bytes] = {}
        self._erased: dict[EntryId, bytes] = {}
        self._has_said_dropped = False
        self._is_secured = False  # whether all replicas have what was recorded of the block that is formed

    async def recover(self, checkpoint: Checkpoint) -> None:
        """Begins anew behind `stored`: takes the recorded places from the checkpoint, and sessions from ClickHouse."""
        self._duplicates = dict(checkpoint.duplicates)
        self._erased = dict(checkpoint.erased)
        restored = await verify.sessions_before(
            self._table, self._lease.incarnation, self._lease.shard, checkpoint.stored
        )
        self._sessions = await in_thread(Sessions, restored)

    async def form(self, prepared: Prepared, from_id: EntryId, edge: Edge, *, is_first: bool) -> Formed:
        """Returns the block that ends at a recorded edge, formed of its entries, and uses their preparation up.

        All replicas have what the block rests on before it gets its turn, because other shards decide by its entries
        then, and again before it is returned, because its INSERT is next (rule 17). `is_first`: no INSERT of the block was
        sent yet, by anybody. Raises as Stream and Claims do.
        """
        await self._stream.secure(self._lease, from_id)
        self._is_secured = True
        copies = await self._copies(prepared, from_id, edge, is_first=is_first)
        meant = await self._meant(prepared, from_id, edge)
        erased = sorted(set(meant).difference(copies))  # an erased copy stays a copy, as an event has one fate (I7)
        if not self._is_secured:
            await self._stream.secure(self._lease, from_id)
        block = await in_thread(
            form,
            prepared,
            incarnation=self._lease.incarnation,
            shard=self._lease.shard,
            from_id=from_id,
            sessions=self._sessions,
            left_out=frozenset((*copies, *erased)),
        )
        if block.dropped and not self._has_said_dropped:
            self._has_said_dropped = True
            log.error(
                "shard %d: entries have columns that this flusher does not know, as ingest is newer: their values are not"
                " stored, here and in every block until this flusher is upgraded",
                self._lease.shard,
            )
        duplicates = await in_thread(_counted, prepared, copies)
        return Formed(block, duplicates, await in_thread(_counted, prepared, erased), bool(meant))

    def left_out_of(self, edge: Edge) -> set[int]:
        """Returns the places of a block's rows that are recorded as copies or as erased."""
        recorded = (places.get(edge.id) for places in (self._duplicates, self._erased))
        return {place for places in recorded if places is not None for place in claims.unpack(places)}

    def stored(self, edge: Edge) -> None:
        """Forgets the places that were recorded for a block, because it is stored."""
        self._duplicates.pop(edge.id, None)
        self._erased.pop(edge.id, None)

    async def _copies(self, prepared: Prepared, from_id: EntryId, edge: Edge, *, is_first: bool) -> list[int]:
        """Returns the places of copies: as they are recorded, or else by a search that is then recorded."""
        if edge.id in self._duplicates:
            return claims.unpack(self._duplicates[edge.id])
        name = BlockName(self._lease.incarnation, self._lease.shard, from_id, edge.id)
        copies = await self._claims.copies(
            name, prepared.sites, prepared.event_ids, prepared.received_at, is_first=is_first
        )
        if any(prepared.event_ids):
            self._is_secured = False
            self._duplicates[edge.id] = claims.pack(copies)
            await self._stream.set_duplicates(self._lease, from_id, edge.id, self._duplicates[edge.id])
        return copies

    async def _meant(self, prepared: Prepared, from_id: EntryId, edge: Edge) -> list[int]:
        """Returns the places of rows that somebody erased, copies among them: as recorded, or else searched for."""
        if edge.id in self._erased:
            return claims.unpack(self._erased[edge.id])
        if not self._erasing.may_mean(prepared.received_at, prepared.entries[0].id):
            return []
        meant = await in_thread(self._erasing.places, prepared.entries)
        if meant:
            self._is_secured = False
            self._erased[edge.id] = claims.pack(meant)
            await self._stream.set_erased(self._lease, from_id, edge.id, self._erased[edge.id])
        return meant


def _counted(prepared: Prepared, places: Sequence[int]) -> Counter[Key]:
    return Counter((prepared.received_at[at] // MINUTE_MS, prepared.sites[at]) for at in places)
