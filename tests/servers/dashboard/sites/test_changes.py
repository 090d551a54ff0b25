"""dashboard/sites/changes.py on a real Redis: what can be changed, what is refused, and that no change loses another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from dashboard.catalogue.contract import Refused
from dashboard.sites.changes import ANNOTATIONS_MAX, SEGMENTS_MAX, Changes
from dashboard.sites.records import Sites, SiteView
from schemas.goals import FUNNELS_MAX, GOALS_MAX, goal_text
from schemas.redis.keys import NOTES_KEY, SITES_KEY
from schemas.site import Exclusions, RegisteredSite, SiteNotes, SiteSettings
from tests.support import redis_server

server = redis_server.server
redis = redis_server.redis

SHOP = "shop.example"
FILTERS = [["is", "country", ["DE"]]]
OTHERS = [["is_not", "country", ["DE"]]]


def view_of(sites: Sites, name: str) -> SiteView:
    found = sites.get(name)
    assert found is not None
    return found


@pytest.fixture
async def sites(redis: Redis) -> Sites:
    """Knows one registered site, and takes any."""
    record = RegisteredSite(
        domains=("b.example",), settings=SiteSettings(keep_query=True), exclusions=Exclusions(countries=("FR",))
    )
    await redis.hset(SITES_KEY, SHOP, record.encode())
    sites = Sites(redis, named=("*",), timezone="UTC")
    await sites.refresh()
    return sites


@pytest.fixture
def changes(redis: Redis, sites: Sites) -> Changes:
    """Changes its sites."""
    return Changes(redis, sites)


async def test_goals_and_funnels_are_added_replaced_and_removed(changes: Changes, sites: Sites) -> None:
    """They are seen at once, and nothing else of the record changes."""
    before = sites.get(SHOP)
    assert before is not None
    await changes.add_goal(SHOP, "Big order=purchase plan=pro")
    await changes.add_goal("www.Shop.example", "Visit /thanks")
    await changes.add_goal(SHOP, "Big order=purchase plan=max")
    await changes.add_funnel(SHOP, "buy", ["Visit /cart", "Big order"])
    assert [goal_text(one) for one in view_of(sites, SHOP).record.goals] == [
        "Visit /thanks",
        "Big order=purchase plan=max",
    ]
    assert [one.steps for one in view_of(sites, SHOP).record.funnels] == [("Visit /cart", "Big order")]
    with pytest.raises(Refused, match="the funnel 'buy'"):
        await changes.remove_goal(SHOP, "Big order")
    await changes.remove_funnel(SHOP, "buy")
    for name in ("Big order", "Visit /thanks", "no such goal"):
        await changes.remove_goal(SHOP, name)
    assert sites.get(SHOP) == before


async def test_segments_and_annotations_keep_their_ids(changes: Changes, sites: Sites) -> None:
    """An id is in the URL of a page that somebody kept, so no other ever gets it."""
    first = await changes.add_segment(SHOP, "Germans", FILTERS)
    second = await changes.add_segment(SHOP, "Others", OTHERS)
    assert await changes.add_segment(SHOP, "Germans", OTHERS) == first
    await changes.remove_segment(SHOP, second)
    noted = await changes.add_annotation(SHOP, "2026-03-01", "a new shop")
    assert noted > second > first
    notes = view_of(sites, SHOP).notes
    assert [(one.id, one.name, one.filters) for one in notes.segments] == [(first, "Germans", OTHERS)]
    assert [(one.id, one.date, one.text) for one in notes.annotations] == [(noted, "2026-03-01", "a new shop")]
    await changes.remove_annotation(SHOP, noted)
    assert not view_of(sites, SHOP).notes.annotations


async def test_a_site_that_nobody_registered_has_notes_and_no_goals(changes: Changes, sites: Sites) -> None:
    """A record would make it a registered one; what is no site at all has neither."""
    await changes.add_annotation("new.example", "2026-03-01", "first day")
    assert len(view_of(sites, "new.example").notes.annotations) == 1
    with pytest.raises(Refused, match=r"`forebay site add new\.example`"):
        await changes.add_goal("new.example", "purchase")
    with pytest.raises(Refused):
        await changes.add_annotation("no site", "2026-03-01", "first day")


Change = Callable[[Changes], Awaitable[Any]]


@pytest.mark.parametrize(
    "change",
    [
        lambda to: to.add_goal(SHOP, ""),
        lambda to: to.add_goal(SHOP, "engagement"),
        lambda to: to.add_goal(SHOP, "x" * 9_999),
        lambda to: to.add_funnel(SHOP, "buy", ["purchase"]),
        lambda to: to.add_funnel(SHOP, "buy", ["purchase"] * 9),
        lambda to: to.add_funnel(SHOP, "", ["a", "b"]),
        lambda to: to.add_segment(SHOP, " ", FILTERS),
        lambda to: to.add_segment(SHOP, "all", []),
        lambda to: to.add_segment(SHOP, "odd", [["is", "country"]]),
        lambda to: to.add_segment(SHOP, "unknown", [["is", "countrie", ["DE"]]]),
        lambda to: to.add_segment(SHOP, "unknown within", [["not", ["or", [FILTERS[0], ["is", "countrie", ["DE"]]]]]]),
        lambda to: to.add_segment(SHOP, "itself", [["is", "segment", [1]]]),
        lambda to: to.add_segment(SHOP, "much", [["is", "country", ["x" * 400] * 50]]),
        lambda to: to.add_segment(SHOP, "long", [["is", "country", ["x" * 20_000]]]),
        lambda to: to.add_annotation(SHOP, "yesterday", "a text"),
        lambda to: to.add_annotation(SHOP, "2026-02-30", "a text"),
        lambda to: to.add_annotation(SHOP, "0001-01-01", "a text"),
        lambda to: to.add_annotation(SHOP, "9999-12-31", "a text"),
        lambda to: to.add_annotation(SHOP, "2026-02-28", "two\nlines"),
        lambda to: to.add_annotation(SHOP, "2026-02-28", "x" * 501),
    ],
)
async def test_what_can_not_be_is_refused_with_a_reason(redis: Redis, changes: Changes, change: Change) -> None:
    """Nothing is written then."""
    before = await redis.hgetall(SITES_KEY), await redis.hgetall(NOTES_KEY)
    with pytest.raises(Refused, match=r"\w+"):
        await change(changes)
    assert (await redis.hgetall(SITES_KEY), await redis.hgetall(NOTES_KEY)) == before


async def test_there_is_an_end_to_each_list(changes: Changes) -> None:
    """A page must not make a record that ingest reads for minutes; one can be replaced when there is no room for another."""
    for most, change in (
        (GOALS_MAX, lambda at: changes.add_goal(SHOP, f"goal {at}")),
        (FUNNELS_MAX, lambda at: changes.add_funnel(SHOP, f"funnel {at}", ["a", "b"])),
        (SEGMENTS_MAX, lambda at: changes.add_segment(SHOP, f"segment {at}", FILTERS)),
        (ANNOTATIONS_MAX, lambda at: changes.add_annotation(SHOP, "2026-03-01", f"day {at}")),
    ):
        for at in range(most):
            await change(at)
        with pytest.raises(Refused, match=f"may have {most} "):
            await change(most)
    await changes.add_goal(SHOP, "goal 0")


async def test_of_many_changes_at_once_none_is_lost(redis: Redis, sites: Sites) -> None:
    """Each is made on what is there when it is written."""
    both = [Changes(redis, sites) for _ in range(2)]
    await asyncio.gather(
        *(one.add_goal(SHOP, f"goal {who} {at}") for who, one in enumerate(both) for at in range(6)),
        *(one.add_annotation(SHOP, "2026-03-01", f"{who} {at}") for who, one in enumerate(both) for at in range(6)),
    )
    assert len(view_of(sites, SHOP).record.goals) == 12
    assert len({one.id for one in view_of(sites, SHOP).notes.annotations}) == 12


async def test_an_entry_that_can_not_be_read_is_not_written_over(redis: Redis, changes: Changes) -> None:
    """A page must not throw away what a person may still mend."""
    await redis.hset(SITES_KEY, SHOP, "{broken")
    await redis.hset(NOTES_KEY, SHOP, "{broken")
    with pytest.raises(Refused, match=f"can't be read: `forebay site add {SHOP}`"):
        await changes.add_goal(SHOP, "purchase")
    with pytest.raises(Refused, match=f"can't be read: `HDEL {NOTES_KEY} {SHOP}`"):
        await changes.add_annotation(SHOP, "2026-03-01", "text")
    assert (await redis.hget(SITES_KEY, SHOP), await redis.hget(NOTES_KEY, SHOP)) == (b"{broken", b"{broken")


async def test_what_a_change_writes_is_read_by_everybody(redis: Redis, changes: Changes) -> None:
    """A record of the page is one of `forebay site`."""
    await changes.add_goal(SHOP, "purchase")
    await changes.add_segment(SHOP, "Germans", FILTERS)
    assert RegisteredSite.decode(await redis.hget(SITES_KEY, SHOP) or b"").goals[0].event == "purchase"
    assert SiteNotes.decode(await redis.hget(NOTES_KEY, SHOP) or b"").segments[0].filters == FILTERS
