"""The visitor's yes and no, the browser's wish for privacy, and what is kept in storage where a site asks for that."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.support.host import Host
from tests.support.pages import HIDE
from tests.support.waiting import until
from tests.system.tracker.conftest import SCRIPTS

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOUR_MS = 3_600_000
KEPT = "localStorage.forebay || ''"
GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true, configurable: true});"
BLIND = "document.hasFocus = () => false;"  # so that no engagement comes between what a test counts
NO_HANDING_OVER = (
    "window.fetchLater = navigator.sendBeacon = undefined;"  # as when the network is away until the page is gone
)


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Gives a profile, whose pages share their storage; nothing may be thrown into any of them."""
    thrown: list[str] = []
    context = await browser.new_context()
    context.on("weberror", lambda error: thrown.append(str(error.error)))
    await context.add_init_script(BLIND)
    yield context
    await context.close()
    assert thrown == []


async def loaded(page: Page, name: str = "queue") -> None:
    """Returns when the tracker has loaded that file of its own and run it."""
    await page.wait_for_function(
        "name => performance.getEntriesByType('resource').some(one => one.name.endsWith(`/f.${name}.js`) && one.responseEnd)",
        arg=name,
    )
    await page.evaluate("() => fetch('/a')")


async def kept(page: Page) -> list[dict[str, Any]]:
    """Returns the events that wait in the storage of the page's origin."""
    text = await page.evaluate(KEPT)
    return [event for events in json.loads(text or "{}").values() for event in events]


async def test_no_is_the_end(host: Host, context: BrowserContext) -> None:
    """Denied: nothing leaves any more, neither what waits nor what comes, here and on the next page; granted: all is as before."""
    page = await context.new_page()
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    host.usual = 503
    await page.evaluate("forebay('waits')")
    await host.event("waits")
    await page.evaluate("forebay.consent('denied')")
    before = len(host.posts)
    host.usual = 202
    await page.evaluate("forebay('never'); history.pushState(null, '', '/never')")
    await page.evaluate(HIDE)
    await page.goto(host.origin + "/never")
    await page.evaluate("forebay('never')")
    await page.evaluate("() => fetch('/a')")
    assert [event for post in host.posts[before:] for event in post.events] == []
    assert await page.evaluate(KEPT) == "off"
    await page.evaluate("forebay.consent('granted'); forebay('again')")
    await host.event("again")
    assert host.all_events()[-1]["url"] == host.origin + "/never"
    assert [event["url"] for event in host.events()][-1] == host.origin + "/never", "the page is counted when it may be"
    assert host.events("never") == []
    await loaded(page)
    await page.wait_for_function(f"({KEPT}) !== 'off'")


@pytest.mark.parametrize("script", ["window.forebay = {off: true}", "localStorage.forebay = 'off'"])
async def test_no_from_before_the_tracker(host: Host, context: BrowserContext, script: str) -> None:
    """What the page said before the tracker was there, and an opt-out that it noted itself, hold for the first pageview."""
    page = await context.new_page()
    await page.add_init_script(script)
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('never'); fetch('/a')")
    await page.close()
    await (page := await context.new_page()).goto(host.origin + "/b")
    await page.evaluate("delete localStorage.forebay")
    await page.goto(host.origin + "/last")
    await until(lambda: host.events() and host.events()[-1]["url"] == host.origin + "/last")
    assert host.origin + "/a" not in [event["url"] for event in host.events()]
    assert host.events("never") == []


async def test_yes_adds_nothing_but_the_kept_queue(host: Host, context: BrowserContext) -> None:
    """The same events go out before and after, and nothing is in the storage while all is answered."""
    page = await context.new_page()
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('before')")
    before = await host.event("before")
    await page.evaluate("forebay.consent('granted'); forebay('after')")
    after = await host.event("after")
    assert before.keys() - {"ts", "sent_at"} == after.keys() - {"ts", "sent_at"}
    await loaded(page)
    await page.wait_for_function(f"({KEPT}) === ''")
    assert len(host.events()) == 1


