"""One block into ClickHouse, exactly once: insert, verify, heal.

A part (the rows of one month) is delivered in a loop whose only exits are "ClickHouse holds
exactly these rows" and an exception:

    first try ──clear success──▶ done
        │ unclear
        ▼
    no INSERT of this block runs? ─▶ held = rows by attempt
        one attempt is whole, alone ───────────▶ done
        one is whole, others beside it ────────▶ delete the lower ones
        nothing held, no success yet ──────────▶ INSERT under the token, attempt 0
        success, still not held (the rename hole) or held in part ▶ INSERT attempt n + 1, token …:hn

What an INSERT puts into `events` a view puts into `ids`. One that was cut off may have done the one without
the other, so whatever was verified has its ids added; there they are a set, and twice is once.

Rules 3 to 5 of delivery.md. A clear success is believed only on a first try: a token that
was written down before its part was moved into place makes ClickHouse drop the retry and
say success (docs/facts.md). Counters live in the part of the rows they count (a projection), and
sessions are a view: rows that are there are counted, and nothing else is.

A deadline is a moment of ClickHouse's clock, so that clock is read, and this host's never.

Not promised, where ClickHouse loses tokens (power loss) within a lease's time: that an INSERT
which came through a proxy after it was given up is refused; nor that one address is one clock
(replicas behind it whose clocks are seconds apart).
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
from schemas.entry import token

log = logging.getLogger(__name__)
RETRY_FIRST_SECONDS = 0.1


class Holds(verify.Asks, Protocol):
    """Where blocks go: the table, or a fake that passes the same contract suite."""

    async def insert(self, part: Part, *, block: str, token: str, attempt: int, deadline: int) -> None:
        """Store all rows or raise: Unclear (unknown), Late or Refused (nothing stored)."""

    async def keep_ids(self, block: str) -> None:
        """Add a block's client ids to those that are known, if they are not there; returns when they are."""

    async def forget(self, block: str, month: int, below_attempt: int) -> None:
        """Delete the rows of lower attempts of one block and month; returns when they are gone."""


class Delivery:
    """Delivers blocks to one table."""

    def __init__(self, *, table: Holds, room: Room, metrics: Metrics, retry_seconds_max: float) -> None:
        self._table = table
        self._room = room
        self._metrics = metrics
        self._retry_seconds_max = retry_seconds_max
        self._clock = verify.Clock()

    async def deliver(self, lease: Lease, block: Block, *, is_first: bool) -> int:
        """Return when ClickHouse holds the block exactly once; the number of INSERTs sent.

        `is_first` only when no INSERT of this block can have been sent by anybody. Raises
        LeaseLost when there is no time left to insert under this lease, table.Refused when
        ClickHouse will never take a part.
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
                # nothing was stored; a renewed lease gives a later deadline, and the clock may have been set
                self._clock.forget()
                self._metrics.retries.labels("late").inc()
                await self._pause(lease, RETRY_FIRST_SECONDS)
            except Unclear as error:
                log.warning("shard %d: ClickHouse is unwell, block %s waits: %s", block.shard, block.id, error)
                self._metrics.retries.labels("unclear").inc()
                self._clock.forget()  # it may be another server's when it answers again
                is_first = was_accepted = False
                await self._pause(lease, pause)
                pause = min(self._retry_seconds_max, pause * 2)

    async def _missing(self, block: Block, part: Part, attempt: int, was_accepted: bool) -> int | None:
        """The attempt to insert next, or None when the part is there once."""
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
            token=token(block.id, part.month, attempt),
            attempt=attempt,
            deadline=lease.deadline(self._clock.unix_seconds()),
        )
        self._metrics.insert_seconds.observe(asyncio.get_running_loop().time() - began)

    async def _pause(self, lease: Lease, seconds: float) -> None:
        if lease.seconds_left() <= 0:
            raise LeaseLost(f"shard {lease.shard}: the lease ran out while ClickHouse was unwell")
        await asyncio.sleep(seconds * random.uniform(0.5, 1))
