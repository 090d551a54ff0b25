"""Brings spooled commits back to Redis: those of a living shard, and those that a dead worker left.

The commits of a chain are appended in order, each until Redis is known to have it. They keep their
producer and their numbers, so a commit that had reached Redis before it was spooled is not stored
twice, and a drain that is killed half-way can start over (docs/delivery.md, rule 1). When all of a
shard's chain is drained, its committer goes on in Redis.

Not promised: that a drain ends. It waits as long as Redis refuses or a segment can't be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ingest.commit.answers import Gap, Refused, Unclear
from ingest.commit.committer import RETRY_SECONDS, Committer, Stream
from ingest.commit.spool import Chain, Unreadable
from ingest.fates import Shed
from schemas.segment import Commit

log = logging.getLogger(__name__)
RETRY_SECONDS_MAX = 1.0  # a Redis that is back is used again within a second


class Returner:
    """Drains chains."""

    def __init__(self, stream: Stream, pressed: Callable[[int], Shed | None]) -> None:
        self._stream = stream
        self._pressed = pressed

    async def run(self, committer: Committer) -> None:
        """Brings a shard back to Redis whenever it was spooled, until it is cancelled."""
        while True:
            chain = await committer.spooling()
            await self.drain(chain)
            async with committer.turn:
                if await self._next(chain) is None:
                    await chain.close()
                    committer.resume()
                    log.info("shard %d: the spool is drained", committer.shard)

    async def drain(self, chain: Chain) -> None:
        """Appends a chain's commits in order, each until Redis is known to have it.

        Redis answers Gap when it lost commits of this producer, or forgot it: the machine was off for a week. Then
        each of the rest is the one commit of a producer of its own, named after its number: the same in every try,
        wherever a drain starts over.
        """
        pause = RETRY_SECONDS
        while (commit := await self._next(chain)) is not None:
            producer = f"{chain.producer}~{commit.number}" if chain.has_gap else chain.producer
            numbered = commit._replace(number=1) if chain.has_gap else commit
            try:
                if self._pressed(chain.shard):
                    raise Refused("under pressure")  # noqa: TRY301  the same wait as Redis's own refusal
                await self._stream.append(chain.shard, producer, numbered)
            except Gap as gap:
                log.critical("%s: Redis lost commits it had acknowledged, or forgot them after a week", gap)
                if not chain.has_gap:
                    self._stream.lost(gap.missing if gap.known else 1)
                chain.has_gap = True
            except (Unclear, Refused):
                await asyncio.sleep(pause)
                pause = min(RETRY_SECONDS_MAX, pause * 2)
            else:
                await chain.drained()
                pause = RETRY_SECONDS

    async def _next(self, chain: Chain) -> Commit | None:
        """Returns the next commit of a chain, and waits as long as it can't be read."""
        said = ""
        while True:
            try:
                return await chain.next()
            except Unreadable as error:
                if str(error) != said:
                    said = str(error)
                    log.critical("spool: waiting to read on: %s", error)
                await asyncio.sleep(RETRY_SECONDS_MAX)
