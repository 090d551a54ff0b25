"""Reports and alarms reach whoever wishes for them, once for all dashboards, through whatever fails meanwhile.

Redis, the engine, the mail server and the webhook are real; the moment is the test's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from dashboard.catalogue.contract import Asker, Away, Reply, Statement
from dashboard.metrics import Metrics
from dashboard.reports import reporter as reporters
from dashboard.reports.reporter import Reporter
from dashboard.sites.records import Sites
from forebay.clickhouse import ClickHouse
from runtime import redis as clients
from runtime.notify.notifier import Notifier, channels_of
from schemas.redis.keys import REPORTER_KEY, REPORTS_KEY, SITES_KEY, TOLD_KEY
from schemas.reports import Wish, Wishes
from schemas.settings import DashboardSettings
from schemas.site import RegisteredSite, SiteSettings
from tests.support import redis_server
from tests.support.dashboard.asking import EngineAsker
from tests.support.dashboard.seed import Hit, Site, Visit, insert
from tests.support.notifying import Hook, MailServer, hook, mail_server
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis

ANN, BOB = "ann@example.org", "bob@example.com"
ZONE = "Europe/Berlin"
TUESDAY = datetime(2026, 3, 31, 12, 5, tzinfo=ZoneInfo(ZONE)).timestamp()
DAY, WEEK = 86_400, 7 * 86_400


class Remembering:
    """Asks the engine each statement once in this module: reports of the same weeks are asked for again and again."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Reply] = {}
        self.clickhouse: ClickHouse | None = None

    async def __call__(self, statement: Statement, /) -> Reply:
        key = (statement.sql, repr(sorted(statement.parameters.items())))
        if key not in self._found:
            assert self.clickhouse is not None
            self._found[key] = await EngineAsker(self.clickhouse)(statement)
        return self._found[key]


ASKER = Remembering()


class Fleet:
    """Makes dashboards of one installation, as far as they tell people about sites. `now` is the moment of all."""

    def __init__(self, redis: Redis, path: Path, asker: Asker, mails: MailServer, posts: Hook) -> None:
        self.redis, self.mails, self.posts = redis, mails, posts
        self.now = TUESDAY
        self.asker = asker
        self._path = path
        self._made: list[clients.Redis] = []

    def dashboard(self, url: str = "", asker: Asker | None = None, **settings: str) -> One:
        metrics = Metrics(CollectorRegistry())
        said: dict[str, Any] = {
            "notify_from": "forebay@example.org",
            "notify_smtp_url": f"smtp+plain://127.0.0.1:{self.mails.port}",
            "notify_webhook_url": self.posts.url,
            **settings,
        }
        mail, webhook = channels_of(DashboardSettings(**said))
        store = clients.client(url or clients.url_of(self._path), seconds=5)
        self._made.append(store)
        return One(
            Reporter(
                store,
                sites=Sites(store, named=(), timezone="UTC", now=lambda: self.now),
                asker=asker or self.asker,
                notifier=Notifier(mail=mail, webhook=webhook, count=metrics),
                looked=lambda result: metrics.looks.labels(result).inc(),
                now=lambda: self.now,
                look_seconds=0.01,
            ),
            metrics,
        )

    async def wish(self, *wishes: tuple[str, str], site: str = "shop.example", **limits: Any) -> None:
        made = [Wish(to=to, what=what, since=int(self.now) - 365 * DAY) for to, what in wishes]  # type: ignore[arg-type]  # one of its words
        await self.redis.hset(REPORTS_KEY, site, Wishes(wishes=tuple(made), **limits).encode())

    async def told(self) -> dict[str, str]:
        found = await self.redis.hgetall(TOLD_KEY)
        return {_text(name): _text(value) for name, value in found.items()}

    async def close(self) -> None:
        for one in self._made:
            await one.aclose()


class One:
    """Is one dashboard: what looks for reports, and what it counted."""

    def __init__(self, reporter: Reporter, metrics: Metrics) -> None:
        self.look = reporter.look
        self.running = reporter.running
        self._metrics = metrics

    def counted(self, name: str) -> Counter[tuple[str, ...]]:
        """Returns a counter by its labels, without those that nothing was counted for."""
        found: Counter[tuple[str, ...]] = Counter()
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                if sample.name == f"forebay_dashboard_{name}":
                    found[tuple(value for value in sample.labels.values() if value)] += int(sample.value)
        return +found


@pytest.fixture
async def fleet(seeded: ClickHouse, server: Path, redis: Redis) -> AsyncIterator[Fleet]:
    """Gives an installation with a shop, at noon of a Tuesday."""
    for site in ("shop.example", "hours.example"):
        await redis.hset(SITES_KEY, site, RegisteredSite(settings=SiteSettings(timezone=ZONE)).encode())
    async with mail_server() as mails, hook() as posts:
        ASKER.clickhouse = seeded
        made = Fleet(redis, server, ASKER, mails, posts)
        yield made
        await made.close()


