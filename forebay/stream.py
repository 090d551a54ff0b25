"""What the commands ask of the shards' streams in Redis, and the two things they do to them.

A replay sets `stored` back to a recorded edge and takes the lease away, in one script: the
ordinary flusher delivers again, and ClickHouse already holding a block is what it verifies
first (delivery.md, rule 7). A dead letter that is tried again leaves its stream in the step
that appends it to the log, so it is in exactly one of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from runtime import redis
from schemas.aside import TEXT_CHARS_MAX, Aside
from schemas.durability import CONFIG, INFO, PROBE, Facts
from schemas.entry import ORIGIN, SHARDS_KEY, Damaged, Keys, UnknownVersion, decode, encode, entry_order, missing
from schemas.ledger import Erased, Key, totals_of

# `counted` is how far blocks were counted as stored before: the flusher's metrics leave them out when they come again.
REWIND = """
local function later(one, other)
  local ms, seq = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_seq = string.match(other, '(%d+)-(%d+)')
  if ms == other_ms then return tonumber(seq) > tonumber(other_seq) end
  return tonumber(ms) > tonumber(other_ms)
end
local stored = redis.call('HGET', KEYS[1], 'stored') or '0-0'
for _, edge in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  local id = string.match(edge, '^%S+')
  if id == ARGV[1] then
    redis.call('DEL', KEYS[3])
    if later(stored, redis.call('HGET', KEYS[1], 'counted') or '0-0') then redis.call('HSET', KEYS[1], 'counted', stored) end
    redis.call('HSET', KEYS[1], 'stored', id)
    return 1
  end
  if id == stored then return 0 end
