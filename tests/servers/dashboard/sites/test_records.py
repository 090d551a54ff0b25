"""dashboard/sites/records.py and changes.py on a real Redis: what is there is seen, and no change loses another."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from dashboard.catalogue.contract import Away
from dashboard.sites.changes import Changes
from dashboard.sites.records import Sites, SiteView
from runtime import redis as clients
from schemas.goals import goal_of
from schemas.redis.keys import NOTES_KEY, SITES_KEY
from schemas.site import RegisteredSite, SiteNotes, SiteSettings, ZoneBefore
from tests.support import redis_server
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis

SHOP = "shop.example"


def view_of(sites: Sites, name: str) -> SiteView:
    found = sites.get(name)
    assert found is not None
    return found


def sites_of(redis: Redis, *named: str, now: float = 1_800_000_000.0) -> Sites:
    return Sites(redis, named=named, timezone="Europe/Berlin", now=lambda: now)


async def registered(redis: Redis, name: str = SHOP, record: RegisteredSite | None = None) -> None:
    await redis.hset(SITES_KEY, name, (record or RegisteredSite()).encode())


async def test_a_site_has_what_its_record_says(redis: Redis) -> None:
    """Its zone, goals and notes; a site without a record has the zone of the settings, and none is invented."""
    record = RegisteredSite(settings=SiteSettings(timezone="Asia/Tokyo"), goals=(goal_of("purchase"),))
    await registered(redis, SHOP, record)
    await redis.hset(NOTES_KEY, SHOP, SiteNotes(last_id=7).encode())
    sites = sites_of(redis, "WWW.Named.example")
    await sites.refresh()
    assert sites.names() == ["named.example", SHOP]
    assert [one.name for one in view_of(sites, "Shop.Example.").record.goals] == ["purchase"]
    assert (sites.zone_of(SHOP), sites.zone_of("named.example")) == ("Asia/Tokyo", "Europe/Berlin")
    assert view_of(sites, SHOP).notes.last_id == 7
    found = sites.get("www.SHOP.example")
    assert found is not None
    assert (found.name, found.is_registered, found.record) == (SHOP, True, record)
    assert sites.get("unknown.example") is None


async def test_where_every_site_is_accepted_any_name_is_a_site(redis: Redis) -> None:
    """If it can be one: as ingest has it."""
    sites = sites_of(redis, "*")
    await sites.refresh()
    found = sites.get("new.example")
    assert found is not None
    assert not found.is_registered
    assert sites.get("no site") is None
    assert sites.names() == []


async def test_a_new_zone_is_a_sites_from_its_midnight_on(redis: Redis) -> None:
    """Before that its days are those of the zone before."""
    record = RegisteredSite(
        settings=SiteSettings(timezone="Asia/Tokyo"),
        zones_before=(ZoneBefore(until=90, if_unregistered=True), ZoneBefore(zone="UTC", until=100)),
    )
    await registered(redis, SHOP, record)
    for now, named, zone in ((99, (), "UTC"), (100, (), "Asia/Tokyo"), (89, (), "UTC"), (89, (SHOP,), "Europe/Berlin")):
        sites = sites_of(redis, *named, now=now)
        await sites.refresh()
        assert sites.zone_of(SHOP) == zone, (now, named)


async def test_what_can_not_be_read_stays_as_it_was(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; other sites go on; a zone that nobody knows is that of the settings."""
    await registered(redis, SHOP, RegisteredSite(goals=(goal_of("purchase"),)))
    await registered(redis, "mars.example", RegisteredSite(settings=SiteSettings(timezone="Mars/Olympus_Mons")))
    sites = sites_of(redis)
    await sites.refresh()
    await redis.hset(SITES_KEY, SHOP, "[" * 9_999)
    await redis.hset(NOTES_KEY, SHOP, "{broken")
    await registered(redis, "other.example")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await sites.refresh()
    assert [one.name for one in view_of(sites, SHOP).record.goals] == ["purchase"]
    assert sites.names() == ["mars.example", "other.example", SHOP]
    assert sites.zone_of("mars.example") == "Europe/Berlin"
    assert len(caplog.records) == 2


async def test_a_removed_site_is_gone(redis: Redis) -> None:
    """It is no longer known to anybody who asks by its name."""
    await registered(redis)
    sites = sites_of(redis)
    await sites.refresh()
    await redis.hdel(SITES_KEY, SHOP)
    await sites.refresh()
    assert sites.get(SHOP) is None


async def test_whoever_leaves_while_the_sites_are_read_takes_them_from_nobody(redis: Redis) -> None:
    """A browser that leaves ends its request. If that one was reading the sites, the next request reads them itself."""
    await registered(redis)
    sites = sites_of(redis)
    await redis.client_pause(3_000)  # ms in which Redis gives no answer
    leaving = asyncio.create_task(sites.read())
    await asyncio.wait([leaving], timeout=0.1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await sites.read()
    assert sites.names() == [SHOP]


async def test_while_redis_is_away_everything_stays_and_is_read_again_by_itself(server: Path, redis: Redis) -> None:
    """Also where it answers that it is loading; nothing can be changed meanwhile."""
    await registered(redis)
    async with redis_server.proxied(server) as proxy:
        client = clients.client(proxy.url, seconds=30)
        sites = Sites(client, named=(), timezone="UTC")

        async def names() -> list[str]:
            await sites.read()
            return sites.names()

        assert await names() == [SHOP]
        proxy.answer = redis_server.REFUSALS[0]
        await registered(redis, "new.example")
        with pytest.raises(Away):
            await Changes(client, sites).add_goal(SHOP, "purchase")
        assert await names() == [SHOP]
        proxy.answer = b""

        async def are_known() -> bool:
            return await names() == ["new.example", SHOP]

        await until(are_known)
        await client.aclose()
