"""A shard's stream and checkpoint in Redis: read entries, move the checkpoint, trim.

The only importer of redis here beside the lease. Every move is a script that checks the
lease and the value it moves from (I3, delivery.md rule 2); an answer that did not arrive is
lease.Unclear, and the caller reads the checkpoint again instead of sending again.

    edges list   floor … stored … cut        each "id rows bytes", the block that ends there
    log          entries behind floor are gone, those up to stored are the replay tail

The first cut of a shard records the origin before its edge: until something is trimmed the floor
is 0-0, and a replay may begin there like at any edge.

Not promised: order between shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis

from flusher.deadletter import DeadLetter
from flusher.lease import Lease, LeaseLost, answering
from schemas.entry import CLAIMS_KEY, ORIGIN, Keys, entry_order
from schemas.ledger import OTHER, TOTALS_MAX, Key, field_of, key_of

# At maxmemory Redis refuses a script whose first write may grow something, and allows all after one that may not.
# So one that can't (PERSIST) comes first: a flusher that stopped when Redis is full would never trim it.
CUT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
if stored ~= ARGV[2] then return 'moved' end
local last = redis.call('LINDEX', KEYS[3], -1)
if last and string.match(last, '^%S+') ~= stored then return 'moved' end
redis.call('PERSIST', KEYS[2])
if not last and stored == '0-0' then redis.call('RPUSH', KEYS[3], '0-0 0 0') end
redis.call('RPUSH', KEYS[3], ARGV[3])
return 'ok'
"""
STORED = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
redis.call('PERSIST', KEYS[2])
if #ARGV > 4 and redis.call('HSETNX', KEYS[2], 'buried:' .. ARGV[3], 1) == 1 then
  local letters = 5 + 2 * ARGV[4]
  local is_full = redis.call('HLEN', KEYS[4]) >= TOTALS_MAX
  for at = 5, letters - 1, 2 do
    local name = ARGV[at]
    if is_full and redis.call('HEXISTS', KEYS[4], name) == 0 then name = string.match(name, '^%d+') .. ' OTHER' end
    redis.call('HINCRBY', KEYS[4], name, ARGV[at + 1])
  end
  for at = letters, #ARGV, 5 do
    redis.call('XADD', KEYS[3], '*', 'row', ARGV[at], 'reason', ARGV[at + 1], 'text', ARGV[at + 2],
      'first_seen', ARGV[at + 3], 'block', ARGV[at + 4])
  end
end
redis.call('HSET', KEYS[2], 'stored', ARGV[3])
return 'ok'
""".replace("TOTALS_MAX", str(TOTALS_MAX)).replace("OTHER", OTHER)
# What is left out of a block, its copies or its dead, is found once, and its dead are buried and its copies counted
# once, also when the block is replayed: whoever finds something else reads the checkpoint again. All of it is kept for
# as long as the block's edge is.
JUDGE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
redis.call('PERSIST', KEYS[2])
if redis.call('HSETNX', KEYS[2], ARGV[3], ARGV[4]) == 1 or redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[4] then
  return 'ok'
end
return 'moved'
"""
# ClickHouse is ahead of a Redis that lost its tail: the checkpoint follows (rule 8).
FOLLOW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('HGET', KEYS[2], 'stored') or '0-0') ~= ARGV[2] then return 'moved' end
redis.call('PERSIST', KEYS[2])
for _, edge in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local gone = string.match(edge, '^%S+')
  redis.call('HDEL', KEYS[2], 'verdict:' .. gone, 'duplicate:' .. gone, 'buried:' .. gone)
end
redis.call('DEL', KEYS[3])
redis.call('RPUSH', KEYS[3], ARGV[3] .. ' 0 0')
redis.call('HSET', KEYS[2], 'stored', ARGV[3])
return 'ok'
"""
TRIM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local stored = redis.call('HGET', KEYS[2], 'stored') or '0-0'
local floor
local behind = {}
for at, edge in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local id = string.match(edge, '^%S+')
  if id == ARGV[2] then floor = at - 1 end
  if not floor then behind[at] = id end
  if floor and id == stored then
    redis.call('LTRIM', KEYS[3], floor, -1)
    for _, gone in ipairs(behind) do
      redis.call('HDEL', KEYS[2], 'verdict:' .. gone, 'duplicate:' .. gone, 'buried:' .. gone)
    end
    redis.call('XTRIM', KEYS[4], 'MINID', ARGV[3])
    return 'ok'
  end
end
return 'moved'
"""
# The order in which blocks are searched for client ids that came before (delivery.md, rule 9): each shard's current
# block, with its turn. No lease is asked for: it may live elsewhere in a cluster, only blocks that are recorded are
# claimed, their names say what they hold, and an old one never replaces a later one. Fixed widths: names sort as blocks.
CLAIM = """
local incarnation = string.match(ARGV[2], '^[^:]+:')
local turn, block = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) (.+)$')
if block ~= ARGV[2] then
  if block and string.sub(block, 1, #incarnation) == incarnation and block > ARGV[2] then return {} end
  redis.call('PERSIST', KEYS[1])
  turn = redis.call('HINCRBY', KEYS[1], 'turn', 1)
  redis.call('HSET', KEYS[1], ARGV[1], turn .. ' ' .. ARGV[2])
end
return {tonumber(turn), redis.call('HGETALL', KEYS[1])}
"""
# Of one XRANGE. Entries have 60 B to a megabyte, and Redis holds an answer whole: so many that they make a few MB.
READ_ENTRIES_MAX = 1_000
READ_ENTRIES_FIRST = 32
READ_BYTES = 4 << 20


