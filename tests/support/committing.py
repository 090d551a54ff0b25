"""Runs an appender on a scripted stream, which waits, fails and forgets as the test says.

Its requests hold their rows as they are, and `collect` puts these into columns, as the worker's collector does with bodies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ingest.batch import Batch, Collect, Waiting, row_bytes
from ingest.commit.answers import Gap
from ingest.commit.appender import Appender
from ingest.commit.stream import Done
from ingest.fates import Shed
from schemas import entry
from schemas.row import COLUMNS, INDEX, Row
from schemas.segment import Commit
from tests.support.rows import plain
from tests.support.waiting import until

SHARDS = 3
MINUTE = 29_833_333
AT_MS = MINUTE * 60_000
LIMITS: dict[str, Any] = {
    "commit_rows_max": 100,
    "commit_bytes_max": 1 << 20,
    "queue_bytes_max": 1 << 20,
    "answer_seconds_max": 10.0,
}


class Request:
    """Is a request with rows: pairs of a shard and a row. `answers` has what it was told, which may be one answer."""

    __slots__ = ("answers", "due", "heard", "rows", "shards_left", "weight")

    def __init__(self, rows: Sequence[tuple[int, Row]], heard: Callable[[Shed | None], None] | None = None) -> None:
        self.rows = rows
        self.heard = heard
        self.weight = sum(cost_of(row) for _, row in rows)
        self.due = 0.0
        self.shards_left = 0
        self.answers: list[Shed | None] = []

    def settled(self, shed: Shed | None) -> None:
        assert not self.answers, "a request is answered once"
        self.answers.append(shed)
        if self.heard is not None:
            self.heard(shed)


def cost_of(row: Row) -> int:
    """Returns about how many bytes a row takes in a record at most."""
    texts = (row.url, row.referrer_url, row.title, row.name, row.event_id, row.user_id)
    return row_bytes(1, sum(map(len, texts)))


def collecting(rows_max: int, bytes_max: int) -> Collect:
    """Returns what collects requests until a commit has so many rows or bytes."""

    def collect(inbox: deque[Waiting]) -> Batch:
        rows: list[Row] = []
        shards: list[int] = []
        owners: list[Waiting] = []
        finished: list[Waiting] = []
        size = 0
        while inbox and len(rows) < rows_max and size < bytes_max:
            request = inbox.popleft()
            assert isinstance(request, Request)
            if not request.rows:
                finished.append(request)
            for shard, row in request.rows:
                rows.append(row)
                shards.append(shard)
                owners.append(request)
            size += request.weight
        return Batch(columns_alike(rows), shards, owners, finished, size)

    return collect


def columns_alike(rows: Sequence[Row]) -> list[list[Any]]:
    """Returns the columns of these rows. Those with the same values are the same list, as a collector may make them."""
    made: list[list[Any]] = []
    for column in [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]:
        made.append(next((one for one in made if one == column), column))
    return made


async def append(appender: Appender, rows: Sequence[tuple[int, Row]]) -> Shed | None:
    """Submits a request with these rows, and returns its answer."""
    answer: asyncio.Future[Shed | None] = asyncio.get_running_loop().create_future()
    request = Request(rows, lambda said: None if answer.done() else answer.set_result(said))
    shed = appender.submit(request)
    assert not request.answers, "a request is never answered while it is submitted"
    return await answer if shed is None else shed


@dataclass(frozen=True)
class Asked:
    """Holds one call of `append` or `send`."""

    shard: int
    producer: str
    number: int
    data: bytes
    rows: int
    accepted: Mapping[str, int]

    @property
    def titles(self) -> list[str]:
        return [str(title) for title in entry.decode(self.data)[INDEX["title"]]]


def _shut() -> dict[int, asyncio.Event]:
    return {shard: asyncio.Event() for shard in range(SHARDS)}


@dataclass
class ScriptedStream:
    """Takes the next commit of a producer, as Redis does, once the gate of its shard is open.

    The first of `failing`, or else the `down` of the shard, is raised before that; with `lost_answers`, it is raised
    afterwards.
    """

    gates: dict[int, asyncio.Event] = field(default_factory=_shut)
    failing: list[Exception] = field(default_factory=list)
    down: dict[int, Exception] = field(default_factory=dict)
    lost_answers: bool = False
    asked: list[Asked] = field(default_factory=list)
    stored: list[Asked] = field(default_factory=list)
    marks: dict[tuple[int, str], int] = field(default_factory=dict)
    in_flight: list[int] = field(default_factory=list)
    in_flight_most: dict[int, int] = field(default_factory=dict)
    sending: set[asyncio.Task[None]] = field(default_factory=set)
    commits_lost: int = 0

    def open(self, *shards: int) -> None:
        """Opens the gates of these shards; of all shards if none is named."""
        for shard in shards or range(SHARDS):
            self.gates[shard].set()

    async def append(self, shard: int, producer: str, commit: Commit) -> None:
        one = Asked(shard, producer, *commit)
        self.asked.append(one)
        self.in_flight.append(shard)
        self.in_flight_most[shard] = max(self.in_flight_most.get(shard, 0), self.in_flight.count(shard))
        try:
            await self.gates[shard].wait()
            error = self.failing.pop(0) if self.failing else self.down.get(shard)
            if error is None or self.lost_answers:
                self._take(one)
            if error is not None:
                raise error
        finally:
            self.in_flight.remove(shard)

    def send(self, shard: int, producer: str, commit: Commit, done: Done, *, is_confirmed: bool = False) -> None:
        self._apart(self.append(shard, producer, commit), done)

    async def confirmed(self, shard: int, producer: str) -> int:
        return self.marks.get((shard, producer), 0)

    def lost(self, commits: int) -> None:
        self.commits_lost += commits

    def _apart(self, append: Coroutine[Any, Any, None], done: Done) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self.sending.discard(task)
            if not task.cancelled():
                done(task.exception())

        task = asyncio.ensure_future(append)
        self.sending.add(task)
        task.add_done_callback(ended)

    async def end(self) -> None:
        """Gives up what is in flight, as a process does that ends."""
        for task in self.sending:
            task.cancel()
        await asyncio.gather(*self.sending, return_exceptions=True)

    def _take(self, one: Asked) -> None:
        mark = self.marks.get((one.shard, one.producer), 0)
        if one.number > mark + 1:
            raise Gap(f"{one.number} after {mark}", known=mark, missing=one.number - 1 - mark)
        if one.number == mark + 1:
            self.marks[one.shard, one.producer] = one.number
            self.stored.append(one)

    def commits(self, shard: int = 0) -> list[list[str]]:
        """Returns the titles in each commit of a shard."""
        return [one.titles for one in self.stored if one.shard == shard]

    def titles(self, shard: int = 0) -> list[str]:
        """Returns all titles in a shard."""
        return [title for commit in self.commits(shard) for title in commit]


@dataclass
class Counted:
    """Counts what the appender and its spool count."""

    events: dict[tuple[str, str], int] = field(default_factory=dict)
    commits: list[int] = field(default_factory=list)

    def accepted(self, site: str, dialect: str, events: int) -> None:
        self.events[site, dialect] = self.events.get((site, dialect), 0) + events

    def committed(self, seconds: float, rows: int) -> None:
        assert seconds >= 0
        self.commits.append(rows)

    def spool_bytes(self, held: int) -> None: ...
    def spool_damaged(self, records: int) -> None: ...
    def spool_torn(self) -> None: ...


@dataclass
class Scene:
    """Holds an appender at work, and the parts that it talks to."""

    stream: ScriptedStream
    counts: Counted
    appender: Appender
    requests: list[asyncio.Task[Shed | None]] = field(default_factory=list)

    def request(self, *titles: str, shard: int = 0, **fields: Any) -> asyncio.Task[Shed | None]:
        """Sends a request with a row for each title. Does not wait for its answer."""
        return self.request_to(*((shard, title) for title in titles), **fields)

    def request_to(self, *rows: tuple[int, str], **fields: Any) -> asyncio.Task[Shed | None]:
        """Sends a request with a row for each shard and title. Does not wait for its answer."""
        made = [
            (shard, plain(**({"name": "", "url": "", "title": title, "received_at": AT_MS} | fields)))
            for shard, title in rows
        ]
        task = asyncio.ensure_future(append(self.appender, made))
        self.requests.append(task)
        return task

    async def answers(self, *requests: asyncio.Task[Shed | None]) -> list[Shed | None]:
        """Waits for the answers of these requests, and returns them; of all requests if none is named."""
        return list(await asyncio.gather(*(requests or self.requests)))

    def is_ready(self) -> bool:
        return self.appender.is_ready

    async def in_flight(self, calls: int) -> None:
        """Waits until the stream was asked this often."""
        await until(lambda: len(self.stream.asked) >= calls)

    async def settled(self) -> None:
        """Waits until everything has happened that can happen without the stream."""
        for _ in range(20):
            await asyncio.sleep(0)


def made(stream: Any, counts: Any, *, shards: int = SHARDS, **settings: Any) -> Appender:
    """Returns an appender of requests that hold rows."""
    limits: dict[str, Any] = LIMITS | settings
    collect = collecting(limits["commit_rows_max"], limits["commit_bytes_max"])
    return Appender(stream=stream, counts=counts, collect=collect, shards=shards, **limits)


@asynccontextmanager
async def at_work(*, is_open: bool = False, **settings: Any) -> AsyncIterator[Scene]:
    """Runs an appender inside the block. In the end it is cancelled, as a worker does after draining."""
    stream, counts = ScriptedStream(), Counted()
    if is_open:
        stream.open()
    scene = Scene(stream, counts, made(stream, counts, **settings))
    running = asyncio.ensure_future(scene.appender.run())
    try:
        yield scene
    finally:
        running.cancel()
        await asyncio.wait([running])
        await stream.end()
        if not running.cancelled():
            running.result()  # raises the error that ended it
        for one in scene.requests:
            one.cancel()
        await asyncio.gather(*scene.requests, return_exceptions=True)
