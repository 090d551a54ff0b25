"""The right to flush a shard: a value with a generation, kept in Redis, lost as a typed error.

A lease is `generation:owner` under a key that expires. Taking one raises the generation in
the checkpoint, so a holder that slept through its expiry is told apart from its successor
by every script (I3). `valid_until` is on this process's monotonic clock and counts from
before the command was sent: the holder believes less than Redis does, never more.

Shards spread by fair share: every live flusher is in a sorted set by its expiry on Redis's
clock, a lease time after its last word, and nobody holds more than its share of them.
Durations are on the event loop's monotonic clock.

Not promised: that two flushers never work at once. A paused holder may wake in the middle of
anything; scripts, deadlines and tokens make that harmless, the lease only makes it rare.
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

from runtime.redis import OutOfMemoryError, Redis, RedisError, ResponseError, raise_if_cancelled
from schemas.entry import FLUSHERS_KEY, ORIGIN, SHARDS_KEY, Keys, entry_order

log = logging.getLogger(__name__)
# Redis ends a lease at a moment of its clock. When that is set back by a day, a dead holder's lease would last for a day:
# one that ends later than in so many of our lease times was not meant to.
PLAUSIBLE = 10
# PERSIST: a first write that can't grow anything, so that a Redis at maxmemory lets the script run (see scripts.CUT).
TAKE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
redis.call('PERSIST', KEYS[2])
local generation = redis.call('HINCRBY', KEYS[2], 'generation', 1)
redis.call('SET', KEYS[3], ARGV[3], 'NX')
redis.call('HSET', KEYS[2], 'run', ARGV[4])
redis.call('SET', KEYS[1], generation .. ':' .. ARGV[1], 'PX', ARGV[2])
return {generation, redis.call('GET', KEYS[3])}
"""
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], 'run')
redis.call('DEL', KEYS[1])
return 1
"""
ENROL = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now + PLAUSIBLE * ARGV[2]), '+inf')
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
""".replace("PLAUSIBLE", str(PLAUSIBLE))
NEVER_ENDS = -1  # what PTTL says of a key without an expiry


class LeaseLost(Exception):
    """Another flusher may own the shard now: stop it, touch nothing."""


class LayoutChanged(Exception):
    """Redis says another number of shards than this flusher was started with."""


class Unclear(Exception):
    """Redis did not answer: what was asked may have happened or not."""


class Foreign(Unclear):
    """What lies under a key of ours is not ours: of another type, or not to be read. Only a person can mend it."""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Translate redis-py's errors: inside, no answer is Unclear, and a key of another type Foreign."""
    try:
        yield
    except ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise Foreign(str(error)) from error
        raise Unclear(f"{type(error).__name__}: {error}") from error
    except (RedisError, OSError) as error:
        raise Unclear(f"{type(error).__name__}: {error}") from error
    finally:
        raise_if_cancelled()


@dataclass(slots=True)
class Lease:
    """One held lease. `valid_until` in seconds of the event loop's clock."""

    shard: int
    generation: int
    owner: str
    incarnation: str
    valid_until: float

    @property
    def value(self) -> str:
        """What the lease key holds; every fenced script compares it."""
        return f"{self.generation}:{self.owner}"

    def seconds_left(self) -> float:
        """Seconds for which this holder may still act; negative when it may not."""
        return self.valid_until - asyncio.get_running_loop().time()

    def deadline(self, unix_seconds: float) -> int:
        """Last unix second in which ClickHouse may begin an INSERT made under this lease now.

        It is over when the lease is. Raises LeaseLost when less than a second is left: a whole
        second is ClickHouse's grain.
        """
        left = self.seconds_left()
        if left < 1:
            raise LeaseLost(f"shard {self.shard}: {left:.1f} s left")
        return math.floor(unix_seconds + left) - 1


