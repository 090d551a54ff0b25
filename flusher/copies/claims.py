"""Finds the rows of a block whose event came before, by the id that its client gave it (docs/delivery.md, rule 9).

A client that got no answer sends an event again under the same id, perhaps to another shard and perhaps while the first
copy is still on its way to ClickHouse. Only the first of all copies is stored. A block is searched in three steps:

    claim     one script makes the block its shard's current one, gives it a turn, and answers with the current blocks
              of all shards and their turns
    filter    a Bloom filter holds every id that any shard stored in the window; nearly all rows are new, and end here
    confirm   the ids that the filter suspects are looked for in the streams of blocks with earlier turns that are still
              on their way, and then in ClickHouse (delivery/held.py)

A shard claims a block only when its previous one is stored. So when a block gets its turn, every block with an earlier
turn is either in ClickHouse or the current block of its shard, which the claim's answer names; blocks with later turns
will find this one. Streams are asked before ClickHouse, because an entry that has left its stream is stored. An id
whose first event died is known all the same.

One filter serves all shards of a flusher, and it has to learn what other flushers store. It remembers up to which edge
it knows each shard. The claim's answer says where each shard stands, and the blocks between the two are read from the
shard's stream or from ClickHouse. A new process reads the whole window from ClickHouse.

Only ingest's clock decides what lies within the window: an event is a copy when its first copy was received at most a
window before it. The clocks of Redis and ClickHouse change nothing. How long the filter keeps an id is measured on this
process's own monotonic clock.

Not promised: anything about an id that first came longer ago than the window; copies while `bytes_max` makes the
filter's reach shorter than the window; the order of turns that a Redis lost with its tail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from flusher.copies.id_filter import IdFilter
from flusher.delivery import held
from flusher.delivery.held import END_MS, Name
from flusher.delivery.verify import Asks
from flusher.metrics import Metrics
from flusher.redis.records import Claim
from runtime.work import in_thread
from schemas.entry import decode
from schemas.names import ORIGIN, BlockName, EntryId, blocks_upto, shard_suffix
from schemas.redis.records import Entry
from schemas.row import INDEX, MINUTE_MS

log = logging.getLogger(__name__)
SITE, EVENT_ID = INDEX["site"], INDEX["event_id"]
SLICE_ROWS = 200_000  # ids in one answer of ClickHouse: 15 MB

# The row in `blocks` is written after all rows of the block are in `events`.
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
BLOCKS_BETWEEN = """
SELECT toString(block_id) AS block, count() FROM forebay.events
WHERE block_id > {after:String} AND block_id < {upto:String} AND endsWith(block_id, {shard:String})
  AND received_at >= fromUnixTimestamp64Milli({since:Int64}) AND event_id != ''
GROUP BY block ORDER BY block
"""
LONG_AGO_MS = -END_MS


class Stream(Protocol):
    """Gives blocks their turns, and reads other shards' entries of their present server: RedisStream. Raises lease.Unclear."""

    async def claim(self, block: BlockName) -> Claim | None: ...
    async def read_of_any(self, shard: int, after: EntryId, upto: EntryId) -> Sequence[Entry]: ...


