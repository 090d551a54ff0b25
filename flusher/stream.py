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

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from flusher.deadletter import DeadLetter
from flusher.lease import Lease, LeaseLost, answering
from flusher.scripts import CLAIM, CUT, FOLLOW, JUDGE, STORED, TRIM
from schemas import erasure
from schemas.durability import CONFIG, INFO, Facts
from schemas.entry import CLAIMS_KEY, ORIGIN, Keys, entry_order
from schemas.erasure import ERASURES_KEY, VERSION_FIELD, Erasure
from schemas.ledger import LEAVING_OF, Erased, Key, field_of, key_of

# Of one XRANGE. Entries have 60 B to a megabyte, and Redis holds an answer whole: so many that they make a few MB.
READ_ENTRIES_MAX = 1_000
READ_ENTRIES_FIRST = 32
READ_BYTES = 4 << 20


log = logging.getLogger(__name__)


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

    `verdicts` on refused blocks, the `duplicates` of blocks that were searched for them, and which rows of blocks were
    `erased`. Blocks up to `counted` were stored before a replay. `erasures` are those that the shard has acknowledged.
    """

    stored: str
    edges: tuple[Edge, ...]
    verdicts: Mapping[str, bytes] = field(default_factory=dict)
    duplicates: Mapping[str, bytes] = field(default_factory=dict)
    counted: str = ORIGIN
    erased: Mapping[str, bytes] = field(default_factory=dict)
    erasures: frozenset[str] = frozenset()

    def last_erased(self) -> str | None:
        """The last stored edge of which rows were erased."""
        at = entry_order(self.stored)
        erased = [edge.id for edge in self.edges if edge.id in self.erased and entry_order(edge.id) <= at]
        return erased[-1] if erased else None


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
        left_out: dict[str, dict[str, bytes]] = {"verdict": {}, "duplicate": {}, "erased": {}, "erasure": {}}
        for name, value in fields.items():
            kind, _, edge = name.decode().partition(":")
            if kind in left_out:
                left_out[kind][edge] = value
        stored, counted = (fields.get(name, ORIGIN.encode()).decode() for name in (b"stored", b"counted"))
        recorded = tuple(Edge.parse(text) for text in edges)
        return Checkpoint(
            stored, recorded, left_out["verdict"], left_out["duplicate"], counted, left_out["erased"],
            frozenset(left_out["erasure"]),
        )  # fmt: skip

    async def last(self, shard: int) -> str:
        """The last id that the stream gave, also when its entry is gone; the origin without a stream."""
        async with answering():
            try:
                said: Any = await self._redis.xinfo_stream(Keys(shard).log)
            except ResponseError as error:
                if "no such key" in str(error):
                    return ORIGIN
                raise
        return str(said["last-generated-id"].decode())

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
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log], args=[lease.value, from_id, edge.text()]
            )
        _check(said, lease)

    async def judge(self, lease: Lease, from_id: str, to_id: str, verdict: bytes) -> None:
        """Record the verdict on the refused block (from_id, to_id]. Raises Moved when there is another one."""
        await self._leave_out(lease, from_id, "verdict:" + to_id, verdict)

    async def set_duplicates(self, lease: Lease, from_id: str, to_id: str, places: bytes) -> None:
        """Record which rows of the block came before. Raises Moved when others are recorded."""
        await self._leave_out(lease, from_id, "duplicate:" + to_id, places)

    async def set_erased(self, lease: Lease, from_id: str, to_id: str, places: bytes) -> None:
        """Record which rows of the block were erased. Raises Moved when others are recorded."""
        await self._leave_out(lease, from_id, "erased:" + to_id, places)

    async def acknowledge(self, lease: Lease, stored: str, erasure: str, upto: str) -> None:
        """Record that blocks behind `stored` leave out what the erasure means.

        Blocks up to `upto` hold what was accepted before it. Raises Moved when it is acknowledged already.
        """
        await self._leave_out(lease, stored, "erasure:" + erasure, upto.encode())

    async def erasures_version(self) -> int:
        """A number that changes with every change of the erasures."""
        async with answering():
            return int(await self._redis.hget(ERASURES_KEY, VERSION_FIELD) or 0)

    async def erasures(self) -> dict[str, Erasure]:
        """All that stand, by their ids."""
        async with answering():
            fields: Any = await self._redis.hgetall(ERASURES_KEY)
        return {name.decode(): erasure.unpack(value) for name, value in fields.items() if b":" not in name}

    async def rewrite(self) -> bool:
        """Have Redis rewrite its append-only file; False: not now, ask again."""
        async with answering():
            try:
                await self._redis.bgrewriteaof()
            except ResponseError as error:
                log.info("the append-only file is not rewritten now: %s", error)
                return False
        return True

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
        erased: Mapping[Key, int] = MappingProxyType({}),
    ) -> None:
        """Move `stored` over a block that ClickHouse holds.

        In the same step, once, bury its dead, and count its copies and what was erased.
        """
        keys = Keys(lease.shard)
        totals = chain(duplicates.items(), erased.items())
        counts = [value for key, count in totals for value in (field_of(key), count)]
        letters = [value for letter in dead for value in letter]
        async with answering():
            said = await self._stored(
                keys=[keys.lease, keys.checkpoint, keys.dead, keys.duplicate, keys.edges, keys.erased],
                args=[lease.value, from_id, to_id, len(duplicates), len(erased), *counts, *letters],
            )
        _check(said, lease)

    async def follow(self, lease: Lease, from_id: str, to_id: str, held: str) -> None:
        """Moves `stored` up to what ClickHouse holds, forgetting edges a lost tail left behind.

        Entries after `held`, the last that ClickHouse holds, come behind it.
        """
        keys = Keys(lease.shard)
        async with answering():
            said = await self._follow(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log], args=[lease.value, from_id, to_id, held]
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

    async def erased(self, shard: int) -> Erased:
        """What was erased, by minute and site."""
        keys = Keys(shard)
        async with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.leaving)
            pipe.hgetall(keys.erased)
            leaving, counts = await pipe.execute()
        leaving.pop(LEAVING_OF.encode(), None)
        return Erased(
            *({key_of(name.decode()): int(count) for name, count in fields.items()} for fields in (counts, leaving))
        )

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Drop totals of what was accepted, of copies and of what was erased."""
        fields = [field_of(key) for key in keys]
        async with answering():
            await self._redis.hdel(Keys(shard).accepted, *fields)
            await self._redis.hdel(Keys(shard).duplicate, *fields)
            await self._redis.hdel(Keys(shard).erased, *fields)

    async def dead_rows(self, shard: int) -> list[bytes]:
        """Rows of the dead letters, as msgpack in row.COLUMNS order."""
        async with answering():
            records: Any = await self._redis.xrange(Keys(shard).dead)
        return [fields[b"row"] for _, fields in records]

    async def facts(self) -> Facts:
        """What Redis says of itself; whether WAITAOF is there, which nobody waits for here, is not asked."""
        async with answering():
            return Facts.of(await self._told(*INFO), await self._told(*CONFIG))

    async def _told(self, *question: str) -> Any:
        """The answer, or None where Redis does not tell."""
        try:
            return await self._redis.execute_command(*question)  # type: ignore[no-untyped-call]  # the library's
        except ResponseError as error:
            if type(error) in {ResponseError, NoPermissionError}:  # not those that mean: not now
                return None
            raise

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
