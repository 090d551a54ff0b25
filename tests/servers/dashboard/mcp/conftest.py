"""Gives a dashboard in this process, and keys for assistants."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from dashboard.__main__ import application_of
from forebay.clickhouse import ClickHouse
from runtime import redis as clients
from schemas.keys import Key, Scope, hash_of, written
from schemas.redis.keys import KEYS_KEY, SITES_KEY
from schemas.settings import DashboardSettings
from schemas.site import Funnel, Goal, RegisteredSite, SiteSettings
from tests.support import redis_server
from tests.support.dashboard.hand import ZONE
from tests.support.engine import EngineProcess

server = redis_server.server
redis = redis_server.redis
SITE, OTHER = "hand.example", "shop.example"
MakesKey = Callable[..., Awaitable[str]]


@pytest.fixture
async def url(seeded: ClickHouse, engine: EngineProcess, server: Path, redis: Redis) -> AsyncIterator[str]:
    """Returns where a dashboard answers that needs no login, with two registered sites."""
    goals = (Goal(name="signup", event="signup"), Goal(name="purchase", event="purchase"))
    funnel = Funnel(name="buy", steps=("Visit /shop", "purchase"))
    record = RegisteredSite(settings=SiteSettings(timezone=ZONE), goals=goals, funnels=(funnel,))
    await redis.hset(SITES_KEY, SITE, record.encode())
    await redis.hset(SITES_KEY, OTHER, RegisteredSite(settings=SiteSettings(timezone="Europe/Berlin")).encode())
    settings = DashboardSettings(
        redis_url=clients.url_of(server), clickhouse_url=f"http://127.0.0.1:{engine.port}", question_seconds=5
    )
    async with contextlib.AsyncExitStack() as held:
        running = await held.enter_async_context(TestServer(await application_of(settings, held)))
        yield str(running.make_url("/"))[:-1]


@pytest.fixture
def made(redis: Redis) -> MakesKey:
    """Returns what makes a key of some sites."""

    async def make(*sites: str, scope: Scope = "read") -> str:
        key_id, text = written(secrets.choice)
        await redis.hset(KEYS_KEY, key_id, Key(hash=hash_of(text), sites=sites, scope=scope).encode())
        return text

    return make
