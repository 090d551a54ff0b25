"""What a real Chromium sends with each way of sending an event is what a head is judged by: no person's request has the reason `headers`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser

from ingest.agents.agent import Agent, Agents
from schemas.bots import BotReason
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
IS_WHOLE = True  # the browser
WAYS = ("fetch", "keepalive", "beacon", "image", "later")
SEND = """
async (to) => {
    await fetch(to + 'fetch', {method: 'POST', body: '{}'});
    await fetch(to + 'keepalive', {method: 'POST', body: '{}', keepalive: true});
    navigator.sendBeacon(to + 'beacon', '{}');
    await new Promise((seen) => { let image = new Image(); image.onload = image.onerror = seen; image.src = to + 'image'; });
    if (window.fetchLater) fetchLater(to + 'later', {method: 'POST', body: '{}', activateAfter: 0});
    else await fetch(to + 'later', {method: 'POST', body: '{}'});
}
"""
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
    " Mobile/15E148 Safari/604.1"
)


class Heads:
    """Keeps what was read of each request by its way."""

    def __init__(self) -> None:
        self.url = ""
        self.agents = Agents()
        self.found: dict[str, Agent] = {}

    async def take(self, request: web.Request) -> web.Response:
        fields = {name.lower(): value for name, value in request.raw_headers}
        self.found[request.match_info["way"]] = self.agents.of(fields)
        return web.Response(headers={"Access-Control-Allow-Origin": "*"})


@pytest_asyncio.fixture(loop_scope="module")
async def heads() -> AsyncIterator[Heads]:
    found = Heads()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<title>page</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_route("*", "/to/{way}", found.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def sent(browser: Browser, heads: Heads, user_agent: str | None) -> dict[str, Agent]:
    """Sends an event in each way from a page of another origin; returns what was read of each head."""
    context = await browser.new_context(user_agent=user_agent)
    try:
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{heads.url}/")
        await page.evaluate(SEND, f"http://localhost:{heads.url}/to/")
        await until(lambda: set(heads.found) == set(WAYS), more=lambda: f": {sorted(heads.found)}")
    finally:
        await context.close()
    return heads.found


async def test_no_way_of_sending_looks_like_a_program(browser: Browser, heads: Heads) -> None:
    """Each has a language and the hints of its browser, to another origin too."""
    found = await sent(browser, heads, CHROME)
    assert {way: (agent.bot, agent.bot_reasons) for way, agent in found.items()} == dict.fromkeys(WAYS, ("", 0))
    assert {(agent.os, agent.device) for agent in found.values()} == {("Linux", "desktop")}


async def test_a_browser_without_a_window_says_so(browser: Browser, heads: Heads) -> None:
    """In its agent, where nobody changed it."""
    found = await sent(browser, heads, None)
    assert {agent.bot for agent in found.values()} == {"headless"}


async def test_a_chromium_that_pretends_to_be_an_iphone_is_contradicted_by_its_hints(
    browser: Browser, heads: Heads
) -> None:
    """Safari sends none. It is one reason, and no verdict: people try their pages so."""
    found = await sent(browser, heads, IPHONE)
    assert {(agent.bot, agent.bot_reasons) for agent in found.values()} == {("", int(BotReason.HEADERS))}
