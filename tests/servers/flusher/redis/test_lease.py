"""The right to flush a shard, on a real Redis: one holder, a generation that only grows, a zombie that is refused."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flusher.redis.lease import Foreign, LayoutChanged, Lease, LeaseLost, Leases, Unclear
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import FLUSHERS_KEY, SHARDS_KEY, Keys
from tests.support import redis_server
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis

SHARD = 3
KEYS = Keys(SHARD)
LONG_MS = 60_000


def leases(redis: Redis, owner: str = "a", *, ttl_ms: int = LONG_MS) -> Leases:
    return Leases(redis=redis, owner=owner, ttl_ms=ttl_ms)


async def held(redis: Redis, owner: str = "a", *, ttl_ms: int = LONG_MS) -> Lease:
    lease = await leases(redis, owner, ttl_ms=ttl_ms).take(SHARD)
    assert lease
    return lease


async def eventually(taker: Leases) -> Lease:
    """Returns the lease as soon as it can be taken."""
    taken: list[Lease] = []

    async def is_taken() -> bool:
        taken.extend(filter(None, [await taker.take(SHARD)]))
        return bool(taken)

    await until(is_taken)
    return taken[0]


async def is_free(redis: Redis) -> bool:
    return not await redis.exists(KEYS.lease)


async def test_a_free_lease_is_taken_with_the_first_generation(redis: Redis) -> None:
    """A free lease is taken: Redis holds generation and owner, and the stream gets its incarnation."""
    lease = await held(redis)
    assert (lease.shard, lease.generation, lease.owner, lease.value) == (SHARD, 1, "a", "1:a")
    assert await redis.get(KEYS.lease) == b"1:a"
    assert await redis.get(KEYS.incarnation) == lease.incarnation.encode()
    assert len(bytes.fromhex(lease.incarnation)) == 4


async def test_a_held_lease_is_not_given_twice(redis: Redis) -> None:
    """A held lease is given neither to another flusher nor to its holder."""
    await held(redis)
    assert await leases(redis, "b").take(SHARD) is None
    assert await leases(redis, "a").take(SHARD) is None
    assert await leases(redis, "b").take(SHARD + 1)


async def test_of_many_at_once_one_gets_it(redis: Redis) -> None:
    """Of many flushers at once one gets the lease, because the check and the taking are one step inside Redis."""
    taken = await asyncio.gather(*(leases(redis, str(number)).take(SHARD) for number in range(8)))
    assert sum(lease is not None for lease in taken) == 1
    assert await redis.hget(KEYS.checkpoint, "generation") == b"1"


async def test_the_script_itself_refuses_a_second_holder(redis: Redis) -> None:
    """A flusher that saw the lease free, and takes it when it no longer is, gets nothing."""
    lease = await held(redis)
    late = leases(redis, "b")
    assert not await late._take(
        keys=[KEYS.lease, KEYS.checkpoint, KEYS.incarnation], args=["b", LONG_MS, "ffff", "run"]
    )
    assert await redis.get(KEYS.lease) == lease.value.encode()
    assert await redis.hget(KEYS.checkpoint, "generation") == b"1"


async def test_every_taking_raises_the_generation_and_keeps_the_incarnation(redis: Redis) -> None:
    """A generation is never given twice, after a release or an expiry, and the incarnation of tokens stays."""
    first = await held(redis, "a")
    await leases(redis, "a").release(first)
    second = await held(redis, "b", ttl_ms=30)
    third = await eventually(leases(redis, "a"))
    assert [lease.generation for lease in (first, second, third)] == [1, 2, 3]
    assert len({lease.incarnation for lease in (first, second, third)}) == 1


async def test_the_holder_believes_less_than_redis_does(redis: Redis) -> None:
    """The holder's time counts from before the command was sent, when taking and when renewing."""
    taker = leases(redis, ttl_ms=5_000)
    lease = await taker.take(SHARD)
    assert lease
    assert await beyond_belief(redis, lease) > 0
    await redis.pexpire(KEYS.lease, 100_000)
    await taker.renew(lease)
    assert 0 < await beyond_belief(redis, lease) < 60  # 95, if Redis were not told


async def beyond_belief(redis: Redis, lease: Lease) -> float:
    """Returns the seconds by which Redis holds the lease longer than its holder believes. Redis is asked first."""
    milliseconds = await redis.pttl(KEYS.lease)
    return float(milliseconds) / 1000 + 0.001 - lease.seconds_left()


