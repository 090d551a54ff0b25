"""The streams and checkpoints of the shards, as the flusher reads and moves them in Redis.

Every move of a checkpoint is a script in schemas/redis that compares the lease and the value it moves from (I3, rule 2 of
docs/delivery.md). When an answer does not arrive the caller gets lease.Unclear, and reads the checkpoint again instead of
sending the command again.

    edges   floor … stored … cut       each "id rows bytes": the block that ends there
    log     entries up to the floor are gone, those between floor and `stored` are the replay tail

The first cut of a shard records the origin before its edge. Until something is trimmed the floor is 0-0, so a replay may
begin there like at any edge.

Not promised: order between shards.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from flusher.redis.books import Books
from flusher.redis.lease import Foreign, Lease, LeaseLost, answering
from flusher.redis.reading import Moved
from flusher.redis.records import Claim
from flusher.redis.replicas import Replicas
from runtime.redis import NoPermissionError, Redis, RedisError, ResponseError, address_of, server_of, servers
from schemas.aside import Aside
from schemas.deadletter import DeadLetter
from schemas.durability import CONFIG, INFO, Facts, texts
from schemas.ledger import Key, bounded, field_of
from schemas.names import BlockName, EntryId
from schemas.redis.keys import CLAIMS_KEY, ERASURES_KEY, TURN_FIELD, CheckpointField, ErasuresField, Keys
from schemas.redis.records import Edge
from schemas.redis.scripts import script
from schemas.replication import QUESTION, QUESTION_OF_CLUSTER, Finding, judge, judge_replica

log = logging.getLogger(__name__)


class RedisStream(Books):
    """Reads and moves the streams of all shards. Everything raises lease.Unclear and lease.Foreign."""

    def __init__(self, redis: Redis, replicas: Replicas | None = None) -> None:
        super().__init__(redis, replicas)
        self._cut = redis.register_script(script("cut"))
        self._stored = redis.register_script(script("stored"))
        self._set_aside = redis.register_script(script("set_aside"))
        self._withdraw = redis.register_script(script("withdraw"))
        self._record_once = redis.register_script(script("record_once"))
        self._follow = redis.register_script(script("follow"))
        self._trim = redis.register_script(script("trim"))
        self._enter = script("enter")
        self._claim = script("claim")
        self._secure = script("secure")
        self._compared = redis.register_script(script("compared"))

    async def enter(self, lease: Lease) -> bool:
        """Binds the lease to the reign that is now, before the shard is read (rule 17). Tells whether it is another one.

        Without replicas it asks nothing, and forgets the reign of a time with replicas. Raises LeaseLost.
        """
        if not self._replicas.count:
            self._reigns.pop(lease.shard, None)
            return False
        keys = Keys(lease.shard)
        async with answering():
            said = await self._replicas.run(self._enter, keys=[keys.lease, keys.checkpoint], args=[lease.value])
        if said == b"lease":
            raise _lost(lease)
        before = self._reigns.get(lease.shard)
        self._reigns[lease.shard] = said.decode()
        return before is not None and before != self._reigns[lease.shard]

    async def secure(self, lease: Lease, from_id: EntryId) -> None:
        """Returns once all replicas have everything that was read and recorded of the shard in this reign (rule 17).

        Without replicas it asks nothing. Raises LeaseLost, and Moved where another server or history answers.
        """
        if not self._replicas.count:
            return
        keys = Keys(lease.shard)
        async with answering():
            said = await self._replicas.run(
                self._secure,
                keys=[keys.lease, keys.checkpoint],
                args=[lease.value, str(from_id), self._reigns.get(lease.shard, "")],
            )
        _check(said, lease)

    async def cut(self, lease: Lease, from_id: EntryId, edge: Edge) -> None:
        """Records the block (from_id, edge] before its first INSERT (I2). Raises LeaseLost or Moved."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._cut(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log],
                args=[lease.value, str(from_id), edge.text(), self._reigns.get(lease.shard, "")],
            )
        _check(said, lease)

    async def set_aside(self, lease: Lease, from_id: EntryId, entry_id: EntryId, aside: Aside) -> None:
        """Takes an entry out of the stream before it is cut, and keeps it aside. Does nothing when it is gone."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._set_aside(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log, keys.aside, keys.aside_entry(entry_id)],
                args=[
                    lease.value, str(from_id), str(entry_id), aside.encode(), self._reigns.get(lease.shard, ""),
                ],
            )  # fmt: skip
        _check(said, lease)

    async def withdraw(self, lease: Lease, from_id: EntryId, to_id: EntryId) -> None:
        """Forgets the last recorded edge, whose block was never stored."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._withdraw(
                keys=[keys.lease, keys.checkpoint, keys.edges], args=[lease.value, str(from_id), str(to_id)]
            )
        _check(said, lease)

    async def judge(self, lease: Lease, from_id: EntryId, to_id: EntryId, verdict: bytes) -> None:
        """Records the verdict on the refused block (from_id, to_id]. Raises Moved when there is another one."""
        await self._leave_out(lease, from_id, CheckpointField.VERDICT.of(to_id), verdict)

    async def set_duplicates(self, lease: Lease, from_id: EntryId, to_id: EntryId, places: bytes) -> None:
        """Records which rows of the block are copies. Raises Moved when others are recorded."""
        await self._leave_out(lease, from_id, CheckpointField.DUPLICATE.of(to_id), places)

    async def set_erased(self, lease: Lease, from_id: EntryId, to_id: EntryId, places: bytes) -> None:
        """Records which rows of the block were erased. Raises Moved when others are recorded."""
        await self._leave_out(lease, from_id, CheckpointField.ERASED.of(to_id), places)

    async def acknowledge(self, lease: Lease, stored: EntryId, erasure: str, upto: EntryId) -> None:
        """Records that all blocks behind `stored` leave out the rows that the erasure means.

        Those rows may be in blocks up to `upto`. Raises Moved when the erasure is acknowledged with another edge.
        """
        await self._leave_out(lease, stored, CheckpointField.ERASURE.of(erasure), str(upto).encode())

    async def erasures_version(self) -> int:
        """Returns a number that changes whenever an erasure is recorded."""
        async with answering():
            return int(await self._redis.hget(ERASURES_KEY, ErasuresField.VERSION) or 0)

    async def rewrite(self) -> bool:
        """Has Redis rewrite its append-only file; False: it can't now, so ask again.

        Of several servers all do, replicas too, because what has to leave the disk may have been on any of them. One that
        is away keeps no shard waiting: it will be asked again.
        """
        is_begun = True
        async with answering():
            for server, one in (await servers(self._redis, with_replicas=True)).items():
                try:
                    await one.bgrewriteaof()
                except (RedisError, OSError) as error:
                    log.info("the append-only file%s is not rewritten now: %s", f" of {server}" * bool(server), error)
                    is_begun = False
        return is_begun

    async def _leave_out(self, lease: Lease, from_id: EntryId, field: str, value: bytes) -> None:
        keys = Keys(lease.shard)
        async with answering():
            said = await self._record_once(
                keys=[keys.lease, keys.checkpoint], args=[lease.value, str(from_id), field, value]
            )
        _check(said, lease)

    async def claim(self, block: BlockName) -> Claim | None:
        """Makes a recorded block its shard's current one and returns its turn (rule 9); None: a later one was claimed.

        A block that is the current one already is answered with the same turn. All replicas know the turn when it is
        returned (rule 17).
        """
        async with answering():
            found = await self._replicas.run(self._claim, keys=[CLAIMS_KEY], args=[str(block.shard), str(block)])
        turn, *said = found or (None,)
        if turn is None:
            return None
        fields = [value.decode() for value in said[0]]
        current: dict[int, tuple[int, BlockName]] = {}
        try:
            for name, value in zip(fields[::2], fields[1::2], strict=True):
                if name != TURN_FIELD:
                    at, _, of = value.partition(" ")
                    current[int(name)] = int(at), BlockName.parse(of)
        except ValueError as error:
            raise Foreign(f"{CLAIMS_KEY} holds what is no claim: {error}") from error
        return Claim(int(turn), current)

    async def stored(
        self,
        lease: Lease,
        from_id: EntryId,
        to_id: EntryId,
        dead: Sequence[DeadLetter] = (),
        duplicates: Mapping[Key, int] = MappingProxyType({}),
        erased: Mapping[Key, int] = MappingProxyType({}),
    ) -> None:
        """Moves `stored` over the block (from_id, to_id], which ClickHouse holds. Raises LeaseLost or Moved.

        In the same step, and once for each block, its dead rows become letters, and its copies and erased rows are counted.
        """
        keys = Keys(lease.shard)
        duplicates, erased = bounded(duplicates), bounded(erased)
        totals = chain(duplicates.items(), erased.items())
        counts = [value for key, count in totals for value in (field_of(key), count)]
        letters = [value for letter in dead for value in letter]
        async with answering():
            said = await self._stored(
                keys=[keys.lease, keys.checkpoint, keys.dead, keys.duplicate, keys.edges, keys.erased],
                args=[lease.value, str(from_id), str(to_id), len(duplicates), len(erased), *counts, *letters],
            )
        _check(said, lease)

    async def follow(self, lease: Lease, from_id: EntryId, to_id: EntryId, held: EntryId) -> None:
        """Moves `stored` up to what ClickHouse holds, and forgets the edges (rule 8). Raises LeaseLost or Moved.

        Entries after `held`, the last whose rows ClickHouse holds, are appended again behind it.
        """
        keys = Keys(lease.shard)
        async with answering():
            said = await self._follow(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log],
                args=[lease.value, str(from_id), str(to_id), str(held)],
            )
        _check(said, lease)

    async def compared(self, lease: Lease, from_id: EntryId, back_to: EntryId, started: int) -> None:
        """Notes that the tail was compared with the ClickHouse that was started in this unix ms (rule 14).

        `stored` goes back to this recorded edge. Raises LeaseLost or Moved.
        """
        keys = Keys(lease.shard)
        async with answering():
            said = await self._compared(
                keys=[keys.lease, keys.checkpoint, keys.edges], args=[lease.value, str(from_id), str(back_to), started]
            )
        _check(said, lease)

    async def trim(self, lease: Lease, edge_id: EntryId) -> None:
        """Drops the entries up to this stored edge, and the edges before it (I4). Raises LeaseLost or Moved."""
        keys = Keys(lease.shard)
        async with answering():
            said = await self._trim(
                keys=[keys.lease, keys.checkpoint, keys.edges, keys.log],
                args=[lease.value, str(edge_id), str(edge_id.following())],
            )
        _check(said, lease)

    async def facts(self) -> dict[str, Facts]:
        """Returns what each server that answers says of itself by its address, which is an empty text where there is one.

        It does not ask PROBE, because a flusher waits for the fsync of replicas alone. Raises lease.Unclear where none answers.
        """
        found: dict[str, Facts] = {}
        async with answering():
            asked, silent = await servers(self._redis), []
            for server, one in asked.items():
                try:
                    found[server] = Facts.of(await _told(one, *INFO), await _told(one, *CONFIG))
                except (RedisError, OSError) as error:
                    silent.append(error)
            if len(silent) == len(asked):
                raise silent[0]
            await self._replicas.follow()
        self._replicas.hear(found.values())
        return found

    async def replication(self) -> list[Finding]:
        """Returns which settings could make a failover lose something, or stop everything, of all servers that answer.

        Without replicas there are none.
        """
        found = self._replicas.findings()
        if not self._replicas.count:
            return found
        async with answering():
            primaries = await servers(self._redis)
            for server, one in (await servers(self._redis, with_replicas=True)).items():
                try:
                    those = await self._findings(one, is_primary=server in primaries)
                except (RedisError, OSError) as error:  # its primary says that it is missing
                    log.info("a server of Redis%s is not judged: %s", f" at {server}" * bool(server), error)
                    continue
                found += [one._replace(text=f"{server}: {one.text}") if server else one for one in those]
        return found

    async def _findings(self, server: Redis, *, is_primary: bool) -> list[Finding]:
        """Returns what is wrong with one server. Raises RedisError and OSError."""
        facts = Facts.of(await _told(server, *INFO))
        if not is_primary:
            return judge_replica(facts)
        asked = [await _told(server, *question) for question in (QUESTION, QUESTION_OF_CLUSTER)]
        told = None if None in asked else {**texts(asked[0]), **texts(asked[1])}
        return judge(facts, told, self._replicas.count)

    async def server_of(self, shard: int) -> str:
        """Returns the address of the server that has this shard; an empty text where there is one."""
        async with answering():
            return await address_of(self._redis, Keys(shard).log)

    async def size(self, shard: int) -> int:
        """Returns the bytes that the stream takes in Redis, estimated from a sample."""
        async with answering():
            return await self._redis.memory_usage(Keys(shard).log) or 0

    async def now_ms(self, shard: int) -> int:
        """Returns the clock of the shard's server in unix ms, by which ids of its entries are made."""
        async with answering():
            return await _clock_ms(await server_of(self._redis, Keys(shard).log))

    async def clocks_ms(self) -> dict[str, int]:
        """Returns the clocks of all servers by their addresses, in unix ms."""
        async with answering():
            return {server: await _clock_ms(one) for server, one in (await servers(self._redis)).items()}


async def _told(redis: Redis, *question: str) -> Any:
    """Returns the answer, or None where Redis forbids the question."""
    try:
        return await redis.execute_command(*question)  # type: ignore[no-untyped-call]  # the library's
    except ResponseError as error:
        if type(error) in {ResponseError, NoPermissionError}:  # not those that mean: not now
            return None
        raise


async def _clock_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def _check(said: bytes, lease: Lease) -> None:
    if said == b"lease":
        raise _lost(lease)
    if said != b"ok":
        raise Moved(f"shard {lease.shard}: the checkpoint is elsewhere")


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"shard {lease.shard}: generation {lease.generation} is over")
