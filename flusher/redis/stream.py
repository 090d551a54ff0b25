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

import contextlib
import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from flusher.redis.lease import Foreign, Lease, LeaseLost, answering, last_id
from flusher.redis.records import Checkpoint, Claim, Edge, Entry, entry_of, id_of
from flusher.redis.scripts import CLAIM, COMPARED, CUT, FOLLOW, JUDGE, SET_ASIDE, STORED, TRIM, WITHDRAW
from runtime.redis import NoPermissionError, Redis, ResponseError
from runtime.work import in_thread
from schemas import erasure
from schemas.aside import Aside
from schemas.deadletter import DeadLetter
from schemas.durability import CONFIG, INFO, Facts
from schemas.entry import CLAIMS_KEY, ORIGIN, Damaged, Keys, entry_order
from schemas.erasure import ERASURES_KEY, VERSION_FIELD, Erasure
from schemas.ledger import KEYS_MAX, LEAVING_OF, Erased, Key, bounded, field_of, totals_of

CHECKPOINT_IDS = (b"stored", b"counted", b"settled")
# Of one XRANGE. Entries have 60 B to a megabyte, and Redis holds an answer whole: so many that they make a few MB.
READ_ENTRIES_MAX = 1_000
READ_ENTRIES_FIRST = 32
READ_BYTES = 4 << 20
LETTERS_MAX = 1_000  # of one XRANGE


log = logging.getLogger(__name__)


class Moved(Exception):
    """The checkpoint is not where this flusher believed it to be: read it again."""


class RedisStream:
    """The flusher's side of the shards' streams."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._read_entries = READ_ENTRIES_FIRST
        self._cut = redis.register_script(CUT)
        self._stored = redis.register_script(STORED)
        self._set_aside = redis.register_script(SET_ASIDE)
        self._withdraw = redis.register_script(WITHDRAW)
        self._judge = redis.register_script(JUDGE)
        self._follow = redis.register_script(FOLLOW)
        self._trim = redis.register_script(TRIM)
        self._claim = redis.register_script(CLAIM)
        self._compared = redis.register_script(COMPARED)

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
        try:
            stored, counted, settled = (id_of(fields.get(name, ORIGIN.encode())) for name in CHECKPOINT_IDS)
            recorded, compared = tuple(map(Edge.parse, edges)), int(fields.get(b"compared", 0))
        except ValueError as error:
            raise Foreign(f"{keys.checkpoint} or {keys.edges} hold what is no checkpoint: {error}") from error
        return Checkpoint(
            stored, recorded, left_out["verdict"], left_out["duplicate"], counted, left_out["erased"],
            frozenset(left_out["erasure"]), settled, compared,
        )  # fmt: skip

    async def last(self, shard: int) -> str:
        """The last id that the stream gave, also when its entry is gone; the origin without a stream."""
        return await last_id(self._redis, shard)

    async def read(self, shard: int, after: str, upto: str = "+") -> list[Entry]:
        """The next entries in (after, upto], at most READ_ENTRIES_MAX, in order."""
        async with answering():
            records: Any = await self._redis.xrange(Keys(shard).log, f"({after}", upto, count=self._read_entries)
        if records:
            size = sum(len(fields.get(b"d", b"")) for _, fields in records) // len(records)
            self._read_entries = min(READ_ENTRIES_MAX, max(READ_ENTRIES_FIRST, READ_BYTES // (size + 1)))
        return [entry_of(entry_id.decode(), fields) for entry_id, fields in records]

    async def cut(self, lease: Lease, from_id: str, edge: Edge) -> None:
        """Record the block (from_id, edge] before its first INSERT (I2)."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._cut(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log], args=[lease.value, from_id, edge.text()]
            )
        _check(said, lease)

    async def set_aside(self, lease: Lease, from_id: str, entry_id: str, aside: Aside) -> None:
        """Takes an entry out of the stream before it is cut, and keeps it aside. Does nothing when it is gone."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._set_aside(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log, keys.aside, keys.aside_entry(entry_id)],
                args=[lease.value, from_id, entry_id, aside.encode()],
            )
        _check(said, lease)

    async def withdraw(self, lease: Lease, from_id: str, to_id: str) -> None:
        """Forgets the last recorded edge, whose block was never stored."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._withdraw(
                keys=[keys.lease, keys.checkpoint, keys.edges], args=[lease.value, from_id, to_id]
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
        duplicates, erased = bounded(duplicates), bounded(erased)
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

    async def compared(self, lease: Lease, from_id: str, back_to: str, started: int) -> None:
        """Note that the tail was compared with the ClickHouse started then; `stored` goes back to this recorded edge."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._compared(
                keys=[keys.lease, keys.checkpoint, keys.edges], args=[lease.value, from_id, back_to, started]
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
        return await in_thread(totals_of, totals), last[0][0].decode() if last else ORIGIN

    async def duplicates(self, shard: int) -> dict[Key, int]:
        """Copies that were left out, by minute and site."""
        async with answering():
            counts: Any = await self._redis.hgetall(Keys(shard).duplicate)
        return await in_thread(totals_of, counts)

    async def erased(self, shard: int) -> Erased:
        """What was erased, by minute and site."""
        keys = Keys(shard)
        async with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.leaving)
            pipe.hgetall(keys.erased)
            leaving, counts = await pipe.execute()
        leaving.pop(LEAVING_OF.encode(), None)
        return Erased(await in_thread(totals_of, counts), await in_thread(totals_of, leaving))

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Drop totals of what was accepted, of copies and of what was erased."""
        names = Keys(shard)
        for at in range(0, len(keys), KEYS_MAX):
            fields = [field_of(key) for key in keys[at : at + KEYS_MAX]]
            async with answering():
                for name in (names.accepted, names.duplicate, names.erased):
                    await self._redis.hdel(name, *fields)

    async def dead_rows(self, shard: int) -> list[bytes]:
        """Rows of the dead letters, as msgpack in row.COLUMNS order."""
        rows: list[bytes] = []
        after = "-"
        while True:
            async with answering():
                records: Any = await self._redis.xrange(Keys(shard).dead, after, "+", count=LETTERS_MAX)
            rows += [fields.get(b"row", b"") for _, fields in records]
            if len(records) < LETTERS_MAX:
                return rows
            after = f"({records[-1][0].decode()}"

    async def set_aside_rows(self, shard: int) -> dict[Key, int]:
        """Rows of entries that were set aside, by minute and site, as far as they could be read."""
        async with answering():
            fields: Any = await self._redis.hgetall(Keys(shard).aside)
        counts: dict[Key, int] = {}
        for value in fields.values():
            with contextlib.suppress(Damaged):
                for key, count in totals_of(Aside.decode(value).totals).items():
                    counts[key] = counts.get(key, 0) + count
        return counts

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