async def test_renewing_gives_the_whole_time_again(redis: Redis) -> None:
    """Renewing gives the whole lease time again, however little of it was left."""
    taker = leases(redis)
    lease = await taker.take(SHARD)
    assert lease
    await redis.pexpire(KEYS.lease, 5_000)
    lease.valid_until -= 55
    await taker.renew(lease)
    assert await redis.pttl(KEYS.lease) > LONG_MS / 2
    assert lease.seconds_left() > LONG_MS / 2000


async def test_a_zombie_cannot_renew(redis: Redis) -> None:
    """After a takeover a zombie's renewal is refused and its successor's time stays, also if both are the same
    flusher.
    """
    zombie = await held(redis, "a", ttl_ms=30)
    successor = await eventually(leases(redis, "a"))
    with pytest.raises(LeaseLost):
        await leases(redis, "a", ttl_ms=30).renew(zombie)
    assert await redis.get(KEYS.lease) == successor.value.encode()
    assert await redis.pttl(KEYS.lease) > LONG_MS / 2


async def test_an_expired_lease_is_not_renewed_back_to_life(redis: Redis) -> None:
    """A lease that ran out is not renewed even if nobody took it, because somebody could have."""
    zombie = await held(redis, ttl_ms=30)
    await until(partial(is_free, redis))
    with pytest.raises(LeaseLost):
        await leases(redis, ttl_ms=30).renew(zombie)
    assert not await redis.exists(KEYS.lease)


async def test_a_holder_that_overslept_believes_itself_not_redis(redis: Redis) -> None:
    """A holder whose time is over by its own clock has lost the lease, also while Redis still has it."""
    lease = await held(redis)
    lease.valid_until = asyncio.get_running_loop().time() - 0.001
    with pytest.raises(LeaseLost):
        await leases(redis).renew(lease)


async def test_a_released_lease_is_free_at_once(redis: Redis) -> None:
    """A released lease is free at once, so a successor need not wait for its expiry."""
    await leases(redis).release(await held(redis))
    assert (await held(redis, "b")).generation == 2


async def test_a_zombie_releases_nothing(redis: Redis) -> None:
    """Releasing a lease that is another's changes nothing and is no error."""
    zombie = await held(redis, "a", ttl_ms=30)
    successor = await eventually(leases(redis, "a"))
    await leases(redis).release(zombie)
    assert await redis.get(KEYS.lease) == successor.value.encode()
    assert await redis.hexists(KEYS.checkpoint, "run")


async def test_while_redis_is_silent_the_holder_goes_on_until_its_time_is_over(server: Path, redis: Redis) -> None:
    """A renewal without an answer extends nothing, and LeaseLost comes when the time that was left has passed."""
    async with redis_server.proxied(server) as proxy:
        client: Redis = Redis.from_url(proxy.url, retry=None, socket_timeout=60)
        taker = leases(client)
        lease = await eventually(taker)
        until = lease.valid_until
        proxy.is_mute = True
        redis_server.impatient(client)
        await taker.renew(lease)
        assert lease.valid_until == until
        lease.valid_until = asyncio.get_running_loop().time()
        with pytest.raises(LeaseLost):
            await taker.renew(lease)
        await client.aclose()


async def test_everything_else_is_unclear_while_redis_is_gone(tmp_path: Path) -> None:
    """Without Redis every other call raises Unclear, because its command may have happened."""
    gone = redis_server.connected(tmp_path / "nobody.sock")
    taker = leases(gone)
    lease = Lease(SHARD, 1, "a", "abcd0123", asyncio.get_running_loop().time() + 60)
    for asked in (taker.take(SHARD), taker.release(lease), taker.enrol(4), taker.leave()):
        with pytest.raises(Unclear):
            await asked
    await taker.renew(lease)
    await gone.aclose()


async def test_a_new_redis_gives_a_lease_only_after_a_lease_time(tmp_path: Path) -> None:
    """After a restart of Redis no shard is taken before the last holder must have stopped believing in its lease."""
    ttl_ms = 3_000  # longer than what a busy machine needs to start a server
    with redis_server.running(tmp_path) as path:
        client = redis_server.connected(path)
        await held(client, "a", ttl_ms=ttl_ms)
        await client.delete(KEYS.lease)  # the lease is gone, the belief is not
        released = await leases(client).take(SHARD + 1)
        assert released
        await leases(client).release(released)
        await client.aclose()
    with redis_server.running(tmp_path) as path:
        client = redis_server.connected(path)
        began = asyncio.get_running_loop().time()
        taker = leases(client, "b", ttl_ms=ttl_ms)
        assert await taker.take(SHARD) is None
        assert await taker.take(SHARD + 1), "a lease that was given back is believed by nobody"
        lease = await eventually(taker)
        assert asyncio.get_running_loop().time() - began >= ttl_ms / 1000
        assert lease.generation == 2
        await taker.release(lease)
        assert await taker.take(SHARD), "the server is known by now"
        await client.aclose()


