"""The lease of a shard: the right to flush it, kept in Redis, and lost by raising LeaseLost.

A lease is `generation:owner` under a key that expires. Taking one raises the generation in the checkpoint, so every script
can tell a holder that slept through its expiry from its successor (I3). `valid_until` is on this process's monotonic clock
and counts from before the command was sent, so the holder never believes in its lease for longer than Redis does.

Shards are spread by fair share: a sorted set holds every flusher that lives, by the moment of Redis's clock until which it
counts as alive (a lease time after it last enrolled), and no flusher takes more than its share of the shards. Durations are
measured on the event loop's monotonic clock.

Not promised: that two flushers never work at once. A paused holder may wake in the middle of anything. Scripts, deadlines and
tokens make that harmless; the lease only makes it rare.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from flusher.redis.replicas import Replicas
from runtime.nodes.steps import hint
from runtime.redis import (
    OutOfMemoryError,
    Redis,
    RedisError,
    ResponseError,
    raise_if_cancelled,
    server_of,
)
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import FLUSHERS_KEY, LEASE_TIMES_MAX, SHARDS_KEY, CheckpointField, Keys
from schemas.redis.scripts import script

log = logging.getLogger(__name__)
NEVER_ENDS = -1  # what PTTL says of a key without an expiry


class LeaseLost(Exception):
    """Says that another flusher may own the shard now. Whoever gets it stops the shard and touches nothing."""


class LayoutChanged(Exception):
    """Reports that Redis has another number of shards than this flusher was started with."""


class Unclear(Exception):
    """Says that Redis did not answer: what was asked for may have happened or not."""


class Foreign(Unclear):
    """Reports a key of ours that holds something else: of another type, or unreadable. Only a person can mend it."""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Translates redis-py's errors: a missing answer becomes Unclear, a key of another type Foreign."""
    try:
        yield
    except ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise Foreign(str(error)) from error
        raise Unclear(f"{type(error).__name__}: {error}{hint(error)}") from error
    except (RedisError, OSError) as error:
        raise Unclear(f"{type(error).__name__}: {error}") from error
    finally:
        raise_if_cancelled()


@dataclass(slots=True)
class Lease:
    """Holds one lease that was taken. `valid_until` in seconds of the event loop's clock."""

    shard: int
    generation: int
    owner: str
    incarnation: str
    valid_until: float

    @property
    def value(self) -> str:
        """Returns what the lease key holds; every fenced script compares it."""
        return f"{self.generation}:{self.owner}"

    def seconds_left(self) -> float:
        """Returns the seconds for which this holder may still act; negative when it may not."""
        return self.valid_until - asyncio.get_running_loop().time()

    def deadline(self, unix_seconds: float) -> int:
        """Returns the last unix second in which ClickHouse may begin an INSERT made under this lease now (rule 5).

        That second is over when the lease is. Raises LeaseLost when less than a second is left, because ClickHouse
        compares whole seconds.
        """
        left = self.seconds_left()
        if left < 1:
            raise LeaseLost(f"shard {self.shard}: {left:.1f} s left")
        return math.floor(unix_seconds + left) - 1


