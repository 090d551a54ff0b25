"""Stores one block in ClickHouse exactly once: inserts it, verifies, and heals what is short or doubled.

A part (the block's rows of one month) is delivered in a loop that is left only when ClickHouse holds exactly these
rows, or by an exception:

    first try ──clear success──▶ done
        │ unclear
        ▼
    wait until no INSERT of this block runs, then count its rows by attempt
        one attempt is whole, and alone ───────▶ done
        the highest is whole, others are there ▶ delete the lower ones
        no rows, and no success so far ────────▶ INSERT under the token, attempt 0
        short after a success, or a part of it ▶ INSERT attempt n + 1, token …:h(n + 1)

These are rules 3 to 5 of docs/delivery.md. A clear success is believed only on a first try, because ClickHouse writes
down a token before it moves the part into place: killed in between, it drops the retry and reports success for rows
that it does not have (docs/facts.md). Nothing else has to be repaired beside the rows, because counters are a
projection, which lives in the part of the rows it counts, and sessions are a view.

A materialized view copies the client ids of each INSERT into `forebay.ids`. An INSERT that was cut off may have filled
one table and not the other, so the ids of every block that was verified are added again; they are a set, so adding
them twice changes nothing.

A deadline is a moment of ClickHouse's clock, so that clock is read, and this host's never is.

Not promised, if ClickHouse loses tokens (by a power cut) within a lease's time: that an INSERT is refused which a
proxy passes on after it was given up. Nor that one address is one clock: the clocks of replicas behind it may be
seconds apart.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

from flusher.blocks.block import Block, Part
from flusher.delivery import verify
from flusher.delivery.room import Room
from flusher.delivery.table import Late, Unclear
from flusher.metrics import Metrics
from flusher.redis.lease import Lease, LeaseLost

log = logging.getLogger(__name__)
RETRY_FIRST_SECONDS = 0.1


class Holds(verify.Asks, Protocol):
    """Takes blocks and answers for them: ClickHouse's table, or a fake that passes the same contract suite."""

    async def insert(self, part: Part, *, block: str, token: str, attempt: int, deadline: int) -> None:
        """Stores all rows. Raises Unclear (they may be stored), Late or Refused (none of them is)."""

    async def keep_ids(self, block: str) -> None:
        """Adds the client ids of a stored block to the known ones. Returns when they are there."""

    async def forget(self, block: str, month: int, below_attempt: int) -> None:
        """Deletes the rows of lower attempts of one block and month. Returns when they are gone."""


class Delivery:
    """Delivers blocks to one table, of any shard and under any lease."""

    def __init__(self, *, table: Holds, room: Room, metrics: Metrics, retry_seconds_max: float) -> None:
        self._table = table
        self._room = room
        self._metrics = metrics
        self._retry_seconds_max = retry_seconds_max
        self._clock = verify.Clock()

    async def deliver(self, lease: Lease, block: Block, *, is_first: bool) -> int:
        """Returns the number of INSERTs sent, once ClickHouse holds the block exactly once.

        `is_first` may be true only when no INSERT of this block can have been sent before, by anybody. Raises LeaseLost
        when the lease leaves no time to insert, and table.Refused when ClickHouse will never take a part.
        """
        sent = 0
        for part in block.parts:
            sent += await self._deliver_part(lease, block, part, is_first)
        return sent

    async def _deliver_part(self, lease: Lease, block: Block, part: Part, is_first: bool) -> int:
        sent = 0
        attempt = 0
        pause = RETRY_FIRST_SECONDS
        was_accepted = False
        while True:
            try:
                self._room.check()
                if not is_first:
                    attempt_next = await self._missing(block, part, attempt, was_accepted)
                    if attempt_next is None:
                        await self._table.keep_ids(block.id)
                        return sent
                    attempt = attempt_next
                sent += 1
                await self._insert(lease, block, part, attempt)
                if is_first:
                    return sent
                was_accepted = True
            except Late:
                # Nothing was stored. A renewed lease gives a later deadline, and ClickHouse's clock may have been set.
                self._clock.forget()
                self._metrics.retries.labels("late").inc()
                await self._pause(lease, RETRY_FIRST_SECONDS)
            except Unclear as error:
                log.warning("shard %d: ClickHouse is unwell, block %s waits: %s", block.name.shard, block.id, error)
                self._metrics.retries.labels("unclear").inc()
                self._clock.forget()  # another server, with another clock, may answer next
                is_first = was_accepted = False
                await self._pause(lease, pause)
                pause = min(self._retry_seconds_max, pause * 2)

    async def _missing(self, block: Block, part: Part, attempt: int, was_accepted: bool) -> int | None:
        """Returns the attempt to insert next, or None when ClickHouse holds the part exactly once."""
        while await verify.is_running(self._table, block.id):  # noqa: ASYNC110  ClickHouse sets no event of ours
            await asyncio.sleep(RETRY_FIRST_SECONDS)
        held = (await verify.held(self._table, block.id)).get(part.month, {})
        whole = [number for number, rows in held.items() if rows == part.rows]
        if whole and len(held) == 1:
            return None
        is_healing = bool(held) or was_accepted
        if whole and max(whole) == max(held):
            log.error("block %s, month %d is held twice: %s; the lower attempts go", block.id, part.month, held)
            self._metrics.healed.inc()
            await self._table.forget(block.id, part.month, max(whole))
            return await self._missing(block, part, attempt, was_accepted)
        if not is_healing:
            return attempt
        following = max([attempt, *held]) + 1
        log.error(
            "block %s, month %d holds %s of %d rows after a success; attempt %d heals it",
            block.id, part.month, held or "none", part.rows, following,
        )  # fmt: skip
        self._metrics.healed.inc()
        return following

    async def _insert(self, lease: Lease, block: Block, part: Part, attempt: int) -> None:
        if not self._clock.is_read():
            await self._clock.read(self._table)
        began = asyncio.get_running_loop().time()
        await self._table.insert(
            part,
            block=block.id,
            token=block.name.token(part.month, attempt),
            attempt=attempt,
            deadline=lease.deadline(self._clock.unix_seconds()),
        )
        self._metrics.insert_seconds.observe(asyncio.get_running_loop().time() - began)

    async def _pause(self, lease: Lease, seconds: float) -> None:
        if lease.seconds_left() <= 0:
            raise LeaseLost(f"shard {lease.shard}: the lease ran out while ClickHouse was unwell")
        await asyncio.sleep(seconds * random.uniform(0.5, 1))
