"""All faces show the same number: page, CSV, both Stats APIs, reports, Grafana, assistants, and the catalogue's file asked by an analyst's own client."""

from __future__ import annotations

import asyncio
import csv
import io
import math
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from dashboard.access.viewer import LOCAL
from dashboard.ask.cache import Cache
from dashboard.ask.clickhouse import ClickHouse as Asker
from dashboard.catalogue.contract import Period, Reply, Statement
from dashboard.grafana.board import TABLES
from dashboard.mcp.answers import Answers
from dashboard.mcp.arguments import METRICS as METRICS_TOOL
from dashboard.metrics import Metrics
from dashboard.reports.summary import ROWS, Summary, summary_of
from dashboard.sites.keys import Keys
from dashboard.sites.records import Sites
from dashboard.stats.api import StatsApi
from dashboard.stats.words import DIMENSIONS, METRICS
from dashboard.web.app import application
from dashboard.web.panel_api import Panels
from dashboard.web.panels import PANELS
from schemas.keys import Key, hash_of, written
from schemas.redis.keys import KEYS_KEY, SITES_KEY
from schemas.site import Funnel, Goal, RegisteredSite, SiteSettings
from tests.support import redis_server
from tests.support.assistant import read
from tests.support.dashboard.local import local_access
from tests.support.engine import EngineProcess
from tests.support.grafana import ALL, asked, moments, panels
from tests.support.volume import volume

server = redis_server.server
redis = redis_server.redis

NOW = 1_790_000_000.0  # long after all visits, so that no period is running
GOALS = (
    Goal(name="signup", event="signup"),
    Goal(name="purchase", event="purchase"),
    Goal(name="Pricing", page="/pricing"),
)
FUNNEL = Funnel(name="buy", steps=("Visit /cart", "purchase"))
WORDS = {name: word for word, name in reversed(DIMENSIONS.items())}
GIVEN = {"properties": {"name": "purchase"}, "property": {"property": "plan"}, "funnel": {"name": "buy"}}


class Case(NamedTuple):
    """Is a site, its zone, local days of it, and a filter in the words of the page."""

    site: str
    zone: str
    since: date
    until: date
    filters: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.site} {self.since} {self.until} {len(self.filters)}"


# A zone of 5:45, days of 25 and of 23 hours, a month; filters of visits, of rows, and of both.
CASES = (
    Case("hand.example", "Asia/Kathmandu", date(2026, 3, 1), date(2026, 3, 3)),
    Case(
        "shop.example", "Europe/Berlin", date(2026, 3, 20), date(2026, 3, 31),
        (["is_not", "channel", ["Direct"]], ["is", "goal", ["signup", "Pricing"]]),
    ),
    Case("la.example", "America/Los_Angeles", date(2025, 11, 1), date(2025, 11, 3)),
    Case("auckland.example", "Pacific/Auckland", date(2026, 4, 4), date(2026, 4, 5)),
    Case("la.example", "America/Los_Angeles", date(2026, 3, 8), date(2026, 3, 8)),
    Case("shop.example", "Europe/Berlin", date(2026, 3, 1), date(2026, 3, 31)),
    Case("shop.example", "Europe/Berlin", date(2026, 3, 2), date(2026, 3, 15), (["is", "country", ["DE", "US"]],)),
    Case("shop.example", "Europe/Berlin", date(2026, 3, 2), date(2026, 3, 15), (["contains", "page", ["/blog"]],)),
)[: volume(3, 8)]  # fmt: skip


