"""Limits how many questions run in ClickHouse at a time, and gives an answer to everybody who asks the same within seconds.

    remembered? ── yes ──▶ the answer
        │ no
    running?    ── yes ──▶ waits for it with the others
        │ no
    gate: a few run at once, the others wait in the order in which they came; if too many wait, the next one is Busy

A running question belongs to all who wait for it. When the last of them leaves it is given up, and ClickHouse ends it.

Not promised: that the numbers are never older than `remembered_seconds`. That time begins when ClickHouse has answered, not when it was asked.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

from dashboard.catalogue.contract import (
    Asker,
    Away,
    Broken,
    Busy,
    Refused,
    Reply,
    Statement,
    TooMuch,
    TooSlow,
)
from dashboard.metrics import Metrics

ANSWER_BYTES_MAX = 2 << 20  # a larger one is a download, which nobody asks twice
RESULTS = {Refused: "refused", Busy: "busy", TooSlow: "slow", TooMuch: "large", Away: "away", Broken: "broken"}
Key = tuple[str, tuple[tuple[str, object], ...]]


class _Remembered(NamedTuple):
    asked: Reply
    until: float  # by the monotonic clock
    bytes: int


class _Running:
    """Holds a question that runs, and how many wait for its answer."""

    def __init__(self, task: asyncio.Task[Reply]) -> None:
        self.task = task
        self.askers = 0


class Cache:
    """Asks through another Asker, and coalesces, remembers and limits its questions. Answers are shared, so callers must not change them."""

    def __init__(
        self,
        asker: Asker,
        *,
        metrics: Metrics,
        at_once: int,
        waiting_max: int,
        bytes_max: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asker = asker
        self._metrics = metrics
        self._gate = asyncio.Semaphore(at_once)
        self._waiting_max = waiting_max
        self._waiting = 0
        self._bytes_max = bytes_max
        self._bytes = 0
        self._now = now
        self._remembered: OrderedDict[Key, _Remembered] = OrderedDict()
        self._running: dict[Key, _Running] = {}

    async def __call__(self, statement: Statement, /) -> Reply:
        """Returns an answer that is at most `remembered_seconds` old. Raises Unanswered and Refused."""
        key = _key(statement)
        if (found := self._recall(key)) is not None:
            self._metrics.cache_hits.inc()
            return found
        running = self._running.get(key)
        if running is None:
            running = _Running(asyncio.create_task(self._ask(statement), name=f"question {statement.file}"))
            running.task.add_done_callback(lambda task: self._ended(key, statement, task))
            self._running[key] = running
        else:
            self._metrics.coalesced.inc()
        running.askers += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.askers -= 1
            if not running.askers and not running.task.done():
                if self._running.get(key) is running:
                    del self._running[key]  # the next one who asks begins a new question
                running.task.cancel()

    async def _ask(self, statement: Statement) -> Reply:
        """Asks when it is this question's turn, and counts how it ended."""
        began, result = self._now(), "left"
        try:
            if self._gate.locked() and self._waiting >= self._waiting_max:
                raise Busy("Too many questions wait; try again.")
            self._waiting += 1
            try:
                await self._gate.acquire()
            finally:
                self._waiting -= 1
            try:
                asked = await self._asker(statement)
            finally:
                self._gate.release()
        except tuple(RESULTS) as error:
            result = RESULTS[type(error)]
            raise
        else:
            result = "answered"
            return asked
        finally:
            self._metrics.questions.labels(statement.file, result).inc()
            self._metrics.seconds.labels(statement.file).observe(self._now() - began)

    def _ended(self, key: Key, statement: Statement, task: asyncio.Task[Reply]) -> None:
        running = self._running.get(key)
        if running is not None and running.task is task:
            del self._running[key]
        if not task.cancelled() and task.exception() is None:
            self._keep(key, task.result(), statement.remembered_seconds)

    def _recall(self, key: Key) -> Reply | None:
        found = self._remembered.get(key)
        if found is None:
            return None
        if found.until <= self._now():
            self._forget(key)
            return None
        self._remembered.move_to_end(key)
        return found.asked

    def _keep(self, key: Key, asked: Reply, seconds: float) -> None:
        now = self._now()
        for old in [one for one, found in self._remembered.items() if found.until <= now]:
            self._forget(old)
        size = _size(key) + _size(asked.rows)
        if seconds <= 0 or size > min(ANSWER_BYTES_MAX, self._bytes_max):
            return
        if key in self._remembered:
            self._forget(key)
        self._remembered[key] = _Remembered(asked, now + seconds, size)
        self._bytes += size
        while self._bytes > self._bytes_max:
            self._forget(next(iter(self._remembered)))
        self._metrics.cache_bytes.set(self._bytes)

    def _forget(self, key: Key) -> None:
        self._bytes -= self._remembered.pop(key).bytes
        self._metrics.cache_bytes.set(self._bytes)


def _key(statement: Statement) -> Key:
    """Returns what is equal for two statements that ask the same: the SQL and the parameters."""
    pairs = ((name, tuple(value) if isinstance(value, list) else value) for name, value in statement.parameters.items())
    return statement.sql, tuple(sorted(pairs))


def _size(value: Any) -> int:
    """Returns the bytes of memory that a value takes. What is shared between values is counted for each."""
    parts = (
        value
        if isinstance(value, list | tuple)
        else chain.from_iterable(value.items())
        if isinstance(value, dict)
        else ()
    )
    return sys.getsizeof(value) + sum(map(_size, parts))
