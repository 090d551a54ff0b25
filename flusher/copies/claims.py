"""One event per client id: which rows of a block came before (delivery.md, rule 9).

A client that got no answer sends an event again with the id it gave it, perhaps to another
shard, perhaps while the first copy is still on its way. Of all copies the first is stored:

    claim     the block becomes its shard's current one and gets its turn, in one script
    filter    every id that any shard stored in the window is in it; most rows end here
    look      is the suspect's copy in a block with an earlier turn that is on its way (read from
              its stream), or in ClickHouse (held.py)?

A shard claims a block only when its last one is stored. So when a block gets its turn, every
block with an earlier one is either in ClickHouse or the current block of its shard, which the
claim's answer names; those with later turns will see this one. Streams are asked before
ClickHouse: what leaves a stream is stored. An id whose first copy died is a copy all the same.

The filter is one for all shards of a flusher, and follows what other flushers store: up to
which edge it knows a shard is remembered, the claim's answer says where each stands, and what
lies between is read from its stream, or from ClickHouse. A new process reads the window.

One clock decides what is within the window: ingest's, by which rows are received. A copy is one when
its first was received at most a window before it. What Redis's clock or ClickHouse's says changes nothing; how
long the filter keeps an id is measured on this process's own clock, which nobody sets.

Not promised: anything about an id that came first longer ago than the window; copies while `bytes_max` makes
the filter's reach shorter; the order of turns that a Redis lost with its tail.
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
from flusher.redis.records import Claim, Entry
from runtime.work import in_thread
from schemas.entry import ORIGIN, block_shard, blocks_upto, decode, edges_of, entry_order
from schemas.row import INDEX, MINUTE_MS

log = logging.getLogger(__name__)
SITE, EVENT_ID = INDEX["site"], INDEX["event_id"]
SLICE_ROWS = 200_000  # of one answer while the filter is filled: 15 MB

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
BLOCKS_BETWEEN = """
SELECT toString(block_id) AS block, count() FROM forebay.events
WHERE block_id > {after:String} AND block_id < {upto:String} AND endsWith(block_id, {shard:String})
  AND received_at >= fromUnixTimestamp64Milli({since:Int64}) AND event_id != ''
GROUP BY block ORDER BY block
"""
LONG_AGO_MS = -END_MS


class Stream(Protocol):
    """Where blocks take turns, and other shards' entries. Raises lease.Unclear."""

    async def claim(self, shard: int, block: str) -> Claim | None: ...
    async def read(self, shard: int, after: str, upto: str) -> Sequence[Entry]: ...


