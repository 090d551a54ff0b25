"""Serves one leased shard: reads entries, cuts blocks, delivers them, moves the checkpoint, and trims the stream.

    recover ─▶ ┌ recorded edge after stored? ─▶ form it again, verify, deliver ─▶ stored ┐
       ▲       └ else read ─▶ cut recorded (I2) ─▶ copies ─▶ deliver ─────────▶ stored ┘─▶ trim
       │                                                                              │
       └──────────── anything unclear from Redis, or the checkpoint moved ◀───────────┘

An answer is unclear when a command may have happened or not. After one, everything in memory (entries that were read
ahead, sessions, edges) is thrown away and read again under the lease, because it may no longer be true.

Two things end the work. LeaseLost, because another flusher may serve the shard now. And ShardStopped, where this
process may not judge what it met: an entry of a newer version, rows missing from a recorded block, a refused INSERT, a
key that holds something else. Then the shard stops with an alarm and loses nothing; docs/operations.md has the way out
of each. What a person decides about a block is the field `settled` of the checkpoint.

Not promised: progress while Redis or ClickHouse is down. The shard waits, and metrics say so.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import NamedTuple, Protocol

from flusher.blocks.block import Block, BlockLimits, Prepared, ShapeChanged, prepare
from flusher.delivery import deadletter, verify
from flusher.delivery.clocks import Clock, Waiting
from flusher.delivery.deadletter import Dead, TooMany
from flusher.delivery.deliver import Delivery
from flusher.delivery.table import Refused
from flusher.delivery.table import Unclear as TableUnclear
from flusher.metrics import Metrics
from flusher.redis.lease import Foreign, Lease, LeaseLost, Unclear
from flusher.redis.reading import Moved
from flusher.redis.records import Checkpoint
from flusher.shards import ahead, erasing, forming, recovery, tail
from flusher.shards.ahead import Ahead
from flusher.shards.erasing import Erasing
from flusher.shards.forming import Forming
from flusher.shards.ledger import Ledger
from flusher.shards.progress import Progress
from flusher.shards.standstill import Standstill
from runtime.work import in_thread
from schemas.deadletter import DeadLetter
from schemas.entry import Damaged, UnknownVersion
from schemas.ledger import Key
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.records import Edge, Entry

log = logging.getLogger(__name__)
IDLE_SECONDS = 0.2  # between two looks at a stream from which no block is due: five a second for each shard
RETRY_SECONDS = 0.25
TRIM_EVERY = 16  # blocks, because trimming is cheap but not free


class Stream(forming.Stream, recovery.Stream, ahead.Stream, erasing.Stream, tail.Stream, Protocol):
    """Reads the shard's entries and moves its checkpoint: RedisStream. A move without the lease raises LeaseLost."""

    async def cut(self, lease: Lease, from_id: EntryId, edge: Edge) -> None: ...
    async def judge(self, lease: Lease, from_id: EntryId, to_id: EntryId, verdict: bytes) -> None: ...
    async def stored(
        self,
        lease: Lease,
        from_id: EntryId,
        to_id: EntryId,
        dead: Sequence[DeadLetter],
        duplicates: Mapping[Key, int],
        erased: Mapping[Key, int],
    ) -> None: ...
    async def withdraw(self, lease: Lease, from_id: EntryId, to_id: EntryId) -> None: ...
    async def trim(self, lease: Lease, edge_id: EntryId) -> None: ...
    async def enter(self, lease: Lease) -> bool: ...
    async def now_ms(self, shard: int) -> int: ...
    async def size(self, shard: int) -> int: ...


class Claims(forming.Claims, Protocol):
    """Finds copies across all shards, and is told what is stored: copies.claims.Claims."""

    def stored(self, block: BlockName) -> None: ...


class Table(verify.Asks, deadletter.Probe, Protocol):
    """Answers questions, judges refused rows and writes down what is stored: the table, beside `Delivery`."""

    async def record(self, block: Block, *, attempts: int, took_ms: int) -> None:
        """Writes down that a block is stored; twice is once. Raises table.Unclear."""


class BySite(NamedTuple):
    """Counts the events of one block by site: those that are stored, and those that were copies."""

    stored: dict[str, int]
    duplicates: dict[str, int]


class ShardStopped(Exception):
    """Says that a person must look. The shard waits, and nothing is lost."""


