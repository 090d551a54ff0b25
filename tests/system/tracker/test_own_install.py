"""An install of names of its own, behind a real nginx and a real Caddy by the recipes of the documentation, is walked through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request
from redis import Redis

from schemas.entry import decode
from schemas.row import COLUMNS
from schemas.tracker_names import TrackerNames
from tests.support import proxies
from tests.support.blockers import fitting
from tests.support.ingesting import Ingest, ingesting
from tests.support.places import country, database
from tests.support.redis_cluster import free_ports
from tests.support.redis_programs import running, socket_of
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
RECIPES = "docs/how-to/serve-the-tracker-yourself.md"
SITE = "shop.example"
FOLDER, INGEST = "/mkq3vx/", "127.0.0.1:8000"  # as the recipes have them
FORGED = {"X-Forwarded-For": "8.8.8.8", "CF-Connecting-IP": "8.8.8.8", "Forwarded": "for=8.8.8.8", "CF-IPCountry": "FR"}

Proxied = Callable[[Path, str, str, int], AbstractContextManager[None]]


class Install(NamedTuple):
    """Holds the URL of Redis, the names that were made, the ports of the two proxies, and the ingest behind them."""

    redis_url: str
    names: TrackerNames
    ports: dict[str, int]
    ingest: Ingest
    redis: Any

    def tags(self, port: int, *words: str) -> str:
        """Returns the tag that the command prints for this install."""
        return said(self.redis_url, port, *words, FOREBAY_TRACKER_PATH=self.names.script)[0]

    def rows(self) -> list[dict[str, Any]]:
        """Returns what was taken, in its order."""
        found = []
        for _, fields in self.redis.xrange("forebay:{0}:log"):
            columns = decode(fields[b"d"])
            found += [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
        return found


def said(redis_url: str, port: int, *words: str, **environment: str) -> tuple[str, str]:
    """Returns what `forebay site snippet` prints."""
    command = [sys.executable, "-m", "forebay", "site", "snippet", SITE, "--redis-url", redis_url, *words]
    done = subprocess.run(
        [*command, "--public-url", f"http://shop.localhost:{port}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


def behind_nginx(directory: Path, recipe: str, pages: str, port: int) -> AbstractContextManager[None]:
    page = f"default_type text/html; location / {{ return 200 '{pages}'; }}"
    return proxies.nginx(directory, f"server {{ listen 127.0.0.1:{port}; {page} {recipe} }}", port)


def behind_caddy(directory: Path, recipe: str, pages: str, port: int) -> AbstractContextManager[None]:
    page = f"handle {{\n header Content-Type text/html\n respond `{pages}`\n}}"
    return proxies.caddy(directory, f"http://:{port} {{\n{recipe}\n{page}\n}}\n", port)


WAYS: dict[str, Proxied] = {"nginx": behind_nginx, "caddy": behind_caddy}


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """Runs the install as the page says: the command makes the names, ingest is started with them, proxies pass the folder on."""
    directory = tmp_path_factory.mktemp("install")
    places = database(directory / "places.mmdb", {"8.8.8.0/24": country("FR")})
    with running(directory), Redis(unix_socket_path=str(socket_of(directory))) as redis:
        url = f"unix://{socket_of(directory)}"
        told = said(url, 80, "--own-path")[1]
        names = TrackerNames.of(re.findall(r"FOREBAY_TRACKER_PATH=(\S+)", told)[0])
        settings = {
            "tracker_path": names.script,
            "trusted_proxies": "127.0.0.1",
            "country_header": "CF-IPCountry",
            "country_database": str(places),
        }
        with ingesting(directory, **settings) as ingest:
            yield Install(url, names, dict(zip(WAYS, free_ports(len(WAYS)), strict=True)), ingest, redis)


def recipe(install: Install, checkout: Path, way: str) -> str:
    """Returns the recipe of the page for this install."""
    text: str
    [text] = re.findall(rf"```{way}\n(.*?)```", (checkout / RECIPES).read_text(), re.DOTALL)
    folder = install.names.script.rpartition("/")[0] + "/"
    return text.replace(FOLDER, folder).replace(INGEST, f"127.0.0.1:{install.ingest.port('port')}")


@pytest.mark.parametrize("way", WAYS)
async def test_everything_comes_from_the_pages_own_host(
    install: Install, checkout: Path, browser: Browser, tmp_path: Path, way: str
) -> None:
    """The script, a version of it with its hash, its further files, events: no address looks like a tracker's, and all are stored."""
    port = install.ports[way]
    pages = install.tags(port).strip().replace("></script>", ' data-with="vitals queue"></script>')
    versioned = install.tags(port, "--versioned").strip()
    before = len(install.rows())
    asked: list[Request] = []
    failed: list[str] = []
    with WAYS[way](tmp_path / way, recipe(install, checkout, way), f"<!doctype html><title>a</title>{pages}", port):
        context = await browser.new_context()
        page = await watched(context, asked, failed)
        await page.goto(f"http://shop.localhost:{port}/a")
        await page.evaluate("forebay('signup', {plan: 'pro'})")
        loaded = {install.names.file(ending) for ending in (".vitals.js", ".queue.js")}
        await until(lambda: {path_of(one) for one in asked} >= loaded)
        await until(lambda: len(install.rows()) >= before + 2)
        page = await watched(context, asked, failed)
        await page.route("**/b", lambda route: route.fulfill(body=versioned, content_type="text/html"))
        await page.goto(f"http://shop.localhost:{port}/b")
        await until(lambda: any(row["url"].endswith("/b") for row in install.rows()[before:]))
        answers = {
            path_of(one): await one.response()
            for one in asked
            if path_of(one).startswith("/" + install.names.script.split("/")[1])
        }
        await context.close()
        forged(f"http://127.0.0.1:{port}{install.names.events}")
    assert {row["name"] for row in install.rows()[before:]} >= {"pageview", "signup", "forged"}
    assert {row["country"] for row in install.rows()[before:]} == {""}, "nobody chooses an address by a header"
    assert {one.url.split("/")[2] for one in asked} == {f"shop.localhost:{port}"}
    assert not [(one.url, fitting(one.url)) for one in asked if fitting(one.url)]
    assert failed == [], "no hash was wrong, and no file missing"
    caches = {
        path: answer.headers.get("cache-control") for path, answer in answers.items() if answer and path.endswith(".js")
    }
    [version] = [path for path in caches if re.fullmatch(r".*\.[0-9a-f]{12}\.js", path)]
    assert caches.pop(version) == "public, max-age=31536000, immutable"
    assert set(caches) == {install.names.script, *loaded}
    assert set(caches.values()) == {"public, max-age=3600"}


async def watched(context: BrowserContext, asked: list[Request], said: list[str]) -> Page:
    """Returns a page whose requests, and what is said in its console, are noted."""
    page = await context.new_page()
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108  Playwright can't mark a built-in function
    page.on("console", lambda message: said.append(message.text))
    return page


def path_of(request: Request) -> str:
    return "/" + request.url.split("/", 3)[3].partition("?")[0]


def forged(url: str) -> None:
    """Sends an event whose headers say that it came from elsewhere."""
    body = b'{"site": "shop.example", "name": "forged"}'
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **FORGED})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


async def test_a_header_would_be_believed(install: Install) -> None:
    """Without the proxy, whose address is trusted, a client could choose its country: so the recipes' headers are what keeps it."""
    forged(f"http://127.0.0.1:{install.ingest.port('port')}{install.names.events}")
    assert install.rows()[-1]["country"] == "FR"