class Faces:
    """Asks the dashboard over HTTP. `answers` has what ClickHouse was asked for it, and what it said."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        answers: list[tuple[Statement, Reply]],
        headers: dict[str, str],
        asker: Cache,
        sites: Sites,
    ) -> None:
        self.session = session
        self.answers = answers
        self.answers_of = Answers(asker=asker, sites=sites, now=lambda: NOW)  # what assistants are told
        self._asker, self._sites = asker, sites
        self._headers = headers

    async def report(self, case: Case) -> Summary:
        """Returns what a report of these days says."""
        site = self._sites.get(case.site)
        assert site is not None
        period = Period(since=case.since, until=case.until, zone=case.zone)
        return await summary_of(self._asker, site, period, int(NOW))

    def _question(self, case: Case, panel: str) -> dict[str, Any]:
        period, given = f"{case.since},{case.until}", GIVEN.get(panel, {})
        filters = list(case.filters)
        return {"site": case.site, "panel": panel, "period": period, "filters": filters, "parameters": given}

    async def panel(self, case: Case, panel: str, **more: str) -> dict[str, Any]:
        """Returns what the page is told."""
        body = {**self._question(case, panel), "limit": 10_000, **more}
        async with self.session.post("/api/panel", json=body) as answer:
            said: dict[str, Any] = await answer.json()
            assert answer.status == 200, said
            return said

    async def csv(self, case: Case, panel: str) -> list[dict[str, str]]:
        """Returns the rows of the download."""
        question = msgspec.json.encode(self._question(case, panel)).decode()
        async with self.session.get("/api/panel.csv", params={"q": question}) as answer:
            assert answer.status == 200
            return list(csv.DictReader(io.StringIO(await answer.text())))

    async def v2(self, case: Case, metrics: tuple[str, ...], dimensions: list[str]) -> list[list[Any]]:
        """Returns the rows of the second Stats API."""
        body = {
            "site_id": case.site,
            "date_range": [str(case.since), str(case.until)],
            "metrics": list(metrics),
            "dimensions": dimensions,
            "filters": [[op, WORDS[name], values] for op, name, values in case.filters],
            "pagination": {"limit": 10_000},
        }
        async with self.session.post("/api/v2/query", json=body, headers=self._headers) as answer:
            said = await answer.json()
            assert answer.status == 200, said
            return [[*row["dimensions"], *row["metrics"]] for row in said["results"]]

    async def v1(self, case: Case, kind: str, metrics: tuple[str, ...], **more: str) -> Any:
        """Returns the results of the first Stats API."""
        asked = {
            "site_id": case.site,
            "period": "custom",
            "date": f"{case.since},{case.until}",
            "metrics": ",".join(metrics),
        } | more
        async with self.session.get(f"/api/v1/stats/{kind}", params=asked, headers=self._headers) as answer:
            said = await answer.json()
            assert answer.status == 200, said
            return said["results"]


@pytest.fixture
async def faces(seeded: object, engine: EngineProcess, redis: Redis) -> AsyncIterator[Faces]:
    zones = {case.site: case.zone for case in CASES}
    for site, zone in zones.items():
        record = RegisteredSite(settings=SiteSettings(timezone=zone), goals=GOALS, funnels=(FUNNEL,))
        await redis.hset(SITES_KEY, site, record.encode())
    key_id, text = written(lambda letters: letters[0])
    await redis.hset(KEYS_KEY, key_id, Key(hash=hash_of(text), sites=tuple(zones), scope="read", rate=100_000).encode())
    sites = Sites(redis, named=(), timezone="UTC")
    await sites.refresh()
    asker = Asker(f"http://127.0.0.1:{engine.port}", user="default", password="", seconds=10, rows_max=100_000)
    answers: list[tuple[Statement, Reply]] = []

    async def keeping(statement: Statement, /) -> Reply:
        found: Reply = await asker(statement)
        answers.append((statement, found))
        return found

    metrics = Metrics(CollectorRegistry())
    cache = Cache(keeping, metrics=metrics, at_once=2, waiting_max=64, bytes_max=32 << 20)
    panels = Panels(asker=cache, sites=sites, rows_max=100_000, now=lambda: NOW)
    stats = StatsApi(asker=cache, grants=Keys(redis, sites), sites=sites, now=lambda: NOW)
    app = application(metrics=metrics, access=local_access(redis, sites, metrics), sites=sites, parts=(panels, stats))
    async with TestServer(app) as running, aiohttp.ClientSession(base_url=running.make_url("/")) as session:
        yield Faces(session, answers, {"Authorization": f"Bearer {text}"}, cache, sites)
    await asker.close()


def as_csv(cell: Any) -> str:
    """Returns a value of the page as the download has it."""
    return "" if cell is None else str(cell)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_all_faces_have_the_numbers_of_the_page(faces: Faces, engine: EngineProcess, case: Case) -> None:
    """The download, both Stats APIs, and an analyst's client."""
    await _download(faces, case)
    await _second_api(faces, case)
    if case.site == "hand.example":
        await _assistants(faces, case)
    if not case.filters:
        await _first_api(faces, case)
        await _grafana(faces, case, engine)
        await _report(faces, case)
    await _client(faces, engine)