class Claims:
    """What one flusher, with all its shards, knows about client ids."""

    def __init__(self, *, stream: Stream, table: Asks, metrics: Metrics, window_ms: int, bytes_max: int) -> None:
        self._stream = stream
        self._table = table
        self._metrics = metrics
        self._window_ms = window_ms
        self._filter = IdFilter(window_ms=window_ms, bytes_max=bytes_max)
        self._filled_at_ms: int | None = None
        self._since_ms = 0  # from when on it was filled, by ingest's clock
        self._is_short = False
        self._turns = asyncio.Lock()  # claims of this process enter the filter in the order of their turns
        self._known: dict[
            tuple[str, int], str
        ] = {}  # by incarnation and shard: the edge up to which the filter knows it
        self._suspects: dict[int, tuple[str, set[str]]] = {}  # by shard: its last block, and what the filter said
        self._in_hand: dict[int, tuple[str, Sequence[str], Sequence[str]]] = {}  # blocks that this process delivers
        self._stored: dict[tuple[str, int], str] = {}

    async def copies(
        self, block: str, sites: Sequence[str], ids: Sequence[str], received_at: Sequence[int], *, is_first: bool
    ) -> list[int]:
        """Places of rows whose event came before. The block must be recorded, the one before it stored.

        `received_at` in unix ms; `is_first`: nobody can have stored the block yet. Asked again, it says the same,
        as long as the window reaches as far. Raises lease.Unclear or table.Unclear.
        """
        incarnation, shard, from_id, to_id = edges_of(block)
        if not any(ids):
            if self._known.get((incarnation, shard)) == from_id:
                self._known[incarnation, shard] = to_id
            return []
        self._in_hand[shard] = block, sites, ids
        async with self._turns:
            claim = await self._stream.claim(shard, block)
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

    def stored(self, block: str) -> None:
        """The block is in ClickHouse."""
        incarnation, shard, _, to_id = edges_of(block)
        self._stored[incarnation, shard] = to_id
        self._in_hand.pop(shard, None)

    def _search(self, block: str, ids: Sequence[str], now_ms: int) -> set[str]:
        """Ids that may have come before; the block's own are in the filter from now on."""
        incarnation, shard, _, to_id = edges_of(block)
        searched, suspects = self._suspects.get(shard, ("", set()))
        if searched == block:
            return suspects
        named = [one for one in ids if one] if "" in ids else ids
        suspects = self._filter.among(named)
        self._add(named, now_ms)
        self._suspects[shard] = block, suspects
        self._known[incarnation, shard] = to_id
        return suspects

    async def _confirm(
        self,
        claim: Claim,
        block: str,
        doubtful: Mapping[Name, Sequence[int]],
        received_at: Sequence[int],
        *,
        is_first: bool,
    ) -> list[int]:
        """Those of these places whose event did come before."""
        found = await self._on_their_way(claim, block, set(doubtful))
        left = {name: places for name, places in doubtful.items() if name not in found}
        since_ms = min((received_at[places[0]] for places in left.values()), default=0) - self._window_ms
        if not left:
            stored: Mapping[Name, int] = {}
        elif is_first:
            stored = await held.known(self._table, left, since_ms)
        else:
            stored = await held.held(self._table, block, left, since_ms, since_ms + self._window_ms)

        def confirmed() -> list[int]:
            return [
                at
                for name, places in doubtful.items()
                for at in places
                if name in found or received_at[at] - stored.get(name, LONG_AGO_MS) <= self._window_ms
            ]

        return await in_thread(confirmed)

    def _before(self, claim: Claim, block: str) -> Iterator[str]:
        """Blocks of other shards with earlier turns: the last of each."""
        return (name for turn, name in claim.current.values() if turn < claim.turn and name != block)

    async def _fill(self, block: str, first_ms: int) -> None:
        """Once a process: what ClickHouse holds of the window before this moment of ingest's clock.

        Whatever came before the process is in the filter for a window. Where another ingest process's clock is behind
        the first one's, or a row waited in a spool, what lies before is read too.
        """
        since_ms = first_ms - self._window_ms
        if self._filled_at_ms is not None:
            if since_ms < self._since_ms and _now_ms() - self._filled_at_ms <= self._window_ms:
                [(ids,)] = await self._table.ask(RECEIVED, {"since": since_ms, "upto": self._since_ms, "block": block})
                await in_thread(self._filter.add, ids, _now_ms())
                self._since_ms = since_ms
            return
        await in_thread(self._filter.clear)
        since = {"since": since_ms}
        # first what is certain to be there, then the ids: what is stored meanwhile is read twice, not missed
        for (name,) in await self._table.ask(STORED_BLOCKS, since):
            incarnation, shard, _, to_id = edges_of(name)
            self._known[incarnation, shard] = to_id
        minutes = [(int(minute), int(count)) for minute, count in await self._table.ask(MINUTES, since)]
        now_ms = _now_ms()
        for from_ms, upto_ms in _slices(minutes, since_ms):
            [(ids,)] = await self._table.ask(RECEIVED, {"since": from_ms, "upto": upto_ms, "block": block})
            await in_thread(self._filter.add, ids, now_ms - max(0, first_ms - upto_ms))
        self._filled_at_ms, self._since_ms = now_ms, since_ms

    async def _follow(self, claim: Claim, block: str, first_ms: int) -> None:
        """Let the filter know all that came before this block, the first of whose rows was received at this moment."""
        before = set(self._before(claim, block))
        for _, name in claim.current.values():
            incarnation, shard, from_id, to_id = edges_of(name)
            await self._catch_up(incarnation, shard, from_id, first_ms)
            if name in before and entry_order(self._known[incarnation, shard]) < entry_order(to_id):
                names = await self._read(name)
                if names is None:
                    await self._catch_up(incarnation, shard, to_id, first_ms)
                else:
                    await in_thread(self._add, [one for _, one in names if one], _now_ms())
                    self._known[incarnation, shard] = to_id

    async def _catch_up(self, incarnation: str, shard: int, edge: str, first_ms: int) -> None:
        """Know a shard up to an edge that it has stored."""
        known = self._known.get((incarnation, shard), ORIGIN)
        if entry_order(known) < entry_order(edge):
            between = {
                "after": blocks_upto(incarnation, known),
                "upto": blocks_upto(incarnation, edge),
                "shard": block_shard(shard),
                "since": first_ms - 2 * self._window_ms if known == ORIGIN else 0,  # else its last block is a bound
            }
            is_long = entry_order(edge)[0] - entry_order(known)[0] > MINUTE_MS
            blocks = await self._table.ask(BLOCKS_BETWEEN, between) if is_long else []
            for upto in (*_cuts(blocks), between["upto"]):
                [(ids,)] = await self._table.ask(BETWEEN, {**between, "upto": upto})
                await in_thread(self._add, ids, _now_ms())
                between["after"] = upto
            known = edge
        self._known[incarnation, shard] = known

    def _add(self, ids: Sequence[str], at_ms: int) -> None:
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
            found |= await in_thread(asked.intersection, names or ())
        return found

    async def _read(self, block: str) -> list[Name] | None:
        """The events of a block, from its stream. None: it was trimmed, so it is stored."""
        _, shard, after, to_id = edges_of(block)
        names: list[Name] = []
        while entries := await self._stream.read(shard, after, to_id):
            names += await in_thread(_names, entries)
            after = entries[-1].id
        return names if after == to_id else None


