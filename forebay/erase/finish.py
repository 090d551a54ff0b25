"""Takes an erasure from where it stands to its end. Each step may be repeated, by a later run, or by two runs at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from forebay.clickhouse import ClickHouseError
from forebay.erase.register import Busy, Register, fresh
from forebay.erase.rows import Bound, Rows, accepted, meant
from forebay.stream import Letter, Streams
from runtime import redis
from schemas.erasure import Erasure
from schemas.ledger import Key
from schemas.names import BlockName
from schemas.row import INDEX

POLL_SECONDS = 0.2
RETRY_SECONDS = 1.0
REWRITE_SECONDS = 600.0
Say = Callable[[str], None]


class Waits(Exception):
    """Reports that an erasure can't go on yet. Its text says why; the erasure stands, and a later run goes on with it."""


class Found(NamedTuple):
    """Counts the events that the selectors mean, by site: in ClickHouse (None: unknown), in streams, and dead."""

    stored: dict[str, int] | None
    waiting: dict[str, int]
    dead: dict[str, int]


class Finish:
    """Reaches every place that holds events of an erasure."""

    def __init__(self, streams: Streams, register: Register, rows: Rows, *, say: Say) -> None:
        self._streams = streams
        self._register = register
        self._rows = rows
        self._say = say

    def found(self, erasure: Erasure) -> Found:
        """Counts the events that the erasure means now. Raises redis.RedisError."""
        waiting: Counter[str] = Counter()
        for shard in range(self._streams.shards()):
            for _, columns in self._streams.entries(shard, self._streams.state(shard).stored):
                sites = columns[INDEX["site"]]
                waiting.update(sites[at] for at in erasure.places(columns))
        dead = Counter(
            letter.row[INDEX["site"]]
            for shard in range(self._streams.shards())
            for letter in self._letters(shard, erasure)
            if letter.row is not None
        )
        try:
            stored = self._rows.by_site(meant(erasure))
        except ClickHouseError as error:
            self._say(f"what is stored is not counted: {error}")
            return Found(None, waiting, dead)
        return Found(stored, waiting, dead)

    def run(self, erasure: Erasure, deadline: float) -> int:
        """Does all of the erasure, and returns how many stored rows went.

        Raises Waits if it is not done by `deadline` (monotonic).
        """
        while True:
            try:
                return self._steps(erasure, deadline)
            except (redis.RedisError, ClickHouseError) as error:
                if time.monotonic() > deadline:
                    raise Waits(str(error)) from error
                time.sleep(RETRY_SECONDS)

    def _steps(self, erasure: Erasure, deadline: float) -> int:
        bounds = {shard: self._bound(shard, erasure, deadline) for shard in range(self._streams.shards())}
        for shard, bound in bounds.items():
            self._drop_letters(shard, erasure, bound)
        plan = self._deleted(erasure, bounds, deadline)
        self._rows.forget_copies(erasure.id, plan)
        self._drained(erasure, deadline)
        try:
            if not self._register.rewrite(REWRITE_SECONDS):
                raise Waits("Redis has not written its append-only file anew")
        except redis.ResponseError as error:
            self._say(f"Redis keeps what it wrote until it writes its append-only file anew, daily: {error}")
        self._rows.note(erasure, plan, state="done")
        self._register.done(erasure.id)
        return sum(sum(rows.values()) for rows in self._rows.planned(erasure.id, plan).values())

    def _bound(self, shard: int, erasure: Erasure, deadline: float) -> Bound:
        """Waits until the shard's flusher has acknowledged the erasure; returns the edge up to which blocks are older."""
        while (edge := self._register.acknowledged(shard, erasure.id)) is None:
            _rest(
                deadline,
                f"shard {shard} has not acknowledged it: no flusher of this version serves it, or a block of it waits"
                " for ClickHouse",
            )
        return Bound(self._streams.state(shard).incarnation, edge)

    def _drop_letters(self, shard: int, erasure: Erasure, bound: Bound) -> None:
        """Drops the dead letters of the erasure, where a failover neither brings one back nor has another one.

        They are those whose rows would be deleted if they were stored (rows.accepted). By the id of a letter nothing can be
        told: Redis's clock may have been set back.
        """
        with self._register.assuring(shard):
            for letter in self._letters(shard, erasure):
                is_before = bound.holds(letter.block)
                if letter.row is not None and (is_before or letter.row[INDEX["received_at"]] <= erasure.at_ms):
                    self._register.drop(letter)

    def _letters(self, shard: int, erasure: Erasure) -> Iterator[Letter]:
        """Yields the dead letters that the selectors mean, whenever they were accepted."""
        for letter in self._streams.letters(shard):
            if letter.row is not None and erasure.places([[value] for value in letter.row]):
                yield letter

    def _deleted(self, erasure: Erasure, bounds: dict[int, Bound], deadline: float) -> str:
        """Plans and counts the rows of the erasure, then deletes them. Returns the name of the plan that counted."""
        condition = accepted(erasure, bounds)
        plan = self._register.plan(erasure.id)
        while plan is None:
            mine = fresh()
            self._rows.write_plan(erasure.id, mine, condition)
            try:
                plan = self._register.choose(erasure.id, mine)
            except Busy as other:
                _rest(deadline, f"rows of erasure {other} are being deleted")
        if self._register.is_settled(erasure.id):
            return plan
        self._rows.note(erasure, plan, state="planned")
        for shard, counts in self._by_shard(erasure, plan, bounds).items():
            self._register.count(shard, erasure.id, counts)
        while not self._rows.delete(erasure.id, condition):
            _rest(deadline, "ClickHouse is still deleting")
        for shard in bounds:
            self._register.gone(shard, erasure.id)
        self._register.settle(erasure.id)
        return plan

    def _by_shard(self, erasure: Erasure, plan: str, bounds: dict[int, Bound]) -> dict[int, Counter[Key]]:
        """Returns the planned rows of today's streams, by shard, minute and site, for their ledgers to count as erased."""
        counts: dict[int, Counter[Key]] = {}
        for block, rows in self._rows.planned(erasure.id, plan).items():
            name = BlockName.parse(block)
            if name.shard in bounds and bounds[name.shard].incarnation == name.incarnation:
                counts.setdefault(name.shard, Counter()).update(rows)
        return counts

    def _drained(self, erasure: Erasure, deadline: float) -> None:
        """Waits until everything that was accepted before the erasure has left the streams."""
        for shard in range(self._streams.shards()):
            while self._is_waiting(shard, erasure):
                _rest(deadline, f"events wait in shard {shard}; they are left out as they are stored")

    def _is_waiting(self, shard: int, erasure: Erasure) -> bool:
        """Returns whether the shard's stream holds events of the erasure, or such as nobody has looked at yet.

        The stream may end before the last entry of then: a failover took back what was not acknowledged.
        """
        with self._register.assuring(shard):
            state = self._streams.state(shard)
            return state.stored < min(state.last, erasure.end_of(shard)) or any(
                erasure.accepted(columns, shard, entry_id) for entry_id, columns in self._streams.entries(shard)
            )

    def unreadable(self) -> int:
        """Counts the dead letters that can't be read and the entries set aside, which may hold events of anybody.

        Raises redis.RedisError.
        """
        shards = range(self._streams.shards())
        letters = sum(letter.row is None for shard in shards for letter in self._streams.letters(shard))
        return letters + sum(len(self._streams.asides(shard)) for shard in shards)


def _rest(deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise Waits(why)
    time.sleep(POLL_SECONDS)
