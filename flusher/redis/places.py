"""Shows on which server of Redis each shard is, where there are several.

Not promised: that a shard is still there. It looks every five seconds, and what it shows is where the next command goes.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from prometheus_client import Gauge

from flusher.redis.lease import Unclear

LOOK_SECONDS = 5.0
NODES_MAX = 64  # servers with series of their own; the others are `other`


class Source(Protocol):
    """Says where a shard is: stream.RedisStream. Raises lease.Unclear."""

    async def server_of(self, shard: int) -> str: ...


async def watch(source: Source, shards: int, gauge: Gauge) -> None:
    """Looks until cancelled. A Redis of one server has no series."""
    names: dict[str, None] = {}
    shown: set[tuple[str, str]] = set()
    while True:
        try:
            places = {str(shard): await source.server_of(shard) for shard in range(shards)}
        except Unclear:
            places = {}
        found = set()
        for shard, server in places.items():
            if len(names) < NODES_MAX:
                names[server] = None
            if server:
                found.add((shard, server if server in names else "other"))
        for labels in shown - found if places else ():
            gauge.remove(*labels)
        for labels in found:
            gauge.labels(*labels).set(1)
        shown = found if places else shown
        await asyncio.sleep(LOOK_SECONDS)