def pack(places: Sequence[int]) -> bytes:
    """Places as they are recorded."""
    return msgspec.msgpack.encode(places)


def unpack(recorded: bytes) -> list[int]:
    """Recorded places."""
    return msgspec.msgpack.decode(recorded, type=list[int])


def _now_ms() -> int:
    """This process's own clock, which nobody sets."""
    return int(asyncio.get_running_loop().time() * 1000)


def _names(entries: Sequence[Entry]) -> list[Name]:
    """The events of these entries."""
    names: list[Name] = []
    for entry in entries:
        columns = decode(entry.data)
        names += zip(columns[SITE], columns[EVENT_ID], strict=True)
    return names


def _doubtful(sites: Sequence[str], ids: Sequence[str], suspects: set[str]) -> dict[Name, list[int]]:
    """The suspects' places by their names."""
    places: dict[Name, list[int]] = {}
    for at, one in enumerate(ids):
        if one in suspects:
            places.setdefault((sites[at], one), []).append(at)
    return places


def _twins(sites: Sequence[str], ids: Sequence[str]) -> set[int]:
    """Places of rows whose event came earlier in the same block."""
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
    """Bounds between blocks, given with their rows, that leave about SLICE_ROWS between two of them."""
    rows = 0
    before = ""
    for block, count in blocks:
        if rows + int(count) > SLICE_ROWS and rows:
            yield before + ";"  # behind that block, and before the next
            rows = 0
        rows += int(count)
        before = str(block)


def _slices(minutes: Iterable[tuple[int, int]], since_ms: int) -> Iterator[tuple[int, int]]:
    """Stretches of time in unix ms, of about SLICE_ROWS each, that leave nothing out."""
    rows = 0
    for minute, count in minutes:
        if rows + count > SLICE_ROWS and rows:
            yield since_ms, minute * MINUTE_MS
            since_ms, rows = minute * MINUTE_MS, 0
        rows += count
    yield since_ms, END_MS
