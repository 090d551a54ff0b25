"""How many replicas are waited for holds for all processes: the greatest number that any of them was set to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from flusher.redis.lease import Leases
from flusher.redis.reading import Moved
from flusher.redis.replicas import Replicas
from flusher.redis.stream import RedisStream as FlusherStream
from ingest.commit.stream import RedisStream
from runtime.redis import Redis, Routed, url_of
from runtime.replicas import agreed, recorded
from schemas.redis.keys import REPLICAS_KEY
from tests.support import redis_cluster, redis_server
from tests.support.old_primaries import Following

server = redis_server.each_server
redis = redis_server.redis


async def test_the_greatest_number_holds(redis: Redis) -> None:
    """Whoever is set to less hears it, and lowers nothing; a person does."""
    assert await recorded(redis, 0, 0) == 0
    assert [await agreed(redis, own) for own in (0, 1, 0, 2, 1)] == [0, 1, 1, 2, 2]
    await redis.set(REPLICAS_KEY, 0)
    assert await recorded(redis, 0, 2) == 0
    assert await recorded(redis, 1, 2) == 1
    await redis.set(REPLICAS_KEY, "none")
    assert await agreed(redis, 1) == 1


async def test_ingest_and_flushers_go_by_the_same(server: Path, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """A flusher at work that is set to none waits as soon as ingest was set to one, and says what mends the difference."""
    replicas = Replicas(redis, 0)
    flusher = FlusherStream(redis, replicas)
    assert await flusher.replication() == []
    ingest = RedisStream(url_of(server), timeout_ms=5_000, replicas=1)
    await ingest.agree()
    assert ingest.replicas == 1
    with caplog.at_level(logging.WARNING):
        await flusher.facts()
    assert replicas.count == 1
    assert "1 are waited for from now on" in caplog.text
    (difference, *_) = await flusher.replication()
    assert difference.setting == "redis_replicas"
    assert "FOREBAY_REDIS_REPLICAS=1" in str(difference)
    assert f"SET {REPLICAS_KEY} 0" in str(difference)
    await ingest.close()


async def test_a_flusher_goes_on_when_no_replica_is_waited_for_any_more(redis: Redis) -> None:
    """A person lowered the number, and Redis is started again: the reign in which its shards were entered is over."""
    replicas = Replicas(redis, 0, count=1)
    flusher = FlusherStream(redis, replicas)
    lease = await Leases(redis=redis, owner="a", ttl_ms=60_000).take(0)
    assert lease is not None
    flusher._reigns[0] = "of a server:that was ended"
    with pytest.raises(Moved):
        await flusher.checkpoint(0)
    await flusher.facts()
    assert replicas.count == 0
    assert not await flusher.enter(lease)
    assert (await flusher.checkpoint(0)).edges == ()


async def test_an_ingest_that_is_set_to_less_holds_as_the_others(server: Path, redis: Redis) -> None:
    """Also one that runs already hears of it, so that it can leave for its successor."""
    ingest = RedisStream(url_of(server), timeout_ms=5_000, replicas=0)
    await ingest.agree()
    assert ingest.replicas == 0
    await agreed(redis, 2)
    assert await ingest.recorded_replicas() == 2
    await ingest.agree()
    assert ingest.replicas == 2
    await ingest.close()


async def test_a_record_that_a_failover_took_is_made_again(redis: Redis) -> None:
    """Those that are set to less would wait for none, and store what ingest sends again."""
    assert await agreed(redis, 1) == 1
    await redis.delete(REPLICAS_KEY)
    assert await recorded(redis, 0, 1) == 0
    assert await recorded(redis, 1, 1) == 1
    assert await recorded(redis, 0, 0) == 1


async def test_an_old_primary_lowers_no_number(tmp_path: Path) -> None:
    """It knows nothing of one that was raised since. A flusher at work and an ingest that go by more look for its successor."""
    with redis_cluster.several(tmp_path, 2) as (old, new):
        new.client.set(REPLICAS_KEY, 1)
        client = Routed(Following(old, new), socket_timeout=60)
        replicas = Replicas(client, 0, count=1)
        await replicas.follow()
        assert replicas.count == 1
        new.client.set(REPLICAS_KEY, 0)
        await replicas.follow()
        assert replicas.count == 0
        await client.aclose()
