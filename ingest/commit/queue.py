"""Holds the rows of one shard that wait for a commit, and says when the next one should leave.

While one commit is on its way, rows of later requests gather here. Commits of few rows begin at
least GATHER_SECONDS after one another, because a commit costs the same whatever it holds; a lone
request, and GATHER_ROWS rows, wait for nothing.

Not promised: a bound. The appender bounds the bytes of all queues together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ingest.fates import Shed
from schemas.row import Row

# A commit costs 120 us of CPU here and 40 in Redis, whatever it holds. At 8 000 events a second each returned after 4 rows;
# gathering takes 45 % off what an event costs, a third off its bytes in Redis, and 40 ms off the 99th percentile.
GATHER_SECONDS = 0.004
GATHER_ROWS = 32

Done = Callable[[Shed | None], None]


class Waiting(msgspec.Struct, eq=False):  # eq=False: itself is its key in a dict
    """Holds a request that waits for its shards."""

    shards_left: int
    size: int
    is_reserved: bool  # `size` of the spool, until all of its rows are durable
    done: Done
    deadline: float  # by the loop's clock; afterwards the answer is that Redis is away


class Share(NamedTuple):
    """Holds the rows of one request that go to one shard, and about how many bytes they take."""

    rows: list[Row]
    size: int
    waiting: Waiting


class Queue:
    """Gathers the shares of one shard."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: deque[Share] = deque()
        self._rows = 0
        self._wanted = 0  # how many rows the committer waits for; 0 while it is busy
        self._enough: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Returns how many requests wait."""
        return len(self._pending)

    def add(self, share: Share) -> None:
        """Puts a share behind the others."""
        self._pending.append(share)
        self._rows += len(share.rows)
        if self._rows >= self._wanted and self._enough is not None:
            self._tell()

    def take(self, rows_max: int, bytes_max: int) -> list[Share]:
        """Takes whole shares up to the limits, at least one."""
        rows = size = 0
        taken: list[Share] = []
        pending = self._pending
        while pending:
            share = pending[0]
            if taken and (rows + len(share.rows) > rows_max or size + share.size > bytes_max):
                break
            taken.append(pending.popleft())
            rows += len(share.rows)
            size += share.size
        self._rows -= rows
        return taken

    async def filled(self) -> None:
        """Waits until there is a share."""
        if not self._pending:
            await self._have(1)

    async def gathered(self, until: float) -> None:
        """Waits until there are GATHER_ROWS, or until this moment of the loop's clock."""
        if self._rows < GATHER_ROWS:
            alarm = self._loop.call_at(until, self._tell)  # asyncio.timeout would cost a commit of one row a tenth more
            try:
                await self._have(GATHER_ROWS)
            finally:
                alarm.cancel()

    async def _have(self, rows: int) -> None:
        self._wanted = rows
        self._enough = self._loop.create_future()
        await self._enough

    def _tell(self) -> None:
        if self._enough is not None:
            enough, self._enough = self._enough, None
            if not enough.done():  # the committer was cancelled
                enough.set_result(None)
