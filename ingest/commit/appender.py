"""Takes the rows of requests, and answers each request when its rows are durable.

    append(rows) ─▶ a queue for each shard ─▶ a committer for each shard ─▶ Redis or the spool ─▶ answer all
                                              a returner brings back to Redis what was spooled

This is the front. It decides whether rows are taken at all, splits them among the queues of their
shards (queue.py), hears of each commit of the committers (committer.py), and answers a request when
the last of its shards has its rows, or `answer_seconds_max` after it came. So requests that come
while a commit is on its way share the next one, and a thousand of them share one fsync.

Not promised: that a request answered 503 was not stored.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from ingest.commit.committer import Committer, Counts, Stream
from ingest.commit.queue import Done, Queue, Share, Waiting
from ingest.commit.returner import Returner
from ingest.commit.spool import Chain, Spool, cost
from ingest.fates import Shed
from schemas.row import Row


class Appender:
    """Commits rows to their shards' streams."""

    committer: type[Committer] = Committer

    def __init__(
        self,
        *,
        stream: Stream,
        counts: Counts,
        shards: int,
        commit_rows_max: int,
        commit_bytes_max: int,
        queue_bytes_max: int,
        answer_seconds_max: float,
        spool: Spool | None = None,
        pressed: Callable[[], Shed | None] = lambda: None,
    ) -> None:
        """Makes the queues and committers. Call it in the loop that will serve them.

        `pressed` returns why nothing is to be appended to Redis now, or None.
        """
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call in Python 3.11, 0.2 us
        self._queues = [Queue(self._loop) for _ in range(shards)]
        self._committers = [
            self.committer(
                shard, queue, stream=stream, counts=counts, spool=spool, pressed=pressed, settled=self._settle
            )
            for shard, queue in enumerate(self._queues)
        ]
        self._returner = Returner(stream, pressed)
        self._commit_rows_max = commit_rows_max
        self._commit_bytes_max = commit_bytes_max
        self._queue_bytes_max = queue_bytes_max
        self._answer_seconds_max = answer_seconds_max
        self._spool = spool
        self._pressed = pressed
        self._bytes_waiting = 0
        # In the order of their deadlines. A dict whose first goes again and again looks at all who went before.
        self._unanswered: OrderedDict[Waiting, None] = OrderedDict()
        self._expiry: asyncio.TimerHandle | None = None
        self._is_closing = False

    @property
    def is_ready(self) -> bool:
        """Says whether an event would be made durable now."""
        is_stuck = any(committer.is_stuck for committer in self._committers)
        return not (is_stuck or self._is_closing or (self._spool is None and self._pressed()))

    @property
    def bytes_waiting(self) -> int:
        """Returns how many bytes, at most, the rows have that were taken from clients and not answered."""
        return self._bytes_waiting

    async def append(self, rows: Sequence[tuple[int, Row]]) -> Shed | None:
        """Makes these rows durable. Returns None when all of them are, else why they were shed."""
        if not rows:
            return None
        answer: asyncio.Future[Shed | None] = self._loop.create_future()
        shed = self.submit(rows, lambda said: None if answer.done() else answer.set_result(said))
        return await answer if shed is None else shed

    def submit(self, rows: Sequence[tuple[int, Row]], done: Done) -> Shed | None:
        """Does the same without a task, for at least one row.

        Returns why the rows are not even tried; or None, and then `done` is called with what `append` would return.
        """
        by_shard: dict[int, list[Row]] = {}
        size = 0
        for shard, row in rows:
            share = by_shard.get(shard)
            if share is None:
                by_shard[shard] = [row]
            else:
                share.append(row)
            size += _cost(row)
        shed = self._refusal(by_shard, size)
        if shed is not None:
            return shed
        is_reserved = self._spool is not None and self._spool.reserve(size)
        self._bytes_waiting += size
        deadline = self._loop.time() + self._answer_seconds_max
        waiting = Waiting(len(by_shard), size, is_reserved, done, deadline)
        self._unanswered[waiting] = None
        if self._expiry is None:
            self._expiry = self._loop.call_at(deadline, self._expire)
        for shard, share in by_shard.items():
            self._queues[shard].add(Share(share, size * len(share) // len(rows), waiting))
        return None

    def _settle(self, shares: Sequence[Share]) -> None:
        """Notes that these shares are durable, and answers the requests that wait for no other shard."""
        for share in shares:
            waiting = share.waiting
            waiting.shards_left -= 1
            if waiting.shards_left:
                continue
            self._bytes_waiting -= waiting.size
            if waiting.is_reserved and self._spool is not None:
                self._spool.release(waiting.size)
            if waiting in self._unanswered:
                del self._unanswered[waiting]
                waiting.done(None)

    def _expire(self) -> None:
        """Answers the requests that waited too long. One timer serves all of them, because one for each would cost 1 us."""
        now = self._loop.time()
        self._expiry = None
        for waiting in list(itertools.takewhile(lambda one: one.deadline <= now, self._unanswered)):
            del self._unanswered[waiting]
            waiting.done(Shed.REDIS)
        for first in self._unanswered:
            self._expiry = self._loop.call_at(first.deadline, self._expire)
            break

    def _refusal(self, shards: Collection[int], size: int) -> Shed | None:
        """Returns why these rows are not even tried, or None."""
        if self._is_closing:
            return Shed.DRAINING
        pressed = self._pressed()
        is_spooling = pressed is not None
        for shard in shards:  # a generator costs each request 0.1 us more
            committer = self._committers[shard]
            if committer.is_stuck:
                return Shed.REDIS if self._spool is None else Shed.SPOOL_FULL
            is_spooling = is_spooling or committer.chain is not None
        if self._bytes_waiting + size > self._queue_bytes_max:
            return Shed.QUEUE_FULL
        if self._spool is None:
            return pressed
        return Shed.SPOOL_FULL if is_spooling and not self._spool.has_room(size) else None

    async def run(self) -> None:
        """Serves all shards, and drains what was spooled, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for committer in self._committers:
                commits = committer.run(self._commit_rows_max, self._commit_bytes_max)
                group.create_task(commits, name=f"commits of shard {committer.shard}")
                group.create_task(self._returner.run(committer), name=f"spool of shard {committer.shard}")

    async def drain(self, seconds: float) -> bool:
        """Takes no more rows. Returns whether all that waited became durable within the time."""
        self._is_closing = True
        deadline = self._loop.time() + seconds
        while any(self._queues) or any(committer.is_placing for committer in self._committers):
            if self._loop.time() > deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    async def drain_chain(self, chain: Chain) -> None:
        """Appends the commits of a chain that a dead worker left; returns when Redis has all of them."""
        await self._returner.drain(chain)


def _cost(row: Row) -> int:
    text = len(row.url) + len(row.referrer_url) + len(row.title) + len(row.name) + len(row.event_id) + len(row.user_id)
    return cost(row.props, text)
