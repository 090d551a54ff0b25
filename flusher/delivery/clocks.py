"""Compares clocks: measures how long entries wait, and warns when Redis's or ClickHouse's clock is off this host's.

An entry's id holds the time of Redis's clock when the entry was appended. That clock may be set, so the id is read as a
time only once, when this process first sees the entry; from then on its waiting is measured on this process's own clock.

Not promised: how long an entry waited before this process saw it, if a clock was set meanwhile.
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
    """Follows the clock of another server, in unix ms, from the last time that it was read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._offset_ms = 0

    async def read(self) -> None:
        """Reads the clock. Raises what its `read` raises."""
        self._offset_ms = await self._read() - _loop_ms()

    def now_ms(self) -> int:
        """Returns what the clock shows now, if it was not set since it was read."""
        return _loop_ms() + self._offset_ms


class Waiting:
    """Measures how long the oldest entry of a shard has waited."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._oldest = ""
        self._since_ms = 0

    async def see(self, oldest: str) -> None:
        """Notes the id of the oldest entry; empty when none waits. Raises what reading the clock raises."""
        if oldest and oldest != self._oldest:
            await self._clock.read()
            self._since_ms = _loop_ms() - max(0, self._clock.now_ms() - entry_order(oldest)[0])
        self._oldest = oldest

    def stop(self) -> None:
        """Ends the measurement, because this process no longer serves the shard."""
        self._oldest = ""

    def seconds(self) -> float:
        """Returns for how long the oldest entry has waited; 0 when none waits."""
        return (_loop_ms() - self._since_ms) / 1000 if self._oldest else 0.0


class Skews:
    """Compares the clocks of Redis and ClickHouse with this host's for as long as the flusher runs."""

    def __init__(self, *, redis: Read, table: verify.Asks, metrics: Metrics) -> None:
        async def clickhouse() -> int:
            rows: list[tuple[Any, ...]] = await table.ask(verify.CLOCK, {})
            return int(rows[0][0])

        self._clocks: dict[str, Read] = {"Redis": redis, "ClickHouse": clickhouse}
        self._metrics = metrics
        self._said: set[str] = set()

    async def run(self) -> None:
        """Compares both clocks every LOOK_SECONDS, until cancelled."""
        while True:
            for name in self._clocks:
                await self.look(name)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, name: str) -> None:
        """Compares one of the clocks. A server that does not answer is passed over."""
        began = time.time()
        try:
            theirs_ms = await self._clocks[name]()
        except (Unclear, TableUnclear, Refused):
            return
        ours_ms = int((began + time.time()) * 500)  # halfway between the question and the answer
        self._metrics.clock_skew.labels(name.lower()).set(abs(theirs_ms - ours_ms) / 1000)
        said = clocks.skew(name, theirs_ms, ours_ms)
        if said and name not in self._said:
            log.error("%s", said)
        (self._said.add if said else self._said.discard)(name)


def _loop_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
