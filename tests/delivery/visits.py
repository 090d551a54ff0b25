"""Opens the pages of a delivery run in a real Chromium, lets befall them what is to befall them, and counts what was stored.

Each page has a path and a port of the relay of its own, and makes a pageview and four events named e1 to e4. So an event is
known by its path and its name, in whatever way it came. Rows are read when everything that was acknowledged is stored.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import clickhouse_connect
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Error, Page

from tests.delivery.mix import CAUSES, EVENTS_A_PAGE, Cause, End, pages_of
from tests.sdks.relay import Channel, Relay
from tests.support.browser import open_browser
from tests.support.system import System, running
from tests.support.waiting import until

SITE = "delivery.test"
TABS = 6  # at once
KILLED_AT_ONCE = 5  # pages of one browser
LATE_SECONDS = 60.0  # for what a browser sends when its page is gone, on a machine that is busy
SECONDS = 180.0  # for the events of a page: the tries after 503 take 6 s, on a machine that does nothing else
NAMES = ("pageview", *(f"e{number}" for number in range(1, EVENTS_A_PAGE)))
CALLS = f"{list(NAMES[1:])}.map(name => forebay(name))"
KEEPS_QUEUE = ' data-with="queue"'
IS_KEPT = "() => (localStorage.forebay || '').includes('\"e4\"')"


class Row(NamedTuple):
    """Holds a cause's row of the table, in events."""

    cause: Cause
    sent: int
    delivered: int
    duplicated: int


class Delivery:
    """Holds the running Forebay, the relay before it, and the server of the pages."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._origin = ""
        self._tags: dict[str, str] = {}  # by path
        self.relay = Relay(lambda: str(system.facts()["url"]), self._nothing)
        port = int(system.facts()["clickhouse_url"].rpartition(":")[2])
        self._clickhouse = clickhouse_connect.get_client(host="127.0.0.1", port=port, autogenerate_session_id=False)

    async def _nothing(self) -> None:
        """Strikes nothing: ingest is not killed here."""

    async def _page(self, request: web.Request) -> web.StreamResponse:
        text = f"<!doctype html><title>{request.path}</title>{self._tags.get(request.path, '')}"
        return web.Response(text=text, content_type="text/html")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Delivery]:
        """Serves the pages and the relay inside the block."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._page)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._origin = f"http://localhost:{runner.addresses[0][1]}"
        await self.relay.start()
        try:
            yield self
        finally:
            await self.relay.close()
            await runner.cleanup()
            self._clickhouse.close()

    async def opened(self, context: BrowserContext, cause: Cause, number: int) -> tuple[Page, Channel]:
        """Opens a page of this cause, whose tracker has run, and its port of the relay."""
        channel = await self.relay.open(cause.faults_at(number))
        path = path_of(cause, number)
        more = KEEPS_QUEUE if cause.keeps_queue else ""
        self._tags[path] = f'<script defer src="{channel.url}/f.js" data-site="{SITE}"{more}></script>'
        page = await context.new_page()
        await page.goto(self._origin + path)
        return page, channel

    async def visit(self, browser: Browser, cause: Cause, number: int) -> None:
        """Makes one page's events, and ends the page as its cause says."""
        context = await browser.new_context()
        page, channel = await self.opened(context, cause, number)
        if cause.end is End.OFFLINE:
            await page.evaluate(CALLS)
            if cause.keeps_queue:
                await page.wait_for_function(IS_KEPT, timeout=SECONDS * 1_000)
            before = len(channel.events())
            await page.close()
            with suppress(AssertionError):  # its last request, which is lost
                await until(lambda: len(channel.events()) > before and not channel.open, LATE_SECONDS)
            channel.faults.clear()
            await self._come_back(context, cause, number)
            await self._stored_or_late(cause, number)
        elif cause.end is End.CLOSED:
            await page.evaluate(CALLS)
            await page.close()
            await self._stored_or_late(cause, number)
        else:
            await page.evaluate(CALLS)
            with suppress(AssertionError):  # the table says what is missing
                await until(lambda: is_answered(channel), SECONDS)
            await page.close()
        await context.close()
        await self.relay.end(channel)

    async def _come_back(self, context: BrowserContext, cause: Cause, number: int) -> None:
        """Opens another page of the same origin, with the same tag, as a visitor does who comes back."""
        path = f"/again{path_of(cause, number)}"
        self._tags[path] = self._tags[path_of(cause, number)]
        page = await context.new_page()
        await page.goto(self._origin + path)

    async def killed(self, cause: Cause, numbers: Sequence[int]) -> None:
        """Makes the events of these pages in a browser of their own, and kills all of its processes that draw pages."""
        async with open_browser() as browser:
            contexts = [await browser.new_context() for _ in numbers]
            opened = [
                await self.opened(context, cause, number) for context, number in zip(contexts, numbers, strict=True)
            ]
            session = await browser.new_browser_cdp_session()
            processes = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
            await asyncio.gather(*(page.evaluate(CALLS) for page, _ in opened))
            for process in processes:
                if process["type"] == "renderer":
                    os.kill(process["id"], signal.SIGKILL)
            for number in numbers:
                await self._stored_or_late(cause, number)
        for _, channel in opened:
            await self.relay.end(channel)

    async def _stored_or_late(self, cause: Cause, number: int) -> None:
        """Waits for the events of a page that is gone, for as long as they may still come; the table says which did not."""
        with suppress(AssertionError):
            await until(lambda: self._is_stored(cause, number), LATE_SECONDS if cause.is_deliverable else 2)

    async def _is_stored(self, cause: Cause, number: int) -> bool:
        await asyncio.sleep(0.3)
        sql = f"SELECT uniqExact(name) FROM forebay.events WHERE path = '{path_of(cause, number)}' AND name IN {NAMES}"
        return bool((await asyncio.to_thread(self._clickhouse.query, sql)).result_rows[0][0] == EVENTS_A_PAGE)

    async def drained(self) -> None:
        """Returns when everything that was acknowledged is stored: of one shard, a last event is stored last."""
        body = json.dumps({"site": SITE, "url": f"https://{SITE}/end", "name": "end"}).encode()
        url = f"{self._system.facts()['url']}/f"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=60).close())
        sql = "SELECT count() FROM forebay.events WHERE name = 'end'"
        await self._system.until(lambda: self._clickhouse.query(sql).result_rows[0][0])

    def rows(self, cause: Cause, pages: int) -> Row:
        """Returns what became of the events of a cause. A duplicate is a row more of the same event, or of the same id."""
        sql = f"SELECT path, name, event_id FROM forebay.events WHERE startsWith(path, '{path_of(cause, '')}') AND name IN {NAMES}"
        found = [tuple(row) for row in self._clickhouse.query(sql).result_rows]
        once = {row[:2] for row in found}
        expected = {(path_of(cause, number), name) for number in range(pages) for name in NAMES}
        assert once <= expected, once - expected
        duplicated = len(found) - min(len(once), len({row[2] for row in found}))
        return Row(cause, len(expected), len(once), duplicated)


