"""A day whose numbers were worked out by hand comes out of ClickHouse as it should, in three time zones.

The clock of a real ingest worker is set to each moment of the script. What it takes over HTTP goes through a real Redis
and a real flusher into the real engine. The three days have nothing in common but what people do on them: one has 25
hours in Los Angeles, one 25 hours in Auckland, and Kathmandu is 5 hours and 45 minutes ahead of UTC. So the answer is the
same for all three.

    Ann    comes at 23:59 UTC, and reads on at 00:01 UTC, which is the same day there; comes again four hours later
    Bob    comes before the day begins, and reads on for 50 minutes over local midnight
    Cid    comes before the day ends, and reads on over local midnight
    Dee    comes in the hour that clocks repeat, and again an hour later, when they show the same (in Kathmandu: an hour later)
    Eve    looks at one page for 9.999 seconds
    Fay    signs up without looking at a page
    Gus    looks at a tab again that has been open since yesterday
    Hal    came on the day before, and again right before its end, which his browser says two minutes into the day
    a crawler comes, too
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from forebay.clickhouse import ClickHouse
from ingest import worker as worker_module
from ingest.commit.durability import Durability
from ingest.commit.stream import RedisStream
from ingest.server import HttpServer
from ingest.worker import Worker
from schemas.settings import IngestSettings
from tests.support import redis_server
from tests.support.collecting import CHROME
from tests.support.command import told
from tests.support.engine import EngineProcess
from tests.support.flushing import SHARDS, flushing
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis

CRAWLER = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


class Day(NamedTuple):
    """Holds a local day, with the moments of the script as UTC has them. They were looked up by hand."""

    site: str
    zone: str
    day: str
    midnight: str  # when the day begins
    utc_midnight: str  # the one that falls into the day
    repeated: str  # 01:30 or 02:30, the first time
    ends: str  # when the day ends


DAYS = (
    # Clocks go back from 02:00 PDT to 01:00 PST.
    Day("la.example", "America/Los_Angeles", "2036-11-02", "11-02T07:00", "11-03T00:00", "11-02T08:30", "11-03T08:00"),
    Day("ktm.example", "Asia/Kathmandu", "2036-07-15", "07-14T18:15", "07-15T00:00", "07-15T03:00", "07-15T18:15"),
    # Clocks go back from 03:00 NZDT to 02:00 NZST.
    Day("akl.example", "Pacific/Auckland", "2036-04-06", "04-05T11:00", "04-06T00:00", "04-05T13:30", "04-06T12:00"),
)
BEFORE = {"2036-11-02": "2036-11-01", "2036-07-15": "2036-07-14", "2036-04-06": "2036-04-05"}
AFTER = {"2036-11-02": "2036-11-03", "2036-07-15": "2036-07-16", "2036-04-06": "2036-04-07"}


class Sent(NamedTuple):
    """Holds an event, when it is sent, and who sends it."""

    at: datetime
    who: str
    fields: dict[str, Any]


def moment(text: str, seconds: float = 0) -> datetime:
    return datetime.fromisoformat(f"2036-{text}").replace(tzinfo=UTC) + timedelta(seconds=seconds)


def script(day: Day) -> list[Sent]:
    """Returns what happens on a day, in any order. Seconds count from the moment that is named."""

    def sent(at: str, seconds: float, who: str, path: str, **fields: Any) -> Sent:
        return Sent(moment(at, seconds), who, {"url": f"https://{day.site}{path}", **fields})

    def read(at: str, seconds: float, who: str, path: str, engaged_ms: int, scroll_pct: int = 0) -> Sent:
        return sent(at, seconds, who, path, name="engagement", engaged_ms=engaged_ms, scroll_pct=scroll_pct)

    begins, utc, twice, ends = day.midnight, day.utc_midnight, day.repeated, day.ends
    hour, minute = 3_600, 60
    return [
        sent(utc, -minute, "Ann", "/a?utm_source=news"),
        read(utc, minute, "Ann", "/a", 4_000, 50),
        sent(utc, minute, "Ann", "/b"),
        read(utc, minute + 30, "Ann", "/b", 6_000),
        sent(utc, 4 * hour, "Ann", "/b"),
        read(utc, 4 * hour + 9, "Ann", "/b", 9_000),
        sent(begins, -10 * minute, "Bob", "/x"),
        sent(begins, 10 * minute, "Bob", "/y"),
        sent(begins, 40 * minute, "Bob", "/z"),
        sent(ends, -minute, "Cid", "/late"),
        sent(ends, minute, "Cid", "/late2"),
        sent(twice, 0, "Dee", "/a"),
        read(twice, 10, "Dee", "/a", 3_000, 40),
        read(twice, 20, "Dee", "/a", 8_000, 30),
        sent(twice, hour, "Dee", "/a"),
        sent(twice, 2 * hour, "Eve", "/a"),
        read(twice, 2 * hour + 15, "Eve", "/a", 9_999),
        sent(twice, 2 * hour + 15, "Eve", "/a", name="vitals", vitals={"lcp": 1_200}),
        sent(twice, 2 * hour + 30, "Fay", "/", name="signup"),
        read(twice, 2 * hour + 45, "Gus", "/a", 5_000),
        sent(begins, -4 * hour, "Hal", "/x"),
        sent(begins, 2 * minute, "Hal", "/x", ts=int(moment(begins, -2 * minute).timestamp() * 1000)),
        sent(twice, 3 * hour, "crawler", "/a"),
    ]


@asynccontextmanager
async def ingest(server: Path, clock: list[int]) -> AsyncIterator[tuple[Worker, str]]:
    """Runs a worker as its process does, on a port; gives it and its URL. Its time of day is what `clock` holds, in unix ms."""
    durability = Durability(is_trusted=False)
    stream = RedisStream(f"unix://{server}", timeout_ms=5_000, durability=durability)
    shards, shard_key = await stream.layout(SHARDS)
    settings = IngestSettings(trusted_proxies=("127.0.0.1",))
    worker = Worker(settings, stream=stream, durability=durability, shards=shards, shard_key=shard_key)
    await worker.prepare()
    serving = HttpServer(worker)
    listener = socket.create_server(("127.0.0.1", 0))
    await serving.start([listener])
    running = asyncio.ensure_future(worker.run(lambda _: None, lambda: None))
    try:
        yield worker, f"http://127.0.0.1:{listener.getsockname()[1]}/f"
    finally:
        await serving.stop()
        await worker.appender.drain(10)
        running.cancel()
        await asyncio.wait([running])
        await worker.close()


async def act(worker: Worker, url: str, clock: list[int]) -> int:
    """Sends everything in the order in which it happens, and returns how many events that were."""
    sent = sorted((one for day in DAYS for one in script(day)), key=lambda one: one.at)
    people = sorted({one.who for one in sent})
    async with ClientSession() as session:
        for one in sent:
            clock[0] = int(one.at.timestamp() * 1000)
            await (
                worker.salts.refresh()
            )  # as a worker does every two seconds, of which there are none between the moments
            headers = {
                "X-Forwarded-For": f"203.0.113.{people.index(one.who)}",
                "User-Agent": (CRAWLER if one.who == "crawler" else CHROME).decode(),
            }
            async with session.post(url, json=one.fields, headers=headers) as answer:
                assert answer.status == 202, (one, await answer.text())
    return len(sent)


# Worked out by hand from the script above, for each of the three days.
NUMBERS = {
    "visitors of the day before, of the day, of the day after": [2, 6, 1],  # Bob and Hal; all but Gus and Hal; Cid
    "pageviews of these days": [3, 9, 1],
    "visits": 7,  # of Ann 2, Cid, Dee 2, Eve, Fay; Bob's began the day before
    "bounce rate": round(3 / 7, 6),  # Ann's second, Dee's second, Eve's
    "mean duration": round((150 + 9 + 120 + 20 + 0 + 15 + 0) / 7, 6),
    "time on page /a": (4_000 + 3_000 + 8_000 + 9_999 + 5_000) / 4 / 1_000,  # Gus's reading counts, and is no visit
    "scroll depth of /a": (50 + 40 + 0 + 0) / 4,
    "entry pages": {"/a": 4, "/b": 1, "/late": 1, "": 1},
    "exit pages": {"/a": 3, "/b": 2, "/late2": 1, "": 1},
    "Bob's visit": [3, 3_000],  # three pages, 50 minutes
    "sources": {"": 6, "news": 1},
}


def numbers(clickhouse: ClickHouse, day: Day) -> dict[str, Any]:
    """Returns the same numbers as docs/visits.md says to ask for them."""
    at = {"site": day.site, "zone": day.zone, "day": day.day}

    def rows(sql: str) -> list[dict[str, Any]]:
        return clickhouse.rows(sql, at)

    local = rows(
        f"SELECT visitors, pageviews FROM forebay.local_days(site = '{day.site}', timezone = '{day.zone}',"
        f" since = '{BEFORE[day.day]}', until = '{AFTER[day.day]}') ORDER BY day"
    )
    of_day = "site = {site:String} AND toDate(started_at, {zone:String}) = {day:Date}"
    visits = rows(
        "SELECT count() AS visits, round(avg(is_bounce), 6) AS bounces, round(avg(seconds), 6) AS seconds"
        f" FROM forebay.v_sessions WHERE {of_day}"
    )[0]
    page = rows(
        "SELECT sum(engaged_ms) / countIf(pageviews > 0) / 1000 AS seconds, avgIf(scroll_pct, pageviews > 0) AS depth"
        f" FROM forebay.v_pages WHERE {of_day} AND path = '/a'"
    )[0]

    def counted(column: str) -> dict[str, int]:
        found = rows(f"SELECT {column} AS name, count() AS n FROM forebay.v_sessions WHERE {of_day} GROUP BY name")
        return {row["name"]: row["n"] for row in found}

    bob = rows(
        "SELECT pageviews, seconds FROM forebay.v_sessions"
        " WHERE site = {site:String} AND toDate(started_at, {zone:String}) = {day:Date} - 1 AND pageviews > 1"
    )
    return {
        "visitors of the day before, of the day, of the day after": [row["visitors"] for row in local],
        "pageviews of these days": [row["pageviews"] for row in local],
        "visits": visits["visits"],
        "bounce rate": visits["bounces"],
        "mean duration": visits["seconds"],
        "time on page /a": page["seconds"],
        "scroll depth of /a": page["depth"],
        "entry pages": counted("entry_path"),
        "exit pages": counted("exit_path"),
        "Bob's visit": [number for row in bob for number in row.values()],
        "sources": counted("source"),
    }


async def test_a_day_that_was_worked_out_by_hand_has_its_numbers_in_each_zone(
    server: Path, redis: Redis, engine: EngineProcess, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the request to the question, with the sites registered as a person does it."""
    clock = [int(min(one.at for day in DAYS for one in script(day)).timestamp() * 1000)]
    monkeypatch.setattr(worker_module, "now_ms", lambda: clock[0])
    for day in DAYS:
        code, said = await told("site", "add", day.site, "--timezone", day.zone, "--redis-url", f"unix://{server}")
        assert code == 0, said
    async with flushing(redis, engine) as scene, scene.running(), ingest(server, clock) as (worker, url):
        count = await act(worker, url, clock)

        async def is_stored() -> bool:
            return (await asyncio.to_thread(clickhouse.run, "SELECT count() FROM forebay.events")) == f"{count}\n"

        await until(is_stored)
    for day in DAYS:
        assert numbers(clickhouse, day) == NUMBERS, day.zone