async def test_those_who_enrol_share_the_shards(redis: Redis) -> None:
    """Every flusher sees a newcomer at its next look, and also that one has left."""
    first, second = leases(redis, "a"), leases(redis, "b")
    assert await first.enrol(5) == 5
    assert await second.enrol(5) == 2
    assert await first.enrol(5) == 3
    await second.leave()
    assert await first.enrol(5) == 5
    await first.leave()
    assert not await redis.exists(FLUSHERS_KEY)


async def test_the_living_are_told_apart_by_redis_s_clock(redis: Redis) -> None:
    """A flusher counts as alive for one lease time, whatever the clocks of the hosts show."""
    before, _ = await redis.time()
    await leases(redis, "a", ttl_ms=60_000).enrol(4)
    after, _ = await redis.time()
    score = await redis.zscore(FLUSHERS_KEY, "a")
    assert score is not None
    assert before * 1000 + 60_000 <= score < (after + 1) * 1000 + 60_000


async def test_a_changed_number_of_shards_is_said(redis: Redis) -> None:
    """An emptied Redis learns the number of shards, and a Redis with another number raises LayoutChanged."""
    flusher = leases(redis, "a")
    assert await flusher.enrol(4) == 4
    assert await redis.get(SHARDS_KEY) == b"4"
    await redis.flushall()
    assert await flusher.enrol(4) == 4
    await redis.set(SHARDS_KEY, 5)
    with pytest.raises(LayoutChanged, match="5 shards"):
        await flusher.enrol(4)


async def test_a_dead_flusher_is_not_counted_for_long(redis: Redis) -> None:
    """The share of a dead flusher goes to the others one lease time after its last word."""
    living = leases(redis, "a")
    await leases(redis, "b").enrol(4)
    assert await living.enrol(4) == 2
    await leases(redis, "b", ttl_ms=200).enrol(4)  # its last word

    async def has_all() -> bool:
        return await living.enrol(4) == 4

    await until(has_all)


async def test_what_waits_for_nobody_is_known(redis: Redis) -> None:
    """The last flusher knows the shards with entries behind `stored`, whatever a clock shows; none while
    another lives.
    """
    flusher = leases(redis, "a")
    await flusher.enrol(4)
    assert await flusher.unserved(await flusher.ends(4)) == []
    before = await flusher.ends(4)
    ahead = EntryId(await flusher.now_ms() + 3_600_000, 0)
    old = await redis.xadd(KEYS.log, {"n": 1, "d": b""}, id=str(ahead))
    await redis.xadd(Keys(0).log, {"n": 1, "d": b""}, id="2000-0")
    await redis.set(Keys(1).log, "a stranger's")
    assert await flusher.unserved(before) == []
    ends = await flusher.ends(4)
    assert ends == {0: EntryId(2000, 0), 2: ORIGIN, SHARD: ahead}
    assert await flusher.unserved(ends) == [0, SHARD]
    await redis.hset(KEYS.checkpoint, "stored", old)
    assert await flusher.unserved(ends) == [0]
    await leases(redis, "b").enrol(4)
    assert await flusher.unserved(ends) == []
    await leases(redis, "b").leave()
    assert await flusher.unserved(ends) == [0]


async def test_a_dead_holder_s_lease_ends_though_the_clock_was_set_back(redis: Redis) -> None:
    """After Redis's clock was set back, a dead holder's lease ends in time, and the holder does not count as alive."""
    dead, living = leases(redis, "a"), leases(redis, "b", ttl_ms=3_000)
    assert await dead.take(SHARD)
    await redis.pexpire(KEYS.lease, 90_000_000)
    await redis.zadd(FLUSHERS_KEY, {"a": await living.now_ms() + 90_000_000})
    await redis.xadd(KEYS.log, {"n": 1, "d": b""})
    assert await living.unserved(await living.ends(4)) == [SHARD]
    assert await living.enrol(4) == 4
    await eventually(living)


async def test_a_lease_that_never_ends_is_none(redis: Redis) -> None:
    """A lease without an end, which somebody wrote by hand, raises Foreign instead of being passed over silently."""
    await redis.set(KEYS.lease, "1:somebody")
    with pytest.raises(Foreign, match="it never ends"):
        await leases(redis, "a").take(SHARD)
    await redis.delete(KEYS.lease)
    await redis.set(KEYS.checkpoint, "a stranger's")
    with pytest.raises(Foreign, match="WRONGTYPE"):
        await leases(redis, "a").take(SHARD)