class Leases:
    """Takes, renews and releases the leases of one flusher."""

    def __init__(self, *, redis: Redis, owner: str, ttl_ms: int) -> None:
        self.owner = owner
        self.ttl_ms = ttl_ms
        self._redis = redis
        self._take = redis.register_script(TAKE)
        self._renew = redis.register_script(RENEW)
        self._release = redis.register_script(RELEASE)
        self._enrol = redis.register_script(ENROL)
        self._servers_seen: dict[str, float] = {}

    async def take(self, shard: int) -> Lease | None:
        """The lease, or None while another holds it or the Redis behind us is new. Raises Unclear or Foreign.

        A Redis with another run id than the last holder's may have lost a lease that is still
        believed in: one lease time must pass first (delivery.md, rule 8). A replica is Unclear: what is written there
        vanishes.
        """
        keys = Keys(shard)
        asked = asyncio.get_running_loop().time()
        async with answering():
            if await self._redis.exists(keys.lease):
                left_ms: int = await self._redis.pttl(keys.lease)
                if left_ms == NEVER_ENDS:
                    raise Foreign(f"{keys.lease} holds no lease: it never ends")
                if left_ms > PLAUSIBLE * self.ttl_ms:
                    log.error("shard %d: its lease ends in %d s: Redis's clock was set back", shard, left_ms // 1000)
                    await self._redis.pexpire(keys.lease, self.ttl_ms)  # who holds it renews it sooner
                return None
            told = await self._redis.info()
            if told["role"] != "master":
                raise Unclear(f"it is a replica of {told['master_host']} now: nothing is taken from it")
            server: str = told["run_id"]
            since = self._servers_seen.setdefault(server, asked)
            known: Any = await self._redis.hget(keys.checkpoint, "run")
            if known is not None and known.decode() != server and asked - since < self.ttl_ms / 1000:
                return None
            taken = await self._take(
                keys=[keys.lease, keys.checkpoint, keys.incarnation],
                args=[self.owner, self.ttl_ms, secrets.token_hex(4), server],
            )
        if not taken:
            return None
        generation, incarnation = taken
        return Lease(shard, generation, self.owner, incarnation.decode(), asked + self.ttl_ms / 1000)

    async def renew(self, lease: Lease) -> None:
        """Extend it. Raises LeaseLost when it is another's, or when Redis can't say in time."""
        keys = Keys(lease.shard)
        asked = asyncio.get_running_loop().time()
        try:
            async with answering():
                kept = await self._renew(keys=[keys.lease], args=[lease.value, self.ttl_ms])
        except Unclear:
            if lease.seconds_left() <= 0:
                raise LeaseLost(f"shard {lease.shard}: Redis did not renew in time") from None
            return
        if not kept or lease.seconds_left() <= 0:
            raise LeaseLost(f"shard {lease.shard}: generation {lease.generation} is over")
        lease.valid_until = asked + self.ttl_ms / 1000

    async def release(self, lease: Lease) -> None:
        """Give it back, so that a successor need not wait. Losing it meanwhile is no error."""
        keys = Keys(lease.shard)
        async with answering():
            await self._release(keys=[keys.lease, keys.checkpoint], args=[lease.value])

    async def enrol(self, shards: int) -> int:
        """Say that this flusher lives; the number of shards it should hold.

        A Redis that was emptied is told how many there are. Raises LayoutChanged when it says otherwise.
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
        """Redis's clock in unix ms, by which the living are dated. Raises Unclear."""
        async with answering():
            seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def ends(self, shards: int) -> dict[int, str]:
        """The last id that each shard's stream gave; shards whose keys are not ours are left out. Raises Unclear."""
        found = {}
        for shard in range(shards):
            with contextlib.suppress(Foreign):
                found[shard] = await last_id(self._redis, shard)
        return found

    async def unserved(self, upto: Mapping[int, str]) -> list[int]:
        """Shards with entries of up to these ids that wait for nobody but us; none while another lives.

        Somebody who died may still hold the lease of one. Raises Unclear.
        """
        now_ms = await self.now_ms()
        waiting = []
        async with answering():
            alive: Any = await self._redis.zrangebyscore(FLUSHERS_KEY, now_ms, now_ms + PLAUSIBLE * self.ttl_ms)
            if any(name.decode() != self.owner for name in alive):
                return []
        for shard, last in upto.items():
            keys = Keys(shard)
            with contextlib.suppress(Foreign, ValueError):
                async with answering():
                    stored: Any = await self._redis.hget(keys.checkpoint, "stored")
                    after = stored.decode() if stored else ORIGIN
                    if entry_order(after) < entry_order(last) and await self._redis.xrange(
                        keys.log, f"({after}", last, count=1
                    ):
                        waiting.append(shard)
        return waiting

    async def leave(self) -> None:
        """Stop counting as alive."""
        async with answering():
            await self._redis.zrem(FLUSHERS_KEY, self.owner)


async def last_id(redis: Redis, shard: int) -> str:
    """The last id that the shard's stream gave, also when its entry is gone; the origin without a stream.

    Raises Unclear or Foreign.
    """
    async with answering():
        try:
            said: Any = await redis.xinfo_stream(Keys(shard).log)
        except ResponseError as error:
            if "no such key" in str(error):
                return ORIGIN
            raise
    return str(said["last-generated-id"].decode())


def fair_share(shards: int, flushers: Sequence[str], owner: str) -> int:
    """How many shards this one of the (sorted) flushers should hold: all shares add up to `shards`."""
    whole, rest = divmod(shards, len(flushers))
    return whole + (flushers.index(owner) < rest)