async def test_each_address_gets_each_report_once(fleet: Fleet) -> None:
    """Two dashboards look again and again; a week later the next one comes, and not to whoever left."""
    await fleet.wish((ANN, "weekly"), (BOB, "weekly"), ("webhook", "weekly"), (BOB, "daily"))
    one, two = fleet.dashboard(), fleet.dashboard()
    async with one.running(), two.running():
        await until(lambda: all(each.counted("report_looks_total").total() >= 8 for each in (one, two)))
    assert Counter(fleet.mails.to) == {ANN: 1, BOB: 2}
    assert [post["facts"]["since"] for post in fleet.posts.posts] == ["2026-03-23"]
    assert {
        one.counted("report_looks_total")[("elsewhere",)] > 0,
        two.counted("report_looks_total")[("elsewhere",)] > 0,
    } == {True, False}
    assert await fleet.told() == {
        f"weekly shop.example {ANN}": "2026-03-23",
        f"weekly shop.example {BOB}": "2026-03-23",
        "weekly shop.example webhook": "2026-03-23",
        f"daily shop.example {BOB}": "2026-03-30",
    }
    fleet.now += WEEK
    await fleet.wish((ANN, "weekly"))
    assert await fleet.dashboard().look() == "done"
    assert Counter(fleet.mails.to) == {ANN: 2, BOB: 2}
    sent = one.counted("messages_total") + two.counted("messages_total")
    assert sent == {("report", "mail", "sent"): 3, ("report", "webhook", "sent"): 1}


async def test_after_a_long_stop_one_report_is_sent(fleet: Fleet) -> None:
    """The last one, not one for each week that was missed."""
    await fleet.wish((ANN, "weekly"), (ANN, "daily"))
    one = fleet.dashboard()
    fleet.now -= 10 * WEEK
    await one.look()
    before = len(fleet.mails.mails)
    fleet.now += 10 * WEEK
    await one.look()
    await one.look()
    assert len(fleet.mails.mails) == before + 2
    assert (await fleet.told())[f"weekly shop.example {ANN}"] == "2026-03-23"


async def test_nothing_is_taken_while_nobody_wishes(fleet: Fleet) -> None:
    """An installation without reports has no lease and asks ClickHouse nothing."""
    assert await fleet.dashboard().look() == "nothing"
    assert not await fleet.redis.exists(REPORTER_KEY)


