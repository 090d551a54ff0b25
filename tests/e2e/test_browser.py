"""A browser's pageviews become rows: the product's promise, with no part of it replaced."""

import json
from pathlib import Path

from aiohttp import web

from tests.support.browser import open_browser
from tests.support.system import System, running


async def site(system: System) -> tuple[web.AppRunner, str]:
    """Serves a customer's page on another origin, with the snippet that `forebay up` prints."""
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
    return runner, f"http://localhost:{runner.addresses[0][1]}"


async def test_a_visit_becomes_exactly_its_rows(tmp_path: Path) -> None:
    """A load, a pushState, a second load and a custom event are four rows of one session, read back as they were sent."""
    async with running(tmp_path) as system:
        runner, url = await site(system)
        try:
            async with open_browser() as browser:
                tab = await browser.new_page()
                await tab.goto(f"{url}/?utm_source=letter&token=secret")
                await tab.evaluate("history.pushState({}, '', '/pricing')")
                await system.stored("site = 'shop.test'", 2)
                await tab.goto(f"{url}/signup")
                await tab.evaluate("forebay('signup', {plan: 'pro', seats: 3})")
                await system.stored("site = 'shop.test'", 4)
                await tab.close()
        finally:
            await runner.cleanup()
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