async def _download(faces: Faces, case: Case) -> None:
    """Checks every panel, with all rows and all columns; money has a column for each currency."""
    seen = 0
    for name in PANELS:
        if name == "live":
            continue  # it is of now, and none of these visits is
        said, rows = await faces.panel(case, name), await faces.csv(case, name)
        assert len(rows) == len(said["rows"]), name
        for row, shown in zip(rows, said["rows"], strict=True):
            for column, cell in zip(said["columns"], shown, strict=True):
                if isinstance(cell, list) and cell and isinstance(cell[0], dict):
                    for money in cell:
                        assert row[f"{column} {money['currency']}"] == money["value"], name
                        seen += 1
                elif column in row:
                    assert row[column].removeprefix("'") == as_csv(cell), (name, column)
                    seen += 1
                else:
                    assert not cell, (name, column)  # money that nobody paid has no column
    assert seen > 150


async def _report(faces: Faces, case: Case) -> None:
    """Checks every number of a report of these days with those of the page, compared with the same days before them."""
    summary = await faces.report(case)
    said = await faces.panel(case, "totals", compare="previous")
    for number in summary.totals:
        at = said["columns"].index(number.name)
        assert (number.now, number.before) == (said["rows"][0][at], said["compared"][0][at]), number.name
    compared = len(summary.totals)
    for table, rows in summary.tables.items():
        said = await faces.panel(case, table, compare="previous")
        assert [row.name for row in rows] == [row[0] for row in said["rows"]][: len(rows)], table
        assert len(rows) == min(len(said["rows"]), ROWS), table
        for row, shown, before in zip(rows, said["rows"], said["compared"], strict=False):
            for number in row.numbers:
                at = said["columns"].index(number.name)
                was = 0 if before is None else before[at]  # the page says nothing of a row that was not there
                assert (number.now, number.before or 0) == (shown[at], was or 0), (table, row.name, number.name)
                compared += 1
    said = await faces.panel(case, "revenue")
    columns = said["columns"]
    money = {row[columns.index("currency")]: row[columns.index("revenue")] for row in said["rows"]}
    found = {number.name: Decimal(number.now) for number in summary.revenue if Decimal(number.now)}
    assert found == {currency: Decimal(amount) for currency, amount in money.items()}
    assert compared > 12


async def _second_api(faces: Faces, case: Case) -> None:
    """Checks every dimension that both have, with all metrics of the panel and all rows."""
    compared = 0
    for name, panel in PANELS.items():
        if not panel.metrics or "property" in panel.given or not set(panel.dimensions) <= {*WORDS, "time"}:
            continue
        metrics = tuple(metric for metric in panel.metrics if metric in METRICS and metric != "total_revenue")
        said = await faces.panel(case, name)
        places = [said["columns"].index(column) for column in (*panel.dimensions, *metrics)]
        shown = [[row[at] for at in places] for row in said["rows"]]
        unit = said["period"]["interval"]
        words = [f"time:{unit}" if one == "time" else WORDS[one] for one in panel.dimensions]
        rows = await faces.v2(case, metrics, words)
        if "time" in panel.dimensions:  # the API leaves out buckets in which nothing happened
            shown = [row for row in shown if any(row[1:])]
            rows = [row for row in rows if any(row[1:])]
        if panel.dimensions == ("goal",):  # the page also shows goals that nobody reached
            shown = [row for row in shown if row[1]]
        assert sorted(map(str, rows)) == sorted(map(str, shown)), name
        compared += len(shown)
    assert compared > 20


async def _first_api(faces: Faces, case: Case) -> None:
    """Checks totals, the days of a series, and two tables."""
    metrics = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration")
    [totals] = await faces.v2(case, metrics, [])
    said = await faces.v1(case, "aggregate", metrics)
    assert [said[name]["value"] for name in metrics] == totals
    days = {row[0]: row[1:] for row in await faces.v2(case, metrics, ["time:day"])}
    for row in await faces.v1(case, "timeseries", metrics, interval="date"):
        if row["date"] in days:
            assert [row[name] for name in metrics] == days[row["date"]]
        else:
            assert not row["visitors"]
    for word in ("visit:country", "event:page"):
        rows = await faces.v2(case, ("visitors",), [word])
        table = await faces.v1(case, "breakdown", ("visitors",), property=word, limit="1000")
        column = word.partition(":")[2]
        assert sorted((row[column], row["visitors"]) for row in table) == sorted(map(tuple, rows))


