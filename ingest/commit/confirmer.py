"""Asks, while commits are held, whether all replicas have them by now, and finds out where a failover lost some.

It asks for each shard on a connection of its own: how far Redis knows the shard's producer, and behind that for the replicas
(stream.RedisStream.confirmed). So a server that was succeeded by its replica confirms nothing, whichever connection still
leads to it. A number that is lower than what was acknowledged means that a replica without these commits was promoted.

Not promised: that a loss is noticed sooner than in CONFIRM_SECONDS. What is held lasts until it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ingest.commit.answers import Refused, Unclear
from ingest.commit.committer import Committer, Stream

CONFIRM_SECONDS = 0.5


class Confirmer:
    """Asks for what the committers of one worker hold."""

    def __init__(self, stream: Stream, committers: Sequence[Committer]) -> None:
        self._stream = stream
        self._committers = committers

    async def run(self) -> None:
        """Asks until it is cancelled."""
        while True:
            await asyncio.sleep(CONFIRM_SECONDS)
            await asyncio.gather(*(self._confirm(one) for one in self._committers if one.held))

    async def _confirm(self, committer: Committer) -> None:
        producer, number, _ = committer.progress
        try:
            known = await self._stream.confirmed(committer.shard, producer)
        except (Unclear, Refused):  # it stays held; appends say that Redis is unwell
            return
        await committer.confirmed(producer, number, known)
