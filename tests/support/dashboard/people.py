"""Runs a dashboard without ClickHouse for people who log in, or try to.

A question that is let through is answered 503, because ClickHouse is away; one that is not, 401, 403 or 404. So a test that is about who may ask
needs no engine.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer
from yarl import URL

from dashboard.__main__ import application_of
from runtime.redis import Redis
from schemas.redis.keys import SITES_KEY, USERS_KEY
from schemas.settings import DashboardSettings
from schemas.site import RegisteredSite
from schemas.users import Role, User

PASSWORD = "four words that nobody guesses"
# As cheap as argon2id can be, because tests log in hundreds of times: what a comparison has to cost is for
# tests/unit/runtime/test_passwords.py. The second is of 32 random bytes, and stands for passwords.NOBODY.
HASHED = "$argon2id$v=19$m=8,t=1,p=1$wnyTkLIX5HFO3/sPoNfv1A$M//jpdb05thzIW7f6qqaG5LnR+Lxuoo3+uVcG1gZeCg"
CHEAP_NOBODY = "$argon2id$v=19$m=8,t=1,p=1$sZf7JpkFm/fCrFIWCv+8/A$vnRh+7MtYe6ytDDcTU1oaMFrn79Y5xKAQxZepVZdcis"
NOWHERE = "http://127.0.0.1:1"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
JSON = {"Content-Type": "application/json", "X-Forebay": "1"}


async def add_user(redis: Redis, name: str, grants: dict[str, Role], email: str = "") -> User:
    """Adds a user with PASSWORD."""
    made = User(id=f"{name:0<12}"[:12], stamp="0" * 12, password=HASHED, grants=grants, email=email, made=1)
    await redis.hset(USERS_KEY, name, made.encode())
    return made


async def add_sites(redis: Redis, *names: str) -> None:
    """Registers sites."""
    for name in names:
        await redis.hset(SITES_KEY, name, RegisteredSite().encode())


class Person:
    """Asks a dashboard as one browser does: it keeps its cookies and follows no redirection."""

    def __init__(self, app: Any, url: str, **headers: str) -> None:
        """Takes the application, which is None where it is another process."""
        self.app = app
        self.url = url
        self.headers = {"User-Agent": FIREFOX, **headers}
        self.cookies: dict[str, str] = {}
        self.options: dict[str, Any] = {}  # of a connection
        self.body = b""  # of the last answer

    async def ask(
        self, method: str, path: str, *, data: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        """Returns the status, the text and the answer."""
        cookie = {"Cookie": "; ".join(f"{name}={text}" for name, text in self.cookies.items())} if self.cookies else {}
        sent = {**self.headers, **cookie, **(headers or {})}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method,
                URL(self.url + path, encoded=True),
                data=data,
                headers=sent,
                allow_redirects=False,
                **self.options,
            ) as answer,
        ):
            self.body = body = await answer.read()
            for name, morsel in answer.cookies.items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
            return answer.status, body.decode("utf-8", "replace"), answer

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        status, text, _ = await self.ask("GET", path, headers=headers)
        return status, text

    async def token(self, path: str = "/login") -> str:
        """Returns the token of the form on a page."""
        status, text = await self.get(path)
        found = re.search(r'name="token" value="([^"]+)"', text)
        assert found, (status, text)
        return found[1]

    async def send(self, path: str, fields: dict[str, str], **headers: str) -> tuple[int, str]:
        """Sends a form."""
        status, text, _ = await self.ask("POST", path, data=fields, headers=headers)
        return status, text

    async def log_in(self, name: str, password: str = PASSWORD) -> tuple[int, str]:
        """Opens the form and sends it."""
        token = await self.token()
        return await self.send("/login", {"name": name, "password": password, "token": token})

    async def panel(self, site: str, panel: str = "totals") -> int:
        """Returns the status of a question: 503 if it is let through."""
        body = f'{{"site": "{site}", "panel": "{panel}"}}'
        return (await self.ask("POST", "/api/panel", data=body, headers=JSON))[0]

    def another(self, **headers: str) -> Person:
        """Returns another browser, on the same way."""
        made = Person(self.app, self.url, **headers)
        made.options = self.options
        return made


@contextlib.asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[Person]:
    """Runs a dashboard on the Redis of a URL, and gives a browser of it."""
    made = DashboardSettings(
        **{
            "redis_url": url,
            "clickhouse_url": NOWHERE,
            "ingest_internal_url": NOWHERE,
            "flusher_internal_url": NOWHERE,
            **settings,
        }
    )
    async with contextlib.AsyncExitStack() as held:
        app = await application_of(made, held)
        running = await held.enter_async_context(TestServer(app))
        yield Person(app, str(running.make_url("/"))[:-1])
