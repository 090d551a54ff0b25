"""Whether Redis is close to a wall: its memory limit, or its disk's end.

Redis under `appendfsync always` exits when its disk is full, and refuses writes at maxmemory.
Appending stops before either (findings): to the spool where there is one, else to 503.

Not promised: exactness. It looks once a second; the margins are for what a second can bring
(85 % of maxmemory, and 256 MiB of disk: 50 k events of 1 kB a second fill 50 MB).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import Protocol

from ingest.stream import Refused, Unclear

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0


class Memory(Protocol):
    """Says how full Redis is."""

    async def memory_share(self) -> float: ...


class Pressure:
    """Looks once a second; `is_on` is read for every commit."""

    def __init__(self, *, memory: Memory, memory_share_max: float, disk: str, free_bytes_min: int) -> None:
        self.is_on = False
        self._memory = memory
        self._memory_share_max = memory_share_max
        self._disk = disk
        self._free_bytes_min = free_bytes_min

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. A Redis that does not answer is not under pressure: appends will tell."""
        why = ""
        if self._disk:
            try:
                free = shutil.disk_usage(self._disk).free
            except OSError as error:
                why = f"its disk cannot be asked: {error}"
            else:
                if free < self._free_bytes_min:
                    why = f"{free >> 20} MiB of disk left"
        try:
            share = await self._memory.memory_share()
            if share > self._memory_share_max:
                why = f"{share:.0%} of maxmemory in use"
        except (Unclear, Refused):
            pass
        if bool(why) != self.is_on:
            log.log(
                logging.CRITICAL if why else logging.INFO,
                "appending to Redis %s",
                f"stops: {why}" if why else "resumes",
            )
        self.is_on = bool(why)