class Shard:
    """Serves one shard under one lease, from recovery to the lease's end."""

    def __init__(
        self,
        lease: Lease,
        *,
        stream: Stream,
        claims: Claims,
        table: Table,
        delivery: Delivery,
        ledger: Ledger,
        metrics: Metrics,
        standstill: Standstill,
        limits: BlockLimits,
        tail_ms: int,
        tail_bytes_max: int,
    ) -> None:
        self._lease = lease
        self._stream = stream
        self._claims = claims
        self._table = table
        self._delivery = delivery
        self._ledger = ledger
        self._metrics = metrics
        self._standstill = standstill
        self._tail_ms = tail_ms
        self._tail_bytes_max = tail_bytes_max
        self._tail = tail.Tail(lease, stream=stream, table=table, metrics=metrics)
        self._erasing = Erasing(lease, stream=stream, before_trim=self._tail.must_be_compared)
        self._forming = Forming(lease, stream=stream, claims=claims, erasing=self._erasing, table=table)
        self._ahead = Ahead(lease, stream=stream, metrics=metrics, limits=limits)
        self._progress = Progress(Checkpoint(ORIGIN, ()))
        self._clock = Clock(partial(stream.now_ms, lease.shard))  # Redis's clock
        self._waiting = Waiting(self._clock)
        self._blocks = 0
        self._is_known = False  # whether the next block's first INSERT is the first: nobody but us can have cut it

    async def serve(self, handing_over: asyncio.Event) -> None:
        """Delivers blocks until told to hand over, then all that was in the stream then. Raises LeaseLost or ShardStopped."""
        self._metrics.lag.labels(str(self._lease.shard)).set_function(self._waiting.seconds)
        # No number before the first look, nor while another flusher serves it: 0 would say that the books balance.
        gap = self._metrics.ledger_gap.labels(str(self._lease.shard))
        gap.set(math.nan)
        try:
            await self._serve(handing_over)
        finally:
            self._waiting.stop()
            self._standstill.nothing_waits()
            gap.set(math.nan)

    async def _serve(self, handing_over: asyncio.Event) -> None:
        while True:
            self._standstill.waits()  # entries may wait, until a look at the stream says that none does
            try:
                await self._recover()
                await self._flush(handing_over)
                return
            except (LeaseLost, ShardStopped):
                raise
            except (UnknownVersion, Foreign, TooMany, Refused) as error:
                raise ShardStopped(str(error)) from error
            except (Unclear, TableUnclear, Moved) as error:
                log.warning("shard %d: starts over: %s", self._lease.shard, error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # the outermost loop of a shard: others go on, whatever this one met
                log.exception("shard %d: an error that nobody foresaw", self._lease.shard)
                raise ShardStopped(f"{type(error).__name__}: {error}") from error

    async def _flush(self, handing_over: asyncio.Event) -> None:
        """Delivers blocks until told to hand over, and until all that was in the stream then is stored."""
        while not handing_over.is_set():
            if not await self._step(draining=False):
                await self._wait(handing_over)
            self._standstill.waits()  # as above, because the questions that follow may not be answered
            await self._look_for_erasures()
            await self._tail.look()
            gap = await self._ledger.look(
                self._progress.stored, self._clock.now_ms(), confirm=self._tail.must_be_compared
            )
            if gap is not None:
                self._metrics.ledger_gap.labels(str(self._lease.shard)).set(gap)
                await self._trim()
        upto = await self._stream.last(self._lease.shard)
        while await self._step(draining=True):
            if self._progress.stored >= upto:
                return

    async def _recover(self) -> None:
        """Reads the checkpoint again, lets it follow ClickHouse (docs/delivery.md, rule 8), and forgets the rest."""
        if await self._stream.enter(self._lease):
            self._ledger.begin_again()  # what it began to compare may be of entries that come again
        checkpoint = await recovery.recovered(self._stream, self._table, self._lease)
        checkpoint = await self._tail.made_good(checkpoint)
        self._progress = Progress(checkpoint)
        self._ahead.clear()
        self._is_known = False
        if floor := checkpoint.last_erased():
            await self._let_go_of_erased(floor)  # the flusher that stored it may have died before it trimmed
        await self._erasing.recover(checkpoint)
        await self._forming.recover(checkpoint)
        await self._clock.read()

    async def _look_for_erasures(self) -> None:
        """Acknowledges new erasures, unless a recorded block is still to be delivered."""
        stored = self._progress.stored
        if not self._progress.pending() and await self._erasing.look(stored, self._progress.edges):
            self._progress.trimmed(stored)

    async def _step(self, *, draining: bool) -> bool:
        """Delivers one block, if one is due. Tells whether there was something to do."""
        stored = self._progress.stored
        if recorded := self._progress.pending():
            self._ahead.clear()
            try:
                await self._deliver(await self._recorded(recorded), recorded, is_first=False)
            except (ShapeChanged, Damaged, UnknownVersion) as error:
                await self._pass_over(recorded, error)
            return True
        await self._ahead.read(stored)
        await self._see(self._ahead.oldest())
        count = self._ahead.due(self._clock.now_ms(), drain=draining)
        if not count:
            return False
        if prepared := await self._ahead.take(stored, count):
            edge = Edge(prepared.to_id, sum(entry.rows for entry in prepared.entries), prepared.bytes)
            await self._stream.cut(self._lease, stored, edge)
            self._progress.cut(edge)
            delivering = self._deliver(prepared, edge, is_first=self._is_known)
            del prepared  # `_deliver` lets go of it once the block is formed: it is large, and an INSERT takes long
            await delivering
            self._is_known = True
        return True

    async def _pass_over(self, edge: Edge, error: Exception) -> None:
        """Goes on without a recorded block that can't be formed again, if it is stored or if a person said so.

        Raises ShardStopped if neither is the case.
        """
        stored = self._progress.stored
        block = BlockName(self._lease.incarnation, self._lease.shard, stored, edge.id)
        held = sum(sum(attempts.values()) for attempts in (await verify.held(self._table, str(block))).values())
        lacking = self._forming.left_out_of(edge).union(one.place for one in self._dead_of(edge))
        is_stored = held == edge.rows - len(lacking)
        if not is_stored and (
            self._progress.settled != edge.id or held or await verify.is_running(self._table, str(block))
        ):
            raise ShardStopped(f"block {block}: {error}; ClickHouse holds {held} rows of it") from error
        why = "ClickHouse holds all of it" if is_stored else "with what is left, as somebody said"
        log.critical("shard %d: %s: going on: %s", self._lease.shard, error, why)
        if is_stored or edge is not self._progress.edges[-1]:  # a replay: blocks behind it are recorded too
            await self._stream.stored(self._lease, stored, edge.id, [], {}, {})
            self._claims.stored(block)
        else:
            await self._stream.withdraw(self._lease, stored, edge.id)
        await self._recover()

    async def _recorded(self, edge: Edge) -> Prepared:
        """Reads all entries of a recorded block again, and prepares them.

        Raises ShapeChanged, Damaged or UnknownVersion.
        """
        entries: list[Entry] = []
        after = self._progress.stored
        while more := await self._stream.read(self._lease.shard, after, edge.id):
            entries += more
            after = more[-1].id
        rows = sum(entry.rows for entry in entries)
        if not entries or entries[-1].id != edge.id or rows != edge.rows:
            raise ShapeChanged(
                f"the block ({self._progress.stored}, {edge.id}] was cut with {edge.rows} rows, the stream holds {rows}"
            )
        return await in_thread(prepare, entries)

    async def _see(self, oldest: EntryId | None) -> None:
        """Notes the id of the entry that has waited longest; empty when none waits."""
        await self._waiting.see(oldest)
        if oldest is not None:
            self._standstill.waits()
        else:
            self._standstill.nothing_waits()

    async def _deliver(self, prepared: Prepared, edge: Edge, *, is_first: bool) -> None:
        entries = prepared.entries
        await self._see(entries[0].id)
        began = asyncio.get_running_loop().time()
        block, duplicates, erased, has_erased = await self._forming.form(
            prepared, self._progress.stored, edge, is_first=is_first
        )
        del prepared
        preparing = asyncio.create_task(self._ahead.prepare_next(edge.id))
        try:
            block, attempts = await self._into_clickhouse(block, is_first=is_first)
            await preparing
        finally:
            preparing.cancel()
            await asyncio.wait([preparing])
        took_ms = int((asyncio.get_running_loop().time() - began) * 1000)
        await self._table.record(block, attempts=attempts, took_ms=took_ms)
        dead = self._dead_of(edge)
        letters = await in_thread(deadletter.letters, entries, block.id, dead) if dead else []
        counts = await in_thread(_by_site, block, duplicates)
        await self._stream.stored(self._lease, self._progress.stored, edge.id, letters, duplicates, erased)
        self._progress.stored = edge.id
        self._standstill.stored()
        self._claims.stored(block.name)
        self._forming.stored(edge)
        if not self._progress.is_counted(edge):
            self._count(counts, letters, block)
            self._metrics.freshness.observe(self._waiting.seconds())
        self._blocks += 1
        if has_erased:  # erased rows must not stay in the stream for as long as the replay tail
            await self._let_go_of_erased(edge.id)
        elif self._blocks % TRIM_EVERY == 0:
            await self._trim()
        if letters:
            await self._recover()  # dead rows took part in this block's sessions; later blocks must not see them

    def _dead_of(self, edge: Edge) -> list[Dead]:
        verdict = self._progress.verdicts.get(edge.id)
        return deadletter.unpack(verdict) if verdict is not None else []

    def _count(self, sites: BySite, letters: Sequence[DeadLetter], block: Block) -> None:
        self._metrics.stored(sites.stored)
        self._metrics.duplicate(sites.duplicates)
        for letter in letters:
            self._metrics.dead.labels(letter.reason).inc()
        self._metrics.block_rows.observe(block.rows)
        self._metrics.columns_dropped.inc(block.dropped)

    async def _into_clickhouse(self, block: Block, *, is_first: bool) -> tuple[Block, int]:
        """Delivers the block without its dead rows. Returns what ClickHouse now holds, and the number of INSERTs."""
        if block.name.upto not in self._progress.verdicts:
            try:
                return block, await self._delivery.deliver(self._lease, block, is_first=is_first)
            except Refused as refused:
                log.error("block %s is refused, looking for the rows: error %d", block.id, refused.code)  # noqa: TRY400  the text holds values
            dead = await deadletter.judge(self._table, block, is_settled=self._progress.settled == block.name.upto)
            if not dead:
                raise ShardStopped(f"block {block.id} is refused, but none of its rows is")
            await self._must_not_be_stored(block, {one.place for one in dead})
            verdict = deadletter.pack(dead)
            await self._stream.judge(self._lease, self._progress.stored, block.name.upto, verdict)
            self._progress.verdicts[block.name.upto] = verdict
            await self._stream.secure(self._lease, self._progress.stored)  # rule 17: before the INSERT of the rest
        block = block.without({one.place for one in deadletter.unpack(self._progress.verdicts[block.name.upto])})
        return block, await self._delivery.deliver(self._lease, block, is_first=False)

    async def _must_not_be_stored(self, block: Block, dead: AbstractSet[int]) -> None:
        """Raises ShardStopped if ClickHouse already holds rows of a month in which it now refuses some.

        The table has changed since, and a dead letter for a row that is stored would be its second fate (I7).
        """
        held = await verify.held(self._table, block.id)
        months = [part.month for part in block.parts if part.month in held and not dead.isdisjoint(part.places)]
        if months:
            raise ShardStopped(
                f"rows of block {block.id} are stored, and the table now refuses them:"
                f" months {months}, {len(dead)} rows refused"
            )

    async def _trim(self) -> None:
        """Trims the stored entries that the replay tail no longer covers, once they were compared (I4)."""
        await self._tail.must_be_compared()
        size = await self._stream.size(self._lease.shard)
        self._metrics.stream_bytes.labels(str(self._lease.shard)).set(size)
        await self._clock.read()
        floor = self._progress.floor(self._clock.now_ms() - self._tail_ms, self._tail_bytes_max)
        if floor is not None:
            await self._stream.trim(self._lease, floor.id)
            self._progress.trimmed(floor.id)

    async def _let_go_of_erased(self, edge_id: EntryId) -> None:
        """Trims everything up to this edge, which ends the last stored block that rows were erased from."""
        await self._tail.must_be_compared()
        await self._stream.trim(self._lease, edge_id)
        self._progress.trimmed(edge_id)
        self._erasing.trimmed()

    async def _wait(self, handing_over: asyncio.Event) -> None:
        seconds = IDLE_SECONDS
        if (soon_ms := self._ahead.wait_ms(self._clock.now_ms())) is not None:
            seconds = min(seconds, soon_ms / 1000)
        try:
            async with asyncio.timeout(max(0.005, seconds)):
                await handing_over.wait()
        except TimeoutError:
            return


def _by_site(block: Block, duplicates: Counter[Key]) -> BySite:
    copies: Counter[str] = Counter()
    for (_, site), events in duplicates.items():
        copies[site] += events
    return BySite(block.sites(), copies)
