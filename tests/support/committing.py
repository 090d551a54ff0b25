"""Runs an appender on a scripted stream, which waits, fails and forgets as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ingest.commit.appender import Appender
from ingest.commit.stream import Gap
from ingest.fates import Shed
from schemas import entry
from schemas.row import INDEX
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


@dataclass(frozen=True)
class Asked:
    """Holds one call of `append`."""

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

    def open(self, *shards: int) -> None:
        """Opens the gates of these shards; of all shards if none is named."""
        for shard in shards or range(SHARDS):
            self.gates[shard].set()

    async def append(
        self, shard: int, *, producer: str, number: int, data: bytes, rows: int, accepted: Mapping[str, int]
    ) -> None:
        one = Asked(shard, producer, number, data, rows, accepted)
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

    def _take(self, one: Asked) -> None:
        mark = self.marks.get((one.shard, one.producer), 0)
        if one.number > mark + 1:
            raise Gap(f"{one.number} after {mark}")
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
        task = asyncio.ensure_future(self.appender.append(made))
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


@asynccontextmanager
async def at_work(*, is_open: bool = False, **settings: Any) -> AsyncIterator[Scene]:
    """Runs an appender inside the block. In the end it is cancelled, as a worker does after draining."""
    stream, counts = ScriptedStream(), Counted()
    if is_open:
        stream.open()
    scene = Scene(stream, counts, Appender(stream=stream, counts=counts, shards=SHARDS, **(LIMITS | settings)))
    running = asyncio.ensure_future(scene.appender.run())
    try:
        yield scene
    finally:
        running.cancel()
        await asyncio.wait([running])
        for one in scene.requests:
            one.cancel()
        await asyncio.gather(*scene.requests, return_exceptions=True)
