"""Makes the rows of one shard durable, commit by commit: in Redis, or in the spool while Redis can't take them.

One append is in flight, because a producer's commits are numbered and Redis takes only the next
number (docs/delivery.md, rule 1).

    queue ─▶ seal ─▶ Redis, fsynced ──────────────▶ settle all     callbacks: `leave`, `_heard`
               └─ trouble ─▶ spool, fsynced ──────▶ settle all     a task of the shard: `run`
                              └─ the returner drains it, in order ─▶ Redis

The usual commit is one call and one callback. A commit whose append failed is handed to the shard's task. It goes to the
spool under its number, and so do all later ones of the shard until the spool is drained: then the shard is live again, as
a new producer (returner.py). The script answers `done` to a commit that was in all along. Without a spool, or when the
spool is full, the commit is tried again until it is known to be somewhere. Until then the shard is stuck: the appender
sheds new requests to it.

Where Redis has replicas, commits that it acknowledged are held until all replicas have them (held.py). Whenever Redis does
not take a commit, those that are held go into the spool in front of it, and are drained like it. So what a failover lost comes
again under its own numbers. Without a spool it comes from memory.

Not promised: that a commit whose requests were answered 503 was not stored.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

from ingest.commit.answers import Gap, Refused, Unclear
from ingest.commit.fault import Fault
from ingest.commit.held import Held
from ingest.commit.queue import Queue, merged
from ingest.commit.share import Share
from ingest.commit.spool import Chain, Spool, SpoolFull
from ingest.commit.stream import Done
from ingest.commit.totals import totals
from ingest.fates import Shed
from schemas import entry
from schemas.segment import Commit

log = logging.getLogger(__name__)
# Commits of few rows begin so long after one another, because a commit costs 120 us of CPU here and 40 in Redis, whatever it
# holds. At 8 000 events a second each returned after 4 rows; gathering takes 45 % off what an event costs, a third off its
# bytes in Redis, and 40 ms off the 99th percentile (measured with 32 rows). A lone request, and GATHER_ROWS, wait for nothing.
GATHER_SECONDS = 0.004
GATHER_ROWS = 64
RETRY_SECONDS = 0.1
IDLE_SECONDS_MAX = 86_400  # a producer silent for longer goes on as a new one, days before Redis forgets it
# A spooling shard rests between commits as long as one took: commit for commit the drain would never catch up with it,
# as each costs an fsync there too. At 250 requests/s on a slow disk a shard stayed in the spool for good.
REST_SECONDS_MIN, REST_SECONDS_MAX = 0.01, 0.1


class Stream(Protocol):
    """Appends commits. The commit is durable when `append` returns, or when `done` is called with None.

    `append` raises answers.Unclear, Refused or Gap. `done` is called with one of them, once and never from inside `send`.
    Where Redis has replicas, all of them have the commit when `append` returns; `send` waits for them if `is_confirmed`.
    Then `append` raises Gap only if they lack the commits too; what `send` says of a gap may be one server's view.
    """

    async def append(self, shard: int, producer: str, commit: Commit) -> None: ...

    def send(self, shard: int, producer: str, commit: Commit, done: Done, *, is_confirmed: bool = False) -> None: ...

    async def confirmed(self, shard: int, producer: str) -> int: ...

    def lost(self, commits: int) -> None: ...


class Counts(Protocol):
    """Counts commits, and the events in them."""

    def accepted(self, site: str, dialect: str, events: int) -> None: ...
    def committed(self, seconds: float, rows: int) -> None: ...


class Progress(NamedTuple):
    """Says how far a shard is: the last commit that is somewhere durable. It is replaced as a whole."""

    producer: str
    number: int  # of the producer's commits, from 1; 0 before the first
    chain: Chain | None  # where this producer's commits are spooled; None while they go to Redis

    @classmethod
    def beginning(cls) -> Self:
        """Returns that of a new producer."""
        return cls(secrets.token_hex(8), 0, None)


class Flight(NamedTuple):
    """Holds a commit on its way: sealed under the number after the last one's, and who waits for it."""

    commit: Commit
    counted: dict[tuple[str, str], int]  # events by site and dialect
    shares: list[Share]


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
        fault: Fault,
        landed: Callable[[list[Share]], None],
        gather_seconds: float = GATHER_SECONDS,
        held: Held | None = None,
    ) -> None:
        """Takes two callbacks, and in `held` what keeps commits for a failover, where Redis has replicas.

        `pressed` returns why nothing is to be appended now, or None. `landed` is called once for each commit, with the
        shares that are durable; the next commit can leave then. `fault` takes an error of a callback that nobody expects.
        """
        self.shard = shard
        self.queue = queue
        self.held = held
        self.progress = Progress.beginning()
        self.flight: Flight | None = None
        self.turn = asyncio.Lock()  # held while the shard's task places a commit, and while the spool is left
        self.is_stuck = False  # its commit is nowhere durable yet
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._counts = counts
        self._spool = spool
        self._pressed = pressed
        self._fault = fault
        self._landed = landed
        self._gather_seconds = gather_seconds
        self._began = 0.0  # when the last commit began, by the loop's clock
        self._rests_until = 0.0  # if it spools
        self._trouble: Exception | None = None  # of the commit in flight, when Redis did not take it
        self._is_doubtful = False  # Redis perhaps has the commit in flight, under the number that it was sent with
        self._is_ending = False  # nothing is sent any more, and no answer to what was sent is heard
        self._is_handed_over = asyncio.Event()  # the commit in flight is the task's to place
        self._has_spooled = asyncio.Event()

    @property
    def chain(self) -> Chain | None:
        """Returns the chain of this shard's spooled commits; None while they go to Redis."""
        return self.progress.chain

    def leaves_at(self, *, is_hurried: bool) -> float:
        """Returns the first moment of the loop's clock at which the next commit may begin.

        `is_hurried` means that nothing more can come, so that a commit need not wait for it.
        """
        if self.progress.chain is not None:
            return self._rests_until
        return 0.0 if is_hurried or self.queue.rows >= GATHER_ROWS else self._began + self._gather_seconds

    def leave(self) -> None:
        """Begins a commit of what waits. Call it while nothing is in flight and something waits."""
        began = self._loop.time()
        if self.chain is None and began - self._began > IDLE_SECONDS_MAX and not self.held:
            self.progress = Progress.beginning()
        self._began = began
        shares = self.queue.take()
        columns = merged(shares)
        accepted, counted = totals(columns)
        commit = Commit(self.progress.number + 1, entry.encode(columns), len(columns[0]), accepted)
        self.flight = Flight(commit, counted, shares)
        if not self._is_live():
            self._is_handed_over.set()
        elif self.held is None:
            self._stream.send(self.shard, self.progress.producer, commit, self._heard)
        elif self.turn.locked():  # what is held is being sent again, and Redis takes nothing before it
            self._is_handed_over.set()
        elif self.held.is_full:
            self._stream.send(self.shard, self.progress.producer, commit, self._heard_of_all, is_confirmed=True)
        else:
            self._stream.send(self.shard, self.progress.producer, commit, self._heard)

    def _is_live(self) -> bool:
        """Returns whether a commit may be sent to Redis now."""
        return self.progress.chain is None and not self._is_ending and not self._pressed()

    def _heard(self, error: BaseException | None) -> None:
        with self._fault:
            if self._is_ending:  # its commit is the task's
                return
            if error is None:
                self.progress = self.progress._replace(number=self.progress.number + 1)
                if self.held is not None and self.flight is not None:
                    self.held.add(self.flight.commit)
                self._land()
            elif isinstance(error, Unclear | Refused | Gap):
                # Where Redis has replicas, one server's gap may be that of an old primary, or of one that is being filled
                # with what is held: only `append` asks whether the replicas lack it too.
                is_believed = self.held is None or not isinstance(error, Gap)
                self._trouble = error if is_believed else Unclear(f"{error}: Redis perhaps failed over")
                self._is_doubtful = True
                self._is_handed_over.set()
            else:
                raise error

    def _heard_of_all(self, error: BaseException | None) -> None:
        """Notes a commit that all replicas have, and so every commit before it."""
        self._heard(error)
        if error is None and self.held is not None:
            self.held.clear()

    async def run(self) -> None:
        """Brings the commits that Redis did not take at once to a place where they are durable, until it is cancelled."""
        while True:
            await self._is_handed_over.wait()
            assert self.flight is not None
            trouble, self._trouble = self._trouble, None
            await self._place(self.flight.commit, trouble)
            self._is_handed_over.clear()
            self._land()

    def _land(self) -> None:
        """Tells that the commit in flight is durable."""
        assert self.flight is not None
        commit, counted, shares = self.flight
        self.flight = None
        self.is_stuck = self._is_doubtful = False
        now = self._loop.time()
        took = now - self._began
        self._rests_until = now + min(max(took, REST_SECONDS_MIN), REST_SECONDS_MAX)
        for (site, dialect), events in counted.items():
            self._counts.accepted(site, dialect, events)
        self._counts.committed(took, commit.rows)
        self.queue.landed(shares)
        self._landed(shares)

    async def spooling(self) -> Chain:
        """Returns the chain of this shard's spooled commits, once there is one."""
        await self._has_spooled.wait()
        assert self.chain is not None
        return self.chain

    def resume(self) -> None:
        """Goes on in Redis, as a new producer. Call it while `turn` is held and the chain is drained.

        A commit in flight that Redis perhaps has keeps its producer and number, or it could be stored twice. That is
        over where Redis had a gap before it.
        """
        self._has_spooled.clear()
        is_kept = self._is_doubtful and self.chain is not None and not self.chain.has_gap
        self.progress = self.progress._replace(chain=None) if is_kept else Progress.beginning()

    async def _place(self, sealed: Commit, trouble: Exception | None) -> None:
        """Waits until the commit is in Redis or in the spool, fsynced. `trouble` is what became of its first append."""
        while True:
            async with self.turn:
                commit = sealed._replace(number=self.progress.number + 1)
                if trouble is not None:
                    self._blame(trouble)
                    trouble = None
                    is_sent = False
                else:
                    is_sent = self._is_live() and await self._sent(commit)
                if is_sent:
                    self.progress = self.progress._replace(number=commit.number)
                    return
                if await self._spooled(commit):
                    return
            self.is_stuck = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _sent(self, commit: Commit) -> bool:
        """Returns True if Redis has the commit and what was held before it, False if it perhaps has not."""
        try:
            await self._send_again()
            self._is_doubtful = True
            await self._stream.append(self.shard, self.progress.producer, commit)
        except (Gap, Unclear, Refused) as error:
            self._blame(error)
            return False
        return True

    async def _send_again(self) -> None:
        """Sends what is held from memory, until all replicas have it. Raises Gap, Unclear or Refused."""
        if self.held is not None:
            for one in self.held.commits:
                await self._stream.append(self.shard, self.progress.producer, one)
                self.held.confirmed(one.number)

    def _blame(self, error: Exception) -> None:
        """Logs why Redis did not take a commit, and goes on as a new producer if it lost earlier ones for good."""
        if not isinstance(error, Gap):
            self._say(logging.WARNING, f"Redis is unwell: {error}")
            return
        # Redis lost our earlier commits: only a new producer can go on, and the loss is Redis's to explain
        log.critical("%s: Redis lost %d commits it had acknowledged", error, error.missing)
        self._stream.lost(error.missing)
        self.progress = Progress.beginning()
        self._is_doubtful = False
        if self.held is not None:  # the gap is before the first of these, so Redis has none of them
            self.progress = self.progress._replace(number=self.held.renumber())

    async def _spooled(self, commit: Commit) -> bool:
        """Returns whether the spool has the commit, and what was held before it."""
        if self._spool is None or commit.number != self.progress.number + 1:
            return False
        try:
            chain = self.chain or await self._opened(self._spool)
            await chain.write(commit)
        except SpoolFull as error:
            self._say(logging.CRITICAL, str(error))
            return False
        self.progress = Progress(self.progress.producer, commit.number, chain)
        self._has_spooled.set()
        return True

    async def _opened(self, spool: Spool) -> Chain:
        """Returns a new chain, which begins with what is held. Raises SpoolFull."""
        chain = spool.open(self.progress.producer, self.shard)
        if self.held:
            self.progress = self.progress._replace(chain=chain)  # so that nothing is sent meanwhile
            try:
                await chain.write(*self.held.commits)
            except SpoolFull:
                self.progress = self.progress._replace(chain=None)
                await chain.close()
                raise
            self.held.clear()
            self._has_spooled.set()
        return chain

    async def confirmed(self, producer: str, number: int, known: int) -> None:
        """Notes that Redis and its replicas know the producer up to `known`, when `number` was the last acknowledged.

        If that is less, a failover lost the rest, and it comes again.
        """
        if self.held is None or producer != self.progress.producer:
            return
        self.held.confirmed(known)
        if known < number:
            await self.recover()

    async def recover(self) -> None:
        """Brings what is held to the spool, or to Redis again, unless a commit in flight is about to find out."""
        async with self.turn:
            if not self.held or self.flight is not None or self.chain is not None:
                return
            log.error("shard %d: %d commits that Redis does not confirm are sent again", self.shard, len(self.held))
            try:
                if self._spool is None:
                    await self._send_again()
                else:
                    await self._opened(self._spool)
            except (Unclear, Refused, SpoolFull) as error:  # it stays held, and is tried again
                log.warning("shard %d: not yet: %s", self.shard, error)
            except Gap as gap:  # a commit in flight was not sent meanwhile, and takes the number behind these
                self._blame(gap)

    async def let_go(self) -> None:
        """Brings what is held to the spool, or to Redis again, because the process ends. Without replicas nothing is held.

        Redis may not answer for a while what became of the commit in flight, and may never come back. So its answer is not
        waited for: the commit goes to the spool behind what is held, as if there had been none. What comes later does too,
        because nobody would look any more whether the replicas have it.
        """
        if self.held is None:
            return
        self._is_ending = True
        flight = self.flight
        if flight is not None and not self._is_handed_over.is_set():
            self._trouble, self._is_doubtful = Unclear("no answer before the end"), True
            self._is_handed_over.set()
        while flight is not None and self.flight is flight and not self.is_stuck:  # noqa: ASYNC110  its task ends it
            await asyncio.sleep(0.005)
        await self.recover()

    def _say(self, level: int, text: str) -> None:
        """Logs once for a commit, however often it is tried, because the log may be on the disk that is full."""
        if not self.is_stuck:
            log.log(level, "shard %d: %s", self.shard, text)
