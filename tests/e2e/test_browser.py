"""What a browser sends becomes rows: the product's promise, with no part of it replaced."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web
from playwright.async_api import Browser, Page

from schemas.bots import BotReason
from tests.support.browser import open_browser
from tests.support.pages import HIDE, NO_FETCH_LATER, SHOW, crash
from tests.support.system import System, running
from tests.support.waiting import until

COUNTED_ANSWERS = """
    window.answers = 0;
    const native = fetch;
    window.fetch = async (...given) => { const answer = await native(...given); answers++; return answer; };
"""
UNFOCUSED = "document.hasFocus = () => false"  # so that no engagement comes, however slow the machine is


@asynccontextmanager
async def site(system: System) -> AsyncIterator[str]:
    """Serves a customer's page on another origin, with the snippet that `forebay up` prints. Gives its URL."""
    tracker = f"{system.facts()['url']}/f.js"

    async def page(request: web.Request) -> web.Response:
        html = (
            f'<!doctype html><title>{request.path}</title><script defer src="{tracker}" data-site="shop.test"></script>'
        )
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_visit_becomes_exactly_its_rows(tmp_path: Path) -> None:
    """A load, a pushState, a second load and a custom event are four rows of one session, read back as they were sent."""
    async with running(tmp_path) as system:
        async with site(system) as url, open_browser() as browser:
            tab = await browser.new_page()
            await tab.add_init_script(UNFOCUSED)
            await tab.goto(f"{url}/?utm_source=letter&token=secret")
            await tab.evaluate("history.pushState({}, '', '/pricing')")
            await system.stored("site = 'shop.test'", 2)
            await tab.goto(f"{url}/signup")
            await tab.evaluate("forebay('signup', {plan: 'pro', seats: 3})")
            await system.stored("site = 'shop.test'", 4)
            await tab.close()
        rows = await system.ask(
            "SELECT name, path, utm_source, query, toJSONString(props), session_id, visitor_id, dialect"
            " FROM forebay.events WHERE site = 'shop.test' ORDER BY ts, name DESC"
        )
        assert [(name, path) for name, path, *_ in rows] == [
            ("pageview", "/"),
            ("pageview", "/pricing"),
            ("pageview", "/signup"),
            ("signup", "/signup"),
        ]
        assert rows[0][2:4] == ("letter", "utm_source=letter"), "the token stays out"
        assert json.loads(rows[3][4]) == {"plan": "pro", "seats": "3"}
        assert len({row[5] for row in rows}) == 1, "one session"
        assert len({row[6] for row in rows}) == 1, "one visitor"
        sums = await system.ask(
            "SELECT (SELECT sum(events) FROM forebay.daily), (SELECT sum(pageviews) FROM forebay.sessions),"
            " (SELECT count() FROM forebay.v_sessions)"
        )
        assert sums[0][:2] == (4, 3)
        assert await system.stop() == 0


async def timeless(browser: Browser) -> Page:
    """Opens a tab of a fresh profile, whose time stands still unless the test turns its clock."""
    tab = await browser.new_page()
    await tab.clock.install()
    await tab.clock.pause_at(await tab.evaluate("Date.now() + 60_000"))
    return tab


async def look(tab: Page, milliseconds: int) -> None:
    """Lets so much of the page's time pass."""
    for _ in range(0, milliseconds, 1_000):
        await tab.clock.run_for(1_000)


async def test_engagement_becomes_rows_that_add_up(tmp_path: Path) -> None:
    """Hide, return, hide, return and crash are three increments of one page; one that came in two ways is one row."""
    async with running(tmp_path) as system:
        async with site(system) as url, open_browser() as browser:
            tab = await timeless(browser)
            await tab.goto(f"{url}/read")
            await tab.clock.run_for(0)  # the first pageview has a task of its own
            await system.stored("path = '/read'", 1)
            await look(tab, 5_000)
            await tab.evaluate(HIDE)
            await look(tab, 60_000)
            await system.stored("path = '/read'", 2)
            await tab.evaluate(SHOW)
            await look(tab, 7_000)
            await tab.evaluate(HIDE)
            await look(tab, 1_000)
            await system.stored("path = '/read'", 3)
            await tab.evaluate(SHOW)
            await look(tab, 4_000)
            await crash(tab)
            await system.stored("path = '/read'", 4)

            tab = await timeless(browser)
            await tab.add_init_script(NO_FETCH_LATER + COUNTED_ANSWERS)
            await tab.goto(f"{url}/beacon")
            await tab.clock.run_for(0)  # the first pageview has a task of its own
            await system.stored("path = '/beacon'", 1)
            await look(tab, 3_000)
            await tab.evaluate(HIDE)
            await system.stored("path = '/beacon'", 2)  # by the beacon
            await look(tab, 2_000)
            await until(lambda: tab.evaluate("answers == 2"))  # and by fetch, as the pageview was
            await tab.evaluate("forebay('last')")
            await system.stored("name = 'last'", 1)
        rows = await system.ask(
            "SELECT path, groupArray(engaged_ms), max(scroll_pct), uniqExact(event_id), countIf(bot = ''),"
            f" groupUniqArray(bitAnd(bot_reasons, {BotReason.AUTOMATION:d})) FROM (SELECT * FROM forebay.events WHERE name = 'engagement' ORDER BY ts)"
            " GROUP BY path ORDER BY path DESC"
        )
        driven = (0, [BotReason.AUTOMATION])
        assert rows == [
            ("/read", [5_000, 7_000, 4_000], 100, 3, *driven),
            ("/beacon", [3_000], 100, 1, *driven),
        ]
        [(sessions,)] = await system.ask("SELECT uniqExact(session_id) FROM forebay.events WHERE path = '/read'")
        assert sessions == 1
        assert await system.stop() == 0


async def was_refused_or_stored(system: System, statuses: list[int], count: int) -> bool:
    """Tells whether a request was over the limit, or else whether so many events were not."""
    [(stored,)] = await system.ask("SELECT count() FROM forebay.events WHERE site = 'shop.test'")
    return 429 in statuses or stored == count


async def test_what_was_over_a_limit_comes_again_once(tmp_path: Path) -> None:
    """The tracker waits as long as it is told, sends all that waits in one request, and each event is one row."""
    async with running(tmp_path, FOREBAY_CLIENT_LIMIT="30/min,burst=1") as system:
        async with site(system) as url, open_browser() as browser:
            tab = await browser.new_page()
            statuses: list[int] = []
            tab.on("response", lambda answer: statuses.append(answer.status) if answer.url.endswith("/f") else None)
            await tab.add_init_script(UNFOCUSED)
            await tab.goto(f"{url}/")
            sent = 0
            while 429 not in statuses:  # however long a request takes here: twice as many owe twice as long
                assert sent < 1_000
                await tab.evaluate(f"for (let at = {sent}; at < {2 * sent + 3}; at++) forebay('click', {{at}})")
                sent = 2 * sent + 3
                await system.until(partial(was_refused_or_stored, system, statuses, 1 + sent))
            await system.stored("site = 'shop.test'", 1 + sent)
            await tab.close()
        rows = await system.ask("SELECT props['at'], event_id FROM forebay.events WHERE name = 'click'")
        assert sorted(int(at) for at, _ in rows) == list(range(sent))
        assert len({event_id for _, event_id in rows}) == sent
        assert await system.stop() == 0
