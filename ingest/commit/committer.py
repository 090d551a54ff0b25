"""Makes the rows of one shard durable, commit by commit: in Redis, or in the spool while Redis can't take them.

One append is in flight, because a producer's commits are numbered and Redis takes only the next
number (docs/delivery.md, rule 1).

    queue ─▶ seal ─▶ Redis, fsynced ──────────────▶ answer all
               └─ trouble ─▶ spool, fsynced ──────▶ answer all
                              └─ the returner drains it, in order ─▶ Redis

A commit whose append failed goes to the spool under its number, and so do all later ones of the
shard until the spool is drained: then the shard is live again, as a new producer (returner.py).
The script answers `done` to a commit that was in all along. Without a spool, or when the spool is
full, the commit is tried again until it is known to be somewhere. Until then the shard is stuck:
the appender sheds new requests to it.

Not promised: that a commit whose requests were answered 503 was not stored.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ingest.commit.queue import GATHER_SECONDS, Queue, Share
from ingest.commit.spool import Chain, Spool, SpoolFull
from ingest.commit.stream import Gap, Refused, Unclear
from ingest.commit.totals import totals
from ingest.fates import Shed
from schemas import entry
from schemas.row import columns_of
from schemas.segment import Commit

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.1
IDLE_SECONDS_MAX = 86_400  # a producer silent for longer goes on as a new one, days before Redis forgets it
# A spooling shard rests between commits as long as one took: commit for commit the drain would never catch up with it,
# as each costs an fsync there too. At 250 requests/s on a slow disk a shard stayed in the spool for good.
REST_SECONDS_MIN, REST_SECONDS_MAX = 0.01, 0.1


class Stream(Protocol):
    """Appends commits. When `append` returns, the commit is durable. Raises stream.Unclear, Refused or Gap."""

    async def append(
        self, shard: int, *, producer: str, number: int, data: bytes, rows: int, accepted: Mapping[str, int]
    ) -> None: ...


class Counts(Protocol):
    """Counts commits, and the events in them."""

    def accepted(self, site: str, dialect: str, events: int) -> None: ...
    def committed(self, seconds: float, rows: int) -> None: ...


class Committer:
    """Commits one shard's queue."""

    def __init__(
        self,
        shard: int,
        queue: Queue,
        *,
        stream: Stream,
        counts: Counts,
        spool: Spool | None,
        pressed: Callable[[], Shed | None],
        settled: Callable[[Sequence[Share]], None],
    ) -> None:
        """Takes two callbacks.

        `pressed` returns why nothing is to be appended now, or None. `settled` is called once for each commit, with the
        shares that are durable.
        """
        self.shard = shard
        self.chain: Chain | None = None  # not None while this producer's commits go to the spool
        self.turn = asyncio.Lock()  # held while a commit is placed, and while the spool is left
        self.is_placing = False
        self.is_stuck = False  # its commit is nowhere durable yet
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._stream = stream
        self._counts = counts
        self._spool = spool
        self._pressed = pressed
        self._settled = settled
        self._producer = secrets.token_hex(8)
        self._number = 0  # of the last commit that is somewhere durable
        self._began = 0.0  # when the last commit began, by the loop's clock
        self._has_spooled = asyncio.Event()

    async def run(self, rows_max: int, bytes_max: int) -> None:
        """Commits what waits, at most so many rows and bytes at a time, until it is cancelled."""
        took = 0.0
        while True:
            await self._queue.filled()
            if self.chain is not None:
                await asyncio.sleep(min(max(took, REST_SECONDS_MIN), REST_SECONDS_MAX))
            elif (until := self._began + GATHER_SECONDS) > self._loop.time():
                await self._queue.gathered(until)
            began = self._loop.time()
            if self.chain is None and began - self._began > IDLE_SECONDS_MAX:
                self._renew()
            self._began = began
            self.is_placing = True
            taken = self._queue.take(rows_max, bytes_max)
            rows = [row for share in taken for row in share.rows]
            columns = columns_of(rows)
            accepted, counted = totals(columns)
            await self._place(entry.encode(columns), len(rows), accepted)
            self.is_placing = False
            for (site, dialect), events in counted.items():
                self._counts.accepted(site, dialect, events)
            self._settled(taken)
            took = self._loop.time() - began
            self._counts.committed(took, len(rows))

    async def spooling(self) -> Chain:
        """Returns the chain of this shard's spooled commits, once there is one."""
        await self._has_spooled.wait()
        assert self.chain is not None
        return self.chain

    def resume(self) -> None:
        """Goes on in Redis, as a new producer. Call it while `turn` is held and the chain is drained."""
        self.chain = None
        self._has_spooled.clear()
        self._renew()

    def _renew(self) -> None:
        self._producer = secrets.token_hex(8)
        self._number = 0

    async def _place(self, data: bytes, rows: int, accepted: dict[str, int]) -> None:
        """Waits until the commit is in Redis or in the spool, fsynced."""
        while True:
            async with self.turn:
                commit = Commit(self._number + 1, data, rows, accepted)
                if (self.chain is None and await self._sent(commit)) or await self._spooled(commit):
                    self._number += 1
                    self.is_stuck = False
                    return
            self.is_stuck = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _sent(self, commit: Commit) -> bool:
        """Returns True if Redis has the commit, False if it perhaps has not."""
        if self._pressed():
            return False
        try:
            await self._stream.append(self.shard, producer=self._producer, **commit._asdict())
        except Gap as gap:
            # Redis lost our earlier commits: only a new producer can go on, and the loss is Redis's to explain
            log.critical("%s: Redis lost commits it had acknowledged", gap)
            self._renew()
            return False
        except (Unclear, Refused) as error:
            self._say(logging.WARNING, f"Redis is unwell: {error}")
            return False
        return True

    async def _spooled(self, commit: Commit) -> bool:
        """Returns whether the spool has the commit."""
        if self._spool is None or commit.number != self._number + 1:
            return False
        chain = self.chain or self._spool.open(self._producer, self.shard)
        try:
            await chain.write(commit)
        except SpoolFull as error:
            self._say(logging.CRITICAL, str(error))
            return False
        self.chain = chain
        self._has_spooled.set()
        return True

    def _say(self, level: int, text: str) -> None:
        """Logs once for a commit, however often it is tried, because the log may be on the disk that is full."""
        if not self.is_stuck:
            log.log(level, "shard %d: %s", self.shard, text)