async def _assistants(faces: Faces, case: Case) -> None:
    """Checks the tool of metrics and those of files, for every panel of the page: all rows that an assistant gets are its first ones."""
    compared = 0
    for name, panel in PANELS.items():
        said = await faces.panel(case, name)
        given = GIVEN.get(name, {})
        shared = {"site": case.site, "period": f"{case.since},{case.until}", "filters": list(case.filters)}
        if panel.metrics:
            dimensions = [f"props.{given['property']}"] if "property" in given else list(panel.dimensions)
            asked: dict[str, Any] = {"metrics": list(panel.metrics), "dimensions": dimensions, "limit": 200}
            text = await faces.answers_of.call(METRICS_TOOL, shared | asked, LOCAL)
        elif name in ("bots", "durations", "vital_shares", "campaigns", "assistants", "not_found", "properties"):
            text = await faces.answers_of.call(panel.file, shared | given, LOCAL)
        else:
            continue
        answer = read(text)
        wanted = [row for row in said["rows"] if name != "goals" or row[1]]
        if "time" in panel.dimensions:  # a series of an assistant has no bucket in which nothing happened
            wanted = [row for row in wanted if any(row[1:])]
        assert answer.columns == list(said["columns"]), name
        assert answer.rows == wanted[: 200 if panel.metrics else 50], name
        compared += len(answer.rows)
    assert compared > 100


async def _grafana(faces: Faces, case: Case, engine: EngineProcess) -> None:
    """Checks every panel of the dashboard for Grafana that the page has too; on the smallest site also with both filters."""
    everything = {"site": case.site, "zone": case.zone, "by": "day", "country": ALL, "channel": ALL}
    asked_for = [(case, everything, 30)]
    if case.site == "hand.example":
        filtered = case._replace(filters=(["is", "country", ["DE"]], ["is", "channel", ["Organic Search"]]))
        asked_for.append((filtered, everything | {"country": "DE", "channel": "Organic Search"}, 10))
    for one, chosen, least in asked_for:
        compared = 0
        for name, panel in panels().items():
            sent = asked(panel["targets"][0]["rawSql"], chosen, *moments(case.since, case.until, case.zone))
            answer = msgspec.json.decode(await asyncio.to_thread(engine.tools.run, f"{sent}\nFORMAT JSONCompact"))
            names = [column["name"] for column in answer["meta"]]
            said = await faces.panel(one, name)
            places = [said["columns"].index(column) for column in names]
            wanted = [[_plain(row[at]) for at in places] for row in said["rows"]]
            found = [[_plain(cell) for cell in row] for row in answer["data"]]
            if "time" in names:  # it has midnights for dates, and no bucket in which nothing happened
                found = [[row[0].partition(" ")[0], *row[1:]] for row in found]
                wanted = [row for row in wanted if set(row[1:]) != {"0"}]
            assert found == (wanted[:10] if name in TABLES else wanted), (name, one.name)
            compared += len(found)
        assert compared >= least, one.name


async def _client(faces: Faces, engine: EngineProcess) -> None:
    """Sends each statement that was asked by clickhouse-connect: a number has nothing that SQL and its parameters do not say."""
    client = engine.client()
    for statement, answer in faces.answers:
        found = await asyncio.to_thread(client.query, statement.sql, dict(statement.parameters))
        shown = [[_plain(cell) for cell in row] for row in found.result_rows]
        assert shown == [[_plain(cell) for cell in row] for row in answer.rows], statement.file
    client.close()
    assert len(faces.answers) > 40


def _plain(value: Any) -> Any:
    """Returns a value in one form, whatever the client made of it: dates and decimals as texts without trailing zeros."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if math.isnan(value) else str(value).removesuffix(".0")
    text = str(value)
    is_number = text.replace(".", "", 1).removeprefix("-").isdigit()
    return None if value is None else text.rstrip("0").rstrip(".") if is_number and "." in text else text