async def test_what_the_browser_asks_for_reaches_the_server(host: Host, context: BrowserContext) -> None:
    """By the query, because a page can't send Sec-GPC; what it means is the site's setting. Nothing is kept then."""
    host.attributes += ' data-with="queue"'
    page = await context.new_page()
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await loaded(page)
    await page.add_init_script(GPC)
    await page.evaluate("localStorage.forebay = '{}'")
    await page.goto(host.origin + "/b")
    await host.pageviews(2)
    assert [post.query for post in host.posts] == ["", "gpc=1"]
    await page.wait_for_function(f"({KEPT}) === ''")


@pytest.mark.parametrize("script", SCRIPTS)
async def test_what_was_not_delivered_comes_from_the_next_page(
    host: Host, context: BrowserContext, script: str
) -> None:
    """Once, under its id and with its time; meanwhile its query is kept only as far as the server would. Two pages share the storage."""
    host.script = script
    host.attributes += ' data-with="queue"'
    await context.add_init_script(NO_HANDING_OVER)
    host.usual = 503
    pages = [await context.new_page(), await context.new_page()]
    for number, page in enumerate(pages):
        await page.goto(f"{host.origin}/{number}?token=secret&utm_source=mail&gclid=secret#part")
        await loaded(page)
        await page.evaluate("n => forebay('lost', {n})", number)
    for page in pages:
        await page.wait_for_function(f"JSON.stringify({KEPT}).split('lost').length === 3")
    waiting = await kept(pages[0])
    assert {event["url"] for event in waiting} == {f"{host.origin}/{n}?utm_source=mail&gclid=1" for n in (0, 1)}
    assert "secret" not in await pages[0].evaluate(KEPT)
    assert len(waiting) == 4
    for page in pages:
        await page.close()
    host.usual, host.posts = 202, []
    page = await context.new_page()
    await page.goto(host.origin + "/c")
    await until(lambda: set(host.taken()) >= {event["id"] for event in waiting})
    sent = {event["id"]: event for event in host.all_events()}
    assert all(sent[event["id"]]["ts"] == event["ts"] < sent[event["id"]]["sent_at"] for event in waiting)
    await page.wait_for_function(f"({KEPT}) === ''")


@pytest.mark.parametrize("reason", ["too old", "denied", "GPC", "opt-out", "not ours"])
async def test_what_is_kept_is_dropped(host: Host, context: BrowserContext, reason: str) -> None:
    """After 20 hours, and when the visitor or the browser says no."""
    host.attributes += ' data-with="queue"'
    await context.add_init_script(NO_HANDING_OVER)
    host.usual = 503
    page = await context.new_page()
    await page.goto(host.origin + "/a")
    await loaded(page)
    await page.evaluate("forebay('lost')")
    await page.wait_for_function(f"({KEPT}).includes('lost')")
    if reason == "denied":
        await page.evaluate("forebay.consent('denied')")
        assert "lost" not in await page.evaluate(KEPT)
    await page.close()
    host.usual, host.posts = 202, []
    page = await context.new_page()
    aged = 'localStorage.forebay = localStorage.forebay.replace(/"ts":(\\d+)/g, (_, ts) => `"ts":${ts - HOURS}`)'
    await page.add_init_script(
        {
            "too old": aged.replace("HOURS", str(20 * HOUR_MS + 60_000)),
            "GPC": GPC,
            "opt-out": "if (!window.isSaid) { isSaid = localStorage.forebay = 'off' }",
            "not ours": "localStorage.forebay = '[null, {\"a\": 7}]'",
        }.get(reason, "")
    )
    await page.goto(host.origin + "/b")
    await loaded(page)
    if reason not in {"denied", "opt-out"}:
        await host.pageviews(1)
        await page.evaluate("forebay('last')")
        await host.event("last")
    await page.evaluate("() => fetch('/a')")
    assert host.events("lost") == []
    assert "lost" not in await page.evaluate(KEPT)


async def test_a_browser_whose_storage_throws(host: Host, context: BrowserContext) -> None:
    """The page is counted, and a no still holds for as long as it lives."""
    host.attributes += ' data-with="queue"'
    page = await context.new_page()
    await page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden') }})"
    )
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await loaded(page)
    await page.evaluate("forebay.consent('denied'); forebay('never')")
    await page.evaluate("() => fetch('/a')")
    assert host.events("never") == []
