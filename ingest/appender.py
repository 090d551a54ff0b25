"""Group commit: gather, seal, append, answer.

While one commit of a shard is on its way, rows of later requests gather; when it returns,
all of them leave together. There is no linger timer: the append itself is the window, so a
lone event waits for nothing and a thousand share one fsync. One append is in flight per
shard, because a producer's commits are numbered and Redis takes only the next (rule 1).

    append(rows) ─▶ pending of each shard ─▶ seal ≤ commit_rows_max ─▶ stream.append ─▶ answer all

A request is answered when every shard it touched has answered (I1). When Redis is unwell the
commit is sent again under its number until it is known to be in; its requests are answered
503 after `answer_seconds_max`, new ones at once.

Not promised: that a request answered 503 was not stored. Its client may retry with the same
event ids.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from ingest.stream import Gap, Refused, Unclear
from schemas import entry
from schemas.event import Shed
from schemas.row import MINUTE_MS, Row, columns_of

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.1


class Stream(Protocol):
    """Where commits go. Returning means durable; stream.Unclear, Refused and Gap as they say."""

    async def append(
        self, shard: int, *, producer: str, number: int, data: bytes, rows: int, accepted: Mapping[str, int]
    ) -> None: ...


class Counts(Protocol):
    """What a commit is counted in."""

    def accepted(self, site: str, dialect: str, events: int) -> None: ...
    def committed(self, seconds: float, rows: int) -> None: ...


class _Waiting:
    """A request that waits for its shards."""

    __slots__ = ("answer", "shards_left")

    def __init__(self, shards: int, answer: asyncio.Future[Shed | None]) -> None:
        self.shards_left = shards
        self.answer = answer

    def settle(self, shed: Shed | None) -> None:
        """One shard has answered."""
        self.shards_left -= 1
        if not self.answer.done() and (shed is not None or not self.shards_left):
            self.answer.set_result(shed)


class _Lane:
    """One shard's rows on their way."""

    __slots__ = ("number", "pending", "producer", "rows_pending", "shard", "woken")

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.producer = secrets.token_hex(8)
        self.number = 0
        self.pending: list[tuple[list[Row], _Waiting]] = []
        self.rows_pending = 0
        self.woken = asyncio.Event()

    def take(self, rows_max: int) -> list[tuple[list[Row], _Waiting]]:
        """Whole requests up to rows_max rows, at least one."""
        rows = 0
        for at, (more, _) in enumerate(self.pending):
            rows += len(more)
            if at and rows > rows_max:
                taken, self.pending = self.pending[:at], self.pending[at:]
                break
        else:
            taken, self.pending = self.pending, []
        self.rows_pending -= sum(len(rows) for rows, _ in taken)
        if not self.pending:
            self.woken.clear()
        return taken


class Appender:
    """Commits rows to their shards' streams."""

    def __init__(
        self,
        *,
        stream: Stream,
        counts: Counts,
        shards: int,
        commit_rows_max: int,
        queue_rows_max: int,
        answer_seconds_max: float,
    ) -> None:
        self._stream = stream
        self._counts = counts
        self._lanes = [_Lane(shard) for shard in range(shards)]
        self._commit_rows_max = commit_rows_max
        self._queue_rows_max = queue_rows_max
        self._answer_seconds_max = answer_seconds_max
        self._is_unwell = False
        self._is_closing = False

    @property
    def is_ready(self) -> bool:
        """Whether the latest append succeeded: would an event be taken durably now?"""
        return not self._is_unwell and not self._is_closing

    @property
    def rows_waiting(self) -> int:
        """Rows accepted from clients and not yet answered."""
        return sum(lane.rows_pending for lane in self._lanes)

    async def append(self, rows: Sequence[tuple[int, Row]]) -> Shed | None:
        """Make these rows durable; None when all are, else why they were shed."""
        if self._is_closing:
            return Shed.DRAINING
        if self._is_unwell:
            return Shed.REDIS
        if self.rows_waiting + len(rows) > self._queue_rows_max:
            return Shed.QUEUE_FULL
        by_shard: dict[int, list[Row]] = {}
        for shard, row in rows:
            by_shard.setdefault(shard, []).append(row)
        waiting = _Waiting(len(by_shard), asyncio.get_running_loop().create_future())
        for shard, share in by_shard.items():
            lane = self._lanes[shard]
            lane.pending.append((share, waiting))
            lane.rows_pending += len(share)
            lane.woken.set()
        try:
            async with asyncio.timeout(self._answer_seconds_max):
                return await waiting.answer
        except TimeoutError:
            return Shed.REDIS

    async def run(self) -> None:
        """Serve all shards until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(self._serve(lane), name=f"commits of shard {lane.shard}")

    async def drain(self, seconds: float) -> bool:
        """Take no more; whether everything waiting was committed within the time."""
        self._is_closing = True
        deadline = time.monotonic() + seconds
        while self.rows_waiting or any(lane.woken.is_set() for lane in self._lanes):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    async def _serve(self, lane: _Lane) -> None:
        while True:
            await lane.woken.wait()
            began = time.monotonic()
            taken = lane.take(self._commit_rows_max)
            rows = [row for share, _ in taken for row in share]
            await self._commit(lane, rows)
            for _, waiting in taken:
                waiting.settle(None)
            self._counts.committed(time.monotonic() - began, len(rows))

    async def _commit(self, lane: _Lane, rows: list[Row]) -> None:
        """Append until Redis says it is in: under one number, it is in once."""
        columns = columns_of(rows)
        data = entry.encode(columns)
        accepted, counted = totals(rows)
        lane.number += 1
        while True:
            try:
                await self._stream.append(
                    lane.shard,
                    producer=lane.producer,
                    number=lane.number,
                    data=data,
                    rows=len(rows),
                    accepted=accepted,
                )
                break
            except Gap as gap:
                # Redis lost our earlier commits: only a new producer can go on, and the loss is Redis's to explain
                log.critical("%s: Redis lost commits it had acknowledged", gap)
                lane.producer, lane.number = secrets.token_hex(8), 1
            except (Unclear, Refused) as error:
                if not self._is_unwell:
                    log.warning("Redis is unwell, shedding: %s", error)
                self._is_unwell = True
                await asyncio.sleep(RETRY_SECONDS)
        self._is_unwell = False
        for (site, dialect), events in counted.items():
            self._counts.accepted(site, dialect, events)


def totals(rows: Sequence[Row]) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Events by "minute site" for the ledger, and by (site, dialect) for the metrics."""
    accepted: dict[str, int] = {}
    counted: dict[tuple[str, str], int] = {}
    for row in rows:
        key = f"{row.received_at // MINUTE_MS} {row.site}"
        accepted[key] = accepted.get(key, 0) + 1
        pair = (row.site, row.dialect)
        counted[pair] = counted.get(pair, 0) + 1
    return accepted, counted
