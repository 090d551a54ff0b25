"""Since when a shard has had something to store and stored nothing: a lag without an end.

Lag alone does not tell: after an outage it is large while all goes well. Time is the event loop's: what a wall clock
says, here or in Redis, changes nothing.

Not promised: what happened under an earlier lease, or in another flusher.
"""

from __future__ import annotations

import asyncio

from flusher.metrics import Metrics


class Standstill:
    """Of one shard, under one lease."""

    def __init__(self) -> None:
        self._since: float | None = None

    def waits(self) -> None:
        """Notes that something is to be stored; again and again changes nothing."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()

    def stored(self) -> None:
        """Notes that something was: time counts from now, until `nothing_waits`."""
        self._since = asyncio.get_running_loop().time()

    def nothing_waits(self) -> None:
        """Notes that all is stored."""
        self._since = None

    def seconds(self) -> float:
        """Returns for how long something has waited with nothing stored."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since


class Standstills:
    """Of all shards that this flusher serves."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shards: dict[int, Standstill] = {}

    def begin(self, shard: int) -> Standstill:
        """Returns a new one for a shard whose lease was taken."""
        made = self._shards[shard] = Standstill()
        self._metrics.stalled.labels(str(shard)).set_function(made.seconds)
        return made

    def over(self, seconds: float) -> dict[int, float]:
        """Returns the shards that have stood still for longer than this, and for how long."""
        return {shard: one.seconds() for shard, one in sorted(self._shards.items()) if one.seconds() > seconds}