class Moved(Exception):
    """The checkpoint is not where this flusher believed it to be: read it again."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The last entry of a block, and what the block held: rows, and entry bytes as `size`."""

    id: str
    rows: int
    size: int

    def text(self) -> str:
        """As the edges list keeps it."""
        return f"{self.id} {self.rows} {self.size}"

    @classmethod
    def parse(cls, text: bytes) -> Edge:
        """The edge of a list element."""
        entry_id, rows, size = text.decode().split()
        return cls(entry_id, int(rows), int(size))


BEGINNING = Edge(ORIGIN, 0, 0)  # of the log, as the first cut records it: trimmed and followed away like any edge


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`stored`, the recorded edges behind and after it, and what is left out of blocks, by their edges.

    `verdicts` on refused blocks, and the `duplicates` of blocks that were searched for them. Blocks up to `counted`
    were stored before a replay.
    """

    stored: str
    edges: tuple[Edge, ...]
    verdicts: Mapping[str, bytes] = field(default_factory=dict)
    duplicates: Mapping[str, bytes] = field(default_factory=dict)
    counted: str = ORIGIN

    def pending(self) -> Edge | None:
        """The edge recorded but not stored: its block must be delivered again as it was."""
        last = self.edges[-1] if self.edges else None
        return last if last and entry_order(last.id) > entry_order(self.stored) else None

    def next_after(self, edge_id: str) -> Edge | None:
        """The first recorded edge after this one."""
        at = entry_order(edge_id)
        return next((edge for edge in self.edges if entry_order(edge.id) > at), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """A block's turn among the blocks of all shards, and every shard's current block with its turn, its own included."""

    turn: int
    current: Mapping[int, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream record. `data` as schemas.entry encodes it."""

    id: str
    data: bytes
    rows: int
    producer: str
    commit: int


