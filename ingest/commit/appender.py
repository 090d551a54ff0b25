"""Commits the rows of many requests together, and answers each request when its rows are durable.

While one commit of a shard is on its way, rows of later requests gather; when it returns, all of
them leave together, so a thousand requests share one fsync. One append is in flight for each shard,
because a producer's commits are numbered and Redis takes only the next number (docs/delivery.md,
rule 1). Commits of few rows begin at least GATHER_SECONDS after one another; a lone event waits for
nothing.

    append(rows) ─▶ pending of each shard ─▶ seal ─▶ Redis, fsynced ──────────────▶ answer all
                                              └─ trouble ─▶ spool, fsynced ───────▶ answer all
                                                             └─ drained in order ─▶ Redis

A commit whose append failed goes to the spool under its number, and so do all later ones of
that shard until the spool is drained: then the shard is live again, as a new producer. The
script answers `done` to a commit that was in all along. Without a spool, or when it is full,
the commit is tried again until it is known to be somewhere; its requests are answered 503
after `answer_seconds_max` and new ones at once.

Not promised: that a request answered 503 was not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from ingest.commit.spool import Chain, Spool, SpoolFull, Unreadable, cost
from ingest.commit.stream import Gap, Refused, Unclear
from ingest.commit.totals import totals
from ingest.fates import Shed
from schemas import entry
from schemas.row import Row, columns_of
from schemas.segment import Commit

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.1
RETRY_SECONDS_MAX = 1.0  # a Redis that is back is used again within a second
# A spooling shard rests between commits as long as one took: commit for commit the drain would never catch up with it,
# as each costs an fsync there too. At 250 requests/s on a slow disk a shard stayed in the spool for good.
REST_SECONDS_MIN = 0.01
# A commit costs 120 us of CPU here and 40 in Redis, whatever it holds. At 8 000 events a second each returned after 4 rows;
# gathering takes 45 % off what an event costs, a third off its bytes in Redis, and 40 ms off the 99th percentile.
GATHER_SECONDS = 0.004
GATHER_ROWS = 32
IDLE_SECONDS_MAX = 86_400  # a producer silent for longer goes on as a new one, days before Redis forgets it
REST_SECONDS_MAX = 0.1


class Stream(Protocol):
    """Appends commits. When `append` returns, the commit is durable. Raises stream.Unclear, Refused or Gap."""

    async def append(
        self, shard: int, *, producer: str, number: int, data: bytes, rows: int, accepted: Mapping[str, int]
    ) -> None: ...


class Counts(Protocol):
    """Counts commits, and the events in them."""

    def accepted(self, site: str, dialect: str, events: int) -> None: ...
    def committed(self, seconds: float, rows: int) -> None: ...


Done = Callable[[Shed | None], None]


class _Waiting(msgspec.Struct, eq=False):  # eq=False: itself is its key in a dict
    """Holds a request that waits for its shards."""

    shards_left: int
    size: int
    is_reserved: bool  # `size` of the spool, until all of its rows are durable
    done: Done
    deadline: float  # by the loop's clock; afterwards the answer is that Redis is away


class _Lane:
    """Holds one shard's rows on their way."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.producer = secrets.token_hex(8)
        self.number = 0  # of the last commit that is somewhere durable
        self.last = 0.0  # when a commit began, by the loop's clock
        self.pending: deque[tuple[list[Row], int, _Waiting]] = deque()
        self.rows = 0  # of what is pending
        self.woken = asyncio.Event()
        self.full = asyncio.Event()  # GATHER_ROWS are pending
        self.is_placing = False
        self.chain: Chain | None = None  # not None while this producer's commits go to the spool
        self.spooled = asyncio.Event()
        self.turn = asyncio.Lock()  # held while a commit is placed, and while the spool is left

    def add(self, rows: list[Row], size: int, waiting: _Waiting) -> None:
        """Adds one request's share."""
        self.pending.append((rows, size, waiting))
        self.rows += len(rows)
        self.woken.set()
        if self.rows >= GATHER_ROWS:
            self.full.set()

    def take(self, rows_max: int, bytes_max: int) -> list[tuple[list[Row], int, _Waiting]]:
        """Takes whole requests up to the limits, at least one."""
        rows = size = 0
        taken: list[tuple[list[Row], int, _Waiting]] = []
        pending = self.pending
        while pending:
            more, more_bytes, _ = pending[0]
            if taken and (rows + len(more) > rows_max or size + more_bytes > bytes_max):
                self.rows -= rows
                return taken
            taken.append(pending.popleft())
            rows += len(more)
            size += more_bytes
        self.rows = 0
        self.woken.clear()
        self.full.clear()
        return taken

    async def gathered(self, seconds: float) -> None:
        """Waits until there are GATHER_ROWS, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.full.wait()

    def renew(self) -> None:
        """Goes on as a new producer."""
        self.producer = secrets.token_hex(8)
        self.number = 0


class Appender:
    """Commits rows to their shards' streams."""

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
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call in Python 3.11, 0.2 us
        self._stream = stream
        self._counts = counts
        self._lanes = [_Lane(shard) for shard in range(shards)]
        self._commit_rows_max = commit_rows_max
        self._commit_bytes_max = commit_bytes_max
        self._queue_bytes_max = queue_bytes_max
        self._answer_seconds_max = answer_seconds_max
        self._spool = spool
        self._pressed = pressed  # why nothing is to be appended to Redis now
        self._bytes_waiting = 0
        # In the order of their deadlines. A dict whose first goes again and again looks at all who went before.
        self._unanswered: OrderedDict[_Waiting, None] = OrderedDict()
        self._expiry: asyncio.TimerHandle | None = None
        self._stuck: set[int] = set()  # shards whose commit is nowhere durable yet
        self._is_closing = False

    @property
    def is_ready(self) -> bool:
        """Says whether an event would be made durable now."""
        return not (self._stuck or self._is_closing or (self._spool is None and self._pressed()))

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
        """Does the same without a task, for at least one row. Returns why they are not even tried, or None: then `done` is called."""
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
        waiting = _Waiting(len(by_shard), size, is_reserved, done, deadline)
        self._unanswered[waiting] = None
        if self._expiry is None:
            self._expiry = self._loop.call_at(deadline, self._expire)
        for shard, share in by_shard.items():
            self._lanes[shard].add(share, size * len(share) // len(rows), waiting)
        return None

    def _settle(self, waiting: _Waiting) -> None:
        """Notes that one more of a request's shards has its rows, and answers it if that was the last."""
        waiting.shards_left -= 1
        if waiting.shards_left:
            return
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

    def _refusal(self, shards: Mapping[int, object], size: int) -> Shed | None:
        """Returns why these rows are not even tried, or None."""
        if self._is_closing:
            return Shed.DRAINING
        if self._stuck and any(shard in self._stuck for shard in shards):
            return Shed.REDIS if self._spool is None else Shed.SPOOL_FULL
        if self._bytes_waiting + size > self._queue_bytes_max:
            return Shed.QUEUE_FULL
        if self._spool is None:
            return self._pressed()
        is_spooling = self._pressed() is not None
        for shard in shards:  # a generator costs each request 0.1 us more
            is_spooling = is_spooling or self._lanes[shard].chain is not None
        return Shed.SPOOL_FULL if is_spooling and not self._spool.has_room(size) else None

    async def run(self) -> None:
        """Serves all shards, and drains what was spooled, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(self._serve(lane), name=f"commits of shard {lane.shard}")
                group.create_task(self._return(lane), name=f"spool of shard {lane.shard}")

    async def drain(self, seconds: float) -> bool:
        """Takes no more rows. Returns whether all that waited became durable within the time."""
        self._is_closing = True
        deadline = self._loop.time() + seconds
        while any(lane.pending or lane.is_placing for lane in self._lanes):
            if self._loop.time() > deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    async def _serve(self, lane: _Lane) -> None:
        took = 0.0
        while True:
            await lane.woken.wait()
            if lane.chain is not None:
                await asyncio.sleep(min(max(took, REST_SECONDS_MIN), REST_SECONDS_MAX))
            elif (soon := lane.last + GATHER_SECONDS - self._loop.time()) > 0:
                await lane.gathered(soon)
            began = self._loop.time()
            if lane.chain is None and began - lane.last > IDLE_SECONDS_MAX:
                lane.renew()
            lane.last = began
            lane.is_placing = True
            taken = lane.take(self._commit_rows_max, self._commit_bytes_max)
            rows = [row for share, _, _ in taken for row in share]
            columns = columns_of(rows)
            accepted, counted = totals(columns)
            await self._place(lane, entry.encode(columns), len(rows), accepted)
            lane.is_placing = False
            for (site, dialect), events in counted.items():
                self._counts.accepted(site, dialect, events)
            for _, _, waiting in taken:
                self._settle(waiting)
            took = self._loop.time() - began
            self._counts.committed(took, len(rows))

    async def _place(self, lane: _Lane, data: bytes, rows: int, accepted: dict[str, int]) -> None:
        """Waits until the commit is in Redis or in the spool, fsynced."""
        while True:
            async with lane.turn:
                commit = Commit(lane.number + 1, data, rows, accepted)
                if (lane.chain is None and await self._sent(lane, commit)) or await self._spooled(lane, commit):
                    lane.number += 1
                    self._stuck.discard(lane.shard)
                    return
            self._stuck.add(lane.shard)
            await asyncio.sleep(RETRY_SECONDS)

    async def _sent(self, lane: _Lane, commit: Commit) -> bool:
        """Returns True if Redis has the commit, False if it perhaps has not."""
        if self._pressed():
            return False
        try:
            await self._stream.append(lane.shard, producer=lane.producer, **commit._asdict())
        except Gap as gap:
            # Redis lost our earlier commits: only a new producer can go on, and the loss is Redis's to explain
            log.critical("%s: Redis lost commits it had acknowledged", gap)
            lane.renew()
            return False
        except (Unclear, Refused) as error:
            self._say(logging.WARNING, lane, f"Redis is unwell: {error}")
            return False
        return True

    async def _spooled(self, lane: _Lane, commit: Commit) -> bool:
        """Returns whether the spool has the commit."""
        if self._spool is None or commit.number != lane.number + 1:
            return False
        chain = lane.chain or self._spool.open(lane.producer, lane.shard)
        try:
            await chain.write(commit)
        except SpoolFull as error:
            self._say(logging.CRITICAL, lane, str(error))
            return False
        lane.chain = chain
        lane.spooled.set()
        return True

    def _say(self, level: int, lane: _Lane, text: str) -> None:
        """Logs once for a commit, however often it is tried, because the log may be on the disk that is full."""
        if lane.shard not in self._stuck:
            log.log(level, "shard %d: %s", lane.shard, text)

    async def _return(self, lane: _Lane) -> None:
        """Brings a shard back to Redis whenever it was spooled."""
        while True:
            await lane.spooled.wait()
            chain = lane.chain
            assert chain is not None
            await self.drain_chain(chain)
            async with lane.turn:
                if await self._next(chain) is None:
                    await chain.close()
                    lane.chain = None
                    lane.spooled.clear()
                    lane.renew()
                    log.info("shard %d: the spool is drained", lane.shard)

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

    async def drain_chain(self, chain: Chain) -> None:
        """Appends a chain's commits in order, each until Redis is known to have it.

        Redis answers Gap when it lost commits of this producer, or forgot it: the machine was off for a week. Then
        each of the rest is the one commit of a producer of its own, named after its number: the same in every try,
        wherever a drain starts over.
        """
        is_lost = False
        pause = RETRY_SECONDS
        while (commit := await self._next(chain)) is not None:
            producer = f"{chain.producer}~{commit.number}" if is_lost else chain.producer
            numbered = commit._replace(number=1) if is_lost else commit
            try:
                if self._pressed():
                    raise Refused("under pressure")  # noqa: TRY301  the same wait as Redis's own refusal
                await self._stream.append(chain.shard, producer=producer, **numbered._asdict())
            except Gap as gap:
                log.critical("%s: Redis lost commits it had acknowledged, or forgot them after a week", gap)
                is_lost = True
            except (Unclear, Refused):
                await asyncio.sleep(pause)
                pause = min(RETRY_SECONDS_MAX, pause * 2)
            else:
                await chain.drained()
                pause = RETRY_SECONDS


def _cost(row: Row) -> int:
    text = len(row.url) + len(row.referrer_url) + len(row.title) + len(row.name) + len(row.event_id) + len(row.user_id)
    return cost(row.props, text)
