"""Numbers of sites for Prometheus: those of the page, within their bounds, asked for no more often than they may be."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from dashboard.ask.clickhouse import ClickHouse as Asker
from dashboard.catalogue.contract import Away, Reply, Statement
from dashboard.gauges.api import PATH, PREFIX, SiteMetrics
from dashboard.gauges.numbers import CURRENCIES_MAX, Numbers, SiteNumbers
from dashboard.metrics import Metrics
from dashboard.sites.records import Sites
from dashboard.web.app import application
from dashboard.web.panel_api import Panels
from schemas.keys import Key, hash_of, written
from schemas.redis.keys import KEYS_KEY, SITES_KEY
from schemas.site import RegisteredSite, SiteSettings
from tests.support import redis_server
from tests.support.dashboard.hand import SECOND, ZONE
from tests.support.dashboard.local import local_access
from tests.support.dashboard.seed import moment
from tests.support.engine import EngineProcess

server = redis_server.server
redis = redis_server.redis

NOON = moment(ZONE, SECOND, 12) // 1000 + 120  # two minutes after somebody looked at a page
SECONDS = 60
Samples = dict[tuple[str, ...], float]


class Scraped(NamedTuple):
    """Gives what a scrape has, and what a panel of the page says of the day."""

    text: Callable[..., Any]
    panel: Callable[[str], Any]
    numbers: SiteNumbers
    asked: list[Statement]
    clock: list[float]
    fails: set[str]

    async def samples(self, **headers: str) -> Samples:
        """Returns the value of each series, by its name without the prefix and its labels."""
        status, text = await self.text(**headers)
        assert status == 200, text
        found = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                labels = sorted(one.labels.items(), key=lambda label: label[0] != "site")
                found[(one.name.removeprefix(PREFIX), *(value for _, value in labels))] = one.value
        return found


@pytest.fixture
async def scraped(seeded: object, engine: EngineProcess, redis: Redis) -> AsyncIterator[Scraped]:
    """Runs a dashboard on which it is 2 March, with three registered sites, of which it shows two."""
    for site, zone in (
        ("hand.example", ZONE),
        ("la.example", "America/Los_Angeles"),
        ("shop.example", "Europe/Berlin"),
    ):
        await redis.hset(SITES_KEY, site, RegisteredSite(settings=SiteSettings(timezone=zone)).encode())
    sites = Sites(redis, named=("named.example",), timezone="UTC")
    clock, asked, fails = [float(NOON)], [], set[str]()
    asker = Asker(f"http://127.0.0.1:{engine.port}", user="default", password="", seconds=10, rows_max=100_000)

    async def keeping(statement: Statement, /) -> Reply:
        asked.append(statement)
        if statement.parameters.get("site") in fails:
            raise Away("ClickHouse does not answer; try again.")
        return await asker(statement)

    numbers = SiteNumbers(asker=keeping, sites=sites, sites_max=2, seconds=SECONDS, now=lambda: clock[0])
    metrics = Metrics(CollectorRegistry())
    panels = Panels(asker=asker, sites=sites, rows_max=1_000, now=lambda: clock[0])
    gauges = SiteMetrics(numbers)
    app = application(metrics=metrics, access=local_access(redis, sites, metrics), sites=sites, parts=(panels, gauges))
    async with TestServer(app) as running, aiohttp.ClientSession(base_url=running.make_url("/")) as session:

        async def text(**headers: str) -> tuple[int, str]:
            async with session.get(PATH, headers=headers) as answer:
                return answer.status, await answer.text()

        async def panel(name: str) -> list[dict[str, Any]]:
            question = {"site": "hand.example", "panel": name, "period": "day"}
            async with session.post("/api/panel", json=question) as answer:
                said = await answer.json()
                return [dict(zip(said["columns"], row, strict=True)) for row in said["rows"]]

        yield Scraped(text, panel, numbers, asked, clock, fails)
        await numbers.close()
    await asker.close()


async def made(redis: Redis, *sites: str) -> str:
    """Adds a key of these sites, and returns its header."""
    key_id, text = written(secrets.choice)
    await redis.hset(KEYS_KEY, key_id, Key(hash=hash_of(text), sites=sites, scope="read").encode())
    return f"Bearer {text}"


async def test_gauges_have_the_numbers_of_the_page(scraped: Scraped) -> None:
    """Every gauge of the local day so far, in which a visit from before midnight goes on."""
    found = await scraped.samples()
    [totals] = await scraped.panel("totals")
    assert (totals["visitors"], totals["pageviews"]) == (4, 4)
    assert found[("visitors_today", "hand.example")] == totals["visitors"]
    assert found[("pageviews_today", "hand.example")] == totals["pageviews"]
    [live] = await scraped.panel("live")
    assert found[("live_visitors", "hand.example")] == live["visitors"] == 1
    bots = await scraped.panel("bot_series")
    programs, people = sum(row["bots"] for row in bots), sum(row["people"] for row in bots)
    assert found[("bot_share_today", "hand.example")] == programs / (programs + people) > 0
    money = 0
    for row in await scraped.panel("revenue"):
        assert found.pop(("revenue_today", "hand.example", row["currency"])) == float(row["revenue"]) > 0
        money += 1
    for row in await scraped.panel("vital_shares"):
        assert found.pop(("vital_p75_today", "hand.example", row["vital"])) == row["p75"]
    assert not [
        key for key in found if key[:2] in {("revenue_today", "hand.example"), ("vital_p75_today", "hand.example")}
    ]
    assert money == 2


async def test_what_is_over_the_bounds_is_counted(scraped: Scraped) -> None:
    """The third site by name has no series, and neither has a site that is not registered."""
    found = await scraped.samples()
    assert {key[1] for key in found if key[0] == "visitors_today"} == {"hand.example", "la.example"}
    assert found[("left_out", "sites")] == 1
    assert found[("left_out", "currencies")] == 0


async def test_many_currencies_are_not_many_series(scraped: Scraped) -> None:
    """Those with the most purchases have one; the others are counted."""
    sent = {"live": [[1, 1]], "bot_series": [[1, 0]], "vital_shares": []}
    names = {"live": ("visitors", "pageviews"), "bot_series": ("people", "bots"), "vital_shares": ("vital", "p75")}

    async def asker(statement: Statement, /) -> Reply:
        if statement.file == "revenue":
            rows = [["", f"C{number:02}", "1.5", number, 1] for number in range(CURRENCIES_MAX + 3)]
            return Reply(columns=("d", "currency", "revenue", "purchases", "buyers"), rows=rows, as_of=1)
        if statement.file in sent:
            return Reply(columns=names[statement.file], rows=sent[statement.file], as_of=1)
        return Reply(columns=("d", "visitors", "pageviews"), rows=[["", 1, 1]], as_of=1)

    numbers = SiteNumbers(asker=asker, sites=scraped.numbers._sites, sites_max=1, seconds=SECONDS)
    await numbers.look()
    one: Numbers = numbers.of_site["hand.example"]
    assert sorted(one.revenue) == [f"C{number:02}" for number in range(3, CURRENCIES_MAX + 3)]
    assert one.currencies_left_out == 3


async def test_a_scrape_asks_no_more_often_than_it_may(scraped: Scraped) -> None:
    """Ten scrapes at once and more within a minute are one refresh; after the minute it is another."""
    await asyncio.gather(*(scraped.text() for _ in range(10)))
    first = len(scraped.asked)
    assert 0 < first <= 2 * 7
    scraped.clock[0] += SECONDS - 1
    await scraped.text()
    assert len(scraped.asked) == first
    scraped.clock[0] += 1
    await scraped.text()
    assert len(scraped.asked) == 2 * first


async def test_a_site_that_cannot_be_asked_has_no_old_numbers(scraped: Scraped) -> None:
    """Its series end, and it is counted; the others go on."""
    await scraped.samples()
    scraped.clock[0] += SECONDS
    scraped.fails.add("hand.example")
    found = await scraped.samples()
    assert {key[1] for key in found if key[0] == "visitors_today"} == {"la.example"}
    assert found[("refresh_failed_total",)] == 1


async def test_a_key_gets_its_sites_alone(scraped: Scraped, redis: Redis) -> None:
    """Whoever may not read every site is not told how many there are. A wrong key gets nothing."""
    found = await scraped.samples(Authorization=await made(redis, "la.example"))
    assert {key[1] for key in found} == {"la.example"}
    assert ("left_out", "sites") in await scraped.samples(Authorization=await made(redis, "*"))
    status, text = await scraped.text(Authorization="Bearer fbk_no")
    assert (status, "forebay_site" in text) == (401, False)


async def test_a_site_that_is_removed_ends(scraped: Scraped, redis: Redis) -> None:
    """Its place goes to the next one by name."""
    await scraped.samples()
    await redis.hdel(SITES_KEY, "hand.example")
    await scraped.numbers._sites.refresh()
    scraped.clock[0] += SECONDS
    found = await scraped.samples()
    assert {key[1] for key in found if key[0] == "visitors_today"} == {"la.example", "shop.example"}
    assert found[("left_out", "sites")] == 0
