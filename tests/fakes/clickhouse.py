"""Fakes a ClickHouse with lists, and is honest about what makes exactly-once hard there (docs/facts.md).

An INSERT goes through steps: the token's record is written, then the part is renamed into place, then a view writes its
client ids. The last `window` records are kept, and an INSERT under one of their tokens is dropped. A server that dies
between the first two steps leaves a record without its part, so a retry is dropped and reported as a success.

Counters live in the part (a projection) and sessions are a view, so there is nothing of either to fake.

`faults` names what an honest product never does: it sends another content under a known token.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flusher.blocks.block import INSERTED, Block, Part
from flusher.delivery import room, verify
from flusher.delivery.table import Late, Refused, Unclear, block_row
from schemas.ledger import OTHER
from schemas.row import MINUTE_MS
from schemas.sql import STORED_BY_MINUTE
from tests.fakes import client_ids, tail
from tests.fakes.wire import Wire

NAMED = ("event_id", "visitor_id", "session_id", "ts", "site", "received_at", "name", "title")
AT = {name: INSERTED.index(name) for name in NAMED}
AT_ID = 0  # of a stored row, which is in the order of NAMED
BAD = "!"  # an event id that ends so stands for content no table takes
CANNOT_PARSE = 27


@dataclass(frozen=True, slots=True)
class Stored:
    """Holds a part: the rows of one INSERT in one partition."""

    block: str
    attempt: int
    month: int
    ids: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]  # of AT


@dataclass(slots=True)
class Table:
    """Holds the parts, and the records of tokens: the newest `window` pairs of partition and token."""

    window: int
    parts: list[Stored] = field(default_factory=list)
    records: deque[tuple[int, str]] = field(default_factory=deque)

    def remember(self, partition: int, token: str) -> None:
        self.records.append((partition, token))
        while len(self.records) > self.window:
            self.records.popleft()

    def forget_last(self, count: int) -> None:
        """Loses what a power cut takes, because the log of records is never fsynced."""
        for _ in range(min(count, len(self.records))):
            self.records.pop()


class Engine:
    """Holds the state of one server, which outlives every connection and process."""

    def __init__(self, clock: Callable[[], float], *, window: int = 100_000) -> None:
        self.clock = clock
        self.is_down = False
        self.free_bytes = 1 << 40
        self.table = Table(window)
        self.running: Counter[str] = Counter()
        self.books: dict[str, Sequence[Any]] = {}  # the rows of `blocks`, by block id
        self.ids: dict[
            tuple[str, str], int
        ] = {}  # filled by the view, in a step of its own (tests/fakes/client_ids.py)
        self.faults: list[str] = []
        self.has_erased = False
        self.started_ms = int(clock() * 1000)
        self.deleted, self.because = 0, ""
        self._contents: dict[tuple[str, int], tuple[int, int]] = {}

    @property
    def events(self) -> list[Stored]:
        return self.table.parts

    def insert(self, part: Part, *, block: str, token: str, attempt: int, deadline: int) -> Generator[None, None, None]:
        """Goes through the steps of an INSERT. The server may die after each."""
        self.running[token] += 1
        try:
            yield
            if self.is_late(deadline):
                raise Late("forebay: insert after its deadline")
            columns = part.columns
            refuse(columns)
            self._check_content(columns, part.month, block)
            if self.is_known(part.month, token):
                return
            self.table.remember(part.month, token)
            try:
                yield
            except Unclear:
                self.table.records.pop()  # it failed, and cleans up; a death doesn't
                raise
            self.table.parts.append(_stored(columns, part.month, block, attempt))
            yield
            self.keep_ids(block)
            yield
        finally:
            self.running[token] -= 1

    def is_late(self, deadline: int) -> bool:
        return int(self.clock()) > deadline

    def is_known(self, partition: int, token: str) -> bool:
        return (partition, token) in self.table.records

    def _check_content(self, columns: list[list[Any]], month: int, block: str) -> None:
        """Records a fault unless every attempt has the same rows in the same order (I5). After an erasure, sessions may
        differ, because their first events may be gone.
        """
        texts = [repr(column) for column in columns]
        whole = hash(tuple(texts))
        for name in ("visitor_id", "session_id"):
            texts[AT[name]] = ""
        content = whole, hash(tuple(texts))
        known = self._contents.setdefault((block, month), content)
        if known[self.has_erased] != content[self.has_erased]:
            self.faults.append(f"block {block} comes with another content")

    def keep_ids(self, block: str) -> None:
        for part in self.events:
            if part.block == block:
                for row in part.rows:
                    if row[0]:
                        minute = row[5] // MINUTE_MS * MINUTE_MS
                        self.ids[row[4], row[0]] = max(minute, self.ids.get((row[4], row[0]), 0))

    def forget(self, block: str, month: int, below_attempt: int) -> None:
        self.table.parts = [
            part for part in self.events
            if not (part.block == block and part.month == month and part.attempt < below_attempt)
        ]  # fmt: skip

    def erase(self, means: Callable[[Stored, tuple[Any, ...]], bool]) -> None:
        """Deletes rows from the parts that are there, as a mutation does."""
        self.has_erased = True
        kept = ((part, [row for row in part.rows if not means(part, row)]) for part in self.events)
        self.table.parts = [
            replace(part, rows=tuple(rows), ids=tuple(row[AT_ID] for row in rows)) for part, rows in kept if rows
        ]

    def answer(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Answers the questions of the flusher, which it recognises by their text."""
        if sql == verify.CLOCK:
            return [(int(self.clock() * 1000),)]
        if sql == room.ROOM:
            return [("default", self.free_bytes)]
        if sql == verify.SEEN:
            return self._seen(parameters["block"])
        if sql == verify.RUNNING:
            running = (count for name, count in self.running.items() if name.startswith(parameters["block"]))
            return [(sum(running),)]
        if sql == verify.SHARD_RUNNING:
            names = [name for name, count in self.running.items() if count]
            first, inside = parameters["incarnation"], parameters["shard"]
            return [(sum(name.startswith(first) and inside in name for name in names),)]
        if sql == verify.LATEST:
            after = [part.block for part in self._of(parameters) if part.block > parameters["stored"]]
            return [(max(after, default=""),)]
        if sql == verify.TRACES:
            return self._traces(parameters)
        if sql == verify.SESSIONS:
            return self._sessions(parameters)
        if sql == STORED_BY_MINUTE:
            return self._by_minute(parameters)
        if sql in client_ids.QUESTIONS:
            return client_ids.QUESTIONS[sql](self, parameters)
        if sql in tail.QUESTIONS:
            return tail.QUESTIONS[sql](self, parameters)
        raise AssertionError(f"the fake does not know {sql}")

    def _seen(self, block: str) -> list[tuple[Any, ...]]:
        held: Counter[tuple[int, int]] = Counter()
        for part in self.events:
            if part.block == block:
                held[part.month, part.attempt] += len(part.ids)
        return [(month, attempt, rows) for (month, attempt), rows in sorted(held.items())]

    def _of(self, parameters: dict[str, Any]) -> list[Stored]:
        """Returns the parts of one incarnation and shard."""
        first, final = parameters["incarnation"], parameters["shard"]
        return [part for part in self.events if part.block.startswith(first) and part.block.endswith(final)]

    def _by_minute(self, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        held: Counter[tuple[int, str]] = Counter()
        for part in self._of(parameters):
            for row in part.rows:
                if parameters["since"] <= row[5] < parameters["upto"]:
                    minute = row[5] // 60_000
                    held[minute, OTHER if minute in parameters["folded"] else row[4]] += 1
        return [(*key, rows) for key, rows in held.items()]

    def _traces(self, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        after = [part for part in self._of(parameters) if part.block > parameters["stored"]]
        rows = (row for part in after for row in part.rows if row[5] in parameters["moments"])
        return [
            (received_at, ts, site, name, title, visitor) for _, visitor, _, ts, site, received_at, name, title in rows
        ]

    def _sessions(self, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        before = [part for part in self._of(parameters) if part.block < parameters["upto"]]
        touched = {row[2] for part in before if part.block > parameters["recent"] for row in part.rows}
        found: dict[tuple[int, int], list[Any]] = {}
        for part in before:
            for _, visitor, session, ts, *_ in part.rows:
                if session in touched:
                    known = found.setdefault((visitor, session), [ts, ts, part.block])
                    known[:] = min(known[0], ts), max(known[1], ts), max(known[2], part.block)
        return [(visitor, session, *values) for (visitor, session), values in found.items()]


def refuse(columns: list[list[Any]]) -> None:
    """Refuses what the table would refuse."""
    if any(event_id.endswith(BAD) for event_id in columns[AT["event_id"]]):
        raise Refused(CANNOT_PARSE, "cannot parse")


def _stored(columns: list[list[Any]], month: int, block: str, attempt: int) -> Stored:
    rows = tuple(zip(*(columns[at] for at in AT.values()), strict=True))
    return Stored(block, attempt, month, tuple(columns[AT["event_id"]]), rows)


class Connection:
    """Lets one flusher speak to the engine, as delivery.Table does."""

    def __init__(self, engine: Engine, wire: Wire) -> None:
        self._engine = engine
        self._wire = wire

    def _must_answer(self) -> None:
        if self._engine.is_down:
            raise Unclear("connection refused")

    async def insert(self, part: Part, *, block: str, token: str, attempt: int, deadline: int) -> None:
        def stages() -> Generator[None, None, None]:
            self._must_answer()
            yield from self._engine.insert(part, block=block, token=token, attempt=attempt, deadline=deadline)

        await self._wire.run(f"insert {token}", stages)

    async def probe(self, part: Part) -> None:
        def effect() -> None:
            self._must_answer()
            refuse(part.columns)

        await self._wire.call("probe", effect)

    async def ask(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        def effect() -> list[tuple[Any, ...]]:
            self._must_answer()
            return self._engine.answer(sql, parameters)

        return await self._wire.call(f"ask {NAMES[sql]}", effect)

    async def keep_ids(self, block: str) -> None:
        def effect() -> None:
            self._must_answer()
            self._engine.keep_ids(block)

        await self._wire.call(f"keep_ids {block}", effect)

    async def forget(self, block: str, month: int, below_attempt: int) -> None:
        def effect() -> None:
            self._must_answer()
            self._engine.forget(block, month, below_attempt)

        await self._wire.call(f"forget {block}", effect)

    async def record(self, block: Block, *, attempts: int, took_ms: int) -> None:
        def effect() -> None:
            self._must_answer()
            self._engine.books[block.id] = block_row(block, attempts=attempts, took_ms=took_ms)

        await self._wire.call(f"record {block.id}", effect)


NAMES = {
    room.ROOM: "room",
    verify.CLOCK: "clock",
    verify.SEEN: "seen",
    verify.RUNNING: "running",
    verify.SHARD_RUNNING: "shard running",
    verify.LATEST: "latest",
    verify.TRACES: "traces",
    verify.SESSIONS: "sessions",
    STORED_BY_MINUTE: "ledger",
    **{sql: question.__name__ for sql, question in client_ids.QUESTIONS.items()},
    **{sql: question.__name__ for sql, question in tail.QUESTIONS.items()},
}
