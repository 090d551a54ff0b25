"""Serves the Stats APIs to tests: the dashboard's own application, with real keys in a real Redis and a real engine.

A module names the fixtures that it wants, with those of tests/support/redis_server.py:

    client = stats_api.client

Its sites are `hand.example`, which has three goals and a segment, and `empty.example`. It is an hour after the last visit.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from dashboard.ask.clickhouse import ClickHouse
from dashboard.catalogue.contract import Reply, Statement
from dashboard.metrics import Metrics
from dashboard.sites.keys import Keys
from dashboard.sites.records import Sites
from dashboard.stats.api import StatsApi
from dashboard.web.app import application
from schemas.keys import Key, hash_of, written
from schemas.redis.keys import KEYS_KEY, NOTES_KEY, SITES_KEY
from schemas.site import Goal, RegisteredSite, Segment, SiteNotes, SiteSettings
from tests.support.dashboard.hand import ZONE
from tests.support.dashboard.local import local_access
from tests.support.engine import EngineProcess

SITE = "hand.example"
# Half a minute before it is five minutes since gus came.
NOW = datetime(2026, 3, 3, 16, 4, 30, tzinfo=ZoneInfo(ZONE)).timestamp()
THREE_DAYS = ["2026-03-01", "2026-03-03"]


class Asking:
    """Asks an engine, unless it was told to fail."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.error: Exception | None = None

    async def __call__(self, statement: Statement, /) -> Reply:
        if self.error is not None:
            raise self.error
        return await self._clickhouse(statement)


class Client:
    """Asks as somebody who has a key."""

    def __init__(self, session: aiohttp.ClientSession, redis: Redis, asking: Asking, url: str) -> None:
        self.session = session
        self.asking = asking
        self.url = url.rstrip("/")
        self.text = ""
        self.headers: dict[str, str] = {}
        self._redis = redis

    def hold(self, text: str) -> None:
        """Asks with this key from now on."""
        self.text = text
        self.headers = {"Authorization": f"Bearer {text}"}

    async def key(self, *sites: str, rate: int = 10_000) -> str:
        """Makes a key, and returns its text."""
        key_id, text = written(secrets.choice)
        await self._redis.hset(KEYS_KEY, key_id, Key(hash=hash_of(text), sites=sites, scope="read", rate=rate).encode())
        return text

    async def query(self, *, status: int = 200, **given: Any) -> Any:
        """Returns what v2 says to a question of three days of the site, and to whatever else is given."""
        body = {"site_id": SITE, "date_range": THREE_DAYS, "metrics": ["visitors"]} | given
        async with self.session.post("/api/v2/query", json=body, headers=self.headers) as answer:
            said = await answer.json()
            assert answer.status == status, said
            return said

    async def rows(self, *metrics: str, by: tuple[str, ...] = (), **more: Any) -> list[list[Any]]:
        """Returns the rows of v2: dimensions and then metrics."""
        said = await self.query(metrics=list(metrics), dimensions=list(by), **more)
        return [row["dimensions"] + row["metrics"] for row in said["results"]]

    async def get(self, question: str, *, status: int = 200) -> Any:
        """Returns what v1 says."""
        async with self.session.get(f"/api/v1/stats/{question}", headers=self.headers) as answer:
            said = await answer.json()
            assert answer.status == status, said
            return said


@pytest.fixture
async def client(seeded: object, engine: EngineProcess, redis: Redis) -> AsyncIterator[Client]:
    record = RegisteredSite(settings=SiteSettings(timezone=ZONE))
    goals = (
        Goal(name="signup", event="signup"),
        Goal(name="Pricing", page="/pricing"),
        Goal(name="Paid", event="purchase"),
    )
    await redis.hset(SITES_KEY, SITE, RegisteredSite(settings=record.settings, goals=goals).encode())
    await redis.hset(SITES_KEY, "empty.example", record.encode())
    segment = Segment(id=1, name="Germans", filters=[["is", "country", ["DE"]]])
    await redis.hset(NOTES_KEY, SITE, SiteNotes(segments=(segment,)).encode())
    sites = Sites(redis, named=(), timezone="UTC")
    await sites.refresh()
    clickhouse = ClickHouse(
        f"http://127.0.0.1:{engine.port}", user="default", password="", seconds=10, rows_max=100_000
    )
    asking = Asking(clickhouse)
    api = StatsApi(asker=asking, grants=Keys(redis, sites), sites=sites, now=lambda: NOW)
    metrics = Metrics(CollectorRegistry())
    app = application(metrics=metrics, access=local_access(redis, sites, metrics), sites=sites, parts=(api,))
    async with TestServer(app) as running, aiohttp.ClientSession(base_url=running.make_url("/")) as session:
        client = Client(session, redis, asking, str(running.make_url("")))
        client.hold(await client.key(SITE, "empty.example"))
        yield client
    await clickhouse.close()
