"""Gives a dashboard with two sites, an admin of every site, an admin of one, and a viewer of one; and no ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime import passwords
from runtime import redis as clients
from runtime.redis import Redis
from tests.support import redis_server
from tests.support.dashboard.people import CHEAP_NOBODY, Person, add_sites, add_user, opened

server = redis_server.server
redis = redis_server.redis
MINE, YOURS = "mine.example", "yours.example"


@pytest.fixture(autouse=True)
def _guesses_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a password of nobody cost as little as one of the users that are added here."""
    monkeypatch.setattr(passwords, "NOBODY", CHEAP_NOBODY)


@pytest.fixture
async def url(server: Path, redis: Redis) -> str:
    """Returns the URL of a Redis with the sites and users."""
    await add_sites(redis, MINE, YOURS)
    await add_user(redis, "root", {"*": "admin"})
    await add_user(redis, "owner", {MINE: "admin", YOURS: "viewer"})
    await add_user(redis, "guest", {MINE: "viewer"})
    return clients.url_of(server)


@pytest.fixture
async def person(url: str) -> AsyncIterator[Person]:
    """Returns a browser of a dashboard on loopback."""
    async with opened(url) as one:
        yield one
