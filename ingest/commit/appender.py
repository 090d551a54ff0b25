"""Takes requests, and answers each when its rows are durable.

    submit ─▶ inbox ─ collect ─▶ columns ─▶ a queue of shares for each shard
                                             ─▶ a committer for each shard ─▶ Redis or the spool ─▶ settled
                                                a returner brings back to Redis what was spooled

This is the front. It decides whether a request is taken at all, and lets it wait as it came. When a commit can leave, all
that wait are collected together, and their rows are split among the queues of their shards (share.py, queue.py). It hears
of each commit of the committers (committer.py), and answers a request when the last of its shards has its rows, or
`answer_seconds_max` after it came. So requests that come while a commit is on its way share the next one, and a thousand
of them share one decoding, one fsync and one callback.

Not promised: that a request answered 503 was not stored.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

from ingest.batch import Batch, Collect, Waiting
from ingest.commit.committer import GATHER_ROWS, GATHER_SECONDS, Committer, Counts, Stream
from ingest.commit.confirmer import Confirmer
from ingest.commit.fault import Fault
from ingest.commit.held import Budget, Held
from ingest.commit.queue import Queue
from ingest.commit.returner import Returner
from ingest.commit.share import Share, requests, split, without
from ingest.commit.spool import Chain, Spool
from ingest.fates import Shed

log = logging.getLogger(__name__)
EXPIRED_AT_ONCE = 500  # in one turn of the loop, of those not collected: each is judged then, which takes 30 us
EXPIRING_SECONDS = 0.02  # in one turn, too: to judge one of 2,500 events takes 0.1 s
EARLY_SECONDS = 0.0005  # uvloop counts whole milliseconds, so a timer may come so much before its moment


class Appender:
    """Commits the rows of requests to their shards' streams."""

    committer: type[Committer] = Committer

    def __init__(
        self,
        *,
        stream: Stream,
        counts: Counts,
        collect: Collect,
        shards: int,
        commit_rows_max: int,
        commit_bytes_max: int,
        queue_bytes_max: int,
        answer_seconds_max: float,
        spool: Spool | None = None,
        resend_bytes_max: int | None = None,
        pressed: Callable[[], Shed | None] = lambda: None,
        pressed_of: Callable[[int], Shed | None] | None = None,
        expected: Callable[[], int] = lambda: sys.maxsize,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        """Makes the queues and committers. Call it in the loop that will serve them.

        Where Redis has replicas, `resend_bytes_max` bounds what is held until they have it; None: it has none. `pressed`
        returns why nothing is to be appended to Redis now, or None, and `pressed_of` the same of one shard, where shards are
        on several servers. `expected` returns how many more requests
        could come now; where that is 0, those that wait are not kept waiting for others.
        """
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call in Python 3.11, 0.2 us
        self._fault = Fault()
        budget = None if resend_bytes_max is None else Budget(resend_bytes_max)
        self._committers = [
            self.committer(
                shard, Queue(rows_max=commit_rows_max, bytes_max=commit_bytes_max), stream=stream, counts=counts,
                spool=spool, pressed=partial(pressed_of, shard) if pressed_of else pressed, fault=self._fault, landed=self._settle,
                gather_seconds=gather_seconds, held=None if budget is None else Held(budget),
            )
            for shard in range(shards)
        ]  # fmt: skip
        self._returner = Returner(stream, pressed_of or (lambda _: pressed()))
        self._confirmer = None if budget is None else Confirmer(stream, self._committers)
        self._collect_from = collect
        self._commit_rows_max = commit_rows_max
        self._queue_bytes_max = queue_bytes_max
        self._answer_seconds_max = answer_seconds_max
        self._spool = spool
        self._pressed = pressed
        self._pressed_of = pressed_of or (lambda _: pressed())
        self.expected = expected  # the server sets it once it has connections
        self._inbox: deque[Waiting] = deque()
        # Requests that are being collected in pieces, one after another.
        self._large: deque[Iterator[Batch | None]] = deque()
        self._bytes_raw = 0  # about as many as the rows of the inbox, and of the large ones, have
        self._bytes_collected = 0  # of rows that are not durable yet
        self._expiry: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None  # for the next turn in which something leaves
        self._is_due = False  # this turn of the loop ends with one
        self._is_running = False
        self._is_closing = False

    @property
    def is_ready(self) -> bool:
        """Says whether an event would be made durable now."""
        is_stuck = any(committer.is_stuck for committer in self._committers)
        return not (is_stuck or self._is_closing or (self._spool is None and self._pressed()))

    @property
    def bytes_waiting(self) -> int:
        """Returns about how many bytes the rows have that were taken from clients and are not durable yet."""
        return self._bytes_raw + self._bytes_collected

    def submit(self, request: Waiting) -> Shed | None:
        """Makes the rows of a request durable.

        Returns why that is not even tried; or None, and then `settled` of the request is called once, later: with None
        when all of its rows are durable, else with why it was shed.
        """
        shed = self._refusal(request.weight)
        if shed is not None:
            return shed
        request.due = self._loop.time() + self._answer_seconds_max
        request.shards_left = 0
        self._bytes_raw += request.weight
        self._inbox.append(request)
        if self._expiry is None:
            self._expiry = self._loop.call_at(request.due, self._expire)
        if not self._is_due:
            # Between the first and the one that makes them many, a request changes nothing but that it may be the last.
            waiting = len(self._inbox)
            if waiting in {1, GATHER_ROWS} or (self._timer is not None and not self.expected()):
                self._plan()
        return None

    def _refusal(self, weight: int) -> Shed | None:
        """Returns why a request is not even tried, or None. Its shards are not known yet: any may be its own."""
        if self._is_closing:
            return Shed.DRAINING
        pressed = self._pressed()
        is_spooling = pressed is not None
        for committer in self._committers:  # the first is live, usually
            if not committer.is_stuck and committer.progress.chain is None:
                break
        else:
            if self._is_stuck():
                return self._away()
            is_spooling = is_spooling or all(committer.chain is not None for committer in self._committers)
        if self.bytes_waiting + weight > self._queue_bytes_max:
            return Shed.QUEUE_FULL
        if self._spool is None:
            return pressed
        is_full = is_spooling and not self._spool.has_room(self._bytes_raw + weight)
        return Shed.SPOOL_FULL if is_full else None

    def _away(self) -> Shed:
        """Returns why a stuck shard takes nothing."""
        return Shed.REDIS if self._spool is None else Shed.SPOOL_FULL

    def _plan(self) -> None:
        """Decides when something leaves next: in this turn of the loop, at a moment, or when a commit has returned."""
        if self._is_due or not self._is_running:
            return
        if len(self._inbox) >= GATHER_ROWS and self._is_worth_collecting():
            self._soon()
            return
        is_hurried = not self.expected()
        moment = math.inf
        for committer in self._committers:
            if committer.flight is None and (self._inbox or committer.queue.rows):
                moment = min(moment, committer.leaves_at(is_hurried=is_hurried))
        if moment - self._loop.time() < EARLY_SECONDS:
            self._soon()
        elif moment < math.inf and (self._timer is None or moment < self._timer.when()):
            self._no_timer()
            self._timer = self._loop.call_at(moment, self._leave)

    def _is_worth_collecting(self) -> bool:
        """Says whether many that wait are collected although no commit can leave: their rows are ready when one can.

        What waits behind a full commit waits raw, as it may be too late before its turn comes.
        """
        return (
            sum(committer.queue.rows for committer in self._committers) < self._commit_rows_max and not self._is_stuck()
        )

    def _is_stuck(self) -> bool:
        """Says whether all shards are stuck. What came before waits raw then: collected it would be shed."""
        return all(committer.is_stuck for committer in self._committers)

    def _soon(self) -> None:
        """Lets what waits leave at the end of this turn of the loop, so that what is read in the same turn joins."""
        self._no_timer()
        self._is_due = True
        self._loop.call_soon(self._leave)

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        """Collects what waits, and begins the commits that can begin."""
        self._is_due = False
        self._no_timer()
        if not self._is_running:
            return
        with self._fault:
            if self._inbox and not self._is_stuck():
                self._collect()
            is_hurried = not self.expected()
            latest = self._loop.time() + EARLY_SECONDS
            for committer in self._committers:
                is_idle = committer.flight is None and committer.queue.rows
                if is_idle and committer.leaves_at(is_hurried=is_hurried) < latest:
                    committer.leave()
            self._plan()

    def _collect(self) -> None:
        """Collects requests for one commit, and puts their rows into the queues of their shards."""
        batch = self._collect_from(self._inbox)
        if batch.large:
            if not self._large:
                self._loop.call_soon(self._collect_piece)
            self._large += batch.large
        self._take(batch)

    def _collect_piece(self) -> None:
        """Does one piece of collecting a large request in each turn of the loop, so that others are answered meanwhile."""
        if not self._is_running:
            return
        with self._fault:
            batch = next(self._large[0])
            if batch is not None:
                self._large.popleft()
                if batch.owners and batch.owners[0].due <= self._loop.time():
                    self._too_late(batch.owners[0])  # its rows are dropped, as its client will send them again
                else:
                    self._take(batch)
                self._plan()
                if self._expiry is None:  # nothing else waits, so no timer looks at what came so long ago
                    self._expiry = self._loop.call_later(0, self._expire)
            if self._large:
                self._loop.call_soon(self._collect_piece)

    def _take(self, batch: Batch) -> None:
        """Puts rows into the queues of their shards, and answers the requests that have none, or whose shard takes none now."""
        for request in (*batch.finished, *requests(batch.owners)):
            self._bytes_raw -= request.weight
        shut = {shard: shed for shard in set(batch.shards) if (shed := self._shut(shard, batch))}
        taken, refused = without(batch, shut) if shut else (batch, [])
        for shard, share in split(taken):
            share.is_reserved = self._spool is not None and self._spool.reserve(share.size)
            self._bytes_collected += share.size
            for request in share.owners:
                request.shards_left += 1
            self._committers[shard].queue.add(share)
        for request in batch.finished:
            request.settled(None)
        for request, shard in refused:
            request.settled(shut[shard])

    def _shut(self, shard: int, batch: Batch) -> Shed | None:
        """Returns why no rows are taken for a shard now, or None."""
        committer = self._committers[shard]
        if committer.is_stuck:
            return self._away()
        if self._spool is None or (committer.progress.chain is None and not self._pressed_of(shard)):
            return None
        size = batch.size * batch.shards.count(shard) // len(batch.shards)
        return None if self._spool.has_room(size) else Shed.SPOOL_FULL

    def _settle(self, shares: list[Share]) -> None:
        """Notes that these shares are durable, and answers the requests that wait for no other shard."""
        for share in shares:
            self._bytes_collected -= share.size
            if share.is_reserved and self._spool is not None:
                self._spool.release(share.size)
            for request in share.owners:
                if request.shards_left:  # it is 0 when it was too late
                    request.shards_left -= 1
                    if not request.shards_left:
                        request.settled(None)
        self._plan()

    def _expire(self) -> None:
        """Answers the requests that waited too long. One timer serves all of them, because one for each would cost 1 us."""
        with self._fault:
            now, began = self._loop.time(), perf_counter()
            inbox = self._inbox
            for _ in range(min(EXPIRED_AT_ONCE, len(inbox))):
                if inbox[0].due > now:
                    break
                self._too_late(inbox.popleft())
                if perf_counter() - began > EXPIRING_SECONDS:
                    break
            moments = [moment for one in self._committers if (moment := one.queue.expire(now)) is not None]
            if inbox:
                moments.append(inbox[0].due)
            self._expiry = self._loop.call_at(min(moments), self._expire) if moments else None

    def _too_late(self, request: Waiting) -> None:
        """Answers a request that waited too long, and none of whose rows is in a queue."""
        self._bytes_raw -= request.weight
        request.settled(Shed.REDIS)

    async def run(self) -> None:
        """Serves all shards, and drains what was spooled, until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fault.raised(), name="fault of a callback")
                for committer in self._committers:
                    group.create_task(committer.run(), name=f"trouble of shard {committer.shard}")
                    group.create_task(self._returner.run(committer), name=f"spool of shard {committer.shard}")
                if self._confirmer is not None:
                    group.create_task(self._confirmer.run(), name="what replicas have")
                self._is_running = True
                self._plan()
        finally:
            self._is_running = False
            self._no_timer()

    async def drain(self, seconds: float) -> bool:
        """Takes no more requests. Returns whether the rows of all that waited became durable within the time.

        Whatever the time, what was acknowledged and not all replicas have goes to the spool in the end.
        """
        self._is_closing = True
        deadline = self._loop.time() + seconds
        while self._has_waiting() and self._loop.time() <= deadline:  # noqa: ASYNC110  whatever ends it ends in many places
            await asyncio.sleep(0.005)
        while any(one.held for one in self._committers) and self._loop.time() < deadline:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.005)
        await asyncio.gather(*(committer.let_go() for committer in self._committers))
        left = sum(len(one.held) for one in self._committers if one.held)
        if left:
            log.critical(
                "%d commits were acknowledged, and neither the replicas nor the spool are known to have them", left
            )
        return not left and not self._has_waiting()

    def _has_waiting(self) -> bool:
        """Returns whether rows of requests are not durable yet."""
        is_collecting = self._inbox or self._large
        return bool(is_collecting) or any(one.queue.rows or one.flight is not None for one in self._committers)

    async def drain_chain(self, chain: Chain) -> None:
        """Appends the commits of a chain that a dead worker left; returns when Redis has all of them."""
        await self._returner.drain(chain)
