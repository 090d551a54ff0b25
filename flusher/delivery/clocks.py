"""Clocks beside each other: Redis's, by which entries are dated, and how far all of them are apart.

An entry's id is Redis's clock as long as nobody sets it, and is never taken for a time after that: how long
an entry has waited is measured on this process's own clock, from when it was first seen here.

Not promised: how long an entry waited before this process saw it, where a clock was set meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from flusher.delivery import verify
from flusher.delivery.table import Refused
from flusher.delivery.table import Unclear as TableUnclear
from flusher.metrics import Metrics
from flusher.redis.lease import Unclear
from schemas import clocks
from schemas.entry import entry_order

log = logging.getLogger(__name__)
LOOK_SECONDS = 15.0
Read = Callable[[], Awaitable[int]]


class Clock:
    """A clock elsewhere, as of when it was last read. Milliseconds."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._offset_ms = 0

    async def read(self) -> None:
        """Reads it. Raises what reading raises."""
        self._offset_ms = await self._read() - _loop_ms()

    def now_ms(self) -> int:
        """What it says now, unless it was set since."""
        return _loop_ms() + self._offset_ms


class Waiting:
    """How long the oldest entry of a shard has waited."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._oldest = ""
        self._since_ms = 0

    async def see(self, oldest: str) -> None:
        """Notes the id of the oldest entry; empty: none waits. Raises what reading the clock raises."""
        if oldest and oldest != self._oldest:
            await self._clock.read()
            self._since_ms = _loop_ms() - max(0, self._clock.now_ms() - entry_order(oldest)[0])
        self._oldest = oldest

    def stop(self) -> None:
        """Nobody waits for us any more."""
        self._oldest = ""

    def seconds(self) -> float:
        """For how long it has waited; 0: none does."""
        return (_loop_ms() - self._since_ms) / 1000 if self._oldest else 0.0


class Skews:
    """Looks, as long as the flusher runs, whether the clocks of Redis and ClickHouse are as this host's."""

    def __init__(self, *, redis: Read, table: verify.Asks, metrics: Metrics) -> None:
        async def clickhouse() -> int:
            rows: list[tuple[Any, ...]] = await table.ask(verify.CLOCK, {})
            return int(rows[0][0])

        self._clocks: dict[str, Read] = {"Redis": redis, "ClickHouse": clickhouse}
        self._metrics = metrics
        self._said: set[str] = set()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            for name in self._clocks:
                await self.look(name)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, name: str) -> None:
        """Looks at one of them. One that does not answer says nothing."""
        began = time.time()
        try:
            theirs_ms = await self._clocks[name]()
        except (Unclear, TableUnclear, Refused):
            return
        ours_ms = int((began + time.time()) * 500)  # in the middle of asking
        self._metrics.clock_skew.labels(name.lower()).set(abs(theirs_ms - ours_ms) / 1000)
        said = clocks.skew(name, theirs_ms, ours_ms)
        if said and name not in self._said:
            log.error("%s", said)
        (self._said.add if said else self._said.discard)(name)


def _loop_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
