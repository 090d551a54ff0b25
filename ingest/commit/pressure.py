"""Watches whether Redis comes close to a limit: of its memory, or of its disk.

Redis under `appendfsync always` exits when its disk is full, and refuses writes at maxmemory. So
appending stops before either: commits go to the spool if there is one, else events are answered 503.

Not promised: exactness. It looks once a second; the margins are for what can come in a second
(85 % of maxmemory, and 256 MiB of disk: 50 000 events of 1 kB a second fill 50 MB).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping
from typing import Protocol

from ingest.commit.answers import Refused, Unclear

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
SAY_SECONDS = 60.0  # while it lasts, it is said again


class Memory(Protocol):
    """Tells how full each server of Redis is, by its address; stream.RedisStream says what it raises."""

    async def memory_shares(self) -> Mapping[str, float]: ...


class Pressure:
    """Looks once a second; `is_on` is read for every commit."""

    def __init__(self, *, memory: Memory, memory_share_max: float, disk: str, free_bytes_min: int) -> None:
        self.why = ""  # in words; empty where appending goes on everywhere
        self.is_on = False  # on every server
        self._full: frozenset[str] = frozenset()  # the servers whose memory is short
        self._said_at = 0.0
        self._memory = memory
        self._memory_share_max = memory_share_max
        self._disk = disk
        self._free_bytes_min = free_bytes_min

    def is_on_at(self, server: str) -> bool:
        """Says whether nothing is to be appended on one server."""
        return self.is_on or server in self._full

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once. A Redis that does not answer is not under pressure: the next append will find out."""
        why = ""
        if self._disk:
            try:
                free = shutil.disk_usage(self._disk).free
            except OSError as error:
                why = f"the disk of {self._disk} cannot be asked: {error}"
            else:
                if free < self._free_bytes_min:
                    why = (
                        f"{free >> 20} MiB left on the disk of {self._disk}, and redis_free_bytes_min is"
                        f" {self._free_bytes_min >> 20} MiB"
                    )
        is_disk = bool(why)
        try:
            shares = await self._memory.memory_shares()
        except (Unclear, Refused):
            shares, self._full = {}, frozenset()
        else:
            self._full = frozenset(server for server, share in shares.items() if share > self._memory_share_max)
            if self._full:
                why = "; ".join(self._short(server, shares[server]) for server in sorted(self._full))
        self.is_on = is_disk or (bool(self._full) and len(self._full) == len(shares))
        now = time.monotonic()
        if why and (not self.why or now - self._said_at >= SAY_SECONDS):
            self._said_at = now
            log.critical("appending to Redis stops: %s", why)
        elif self.why and not why:
            log.info("appending to Redis resumes")
        self.why = why

    def _short(self, server: str, share: float) -> str:
        of = f" of {server}" if server else ""
        return f"{share:.0%} of maxmemory{of} in use, and memory_share_max is {self._memory_share_max:.0%}"
