"""Pages that are opened while `forebay up` restarts count once each, if they stay open for a few seconds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import BrowserContext, Page

from tests.support.browser import open_browser
from tests.support.system import System, running

PAGES = 25
AFTER_SECONDS = 5  # how long pages stay after the restart
VIEWS = "site = 'shop.test' AND name = 'pageview'"
STORED = f"SELECT count(), uniqExact(event_id), uniqExact(path) FROM forebay.events WHERE {VIEWS} AND path != '/'"


@asynccontextmanager
async def shop(system: System) -> AsyncIterator[str]:
    """Serves a customer's site, which does not restart. Its visitors have the tracker in their cache."""
    tag = f'<script defer src="{system.facts()["url"]}/f.js" data-site="shop.test"></script>'

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>{request.path}</title>{tag}", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def visiting(tmp_path: Path) -> AsyncIterator[tuple[System, BrowserContext, str]]:
    """Gives a running system, and a browser that has seen one page of the shop."""
    async with running(tmp_path) as system, shop(system) as url, open_browser() as browser:
        context = await browser.new_context()
        first = await context.new_page()
        await first.goto(url + "/")
        await system.stored(VIEWS, 1)
        yield system, context, url
        await context.close()


async def open_page(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    return page


async def restart(system: System) -> None:
    await system.stop()
    system.start()
    await system.ready()


async def test_pages_of_a_restart_are_counted(tmp_path: Path) -> None:
    """They are opened before the restart, while nothing listens, and after it; none is counted twice."""
    async with visiting(tmp_path) as (system, context, url):
        facts = system.facts()
        restarting = asyncio.create_task(restart(system))
        pages = []
        for number in range(PAGES):
            pages.append(await open_page(context, f"{url}/{number}"))
            await asyncio.sleep(0.05)  # spread over the restart, which takes a few seconds
        await restarting
        assert system.facts()["url"] == facts["url"]
        back = time.monotonic()
        await system.stored(f"{VIEWS} AND path != '/'", PAGES)
        took = time.monotonic() - back
        [(rows, ids, paths)] = await system.ask(STORED)
        print(f"\n{paths} of {PAGES} pages of a restart counted, {took:.1f} s after it (goal: {AFTER_SECONDS})")
        await asyncio.gather(*(page.close() for page in pages))
        assert (rows, ids, paths) == (PAGES, PAGES, PAGES)


async def test_pages_that_are_closed_after_a_restart_are_counted(tmp_path: Path) -> None:
    """A page that is closed before it tried again leaves its event to the browser."""
    async with visiting(tmp_path) as (system, context, url):
        await system.stop()
        pages = [await open_page(context, f"{url}/{number}") for number in range(PAGES)]
        for page in pages:  # each has seen its first try fail
            await page.wait_for_function(
                "performance.getEntriesByType('resource').some(one => one.name.endsWith('/f'))"
            )
        system.start()
        await system.ready()
        await asyncio.gather(*(page.close() for page in pages))
        await system.stored(f"{VIEWS} AND path != '/'", PAGES)
        [(rows, ids, paths)] = await system.ask(STORED)
        print(f"\n{paths} of {PAGES} pages that were closed after a restart counted")
        assert (rows, ids, paths) == (PAGES, PAGES, PAGES)