end
return 0
"""
RETRY = """
if redis.call('XDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', 'd', ARGV[2], 'n', 1, 'p', 'dead', 'c', 0)
return 1
"""
# An entry that was set aside comes again at the end, as nobody's commit: its number is long past.
RETRY_ENTRY = """
local fields = redis.call('LRANGE', KEYS[3], 0, -1)
if #fields > 4000 or redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('DEL', KEYS[3])
local kept = {}
for at = 1, #fields, 2 do
  if fields[at] ~= 'p' and fields[at] ~= 'c' then
    kept[#kept + 1] = fields[at]
    kept[#kept + 1] = fields[at + 1]
  end
end
redis.call('XADD', KEYS[1], '*', 'p', 'dead', 'c', 0, unpack(kept))
return 1
"""
# By hand, an entry that no block holds yet. Who serves the shard has perhaps read it: so the lease is taken away.
SET_ASIDE = """
local function later(one, other)
  local ms, seq = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_seq = string.match(other, '(%d+)-(%d+)')
  if ms == other_ms then ms, other_ms = seq, other_seq end
  if #ms ~= #other_ms then return #ms > #other_ms end
  return ms > other_ms
end
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
local last = string.match(redis.call('LINDEX', KEYS[2], -1) or '0-0', '^%S+')
if not entry or not later(ARGV[1], last) then return 0 end
redis.call('DEL', KEYS[3], KEYS[5])
for at = 1, #entry[2], 1000 do
  redis.call('RPUSH', KEYS[5], unpack(entry[2], at, math.min(at + 999, #entry[2])))
end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
"""
# Rows of the next entries, and the last of these. Entries have up to a megabyte: they are counted where they are.
ROWS = """
local rows, last = 0, ''
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])) do
  last = entry[1]
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'n' then rows = rows + (tonumber(entry[2][at + 1]) or 0) end
  end
end
return {rows, last}
"""
PAGE = 32  # entries of up to 4 MB at a time: a thousand of 0.7 MB kept Redis from everybody else for 2 s, these for 0.2


class Letter(NamedTuple):
    """Holds a dead letter. `first_seen` in unix ms; `row` is None where nobody can read it.

    Otherwise it is in row.COLUMNS order, with what a newer release knows behind: a retry gives all of it back.
    """

    id: str
    shard: int
    row: list[Any] | None
    reason: str
    text: str
    first_seen: int


class State(NamedTuple):
    """A shard as of one moment. Edges oldest first; `last` is the last entry appended; `dead` letters by number."""

    stored: str
    edges: list[str]
    incarnation: str
    last: str
    accepted: dict[Key, int]
    duplicates: dict[Key, int]
    dead: int
    erased: Erased


class Replay(NamedTuple):
    """What of a shard is delivered again: the blocks behind `edge` up to `upto`, and the events that were cut into them."""

    edge: str
    upto: str
    blocks: int
    rows: int


class Streams:
    """The shards of one installation."""

    def __init__(self, url: str) -> None:
        self._redis = redis.blocking_client(url, seconds=10)

    def close(self) -> None:
        self._redis.close()

    def shards(self) -> int:
        """How many there are; 0 when nothing was ever ingested here."""
        found: Any = self._redis.get(SHARDS_KEY)
        return int(found or 0)

    def facts(self) -> Facts:
        """What Redis says of itself."""
        return Facts.of(*(self._told(*question) for question in (INFO, CONFIG, PROBE)))

    def _told(self, *question: str) -> Any:
        """The answer, or None where Redis does not tell."""
        try:
            return self._redis.execute_command(*question)  # type: ignore[no-untyped-call]  # the library's
        except redis.ResponseError as error:
            if type(error) in {redis.ResponseError, redis.NoPermissionError}:  # not those that mean: not now
                return None
            raise

    def state(self, shard: int) -> State:
        keys = Keys(shard)
        # duplicates before accepted: a copy counted there is counted here. accepted before last: everything counted lies
        # at or before that entry. No MULTI: a full Redis refuses it.
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.checkpoint, "stored")
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
            stored.decode() if stored else ORIGIN,
            [edge.decode().split()[0] for edge in edges],
            incarnation.decode() if incarnation else "",
            last[0][0].decode() if last else ORIGIN,
            totals_of(accepted),
            totals_of(duplicates),
            dead,
            Erased(totals_of(erased), totals_of(leaving)),
        )

    def in_flight(self, shard: int, state: State) -> int:
        """Events accepted and not stored, as of that state of the shard."""
        found, after = 0, state.stored
        while entry_order(after) < entry_order(state.last):
            said: Any = self._redis.eval(ROWS, 1, Keys(shard).log, f"({after}", state.last, PAGE)
            if not said[1]:
                break
            found, after = found + said[0], said[1].decode()
        return found

    def last_commit(self, shard: int, producer: str) -> int:
        """The number of the last commit of a producer that is in the stream, or was."""
        found: Any = self._redis.hget(Keys(shard).producers, producer)
        return int(found or 0)

    def commits(self, shard: int) -> Iterator[tuple[str, str, int]]:
        """Entry id, producer and commit number of every entry that is still there."""
        after = "-"
        while True:
            page: Any = self._redis.xrange(Keys(shard).log, after, count=PAGE)
            for entry_id, fields in page:
                number = fields.get(b"c", b"")
                yield entry_id.decode(), fields.get(b"p", b"").decode("utf-8", "replace"), _number(number)
            if len(page) < PAGE:
                return
            after = "(" + page[-1][0].decode()

    def entries(self, shard: int, after: str = "-") -> Iterator[tuple[str, list[list[Any]]]]:
        """Id and columns of every entry behind this one that can be read; the flusher sets the others aside."""
        after = after if after == "-" else "(" + after
        while True:
            page: Any = self._redis.xrange(Keys(shard).log, after, count=PAGE)
            for entry_id, fields in page:
                with contextlib.suppress(Damaged, UnknownVersion):
                    yield entry_id.decode(), decode(fields.get(b"d", b""))
            if len(page) < PAGE:
                return
            after = "(" + page[-1][0].decode()

    def letters(self, shard: int) -> Iterator[Letter]:
        """Dead letters, oldest first."""
        records: Any = self._redis.xrange(Keys(shard).dead)
        for entry_id, fields in records:
            yield Letter(
                entry_id.decode(),
                shard,
                _row(fields.get(b"row", b"")),
                fields.get(b"reason", b"unreadable").decode("utf-8", "replace"),
                fields.get(b"text", b"").decode("utf-8", "replace"),
                _number(fields.get(b"first_seen", b"")),
            )

    def asides(self, shard: int) -> dict[str, Aside]:
        """Entries that were set aside, by their ids."""
        found: Any = self._redis.hgetall(Keys(shard).aside)
        return {entry_id.decode(): _aside(value) for entry_id, value in found.items()}

    def retry_entry(self, shard: int, entry_id: str) -> bool:
        """Append an entry that was set aside to the log again; False when it is not there, or a stranger's with too
        many fields.
        """
        keys = Keys(shard)
        return bool(self._redis.eval(RETRY_ENTRY, 3, keys.log, keys.aside, keys.aside_entry(entry_id), entry_id))

    def drop_entry(self, shard: int, entry_id: str) -> bool:
        """Forget an entry that was set aside for good."""
        keys = Keys(shard)
        self._redis.delete(keys.aside_entry(entry_id))
        return bool(self._redis.hdel(keys.aside, entry_id))

    def set_aside(self, shard: int, entry_id: str) -> bool:
        """Take an entry out of the log by hand; False when it is not there, or cut into a block already."""
        keys = Keys(shard)
        records: Any = self._redis.xrange(keys.log, entry_id, entry_id)
        if not records:
            return False
        [(_, fields)] = records
        aside = Aside(
            "by_hand",
            f"{len(fields.get(b'd', b''))} bytes, version {fields.get(b'd', b'')[:1].hex() or 'none'}",
            int(time.time() * 1000),
            _number(fields.get(b"n", b"")),
            fields.get(b"p", b"").decode("utf-8", "replace")[:TEXT_CHARS_MAX],
            _number(fields.get(b"c", b"")),
            {},
        )
        names = (keys.log, keys.edges, keys.lease, keys.aside, keys.aside_entry(entry_id))
        return bool(self._redis.eval(SET_ASIDE, len(names), *names, entry_id, aside.encode()))

    def settle(self, shard: int) -> str | None:
        """Say of the recorded block that waits: go on with what is left of it. Returns its edge; None: no block waits."""
        state = self.state(shard)
        waiting = [edge for edge in state.edges if entry_order(edge) > entry_order(state.stored)]
        if not waiting:
            return None
        self._redis.hset(Keys(shard).checkpoint, "settled", waiting[0])
        return waiting[0]

    def retry(self, letter: Letter) -> bool:
        """Append it to the log again; False when somebody else took it meanwhile, or nobody can read it."""
        keys = Keys(letter.shard)
        if letter.row is None:
            return False
        entry = encode([[value] for value in letter.row])
        return bool(self._redis.eval(RETRY, 2, keys.log, keys.dead, letter.id, entry))

    def drop(self, letter: Letter) -> bool:
        """Forget it for good."""
        return bool(self._redis.xdel(Keys(letter.shard).dead, letter.id))

    def now_ms(self) -> int:
        """Redis's clock, in unix ms."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def last_entry(self, shard: int) -> tuple[str, bytes] | None:
        """The id and the bytes of the last entry that is there."""
        records: Any = self._redis.xrevrange(Keys(shard).log, count=1)
        return (records[0][0].decode(), records[0][1].get(b"d", b"")) if records else None

    def left(self, shard: int, replay: Replay) -> int:
        """How many blocks of a replay are not delivered yet."""
        state = self.state(shard)
        stored, upto = entry_order(state.stored), entry_order(replay.upto)
        return sum(stored < entry_order(edge) <= upto for edge in state.edges)

    def rewind(self, shard: int, since_ms: int) -> Replay | None:
        """Let everything stored after this moment be delivered again, as far back as the tail goes.

        None when there is nothing to replay; what an earlier replay has not delivered yet is part of this one. The
        origin is an edge too, recorded by the first cut and gone with the first trim: only while the log has its first
        entry can it begin there.
        """
        keys = Keys(shard)
        state = self.state(shard)
        behind = [edge for edge in state.edges if entry_order(edge) < entry_order(state.stored)]
        older = [edge for edge in behind if entry_order(edge)[0] <= since_ms]
        edge = older[-1] if older else behind[0] if behind else state.stored
        if behind and not self._redis.eval(REWIND, 3, keys.checkpoint, keys.edges, keys.lease, edge):
            return None
        counted: Any = self._redis.hget(keys.checkpoint, "counted")
        upto = max(state.stored, counted.decode() if counted else ORIGIN, key=entry_order)
        recorded: Any = self._redis.lrange(keys.edges, 0, -1)
        words = [one.decode().split() for one in recorded]
        again = [int(rows) for name, rows, *_ in words if entry_order(edge) < entry_order(name) <= entry_order(upto)]
        return Replay(edge, upto, len(again), sum(again)) if again else None


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < 16 else 0


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
