"""The streams of the shards in Redis, as the commands read them, and what commands do to them.

A replay sets `stored` back to a recorded edge and takes the lease away, in one script. Then the ordinary flusher delivers the
blocks again, and verifies before each whether ClickHouse holds it (rule 7 of docs/delivery.md). A dead letter that is tried
again leaves its stream in the step that appends it to the log, so it is in exactly one of them; an entry that was set aside
does the same.

Not promised: a picture of one moment. Only `state` reads in an order that makes its numbers fit together.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from runtime import redis
from schemas.aside import Aside
from schemas.deadletter import DeadLetter
from schemas.durability import CONFIG, INFO, PROBE, Facts
from schemas.entry import Damaged, UnknownVersion, decode, encode, missing
from schemas.ledger import Erased, Key, totals_of
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import SHARDS_KEY, CheckpointField, Keys
from schemas.redis.records import Edge, Entry
from schemas.redis.scripts import script

REWIND = script("rewind")
RETRY_LETTER = script("retry_letter")
RETRY_ENTRY = script("retry_entry")
SET_ASIDE = script("set_aside_by_hand")
ROWS = script("rows")
PAGE = 32  # entries of up to 4 MB at a time: a thousand of 0.7 MB kept Redis from everybody else for 2 s, these for 0.2


class Letter(NamedTuple):
    """Holds a dead letter and where it lies. `first_seen` in unix ms; `row` is None where it can't be read.

    Otherwise it is in row.COLUMNS order, with what a newer release knows behind: a retry gives all of it back.
    """

    id: EntryId
    shard: int
    row: list[Any] | None
    reason: str
    text: str
    first_seen: int
    block: str  # which ClickHouse refused


class State(NamedTuple):
    """Holds where a shard stands: edges oldest first, the `last` entry that was appended, and how many letters are `dead`."""

    stored: EntryId
    edges: list[Edge]
    incarnation: str
    last: EntryId
    accepted: dict[Key, int]
    duplicates: dict[Key, int]
    dead: int
    erased: Erased


class Replay(NamedTuple):
    """Says what is delivered again: the blocks behind `edge` up to `upto`, and how many events were cut into them."""

    edge: EntryId
    upto: EntryId
    blocks: int
    rows: int


class Streams:
    """Reads and changes the shards of one installation. Everything raises redis.RedisError.

    `redis` is its client. Whoever has something else to ask of the same Redis asks by it, and so of the same servers.
    """

    def __init__(self, url: str) -> None:
        self.redis = redis.blocking_client(url, seconds=10)

    def close(self) -> None:
        self.redis.close()

    def shards(self) -> int:
        """Returns how many shards there are; 0 when nothing was ever ingested here."""
        found: Any = self.redis.get(SHARDS_KEY)
        return int(found or 0)

    def facts(self) -> dict[str, Facts]:
        """Returns what each server of Redis says of itself by its address, an empty text where there is one server."""
        return {
            server: Facts.of(*(_told(one, *question) for question in (INFO, CONFIG, PROBE)))
            for server, one in redis.blocking_servers(self.redis).items()
        }

    def state(self, shard: int) -> State:
        keys = Keys(shard)
        # duplicates before accepted: a copy counted there is counted here. accepted before last: everything counted lies
        # at or before that entry. No MULTI: a full Redis refuses it.
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.checkpoint, CheckpointField.STORED)
            pipe.lrange(keys.edges, 0, -1)
            pipe.get(keys.incarnation)
            pipe.hgetall(keys.duplicate)
            pipe.xlen(keys.dead)
            pipe.hgetall(keys.leaving)
            pipe.hgetall(keys.erased)
            pipe.hgetall(keys.accepted)
            pipe.xrevrange(keys.log, count=1)
            stored, edges, incarnation, duplicates, dead, leaving, erased, accepted, last = pipe.execute()
        return State(
            _id_in(keys.checkpoint, stored),
            _edges(edges),
            incarnation.decode() if incarnation else "",
            EntryId.parse(last[0][0]) if last else ORIGIN,
            totals_of(accepted),
            totals_of(duplicates),
            dead,
            Erased(totals_of(erased), totals_of(leaving)),
        )

    def in_flight(self, shard: int, state: State) -> int:
        """Counts the events that were accepted and not stored, as of that state of the shard."""
        found, after = 0, state.stored
        while after < state.last:
            said: Any = self.redis.eval(ROWS, 1, Keys(shard).log, f"({after}", str(state.last), PAGE)
            _, rows, last = said
            if not last:
                break
            found, after = found + rows, EntryId.parse(last)
        return found

    def last_commit(self, shard: int, producer: str) -> int:
        """Returns the number of the last commit that the shard took of a producer; 0: none, or it is forgotten."""
        found: Any = self.redis.hget(Keys(shard).producers, producer)
        return int(found or 0)

    def records(self, shard: int, after: EntryId = ORIGIN) -> Iterator[Entry]:
        """Yields the records of the stream that are still there, behind this one, whoever wrote them."""
        while True:
            page: Any = self.redis.xrange(Keys(shard).log, f"({after}", count=PAGE)
            for entry_id, fields in page:
                entry = Entry.of(entry_id, fields)
                after = entry.id
                yield entry
            if len(page) < PAGE:
                return

    def entries(self, shard: int, after: EntryId = ORIGIN) -> Iterator[tuple[EntryId, list[list[Any]]]]:
        """Yields id and columns of every entry behind this one that can be read; the flusher sets the others aside."""
        for entry in self.records(shard, after):
            with contextlib.suppress(Damaged, UnknownVersion):
                yield entry.id, decode(entry.data)

    def letters(self, shard: int) -> Iterator[Letter]:
        """Yields the dead letters, oldest first."""
        records: Any = self.redis.xrange(Keys(shard).dead)
        for entry_id, fields in records:
            letter = DeadLetter.of(fields)
            yield Letter(
                EntryId.parse(entry_id),
                shard,
                _row(letter.row),
                letter.reason,
                letter.text,
                letter.first_seen,
                letter.block,
            )

    def asides(self, shard: int) -> dict[EntryId, Aside]:
        """Returns what is known of the entries that were set aside, by their ids."""
        found: Any = self.redis.hgetall(Keys(shard).aside)
        return {EntryId.parse(entry_id): _aside(value) for entry_id, value in found.items()}

    def retry_entry(self, shard: int, entry_id: EntryId) -> bool:
        """Appends an entry that was set aside to the log again.

        False when it is not there, or when it is a stranger's with too many fields.
        """
        keys = Keys(shard)
        return bool(self.redis.eval(RETRY_ENTRY, 3, keys.log, keys.aside, keys.aside_entry(entry_id), str(entry_id)))

    def drop_entry(self, shard: int, entry_id: EntryId) -> bool:
        """Deletes an entry that was set aside; False when it is not there."""
        keys = Keys(shard)
        self.redis.delete(keys.aside_entry(entry_id))
        return bool(self.redis.hdel(keys.aside, str(entry_id)))

    def set_aside(self, shard: int, entry_id: EntryId) -> bool:
        """Takes an entry out of the log on a person's word; False when it is not there, or when a block holds it."""
        keys = Keys(shard)
        records: Any = self.redis.xrange(keys.log, str(entry_id), str(entry_id))
        if not records:
            return False
        [(_, fields)] = records
        entry = Entry.of(str(entry_id), fields)
        aside = Aside(
            "by_hand",
            f"{len(entry.data)} bytes, version {entry.data[:1].hex() or 'none'}",
            int(time.time() * 1000),
            entry.rows,
            entry.producer,
            entry.commit,
            {},
        )
        names = (keys.log, keys.edges, keys.lease, keys.aside, keys.aside_entry(entry_id))
        return bool(self.redis.eval(SET_ASIDE, len(names), *names, str(entry_id), aside.encode()))

    def settle(self, shard: int) -> EntryId | None:
        """Writes down a person's word on the recorded block that waits: go on with what is left of it.

        Returns its edge; None: no block waits.
        """
        state = self.state(shard)
        waiting = [edge.id for edge in state.edges if edge.id > state.stored]
        if not waiting:
            return None
        self.redis.hset(Keys(shard).checkpoint, CheckpointField.SETTLED, str(waiting[0]))
        return waiting[0]

    def retry(self, letter: Letter) -> bool:
        """Appends the letter's row to the log again; False when the letter is gone, or can't be read."""
        keys = Keys(letter.shard)
        if letter.row is None:
            return False
        entry = encode([[value] for value in letter.row])
        return bool(self.redis.eval(RETRY_LETTER, 2, keys.log, keys.dead, str(letter.id), entry))

    def drop(self, letter: Letter) -> bool:
        """Deletes the letter; False when it was gone."""
        return bool(self.redis.xdel(Keys(letter.shard).dead, str(letter.id)))

    def clocks_ms(self) -> dict[str, int]:
        """Returns the clock of each server in unix ms, by its address."""
        return {server: _clock_ms(one) for server, one in redis.blocking_servers(self.redis).items()}

    def last_entry(self, shard: int) -> Entry | None:
        """Returns the last entry that is there."""
        records: Any = self.redis.xrevrange(Keys(shard).log, count=1)
        return Entry.of(*records[0]) if records else None

    def left(self, shard: int, replay: Replay) -> int:
        """Counts the blocks of a replay that are not delivered yet."""
        state = self.state(shard)
        return sum(state.stored < edge.id <= replay.upto for edge in state.edges)

    def rewind(self, shard: int, since_ms: int) -> Replay | None:
        """Has everything delivered again that was stored after this moment, as far back as the replay tail goes.

        Returns None when there is nothing to replay. What an earlier replay has not delivered yet is part of this one.
        The origin is an edge too, which the first cut records and the first trim removes: so a replay can begin there as
        long as the log has its first entry.
        """
        keys = Keys(shard)
        state = self.state(shard)
        behind = [edge.id for edge in state.edges if edge.id < state.stored]
        older = [edge for edge in behind if edge.ms <= since_ms]
        edge = older[-1] if older else behind[0] if behind else state.stored
        if behind and not self.redis.eval(REWIND, 3, keys.checkpoint, keys.edges, keys.lease, str(edge)):
            return None
        counted: Any = self.redis.hget(keys.checkpoint, CheckpointField.COUNTED)
        upto = max(state.stored, _id_in(keys.checkpoint, counted))
        recorded: Any = self.redis.lrange(keys.edges, 0, -1)
        again = [one.rows for one in _edges(recorded) if edge < one.id <= upto]
        return Replay(edge, upto, len(again), sum(again)) if again else None


