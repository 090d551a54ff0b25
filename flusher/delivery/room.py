"""Watches the free space of ClickHouse's disks, so that the flusher waits before a disk is full.

A ClickHouse whose disk fills up fails INSERTs and merges half-way, and some builds then break parts that were stored.
So the fullest disk is looked at every two seconds, and below `clickhouse_free_bytes_min` nothing is sent. The events
that wait are fsynced in Redis.

Not promised: anything where ClickHouse does not let us look (it needs the grant `SELECT ON system.disks`). That is
logged once.
"""

from __future__ import annotations

import asyncio
import logging

from flusher.delivery.table import Unclear
from flusher.delivery.verify import Asks
from flusher.metrics import Metrics

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0  # the embedded engine takes 3 ms to answer
# Only disks that can be filled: an object store reports unlimited room.
ROOM = "SELECT name, free_space FROM system.disks WHERE NOT is_remote AND NOT is_read_only ORDER BY free_space LIMIT 1"


class Room:
    """Knows whether one ClickHouse has room, for all shards. `run` looks, so that no delivery waits for a look."""

    def __init__(self, *, table: Asks, free_bytes_min: int, metrics: Metrics) -> None:
        self._table = table
        self._free_bytes_min = free_bytes_min
        self._metrics = metrics
        self._short = ""
        self._is_said = False

    async def run(self) -> None:
        """Looks every LOOK_SECONDS, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once.

        If ClickHouse does not answer, the last answer stays: when it is down, INSERTs fail by themselves.
        """
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
        """Finds out whether ClickHouse is down, or only does not let us look at its disks."""
        try:
            await self._table.ask("SELECT 1", {})
        except Unclear:
            self._metrics.clickhouse_up.set(0)
        else:
            self._metrics.clickhouse_up.set(1)

    def check(self) -> None:
        """Returns if an INSERT may be sent, by the last look. Raises Unclear with the reason otherwise."""
        if self._short:
            raise Unclear(self._short)
