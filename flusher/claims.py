"""One event per client id: which rows of a block came before (delivery.md, rule 9).

A client that got no answer sends an event again with the id it gave it, perhaps to another
shard, perhaps while the first copy is still on its way. Of all copies the first is stored:

    claim     the block becomes its shard's current one and gets its turn, in one script
    filter    every id that any shard stored in the window is in it; most rows end here
    look      is the suspect's copy in a block with an earlier turn that is on its way (read from
              its stream), or in ClickHouse under another block's name?

A shard claims a block only when its last one is stored. So when a block gets its turn, every
block with an earlier one is either in ClickHouse or the current block of its shard, which the
claim's answer names; those with later turns will see this one. Streams are asked before
ClickHouse: what leaves a stream is stored. An id whose first copy died is a copy all the same.

The filter is one for all shards of a flusher, and follows what other flushers store: up to
which edge it knows a shard is remembered, the claim's answer says where each stands, and what
lies between is read from its stream, or from ClickHouse. A new process reads the window.

Not promised: anything about an id that came first longer ago than the window, or that waited
so long in a spool; copies while `bytes_max` makes the filter's reach shorter; the order of
turns that a Redis lost with its tail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from flusher.block import EntryLike
from flusher.ids import IdFilter
from flusher.metrics import Metrics
from flusher.records import Claim
from flusher.verify import Asks
from schemas.entry import ORIGIN, block_shard, blocks_upto, decode, edges_of, entry_order
from schemas.row import INDEX, MINUTE_MS

log = logging.getLogger(__name__)
SITE, EVENT_ID = INDEX["site"], INDEX["event_id"]
RECENT_MS = 10 * MINUTE_MS  # a retry mostly comes within seconds; what lies further back is much more to read
SLICE_ROWS = 200_000  # of one answer while the filter is filled: 15 MB
ASKED_MAX = 400  # ids in one question: at most 256 B each, and a server takes 128 KiB for a parameter
Name = tuple[str, str]  # of an event: its site, and its client's id for it

# A row in `blocks` is written when all of the block is in `events`.
STORED_BLOCKS = """
SELECT max(block_id) FROM forebay.blocks WHERE stored_at >= fromUnixTimestamp64Milli({since:Int64})
GROUP BY incarnation, shard
"""
MINUTES = """
SELECT toInt64(intDiv(toUnixTimestamp(received_at), 60)) AS minute, count() FROM forebay.events
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY minute ORDER BY minute
"""
RECEIVED = """
SELECT groupArray(event_id) FROM forebay.events
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({upto:Int64})
  AND block_id != {block:String} AND event_id != ''
"""
BETWEEN = """
SELECT groupArray(event_id) FROM forebay.events
WHERE block_id > {after:String} AND block_id < {upto:String} AND endsWith(block_id, {shard:String})
  AND received_at >= fromUnixTimestamp64Milli({since:Int64}) AND event_id != ''
"""
HELD = """
SELECT DISTINCT toString(site), event_id FROM forebay.events
WHERE site IN {sites:Array(String)} AND event_id IN {ids:Array(String)} AND block_id != {block:String}
  AND received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({upto:Int64})
"""
END_MS = 9_000_000_000_000  # a clock of ingest may be ahead; DateTime64(3) goes to 2299


class Log(Protocol):
    """Where blocks take turns, and other shards' entries. Raises lease.Unclear."""

    async def claim(self, shard: int, block: str) -> Claim | None: ...
    async def read(self, shard: int, after: str, upto: str) -> Sequence[EntryLike]: ...


