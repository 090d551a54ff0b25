"""Gives the dashboard as `forebay dashboard` puts it together, in front of an engine and a Redis, in this process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from dashboard.__main__ import application_of
from forebay.clickhouse import ClickHouse
from runtime import redis as clients
from runtime.redis import Redis
from schemas.goals import funnel, goal_of
from schemas.redis.keys import SITES_KEY
from schemas.settings import DashboardSettings
from schemas.site import RegisteredSite, SiteSettings
from tests.support import redis_server
from tests.support.dashboard.hand import ZONE
from tests.support.engine import EngineProcess

server = redis_server.server
redis = redis_server.redis
SITE = "hand.example"
HEADERS = {"Content-Type": "application/json", "X-Forebay": "1"}


class Browser:
    """Asks the dashboard as its page does."""

    def __init__(self, url: str, session: aiohttp.ClientSession, redis: Redis, settings: DashboardSettings) -> None:
        self.url = url
        self.session = session
        self.redis = redis
        self.settings = settings

    async def get(self, path: str, *, status: int = 200, **headers: str) -> Any:
        """Returns the JSON or the bytes at a path."""
        async with self.session.get(self.url + path, headers=headers) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return json.loads(body) if answer.content_type == "application/json" else body

    async def panel(self, panel: str, *, status: int = 200, **asked: Any) -> Any:
        """Returns what a panel of three days of `hand.example` answers."""
        question = {"site": SITE, "panel": panel, "period": "2026-03-01,2026-03-03", **asked}
        async with self.session.post(f"{self.url}/api/panel", data=json.dumps(question), headers=HEADERS) as answer:
            said = await answer.json()
            assert answer.status == status, said
            return said

    async def rows(self, panel: str, **asked: Any) -> Any:
        """Returns the rows of that."""
        return (await self.panel(panel, **asked))["rows"]

    async def problem(self, panel: str, *, status: int = 400, **asked: Any) -> str:
        """Returns why that can't be asked."""
        text: str = (await self.panel(panel, status=status, **asked))["error"]
        return text

    async def change(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Returns what is said to a change of a site."""
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, f"{self.url}/api/sites/{path}", data=data, headers=HEADERS) as answer:
            said = await answer.json()
            assert answer.status == status, said
            return said


@contextlib.asynccontextmanager
async def dashboard(settings: DashboardSettings, redis: Redis) -> AsyncIterator[Browser]:
    """Runs a dashboard with these settings inside the block, and gives a browser of it."""
    async with contextlib.AsyncExitStack() as held:
        running = await held.enter_async_context(TestServer(await application_of(settings, held)))
        session = await held.enter_async_context(aiohttp.ClientSession())
        yield Browser(str(running.make_url("/"))[:-1], session, redis, settings)


def another(browser: Browser, **changed: Any) -> contextlib.AbstractAsyncContextManager[Browser]:
    """Runs another dashboard, with other settings."""
    return dashboard(replace(browser.settings, **changed), browser.redis)


@pytest.fixture
async def browser(seeded: ClickHouse, engine: EngineProcess, server: Path, redis: Redis) -> AsyncIterator[Browser]:
    """Returns a browser of the dashboard; `hand.example` is registered, and any other site is accepted."""
    record = RegisteredSite(
        settings=SiteSettings(timezone=ZONE),
        goals=(goal_of("signup"), goal_of("Visit /pricing"), goal_of("purchase"), goal_of("never")),
        funnels=(funnel("buy", ["Visit /", "Visit /pricing", "signup"]),),
    )
    await redis.hset(SITES_KEY, SITE, record.encode())
    settings = DashboardSettings(
        redis_url=clients.url_of(server),
        clickhouse_url=f"http://127.0.0.1:{engine.port}",
        sites=("*",),
        public_url="http://localhost:8000",
        ingest_internal_url="http://127.0.0.1:1",
        flusher_internal_url="http://127.0.0.1:1",
    )
    async with dashboard(settings, redis) as one:
        yield one