class Claims:
    """Knows the client ids of the window, for all shards of one flusher."""

    def __init__(self, *, stream: Stream, table: Asks, metrics: Metrics, window_ms: int, bytes_max: int) -> None:
        self._stream = stream
        self._table = table
        self._metrics = metrics
        self._window_ms = window_ms
        self._filter = IdFilter(window_ms=window_ms, bytes_max=bytes_max)
        self._filled_at_ms: int | None = None
        self._since_ms = 0  # the filter was filled from this moment of ingest's clock on
        self._is_short = False
        self._turns = asyncio.Lock()  # the blocks of this process enter the filter in the order of their turns
        # By stream: the edge up to which the filter knows it, and the one up to which all is stored.
        self._known: dict[tuple[str, int], EntryId] = {}
        self._stored: dict[tuple[str, int], EntryId] = {}
        # By shard: the name of its last block with the ids that the filter suspected, and the name, sites and ids of
        # the block that this process delivers now.
        self._suspects: dict[int, tuple[BlockName, set[str]]] = {}
        self._in_hand: dict[int, tuple[BlockName, Sequence[str], Sequence[str]]] = {}

    async def copies(
        self, block: BlockName, sites: Sequence[str], ids: Sequence[str], received_at: Sequence[int], *, is_first: bool
    ) -> list[int]:
        """Returns the places of the rows whose event came before, ascending.

        The block must be recorded, and the shard's previous one stored. `sites`, `ids` and `received_at` (unix ms) are
        those of all rows of its entries. `is_first`: nobody can have stored the block yet. The answer is the same
        however often it is asked for, while the window reaches back to the copies. Raises lease.Unclear or
        table.Unclear.
        """
        if not any(ids):
            if self._known.get(block.stream) == block.after:
                self._known[block.stream] = block.upto
            return []
        self._in_hand[block.shard] = block, sites, ids
        async with self._turns:
            claim = await self._stream.claim(block)
            if claim is None:
                return []
            first_ms = min(at for at, one in zip(received_at, ids, strict=True) if one)
            await self._fill(block, first_ms)
            await self._follow(claim, block, first_ms)
            suspects = await in_thread(self._search, block, ids, _now_ms())
        copies = await in_thread(_twins, sites, ids)
        if suspects:
            doubtful = await in_thread(_doubtful, sites, ids, suspects)
            copies.update(await self._confirm(claim, block, doubtful, received_at, is_first=is_first))
        return sorted(copies)

    def stored(self, block: BlockName) -> None:
        """Notes that the block is in ClickHouse."""
        self._stored[block.stream] = block.upto
        self._in_hand.pop(block.shard, None)

    def _search(self, block: BlockName, ids: Sequence[str], now_ms: int) -> set[str]:
        """Returns the block's ids that may have come before, and adds all its ids to the filter."""
        searched, suspects = self._suspects.get(block.shard, (None, set()))
        if searched == block:
            return suspects
        named = [one for one in ids if one] if "" in ids else ids
        suspects = self._filter.among(named)
        self._add(named, now_ms)
        self._suspects[block.shard] = block, suspects
        self._known[block.stream] = block.upto
        return suspects

    async def _confirm(
        self,
        claim: Claim,
        block: BlockName,
        doubtful: Mapping[Name, Sequence[int]],
        received_at: Sequence[int],
        *,
        is_first: bool,
    ) -> list[int]:
        """Returns the places among the doubtful ones whose event did come before."""
        found = await self._on_their_way(claim, block, set(doubtful))
        left = {name: places for name, places in doubtful.items() if name not in found}
        since_ms = min((received_at[places[0]] for places in left.values()), default=0) - self._window_ms
        if not left:
            stored: Mapping[Name, int] = {}
        elif is_first:
            stored = await held.known(self._table, left, since_ms)
        else:
            stored = await held.held(self._table, str(block), left, since_ms, since_ms + self._window_ms)

        def confirmed() -> list[int]:
            return [
                at
                for name, places in doubtful.items()
                for at in places
                if name in found or received_at[at] - stored.get(name, LONG_AGO_MS) <= self._window_ms
            ]

        return await in_thread(confirmed)

    def _before(self, claim: Claim, block: BlockName) -> Iterator[BlockName]:
        """Yields the current blocks of other shards that have earlier turns."""
        return (name for turn, name in claim.current.values() if turn < claim.turn and name != block)

    async def _fill(self, block: BlockName, first_ms: int) -> None:
        """Fills the filter once, with the ids that ClickHouse holds of the window before this moment of ingest's clock.

        Later blocks may have rows from before that moment, because they waited in a spool or because the clock of
        another ingest process is behind. Then the filter is filled further back too, until a window has passed since
        it was filled first.
        """
        since_ms = first_ms - self._window_ms
        if self._filled_at_ms is not None:
            if since_ms < self._since_ms and _now_ms() - self._filled_at_ms <= self._window_ms:
                [(ids,)] = await self._table.ask(
                    RECEIVED, {"since": since_ms, "upto": self._since_ms, "block": str(block)}
                )
                await in_thread(self._filter.add, ids, _now_ms())
                self._since_ms = since_ms
            return
        await in_thread(self._filter.clear)
        since = {"since": since_ms}
        # The stored edges are read before the ids, so a block that is stored in between is read twice and not missed.
        for (text,) in await self._table.ask(STORED_BLOCKS, since):
            name = BlockName.parse(text)
            self._known[name.stream] = name.upto
        minutes = [(int(minute), int(count)) for minute, count in await self._table.ask(MINUTES, since)]
        now_ms = _now_ms()
        for from_ms, upto_ms in _slices(minutes, since_ms):
            [(ids,)] = await self._table.ask(RECEIVED, {"since": from_ms, "upto": upto_ms, "block": str(block)})
            await in_thread(self._filter.add, ids, now_ms - max(0, first_ms - upto_ms))
        self._filled_at_ms, self._since_ms = now_ms, since_ms

    async def _follow(self, claim: Claim, block: BlockName, first_ms: int) -> None:
        """Adds the ids of all blocks with earlier turns than this block's to the filter.

        `first_ms` is when the first of this block's rows was received.
        """
        before = set(self._before(claim, block))
        for _, name in claim.current.values():
            await self._catch_up(name.stream, name.after, first_ms)
            if name in before and self._known[name.stream] < name.upto:
                names = await self._read(name)
                if names is None:
                    await self._catch_up(name.stream, name.upto, first_ms)
                else:
                    await in_thread(self._add, [one for _, one in names if one], _now_ms())
                    self._known[name.stream] = name.upto

    async def _catch_up(self, stream: tuple[str, int], edge: EntryId, first_ms: int) -> None:
        """Adds the ids of a shard's blocks, up to an edge that it has stored, to the filter."""
        known = self._known.get(stream, ORIGIN)
        if known < edge:
            incarnation, shard = stream
            between = {
                "after": blocks_upto(incarnation, known),
                "upto": blocks_upto(incarnation, edge),
                "shard": shard_suffix(shard),
                "since": first_ms - 2 * self._window_ms if known == ORIGIN else 0,  # a known edge is bound enough
            }
            is_long = edge.ms - known.ms > MINUTE_MS
            blocks = await self._table.ask(BLOCKS_BETWEEN, between) if is_long else []
            for upto in (*_cuts(blocks), between["upto"]):
                [(ids,)] = await self._table.ask(BETWEEN, {**between, "upto": upto})
                await in_thread(self._add, ids, _now_ms())
                between["after"] = upto
            known = edge
        self._known[stream] = known

    def _add(self, ids: Sequence[str], at_ms: int) -> None:
        self._filter.add(ids, at_ms)
        reach_ms = self._filter.reach_ms(at_ms)
        self._metrics.id_window.set(max(1, reach_ms // 1000))  # 0 would mean that no id came yet
        self._metrics.id_filter_bytes.set(self._filter.bytes)
        is_short = reach_ms < self._window_ms
        if is_short and not self._is_short:
            log.warning(
                "the filter of client ids reaches back %d s, less than the window: see id_filter_bytes_max",
                reach_ms // 1000,
            )
        self._is_short = is_short

    async def _on_their_way(self, claim: Claim, block: BlockName, asked: set[Name]) -> set[Name]:
        """Returns the events that are in blocks with earlier turns which are not known to be stored."""
        found: set[Name] = set()
        for name in self._before(claim, block):
            if self._stored.get(name.stream, ORIGIN) >= name.upto:
                continue
            ours, sites, ids = self._in_hand.get(name.shard, (None, (), ()))
            names = zip(sites, ids, strict=True) if ours == name else await self._read(name)
            found |= await in_thread(asked.intersection, names or ())
        return found

    async def _read(self, block: BlockName) -> list[Name] | None:
        """Returns the events of a block, read from its stream; None when it was trimmed, because then it is stored."""
        after = block.after
        names: list[Name] = []
        while entries := await self._stream.read_of_any(block.shard, after, block.upto):
            names += await in_thread(_names, entries)
            after = entries[-1].id
        return names if after == block.upto else None


def pack(places: Sequence[int]) -> bytes:
    """Encodes places as they are recorded in the checkpoint."""
    return msgspec.msgpack.encode(places)


def unpack(recorded: bytes) -> list[int]:
    """Decodes recorded places."""
    return msgspec.msgpack.decode(recorded, type=list[int])


def _now_ms() -> int:
    """Returns this process's monotonic clock."""
    return int(asyncio.get_running_loop().time() * 1000)


def _names(entries: Sequence[Entry]) -> list[Name]:
    """Returns the events of these entries; those without an id have "" for it."""
    names: list[Name] = []
    for entry in entries:
        columns = decode(entry.data)
        names += zip(columns[SITE], columns[EVENT_ID], strict=True)
    return names


def _doubtful(sites: Sequence[str], ids: Sequence[str], suspects: set[str]) -> dict[Name, list[int]]:
    """Returns the places of the suspected ids' rows, by event."""
    places: dict[Name, list[int]] = {}
    for at, one in enumerate(ids):
        if one in suspects:
            places.setdefault((sites[at], one), []).append(at)
    return places


def _twins(sites: Sequence[str], ids: Sequence[str]) -> set[int]:
    """Returns the places of rows whose event came earlier in the same block."""
    twins: set[int] = set()
    if len(set(ids)) == len(ids):
        return twins
    seen: set[Name] = set()
    for at, name in enumerate(zip(sites, ids, strict=True)):
        if name[1]:
            if name in seen:
                twins.add(at)
            seen.add(name)
    return twins


def _cuts(blocks: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Yields bounds between blocks (given by name with their rows), with about SLICE_ROWS at most between two."""
    rows = 0
    before = ""
    for block, count in blocks:
        if rows + int(count) > SLICE_ROWS and rows:
            yield before + ";"  # sorts behind that block and before the next
            rows = 0
        rows += int(count)
        before = str(block)


def _slices(minutes: Iterable[tuple[int, int]], since_ms: int) -> Iterator[tuple[int, int]]:
    """Yields stretches of time in unix ms that follow each other without a gap, of about SLICE_ROWS at most."""
    rows = 0
    for minute, count in minutes:
        if rows + count > SLICE_ROWS and rows:
            yield since_ms, minute * MINUTE_MS
            since_ms, rows = minute * MINUTE_MS, 0
        rows += count
    yield since_ms, END_MS
