"""Watches how far this host's clock is from Redis's: it dates events, and decides which of them a client sent twice.

Not promised: that either clock is right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from ingest.commit.stream import Refused, Unclear
from schemas.clocks import skew

log = logging.getLogger(__name__)
LOOK_SECONDS = 15.0


class Source(Protocol):
    """Knows Redis's clock. Raises stream.Unclear or Refused."""

    async def now_ms(self) -> int: ...


class Counts(Protocol):
    """Counts how far clocks are apart."""

    def clock_skew(self, clock: str, seconds: float) -> None: ...


class Skew:
    """Looks as long as the worker runs, and logs once when the clocks part."""

    def __init__(self, *, source: Source, counts: Counts) -> None:
        self._source = source
        self._counts = counts
        self._is_said = False

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once. If Redis does not answer, nothing changes."""
        began = time.time()
        try:
            theirs_ms = await self._source.now_ms()
        except (Unclear, Refused):
            return
        ours_ms = int((began + time.time()) * 500)  # in the middle of asking
        self._counts.clock_skew("redis", abs(theirs_ms - ours_ms) / 1000)
        said = skew("Redis", theirs_ms, ours_ms)
        if said and not self._is_said:
            log.error("%s", said)
        self._is_said = bool(said)
