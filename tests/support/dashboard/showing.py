"""Shows the page of the dashboard in a browser, over a whole `forebay up` with made-up visits."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.async_api import Browser, Page, expect

from runtime import redis
from schemas.redis.keys import SITES_KEY
from schemas.site import RegisteredSite
from tests.support.dashboard.seed import Site, insert
from tests.support.system import System

PATIENCE_MS = 60_000  # of every wait: a busy machine with two cores; it costs nothing where it isn't needed
expect.set_options(timeout=PATIENCE_MS)

# Waits two frames at each place, after which the page has noticed what is in view.
GO_DOWN = """
async () => {
  const frame = () => new Promise(requestAnimationFrame);
  for (let before = -1; before < scrollY; await frame(), await frame()) {
    before = scrollY;
    scrollBy(0, innerHeight);
    await frame();
  }
}
"""


async def fill(system: System, sites: Iterable[Site]) -> None:
    """Puts the visits of sites into the engine of a system."""
    sql, body = insert(sites)
    query = urllib.parse.urlencode({"max_partitions_per_insert_block": "1000", "query": sql})
    request = urllib.request.Request(f"{system.facts()['clickhouse_url']}/?{query}", data=body, method="POST")
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=120) as answer:
        answer.read()


async def register(system: System, *names: str) -> None:
    """Registers sites as `forebay site add` does, without a process of 0.3 s of CPU for each."""
    client = redis.client(system.facts()["redis_url"], seconds=60)
    try:
        await client.hset(SITES_KEY, mapping={name: RegisteredSite().encode() for name in names})
    finally:
        await client.aclose()


async def put(system: System, path: str, body: Any) -> None:
    """Adds to a site what the page can add: `put(system, "example.com/goals", {"text": "signup"})`."""
    headers = {"Content-Type": "application/json", "X-Forebay": "1"}
    url = f"{system.facts()['dashboard_url']}/api/sites/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=60) as answer:
        answer.read()


@dataclass
class Shown:
    """Holds a page that is open, what it complained of, and which addresses it asked."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def go(self, address: str) -> None:
        """Opens an address of the page (`#/example.com?period=7d`), and waits until its numbers have come."""
        await self.page.goto(f"{self.url}/{address}")
        await self.settled()

    async def settled(self) -> None:
        """Returns when no number is on its way any more: what waits for one says so, or is drawn greyed."""
        await self.page.wait_for_load_state("networkidle")
        await expect(self.page.locator("#app:empty, [aria-busy=true], .stale")).to_have_count(0)

    async def seen(self) -> None:
        """Goes down the page and back up, because what is far below asks for its numbers when it comes near."""
        await self.page.evaluate(GO_DOWN)
        await expect(self.page.locator(".placeholder")).to_have_count(0)
        await self.settled()
        await self.page.evaluate("scrollTo(0, 0)")


@asynccontextmanager
async def shown(
    browser: Browser, url: str, *, width: int = 1280, theme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Shown]:
    """Opens a page of a fresh profile, in British English. Complaints are exceptions and what the console calls errors."""
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, locale="en-GB", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    opened = Shown(page, url)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("console", lambda said: opened.complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: opened.asked.append(request.url))
    try:
        yield opened
    finally:
        await context.close()