async def test_a_mail_server_that_is_away_is_tried_again(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """With pauses; each failure is counted and said, and in the end the report comes once."""
    await fleet.wish((ANN, "weekly"), (BOB, "weekly"))
    fleet.mails.answers = ["451 later", "451 later"]
    one = fleet.dashboard()
    await one.look()
    await one.look()  # at the same moment: it is left alone
    assert fleet.mails.tried == 2
    assert await fleet.told() == {}
    assert one.counted("message_attempts_failed_total") == {("mail", "busy"): 2}
    assert "weekly of shop.example was not sent, and is tried again: busy: 451 later" in caplog.text
    fleet.now += reporters.PAUSE_SECONDS
    await one.look()
    await one.look()
    assert sorted(fleet.mails.to) == [ANN, BOB]


async def test_a_refused_address_is_given_up(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """Until the next report; others are not kept waiting."""
    await fleet.wish((ANN, "weekly"), (BOB, "weekly"))
    fleet.mails.refused = {ANN: "550 nobody here"}
    one = fleet.dashboard()
    for _ in range(3):
        await one.look()
        fleet.now += reporters.PAUSE_SECONDS_MAX
    assert fleet.mails.to == [BOB]
    assert one.counted("messages_total") == {("report", "mail", "failed", "refused"): 1, ("report", "mail", "sent"): 1}
    assert "550 nobody here" in caplog.text
    fleet.now += WEEK
    await one.look()
    assert one.counted("messages_total")[("report", "mail", "failed", "refused")] == 2


async def test_a_channel_that_is_not_set_up_is_said(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """A report that can't go anywhere waits until somebody sets the channel up."""
    await fleet.wish((ANN, "weekly"))
    without = fleet.dashboard(notify_smtp_url="")
    await without.look()
    assert without.counted("message_attempts_failed_total") == {("mail", "nowhere"): 1}
    assert "notify_smtp_url is not set" in caplog.text
    fleet.now += WEEK // 7
    await fleet.redis.delete(REPORTER_KEY)  # the other one has ended
    await fleet.dashboard().look()
    assert fleet.mails.to == [ANN]


async def test_clickhouse_that_is_away_is_tried_again(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """The report of a site whose question failed waits; nothing is sent half."""
    is_away = True

    async def asker(statement: Statement, /) -> Reply:
        if is_away:
            raise Away("ClickHouse does not answer; try again.")
        return await fleet.asker(statement)

    await fleet.wish((ANN, "weekly"))
    one = fleet.dashboard(asker=asker)
    assert await one.look() == "clickhouse"
    assert "reports of shop.example wait: ClickHouse does not answer" in caplog.text
    is_away = False
    fleet.now += reporters.PAUSE_SECONDS
    assert await one.look() == "done"
    assert fleet.mails.to == [ANN]


async def test_redis_that_is_away_is_tried_again(fleet: Fleet, server: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent without a lease, and everything once it answers."""
    await fleet.wish((ANN, "weekly"))
    async with redis_server.proxied(server) as proxy:
        one = fleet.dashboard(url=proxy.url)
        proxy.answer = redis_server.REFUSALS[0]
        assert await one.look() == "redis"
        assert "Redis does not answer" in caplog.text
        assert fleet.mails.mails == []
        proxy.answer = b""
        assert await one.look() == "done"
    assert fleet.mails.to == [ANN]


async def test_what_was_sent_and_not_noted_is_not_sent_again(fleet: Fleet) -> None:
    """Redis refuses the note: the same process remembers, notes it later, and sends nothing twice."""
    await fleet.wish((ANN, "weekly"))
    one = fleet.dashboard()

    async def refuse() -> None:
        await fleet.redis.set(TOLD_KEY, "of another type")

    fleet.mails.before_answer = refuse
    assert await one.look() == "redis"
    assert await one.look() == "redis"
    fleet.mails.before_answer = None
    await fleet.redis.delete(TOLD_KEY)
    assert await one.look() == "done"
    assert fleet.mails.to == [ANN]
    assert await fleet.told() == {f"weekly shop.example {ANN}": "2026-03-23"}


async def test_an_end_in_the_middle_of_a_message_waits_for_its_note(fleet: Fleet) -> None:
    """Whoever stops a dashboard while it sends makes nobody get a report twice."""
    await fleet.wish((ANN, "weekly"))
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        taken.set()
        await go_on.wait()

    fleet.mails.before_answer = wait
    async with contextlib.AsyncExitStack() as held:
        await held.enter_async_context(fleet.dashboard().running())
        await taken.wait()
        ending = asyncio.create_task(held.aclose())
        await asyncio.sleep(0)
        go_on.set()
        await ending
    assert await fleet.told() == {f"weekly shop.example {ANN}": "2026-03-23"}
    await fleet.dashboard().look()  # at once: the lease was given back
    assert fleet.mails.to == [ANN]


async def test_a_record_that_nobody_can_read_costs_nobody_else_theirs(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once."""
    await fleet.wish((ANN, "weekly"))
    await fleet.redis.hset(REPORTS_KEY, "blog.example", "{")
    one = fleet.dashboard()
    await one.look()
    await one.look()
    assert fleet.mails.to == [ANN]
    assert caplog.text.count("blog.example: who is told of it can't be read") == 1


def busy(clickhouse: ClickHouse, now: float, count: int, weeks_ago: int, prefix: str) -> None:
    """Makes so many people come to `hours.example` in the hour before a moment, so many weeks before."""
    local = datetime.fromtimestamp(now - 1_800, ZoneInfo(ZONE)) - timedelta(weeks=weeks_ago)
    began = int(local.timestamp())
    visits = [Visit(f"{prefix} {at}", (began + at) * 1_000, (Hit(0, "/news"),)) for at in range(count)]
    sql, body = insert([Site("hours.example", ZONE, visits)])
    clickhouse.run(f"{sql}\n{body.decode()}", max_partitions_per_insert_block="1000")


async def test_a_spike_is_told_and_then_not_again_for_hours(fleet: Fleet, seeded: ClickHouse) -> None:
    """A spike, a quiet hour, and a drop, each on a day of its own; whoever wished for the other one is left alone."""
    noon = TUESDAY - 300
    for week in range(1, 7):  # the site began within the hour of the sixth
        busy(seeded, noon, 40 + week, week, f"usual {week}")
        busy(seeded, noon - DAY, 40 + week, week, f"day before {week}")
    busy(seeded, noon, 200, 0, "spike")
    await fleet.wish((ANN, "spike"), (BOB, "drop"), ("webhook", "spike"), site="hours.example", pause_hours=6)
    fleet.now = noon - DAY + 120
    await fleet.dashboard().look()
    assert fleet.mails.to == [BOB]  # nobody came that day
    assert str(fleet.mails.mails[0]["Subject"]) == "hours.example: 0 visitors in the last hour, 43 are usual"
    await fleet.redis.delete(REPORTER_KEY)
    one = fleet.dashboard()
    for moment in (noon + 120, noon + 130, noon + 900, noon + 1_800):
        fleet.now = moment
        await one.look()
    assert fleet.mails.to == [BOB, ANN]
    assert str(fleet.mails.mails[1]["Subject"]) == "hours.example: 200 visitors in the last hour, 43.5 are usual"
    (post,) = fleet.posts.posts
    assert (post["kind"], post["facts"]["visitors"], post["facts"]["weeks"]) == ("spike", 200, [41, 42, 43, 44, 45, 46])
    assert "/news" in post["text"]
    await fleet.wish((ANN, "spike"), site="hours.example", pause_hours=1)
    fleet.now = noon + 3_700 - 60  # the hour up to 12:45 has them still
    await one.look()
    assert fleet.mails.to == [BOB, ANN]


def _text(said: bytes | str) -> str:
    return said.decode() if isinstance(said, bytes) else said