class RedisStream:
    """The flusher's side of the shards' streams."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._read_entries = READ_ENTRIES_FIRST
        self._cut = redis.register_script(CUT)
        self._stored = redis.register_script(STORED)
        self._judge = redis.register_script(JUDGE)
        self._follow = redis.register_script(FOLLOW)
        self._trim = redis.register_script(TRIM)
        self._claim = redis.register_script(CLAIM)

    async def checkpoint(self, shard: int) -> Checkpoint:
        """Where the shard stands.

        No MULTI: at maxmemory Redis queues nothing, not even reads. Should a late command of ours
        run between the two, `stored` is not older than the edges: a cut is then refused, no more.
        """
        keys = Keys(shard)
        async with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.lrange(keys.edges, 0, -1)
            pipe.hgetall(keys.checkpoint)
            edges, fields = await pipe.execute()
        left_out: dict[str, dict[str, bytes]] = {"verdict": {}, "duplicate": {}}
        for name, value in fields.items():
            kind, _, edge = name.decode().partition(":")
            if kind in left_out:
                left_out[kind][edge] = value
        stored, counted = (fields.get(name, ORIGIN.encode()).decode() for name in (b"stored", b"counted"))
        recorded = tuple(Edge.parse(text) for text in edges)
        return Checkpoint(stored, recorded, left_out["verdict"], left_out["duplicate"], counted)

    async def read(self, shard: int, after: str, upto: str = "+") -> list[Entry]:
        """The next entries in (after, upto], at most READ_ENTRIES_MAX, in order."""
        async with answering():
            records: Any = await self._redis.xrange(Keys(shard).log, f"({after}", upto, count=self._read_entries)
        if records:
            size = sum(len(fields[b"d"]) for _, fields in records) // len(records)
            self._read_entries = min(READ_ENTRIES_MAX, max(READ_ENTRIES_FIRST, READ_BYTES // (size + 1)))
        return [
            Entry(
                entry_id.decode(),
                fields[b"d"],
                int(fields[b"n"]),
                fields.get(b"p", b"").decode(),
                int(fields.get(b"c", 0)),
            )
            for entry_id, fields in records
        ]

    async def cut(self, lease: Lease, from_id: str, edge: Edge) -> None:
        """Record the block (from_id, edge] before its first INSERT (I2)."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._cut(
                keys=[keys.lease, keys.checkpoint, keys.edges], args=[lease.value, from_id, edge.text()]
            )
        _check(said, lease)

    async def judge(self, lease: Lease, from_id: str, to_id: str, verdict: bytes) -> None:
        """Record the verdict on the refused block (from_id, to_id]. Raises Moved when there is another one."""
        await self._leave_out(lease, from_id, "verdict:" + to_id, verdict)

    async def set_duplicates(self, lease: Lease, from_id: str, to_id: str, places: bytes) -> None:
        """Record which rows of the block came before. Raises Moved when others are recorded."""
        await self._leave_out(lease, from_id, "duplicate:" + to_id, places)

    async def _leave_out(self, lease: Lease, from_id: str, field: str, value: bytes) -> None:
        keys = Keys(lease.shard)
        async with answering():
            said = await self._judge(keys=[keys.lease, keys.checkpoint], args=[lease.value, from_id, field, value])
        _check(said, lease)

    async def claim(self, shard: int, block: str) -> Claim | None:
        """Make a recorded block its shard's current one; the same answer when it is. None: a later one was claimed."""
        async with answering():
            turn, *said = await self._claim(keys=[CLAIMS_KEY], args=[str(shard), block]) or (None,)
        if turn is None:
            return None
        fields = [value.decode() for value in said[0]]
        current: dict[int, tuple[int, str]] = {}
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if name != "turn":
                at, _, of = value.partition(" ")
                current[int(name)] = int(at), of
        return Claim(int(turn), current)

    async def stored(
        self,
        lease: Lease,
        from_id: str,
        to_id: str,
        dead: Sequence[DeadLetter] = (),
        duplicates: Mapping[Key, int] = MappingProxyType({}),
    ) -> None:
        """Move `stored` over a block that ClickHouse holds; in the same step, once, bury its dead and count its copies."""
        keys = Keys(lease.shard)
        counts = [value for key, count in duplicates.items() for value in (field_of(key), count)]
        letters = [value for letter in dead for value in letter]
        async with answering():
            said = await self._stored(
                keys=[keys.lease, keys.checkpoint, keys.dead, keys.duplicate],
                args=[lease.value, from_id, to_id, len(duplicates), *counts, *letters],
            )
        _check(said, lease)

    async def follow(self, lease: Lease, from_id: str, to_id: str) -> None:
        """Move `stored` up to what ClickHouse holds, forgetting edges a lost tail left behind."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._follow(
                keys=[keys.lease, keys.checkpoint, keys.edges], args=[lease.value, from_id, to_id]
            )
        _check(said, lease)

    async def trim(self, lease: Lease, edge_id: str) -> None:
        """Drop entries up to this stored edge, and the edges before it (I4)."""
        keys = Keys(lease.shard)
        milliseconds, sequence = entry_order(edge_id)
        async with answering():
            said = await self._trim(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log],
                args=[lease.value, edge_id, f"{milliseconds}-{sequence + 1}"],
            )
        _check(said, lease)

    async def accepted(self, shard: int) -> tuple[dict[Key, int], str]:
        """What ingest's append script counted, by minute and site, and an entry at or after the last of them."""
        keys = Keys(shard)
        async with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.accepted)
            pipe.xrevrange(keys.log, count=1)
            totals, last = await pipe.execute()
        counts = {key_of(name.decode()): int(count) for name, count in totals.items()}
        return counts, last[0][0].decode() if last else ORIGIN

    async def duplicates(self, shard: int) -> dict[Key, int]:
        """Copies that were left out, by minute and site."""
        async with answering():
            counts: Any = await self._redis.hgetall(Keys(shard).duplicate)
        return {key_of(name.decode()): int(count) for name, count in counts.items()}

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Drop totals of what was accepted and of copies."""
        fields = [field_of(key) for key in keys]
        async with answering():
            await self._redis.hdel(Keys(shard).accepted, *fields)
            await self._redis.hdel(Keys(shard).duplicate, *fields)

    async def dead_rows(self, shard: int) -> list[bytes]:
        """Rows of the dead letters, as msgpack in row.COLUMNS order."""
        async with answering():
            records: Any = await self._redis.xrange(Keys(shard).dead)
        return [fields[b"row"] for _, fields in records]

    async def size(self, shard: int) -> int:
        """Bytes the stream takes in Redis, sampled."""
        async with answering():
            return await self._redis.memory_usage(Keys(shard).log) or 0

    async def now_ms(self) -> int:
        """Redis's clock, by which entry ids are made, in unix ms."""
        async with answering():
            seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _check(said: bytes, lease: Lease) -> None:
    if said == b"lease":
        raise LeaseLost(f"shard {lease.shard}: generation {lease.generation} is over")
    if said != b"ok":
        raise Moved(f"shard {lease.shard}: the checkpoint is elsewhere")