class Leases:
    """Takes, renews and releases the leases of one flusher."""

    def __init__(self, *, redis: Redis, owner: str, ttl_ms: int, replicas: Replicas | None = None) -> None:
        self.owner = owner
        self.ttl_ms = ttl_ms
        self._redis = redis
        self._replicas = replicas or Replicas(redis)
        self._take = redis.register_script(script("take_lease"))
        self._renew = script("renew_lease")
        self._release = redis.register_script(script("release_lease"))
        self._enrol = redis.register_script(script("enrol"))
        self._reigns: dict[str, float] = {}  # when each was seen first

    async def take(self, shard: int) -> Lease | None:
        """Returns the lease, or None while another flusher holds it or may believe that it does.

        A Redis in another reign (schemas/redis/shared/reign.lua) than the last holder saw may have lost a lease that its
        holder still believes in, so one lease time must pass first (rule 8 of docs/delivery.md). Raises Foreign, or
        Unclear: also for a replica, because what is written there vanishes.

        Of several servers the one that has the shard's keys is asked everything. Should the shard move meanwhile, that
        server refuses, and the lease is not taken.
        """
        keys = Keys(shard)
        asked = asyncio.get_running_loop().time()
        async with answering():
            redis = await server_of(self._redis, keys.lease)
            if await redis.exists(keys.lease):
                left_ms: int = await redis.pttl(keys.lease)
                if left_ms == NEVER_ENDS:
                    raise Foreign(f"{keys.lease} holds no lease: it never ends")
                if left_ms > LEASE_TIMES_MAX * self.ttl_ms:
                    log.error("shard %d: its lease ends in %d s: Redis's clock was set back", shard, left_ms // 1000)
                    await redis.pexpire(keys.lease, self.ttl_ms)  # its holder renews it sooner
                return None
            waited_out = [reign for reign, since in self._reigns.items() if asked - since >= self.ttl_ms / 1000]
            taken = await self._take(
                keys=[keys.lease, keys.checkpoint, keys.incarnation],
                args=[self.owner, self.ttl_ms, secrets.token_hex(4), *waited_out],
                client=redis,
            )
        if not taken:
            return None
        reign, *granted = taken
        self._reigns.setdefault(reign.decode(), asked)
        if not granted:
            return None
        generation, incarnation = granted
        return Lease(shard, generation, self.owner, incarnation.decode(), asked + self.ttl_ms / 1000)

    async def renew(self, lease: Lease) -> None:
        """Extends the lease, once all replicas know of it (rule 17 of docs/delivery.md).

        Raises LeaseLost when it is another's, or when Redis does not answer before it ends.
        """
        keys = Keys(lease.shard)
        asked = asyncio.get_running_loop().time()
        try:
            async with answering():
                kept = await self._replicas.run(self._renew, keys=[keys.lease], args=[lease.value, self.ttl_ms])
        except Unclear:
            if lease.seconds_left() <= 0:
                raise LeaseLost(f"shard {lease.shard}: Redis did not renew in time") from None
            return
        if not kept or lease.seconds_left() <= 0:
            raise LeaseLost(f"shard {lease.shard}: generation {lease.generation} is over")
        lease.valid_until = asked + self.ttl_ms / 1000

    async def release(self, lease: Lease) -> None:
        """Gives the lease back, so that a successor need not wait. Losing it meanwhile is no error. Raises Unclear."""
        keys = Keys(lease.shard)
        async with answering():
            await self._release(keys=[keys.lease, keys.checkpoint], args=[lease.value])

    async def enrol(self, shards: int) -> int:
        """Notes that this flusher lives, and returns the number of shards that it should hold.

        A Redis that was emptied is told how many shards there are. Raises LayoutChanged when it has another number.
        """
        async with answering():
            said: Any = await self._redis.get(SHARDS_KEY)
            if said is None:
                with contextlib.suppress(OutOfMemoryError):  # a full Redis must still be trimmed
                    await self._redis.set(SHARDS_KEY, shards, nx=True)
            elif int(said) != shards:
                raise LayoutChanged(f"Redis says {int(said)} shards, this flusher serves {shards}")
            alive: Any = await self._enrol(keys=[FLUSHERS_KEY], args=[self.owner, self.ttl_ms])
        return fair_share(shards, sorted(name.decode() for name in alive), self.owner)

    async def now_ms(self) -> int:
        """Returns Redis's clock in unix ms, by which the sorted set of flushers is dated. Raises Unclear."""
        async with answering():
            seconds, micros = await (await server_of(self._redis, FLUSHERS_KEY)).time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def ends(self, shards: int) -> dict[int, EntryId]:
        """Returns the last id that each shard's stream gave, without the shards whose keys are Foreign. Raises Unclear."""
        found = {}
        for shard in range(shards):
            with contextlib.suppress(Foreign):
                async with answering():
                    try:
                        found[shard] = last_of(await self._redis.xinfo_stream(Keys(shard).log))
                    except ResponseError as error:
                        if "no such key" not in str(error):
                            raise
                        found[shard] = ORIGIN
        return found

    async def unserved(self, upto: Mapping[int, EntryId]) -> list[int]:
        """Returns the shards in which entries of up to these ids wait, if no other flusher lives that could store them.

        A flusher that died may still hold the lease of one. Raises Unclear.
        """
        now_ms = await self.now_ms()
        waiting = []
        async with answering():
            alive: Any = await self._redis.zrangebyscore(FLUSHERS_KEY, now_ms, now_ms + LEASE_TIMES_MAX * self.ttl_ms)
            if any(name.decode() != self.owner for name in alive):
                return []
        for shard, last in upto.items():
            keys = Keys(shard)
            with contextlib.suppress(Foreign, ValueError):
                async with answering():
                    stored: Any = await self._redis.hget(keys.checkpoint, CheckpointField.STORED)
                    after = EntryId.parse(stored) if stored else ORIGIN
                    if after < last and await self._redis.xrange(keys.log, f"({after}", str(last), count=1):
                        waiting.append(shard)
        return waiting

    async def leave(self) -> None:
        """Takes this flusher out of those that live. Raises Unclear."""
        async with answering():
            await self._redis.zrem(FLUSHERS_KEY, self.owner)


def last_of(said: Any) -> EntryId:
    """Returns the last id that a stream gave, also when its entry is gone, by the answer to XINFO; the origin without a stream."""
    return ORIGIN if isinstance(said, ResponseError) else EntryId.parse(said["last-generated-id"])


def fair_share(shards: int, flushers: Sequence[str], owner: str) -> int:
    """Returns how many shards this one of the (sorted) flushers should hold; all shares add up to `shards`."""
    whole, rest = divmod(shards, len(flushers))
    return whole + (flushers.index(owner) < rest)
