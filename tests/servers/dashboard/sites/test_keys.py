"""dashboard/sites/keys.py on a real Redis: who is granted what, how often, and that a revoked key is refused at once."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from redis.asyncio import Redis

from dashboard.catalogue.contract import Away
from dashboard.sites.keys import Keys, NoKey, TooOften, WrongKey
from dashboard.sites.records import Sites
from runtime import redis as clients
from schemas.keys import Key, Scope, hash_of, written
from schemas.redis.keys import KEYS_KEY, RATE_KEPT_SECONDS, SITES_KEY, rate_key
from schemas.site import RegisteredSite
from tests.support import redis_server

server = redis_server.server
redis = redis_server.redis

SHOP, OTHER = "shop.example", "other.example"
NOW = 1_800_000_600.0  # ten minutes after an hour began


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def sites(redis: Redis) -> Sites:
    """Knows two registered sites."""
    for name in (SHOP, OTHER):
        await redis.hset(SITES_KEY, name, RegisteredSite().encode())
    sites = Sites(redis, named=(), timezone="UTC")
    await sites.refresh()
    return sites


async def made(redis: Redis, *sites: str, rate: int = 600, scope: Scope = "read") -> str:
    """Adds a key of these sites, and returns its text."""
    key_id, text = written(secrets.choice)
    key = Key(hash=hash_of(text), sites=sites, scope=scope, rate=rate)
    await redis.hset(KEYS_KEY, key_id, key.encode())
    return text


async def test_a_key_says_which_sites_it_reads(redis: Redis, sites: Sites) -> None:
    """It is counted as any request is; a key for sending events reads none."""
    keys = Keys(redis, sites, now=Clock())
    granted, names = await keys.readable(f"Bearer {await made(redis, SHOP, 'gone.example')}")
    assert (names, granted.remaining) == ([SHOP], 599)
    assert (await keys.readable(f"Bearer {await made(redis, '*')}"))[1] == [OTHER, SHOP]
    with pytest.raises(WrongKey):
        await keys.readable(f"Bearer {await made(redis, SHOP, scope='write')}")
    with pytest.raises(NoKey):
        await keys.readable(None)


async def test_a_key_reads_its_sites(redis: Redis, sites: Sites) -> None:
    """However the site's name is written; the answer says how much is left."""
    text = await made(redis, SHOP)
    keys = Keys(redis, sites, now=Clock())
    granted = await keys.grant(f"Bearer {text}", "www.Shop.example")
    assert (granted.site, granted.limit, granted.remaining) == (SHOP, 600, 599)
    assert granted.reset == 1_800_003_600
    again = await keys.grant(f"bearer  {text}", SHOP)
    assert again.headers == {
        "X-RateLimit-Limit": "600",
        "X-RateLimit-Remaining": "598",
        "X-RateLimit-Reset": "1800003600",
    }


async def test_a_key_of_every_site_reads_those_that_there_are(redis: Redis, sites: Sites) -> None:
    """And no other."""
    text = await made(redis, "*")
    keys = Keys(redis, sites)
    assert (await keys.grant(f"Bearer {text}", OTHER)).site == OTHER
    with pytest.raises(WrongKey):
        await keys.grant(f"Bearer {text}", "unknown.example")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic YTpi", "fbk_0123456789_x"])
async def test_without_a_key_nobody_reads(redis: Redis, sites: Sites, header: str | None) -> None:
    """The answer says how a key is sent."""
    with pytest.raises(NoKey, match="Bearer") as raised:
        await Keys(redis, sites).grant(header, SHOP)
    assert (raised.value.status, raised.value.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_a_wrong_key_a_wrong_site_and_an_unknown_one_are_one_answer(redis: Redis, sites: Sites) -> None:
    """So a key can't be used to find out which sites there are, and none of them is counted."""
    text = await made(redis, SHOP)
    writer = await made(redis, SHOP, scope="write")
    tries = [
        (text, OTHER),
        (text, "unknown.example"),
        (text, ""),
        (text, "\0\ud800"),
        (writer, SHOP),
        (text[:-1] + ("a" if text[-1] != "a" else "b"), SHOP),
        ("fbk_0123456789_" + "x" * 43, SHOP),
        ("fbk_" + "é" * 54, SHOP),
        ("x" * 10_000, SHOP),
    ]
    keys = Keys(redis, sites)
    said = set()
    for key, site in tries:
        with pytest.raises(WrongKey) as raised:
            await keys.grant(f"Bearer {key}", site)
        said.add((str(raised.value), raised.value.status, *raised.value.headers.items()))
    assert len(said) == 1
    assert await redis.keys("forebay:rate:*") == []


async def test_a_revoked_key_is_refused_at_once(redis: Redis, sites: Sites) -> None:
    """Nothing of it is remembered in the process."""
    text = await made(redis, SHOP)
    keys = Keys(redis, sites)
    await keys.grant(f"Bearer {text}", SHOP)
    await redis.delete(KEYS_KEY)
    with pytest.raises(WrongKey):
        await keys.grant(f"Bearer {text}", SHOP)


async def test_a_key_asks_as_often_as_it_may_in_an_hour(redis: Redis, sites: Sites) -> None:
    """Two dashboards count together; what is refused is not counted; the next hour begins anew; no number stays."""
    clock = Clock()
    text = await made(redis, SHOP, rate=3)
    both = [Keys(redis, sites, now=clock) for _ in range(2)]
    left = [(await both[at % 2].grant(f"Bearer {text}", SHOP)).remaining for at in range(3)]
    assert left == [2, 1, 0]
    for keys in both:
        with pytest.raises(TooOften, match=r"3 times an hour\. Try again in 3000 seconds") as raised:
            await keys.grant(f"Bearer {text}", SHOP)
        assert raised.value.status == 429
        assert raised.value.headers == {
            "X-RateLimit-Limit": "3",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "1800003600",
            "Retry-After": "3000",
        }
    name = rate_key(text[4:14], clock())
    assert await redis.get(name) == b"3"
    assert 0 < await redis.ttl(name) <= RATE_KEPT_SECONDS
    clock.now += 3_000
    assert (await both[0].grant(f"Bearer {text}", SHOP)).remaining == 2


async def test_a_record_that_can_not_be_read_opens_nothing(redis: Redis, sites: Sites) -> None:
    """Nor does it break the answer."""
    text = await made(redis, SHOP)
    for value in ("{broken", "[" * 9_999, '{"hash": "", "sites": ["*"], "scope": "all"}'):
        await redis.hset(KEYS_KEY, text[4:14], value)
        with pytest.raises(WrongKey):
            await Keys(redis, sites).grant(f"Bearer {text}", SHOP)


async def test_while_redis_does_not_answer_nobody_knows_of_keys(server: Path, redis: Redis, sites: Sites) -> None:
    """That is another answer than a wrong key's: a client tries again."""
    text = await made(redis, SHOP)
    async with redis_server.proxied(server) as proxy:
        client = clients.client(proxy.url, seconds=30)
        keys = Keys(client, sites)
        for refusal in redis_server.REFUSALS:
            proxy.answer = refusal
            with pytest.raises(Away) as raised:
                await keys.grant(f"Bearer {text}", SHOP)
            assert (raised.value.status, raised.value.retry_after) == (503, 2)
        proxy.answer = b""
        await keys.grant(f"Bearer {text}", SHOP)
        await client.aclose()