class Claims:
    """What one flusher, with all its shards, knows about client ids."""

    def __init__(self, *, log: Log, asks: Asks, metrics: Metrics, window_ms: int, bytes_max: int) -> None:
        self._log = log
        self._asks = asks
        self._metrics = metrics
        self._window_ms = window_ms
        self._filter = IdFilter(window_ms=window_ms, bytes_max=bytes_max)
        self._is_filled = False
        self._is_short = False
        self._turns = asyncio.Lock()  # claims of this process enter the filter in the order of their turns
        self._known: dict[
            tuple[str, int], str
        ] = {}  # by incarnation and shard: the edge up to which the filter knows it
        self._suspects: dict[int, tuple[str, set[str]]] = {}  # by shard: its last block, and what the filter said
        self._in_hand: dict[int, tuple[str, Sequence[str], Sequence[str]]] = {}  # blocks that this process delivers
        self._stored: dict[tuple[str, int], str] = {}

    async def copies(self, block: str, sites: Sequence[str], ids: Sequence[str]) -> list[int]:
        """Places of rows whose event came before. The block must be recorded, the one before it stored.

        Asked again, it says the same, as long as the window reaches as far. Raises
        lease.Unclear or table.Unclear.
        """
        incarnation, shard, from_id, to_id = edges_of(block)
        if not any(ids):
            if self._known.get((incarnation, shard)) == from_id:
                self._known[incarnation, shard] = to_id
            return []
        self._in_hand[shard] = block, sites, ids
        async with self._turns:
            claim = await self._log.claim(shard, block)
            if claim is None:
                return []
            await self._fill(block)
            await self._follow(claim, block)
            suspects = self._search(block, ids)
        return await self._confirm(claim, block, sites, ids, suspects)

    def stored(self, block: str) -> None:
        """The block is in ClickHouse."""
        incarnation, shard, _, to_id = edges_of(block)
        self._stored[incarnation, shard] = to_id
        self._in_hand.pop(shard, None)

    def _search(self, block: str, ids: Sequence[str]) -> set[str]:
        """Ids that may have come before; the block's own are in the filter from now on."""
        incarnation, shard, _, to_id = edges_of(block)
        searched, suspects = self._suspects.get(shard, ("", set()))
        if searched == block:
            return suspects
        named = [one for one in ids if one] if "" in ids else ids
        suspects = self._filter.among(named)
        self._add(named, to_id)
        self._suspects[shard] = block, suspects
        self._known[incarnation, shard] = to_id
        return suspects

    async def _confirm(
        self, claim: Claim, block: str, sites: Sequence[str], ids: Sequence[str], suspects: set[str]
    ) -> list[int]:
        copies = set(_twins(sites, ids))
        if suspects:
            doubtful = {at: (sites[at], one) for at, one in enumerate(ids) if one in suspects}
            asked = set(doubtful.values())
            found = await self._on_their_way(claim, block, asked)
            found |= await self._held(block, asked - found)
            copies.update(at for at, name in doubtful.items() if name in found)
        return sorted(copies)

    def _before(self, claim: Claim, block: str) -> Iterator[str]:
        """Blocks of other shards with earlier turns: the last of each."""
        return (name for turn, name in claim.current.values() if turn < claim.turn and name != block)

    async def _fill(self, block: str) -> None:
        """Once a process: what ClickHouse holds of the window."""
        if self._is_filled:
            return
        self._filter.clear()
        at_ms = _ms_of(block)
        since = {"since": at_ms - self._window_ms}
        # first what is certain to be there, then the ids: what is stored meanwhile is read twice, not missed
        for (name,) in await self._asks.ask(STORED_BLOCKS, since):
            incarnation, shard, _, to_id = edges_of(name)
            self._known[incarnation, shard] = to_id
        minutes = [(int(minute), int(count)) for minute, count in await self._asks.ask(MINUTES, since)]
        for first_ms, upto_ms in _slices(minutes, since["since"]):
            [(ids,)] = await self._asks.ask(RECEIVED, {"since": first_ms, "upto": upto_ms, "block": block})
            self._filter.add(ids, min(upto_ms, at_ms))
        self._is_filled = True

    async def _follow(self, claim: Claim, block: str) -> None:
        """Let the filter know all that came before this block."""
        before = set(self._before(claim, block))
        for _, name in claim.current.values():
            incarnation, shard, from_id, to_id = edges_of(name)
            await self._catch_up(incarnation, shard, from_id)
            if name in before and entry_order(self._known[incarnation, shard]) < entry_order(to_id):
                names = await self._read(name)
                if names is None:
                    await self._catch_up(incarnation, shard, to_id)
                else:
                    self._add([one for _, one in names if one], to_id)
                    self._known[incarnation, shard] = to_id

    async def _catch_up(self, incarnation: str, shard: int, edge: str) -> None:
        """Know a shard up to an edge that it has stored."""
        known = self._known.get((incarnation, shard), ORIGIN)
        if entry_order(known) < entry_order(edge):
            parameters = {
                "after": blocks_upto(incarnation, known),
                "upto": blocks_upto(incarnation, edge),
                "shard": block_shard(shard),
                "since": max(entry_order(known)[0], entry_order(edge)[0] - self._window_ms) - self._window_ms,
            }
            [(ids,)] = await self._asks.ask(BETWEEN, parameters)
            self._add(ids, edge)
            known = edge
        self._known[incarnation, shard] = known

    def _add(self, ids: Sequence[str], edge: str) -> None:
        at_ms = entry_order(edge)[0]
        self._filter.add(ids, at_ms)
        reach_ms = self._filter.reach_ms(at_ms)
        self._metrics.id_window.set(max(1, reach_ms // 1000))  # 0: no id came yet
        self._metrics.id_filter_bytes.set(self._filter.bytes)
        is_short = reach_ms < self._window_ms
        if is_short and not self._is_short:
            log.warning(
                "client ids of %d s fit the filter, less than the window: see id_filter_bytes_max", reach_ms // 1000
            )
        self._is_short = is_short

    async def _on_their_way(self, claim: Claim, block: str, asked: set[Name]) -> set[Name]:
        """Those of these events that blocks with earlier turns hold, of which we don't know that they are stored."""
        found: set[Name] = set()
        for name in self._before(claim, block):
            incarnation, shard, _, to_id = edges_of(name)
            if entry_order(self._stored.get((incarnation, shard), ORIGIN)) >= entry_order(to_id):
                continue
            ours, sites, ids = self._in_hand.get(shard, ("", (), ()))
            names = zip(sites, ids, strict=True) if ours == name else await self._read(name)
            found.update(asked.intersection(names or ()))
        return found

    async def _read(self, block: str) -> list[Name] | None:
        """The events of a block, from its stream. None: it was trimmed, so it is stored."""
        _, shard, after, to_id = edges_of(block)
        names: list[Name] = []
        while entries := await self._log.read(shard, after, to_id):
            for entry in entries:
                columns = decode(entry.data)
                names += zip(columns[SITE], columns[EVENT_ID], strict=True)
            after = entries[-1].id
        return names if after == to_id else None

    async def _held(self, block: str, asked: set[Name]) -> set[Name]:
        """Those of these events that ClickHouse holds under the names of other blocks."""
        at_ms = _ms_of(block)
        found: set[Name] = set()
        for since, upto in ((at_ms - RECENT_MS, END_MS), (at_ms - self._window_ms, at_ms - RECENT_MS)):
            left = sorted(asked - found)
            for at in range(0, len(left), ASKED_MAX):
                some = left[at : at + ASKED_MAX]
                parameters: dict[str, Any] = {
                    "sites": sorted({site for site, _ in some}),
                    "ids": sorted({one for _, one in some}),
                    "block": block,
                    "since": since,
                    "upto": upto,
                }
                rows = await self._asks.ask(HELD, parameters)
                found.update((str(site), str(one)) for site, one in rows)
        return found & asked


def pack(places: Sequence[int]) -> bytes:
    """Places as they are recorded."""
    return msgspec.msgpack.encode(places)


def unpack(recorded: bytes) -> list[int]:
    """Recorded places."""
    return msgspec.msgpack.decode(recorded, type=list[int])


def _ms_of(block: str) -> int:
    return entry_order(edges_of(block)[3])[0]


def _twins(sites: Sequence[str], ids: Sequence[str]) -> Iterator[int]:
    """Places of rows whose event came earlier in the same block."""
    if len(set(ids)) == len(ids):
        return
    seen: set[Name] = set()
    for at, name in enumerate(zip(sites, ids, strict=True)):
        if name[1]:
            if name in seen:
                yield at
            seen.add(name)


def _slices(minutes: Iterable[tuple[int, int]], since_ms: int) -> Iterator[tuple[int, int]]:
    """Stretches of time in unix ms, of about SLICE_ROWS each, that leave nothing out."""
    rows = 0
    for minute, count in minutes:
        if rows + count > SLICE_ROWS and rows:
            yield since_ms, minute * MINUTE_MS
            since_ms, rows = minute * MINUTE_MS, 0
        rows += count
    yield since_ms, END_MS
