"""Finds out where a shard stands when a flusher takes it, also after Redis lost its tail (docs/delivery.md, rule 8).

A failover to a replica that lagged, or a restored backup, leaves ClickHouse ahead of Redis. The checkpoint then follows
ClickHouse, and the stream goes on behind it. Ids follow Redis's clock, and the clock of the Redis that took over may be
behind, so entries that came after the loss can have ids among those of the lost ones. They are told from entries that
survived by their content: ClickHouse holds rows of the survivors and none of the newcomers. The newcomers are moved
behind the edge, in their order.

ClickHouse is asked only when no INSERT of this stream runs. A slow INSERT of a block that Redis lost may still be on
its way and within its deadline, and the rows that it stores must not be cut again.

Not promised: the entries that Redis lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from flusher.delivery import verify
from flusher.redis.lease import Lease
from flusher.redis.records import Checkpoint
from schemas.entry import Damaged, UnknownVersion, decode
from schemas.names import EntryId
from schemas.redis.records import Entry
from schemas.row import INDEX

log = logging.getLogger(__name__)
RUNNING_SECONDS = 0.1
MOMENTS_MAX = 4_000  # in one question: 14 B each, and a server takes 128 KiB for a parameter
Trace = tuple[int, int, str, str, str, int]  # the columns by which rows are told apart, as verify.TRACES returns them


class Stream(Protocol):
    """Reads the shard's stream and moves its checkpoint. Raises lease.Unclear, reading.Moved or lease.LeaseLost."""

    async def checkpoint(self, shard: int) -> Checkpoint: ...
    async def last(self, shard: int) -> EntryId: ...
    async def read(self, shard: int, after: EntryId, upto: EntryId | None = None) -> list[Entry]: ...
    async def follow(self, lease: Lease, from_id: EntryId, to_id: EntryId, held: EntryId) -> None: ...


async def recovered(stream: Stream, table: verify.Asks, lease: Lease) -> Checkpoint:
    """Returns the checkpoint, after it has followed ClickHouse if Redis had lost its tail.

    Raises lease.Unclear, table.Unclear, reading.Moved or lease.LeaseLost.
    """
    while await verify.is_shard_running(table, lease.incarnation, lease.shard):  # noqa: ASYNC110  ClickHouse sets no event of ours
        await asyncio.sleep(RUNNING_SECONDS)
    checkpoint = await stream.checkpoint(lease.shard)
    known = checkpoint.edges[-1].id if checkpoint.edges else checkpoint.stored
    latest = await verify.latest_edge(table, lease.incarnation, lease.shard, known)
    last = await stream.last(lease.shard)
    if latest is not None and latest > known:
        log.error("shard %d: ClickHouse holds %s, Redis only knows %s: following", lease.shard, latest, known)
        held = await _last_held(stream, table, lease, known, latest)
    elif last < checkpoint.stored:
        # Somebody deleted the stream, or a version followed without looking at it: ids would be given twice.
        log.error("shard %d: %s is stored, the stream ends at %s: it goes on behind", lease.shard, known, last)
        held = latest = known
    else:
        return checkpoint
    await stream.follow(lease, checkpoint.stored, latest, held)
    return await stream.checkpoint(lease.shard)


async def _last_held(stream: Stream, table: verify.Asks, lease: Lease, known: EntryId, latest: EntryId) -> EntryId:
    """Returns the last entry in (known, latest] of which ClickHouse holds a row, or `known` if there is none."""
    held = after = known
    while entries := await stream.read(lease.shard, after, latest):
        traces = {entry.id: set(_traces(entry)) for entry in entries}
        there = await _there(table, lease, known, [trace for some in traces.values() for trace in some])
        for entry in entries:
            if not there.isdisjoint(traces[entry.id]):
                held = entry.id
        after = entries[-1].id
    return held


def _traces(entry: Entry) -> Iterator[Trace]:
    """Yields the traces of an entry's rows, each under both visitors by which it may be stored.

    Yields none when the entry can't be read.
    """
    try:
        columns = decode(entry.data)
    except (Damaged, UnknownVersion):
        return
    names = ("received_at", "ts", "site", "name", "title")
    for visitors in (columns[INDEX["visitor_id"]], columns[INDEX["visitor_before"]]):
        yield from zip(*(columns[INDEX[name]] for name in names), visitors, strict=True)


async def _there(table: verify.Asks, lease: Lease, known: EntryId, traces: Sequence[Trace]) -> set[Trace]:
    """Returns the traces of rows of blocks behind `known` in ClickHouse, received at the same moments as these."""
    moments = sorted({trace[0] for trace in traces})
    there: set[Trace] = set()
    for at in range(0, len(moments), MOMENTS_MAX):
        there |= await verify.traces(table, lease.incarnation, lease.shard, known, moments[at : at + MOMENTS_MAX])
    return there
