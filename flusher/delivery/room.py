"""Whether ClickHouse's disk has room for an INSERT: before the disk is full, the flusher waits.

A ClickHouse whose disk gets full fails INSERTs and merges half-way, and some builds break parts of what is stored. So
the disk that is fullest is looked at every two seconds, and below `clickhouse_free_bytes_min` nothing is sent. What
waits is fsynced in Redis.

Not promised: anything where ClickHouse does not let us look (it takes `SELECT ON system.disks`), which is said once.
"""

from __future__ import annotations

import asyncio
import logging

from flusher.delivery.table import Unclear
from flusher.delivery.verify import Asks
from flusher.metrics import Metrics

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0  # an embedded engine takes 3 ms to answer
# Disks that can be filled: an object store says that it has all the room there is.
ROOM = "SELECT name, free_space FROM system.disks WHERE NOT is_remote AND NOT is_read_only ORDER BY free_space LIMIT 1"


class Room:
    """Of one ClickHouse, for all shards. `run` looks, so that no delivery waits for a look."""

    def __init__(self, *, table: Asks, free_bytes_min: int, metrics: Metrics) -> None:
        self._table = table
        self._free_bytes_min = free_bytes_min
        self._metrics = metrics
        self._short = ""
        self._is_said = False

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once. What was known stays where ClickHouse does not answer: if it is down, INSERTs say so."""
        try:
            disks = await self._table.ask(ROOM, {})
        except Unclear as error:
            await self._ask_anything()
            if not self._is_said:
                self._is_said = True
                log.warning("ClickHouse's disk can't be looked at: %s", error)
            return
        self._is_said = False
        self._metrics.clickhouse_up.set(1)
        self._short = ""
        for name, free in disks:
            self._metrics.clickhouse_free_bytes.set(free)
            if int(free) < self._free_bytes_min:
                self._short = (
                    f"nothing is inserted while ClickHouse's disk {name} is short: {int(free) >> 20} MiB left,"
                    f" and clickhouse_free_bytes_min is {self._free_bytes_min >> 20} MiB"
                )

    async def _ask_anything(self) -> None:
        """Tells a ClickHouse that is away from one that does not let us look at its disks."""
        try:
            await self._table.ask("SELECT 1", {})
        except Unclear:
            self._metrics.clickhouse_up.set(0)
        else:
            self._metrics.clickhouse_up.set(1)

    def check(self) -> None:
        """Returns when an INSERT may be sent, as of the last look. Raises Unclear, with the reason."""
        if self._short:
            raise Unclear(self._short)
