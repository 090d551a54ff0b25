"""Measures for how long a shard has had something to store and stored nothing.

The lag can't tell, because after an outage it is large while the shard catches up well. Time is the event loop's, so
the wall clocks of this host and of Redis change nothing.

Not promised: anything about an earlier lease, or about another flusher.
"""

from __future__ import annotations

import asyncio

from flusher.metrics import Metrics


class Standstill:
    """Measures the standstill of one shard under one lease."""

    def __init__(self) -> None:
        self._since: float | None = None

    def waits(self) -> None:
        """Notes that something waits to be stored. Noting it again changes nothing."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()

    def stored(self) -> None:
        """Notes that something was stored: time counts from now on, until `nothing_waits`."""
        self._since = asyncio.get_running_loop().time()

    def nothing_waits(self) -> None:
        """Notes that all is stored."""
        self._since = None

    def seconds(self) -> float:
        """Returns for how long something has waited while nothing was stored."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since


class Standstills:
    """Measures the standstills of all shards that this flusher serves."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shards: dict[int, Standstill] = {}

    def begin(self, shard: int) -> Standstill:
        """Returns the standstill of a shard whose lease was taken."""
        made = self._shards[shard] = Standstill()
        self._metrics.stalled.labels(str(shard)).set_function(made.seconds)
        return made

    def over(self, seconds: float) -> dict[int, float]:
        """Returns the shards that have stood still for longer than this, and for how long."""
        return {shard: one.seconds() for shard, one in sorted(self._shards.items()) if one.seconds() > seconds}