def path_of(cause: Cause, number: int | str) -> str:
    return f"/{cause.name.replace(' ', '-').replace(',', '')}/{number}"


def is_answered(channel: Channel) -> bool:
    """Tells whether every event of a page was answered 2xx."""
    if channel.open or channel.faults:
        return False
    taken = [event for one in channel.events() if one.status // 100 == 2 for event in json.loads(one.body)]
    return {event.get("name", "pageview") for event in taken} >= {*NAMES}


def no_word(_pages: int) -> None:
    """Says nothing of how far a run is."""


async def delivered(directory: Path, events: int, say: Callable[[int], None] = no_word) -> list[Row]:
    """Makes so many events in the fixed mix, and those beside it. Returns the table. `say` hears how many pages are done."""
    async with running(directory, FOREBAY_SHARDS="1") as system, Delivery(system).served() as delivery:
        await _made(delivery, events, say)
        await delivery.drained()
        return [delivery.rows(cause, pages_of(cause, events)) for cause in CAUSES]


async def _made(delivery: Delivery, events: int, say: Callable[[int], None]) -> None:
    tabs, done = asyncio.Semaphore(TABS), itertools.count(1)

    async def visit(browser: Browser, cause: Cause, number: int) -> None:
        async with tabs:
            await delivery.visit(browser, cause, number)
        say(next(done))

    async with open_browser() as browser, asyncio.TaskGroup() as tasks:
        for cause in CAUSES:
            if cause.end is not End.KILLED:
                for number in range(pages_of(cause, events)):
                    tasks.create_task(visit(browser, cause, number))
    for cause in CAUSES:
        if cause.end is End.KILLED:
            numbers = range(pages_of(cause, events))
            for first in range(0, len(numbers), KILLED_AT_ONCE):
                with suppress(Error):  # a browser whose pages died may close with one
                    await delivery.killed(cause, numbers[first : first + KILLED_AT_ONCE])
                for _ in numbers[first : first + KILLED_AT_ONCE]:
                    say(next(done))