def _told(client: redis.BlockingRedis, *question: str) -> Any:
    """Returns the answer, or None where Redis forbids the question."""
    try:
        return client.execute_command(*question)  # type: ignore[no-untyped-call]  # the library's
    except redis.ResponseError as error:
        if type(error) in {redis.ResponseError, redis.NoPermissionError}:  # not those that mean: not now
            return None
        raise


def _clock_ms(client: redis.BlockingRedis) -> int:
    found: Any = client.time()
    return int(found[0]) * 1000 + int(found[1]) // 1000


def _id_in(key: str, value: bytes | None) -> EntryId:
    """Returns the id in a field of this key; the origin without one. Raises redis.RedisError for what is no id."""
    try:
        return EntryId.parse(value) if value else ORIGIN
    except ValueError as error:
        raise redis.RedisError(f"{key} holds what is no entry's id: {error}") from error


def _edges(elements: list[bytes]) -> list[Edge]:
    """Returns the edges of a shard's list; what is none is left to its flusher, which stops at it and says so."""
    edges = []
    for element in elements:
        with contextlib.suppress(ValueError):
            edges.append(Edge.parse(element))
    return edges


def _row(packed: bytes) -> list[Any] | None:
    try:
        row: Any = msgspec.msgpack.decode(packed)
    except msgspec.MsgspecError:
        return None
    try:
        return [*row, *missing(row)] if isinstance(row, list) else None
    except Damaged:
        return None


def _aside(value: bytes) -> Aside:
    try:
        return Aside.decode(value)
    except Damaged as error:
        return Aside("unreadable", str(error), 0, 0, "", 0, {})
