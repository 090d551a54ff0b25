"""What the commands ask of the shards' streams in Redis, and the two things they do to them.

A replay sets `stored` back to a recorded edge and takes the lease away, in one script: the
ordinary flusher delivers again, and ClickHouse already holding a block is what it verifies
first (delivery.md, rule 7). A dead letter that is tried again leaves its stream in the step
that appends it to the log, so it is in exactly one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import redis

from schemas.durability import CONFIG, INFO, PROBE, Facts
from schemas.entry import ORIGIN, SHARDS_KEY, Keys, encode, entry_order
from schemas.ledger import Key, key_of

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
# Rows of the next entries, and the last of these. Entries have up to a megabyte: they are counted where they are.
ROWS = """
local rows, last = 0, ''
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])) do
  last = entry[1]
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'n' then rows = rows + tonumber(entry[2][at + 1]) end
  end
end
return {rows, last}
"""
PAGE = 32  # entries of up to 4 MB at a time: a thousand of 0.7 MB kept Redis from everybody else for 2 s, these for 0.2


class Letter(NamedTuple):
    """A dead letter. `first_seen` in unix ms; `row` in row.COLUMNS order."""

    id: str
    shard: int
    row: list[Any]
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


class Streams:
    """The shards of one installation."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=10)

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
            if type(error) in {redis.ResponseError, redis.exceptions.NoPermissionError}:  # not those that mean: not now
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
            pipe.hgetall(keys.accepted)
            pipe.xrevrange(keys.log, count=1)
            stored, edges, incarnation, duplicates, dead, accepted, last = pipe.execute()
        return State(
            stored.decode() if stored else ORIGIN,
            [edge.decode().split()[0] for edge in edges],
            incarnation.decode() if incarnation else "",
            last[0][0].decode() if last else ORIGIN,
            _totals(accepted),
            _totals(duplicates),
            dead,
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

    def commits(self, shard: int) -> Iterator[tuple[str, str, int]]:
        """Entry id, producer and commit number of every entry that is still there."""
        after = "-"
        while True:
            page: Any = self._redis.xrange(Keys(shard).log, after, count=PAGE)
            for entry_id, fields in page:
                yield entry_id.decode(), fields.get(b"p", b"").decode(), int(fields.get(b"c", 0))
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
                msgspec.msgpack.decode(fields[b"row"]),
                fields[b"reason"].decode(),
                fields[b"text"].decode("utf-8", "replace"),
                int(fields[b"first_seen"]),
            )

    def retry(self, letter: Letter) -> bool:
        """Append it to the log again; False when somebody else took it meanwhile."""
        keys = Keys(letter.shard)
        entry = encode([[value] for value in letter.row])
        return bool(self._redis.eval(RETRY, 2, keys.log, keys.dead, letter.id, entry))

    def drop(self, letter: Letter) -> bool:
        """Forget it for good."""
        return bool(self._redis.xdel(Keys(letter.shard).dead, letter.id))

    def rewind(self, shard: int, since_ms: int) -> str | None:
        """Let everything stored after this moment be delivered again, as far back as the tail goes.

        Returns the edge it went back to; None when there is nothing to replay. The origin is an edge too, recorded
        by the first cut and gone with the first trim: only while the log has its first entry can it begin there.
        """
        state = self.state(shard)
        behind = [edge for edge in state.edges if entry_order(edge) < entry_order(state.stored)]
        if not behind:
            return None
        older = [edge for edge in behind if entry_order(edge)[0] <= since_ms]
        edge = older[-1] if older else behind[0]
        keys = Keys(shard)
        return edge if self._redis.eval(REWIND, 3, keys.checkpoint, keys.edges, keys.lease, edge) else None


def _totals(fields: Mapping[bytes, bytes]) -> dict[Key, int]:
    return {key_of(name.decode()): int(count) for name, count in fields.items()}
