"""Reads the clocks of other servers, and measures how long entries have waited by Redis's, by which they are dated.

An entry's id holds the time of Redis's clock when the entry was appended. That clock may be set, so the id is read as
a time only once, when this process first sees the entry; from then on its waiting is measured on this process's own
clock.

Not promised: how long an entry waited before this process saw it, if a clock was set meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from flusher.delivery import verify
from schemas.names import EntryId

Read = Callable[[], Awaitable[int]]


def clickhouse_clock(table: verify.Asks) -> Read:
    """Returns what reads ClickHouse's clock, in unix ms. Reading raises table.Unclear or Refused."""

    async def read() -> int:
        rows: list[tuple[Any, ...]] = await table.ask(verify.CLOCK, {})
        return int(rows[0][0])

    return read


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
        self._oldest: EntryId | None = None
        self._since_ms = 0

    async def see(self, oldest: EntryId | None) -> None:
        """Notes the id of the oldest entry; None when none waits. Raises what reading the clock raises."""
        if oldest is not None and oldest != self._oldest:
            await self._clock.read()
            self._since_ms = _loop_ms() - max(0, self._clock.now_ms() - oldest.ms)
        self._oldest = oldest

    def stop(self) -> None:
        """Ends the measurement, because this process no longer serves the shard."""
        self._oldest = None

    def seconds(self) -> float:
        """Returns for how long the oldest entry has waited; 0 when none waits."""
        return (_loop_ms() - self._since_ms) / 1000 if self._oldest is not None else 0.0


def _loop_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
