"""What only the whole browser does with a page: it keeps one in its back-forward cache, and shows one of several tabs."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page

from tests.support.host import Host
from tests.support.pages import TICK_MS, increments, looked_at, opened, pass_time
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
IS_WHOLE = True  # the browser


@pytest.fixture
def page(focused_page: Page) -> Page:
    return focused_page


async def test_restored_page_is_a_pageview(host: Host, page: Page) -> None:
    """The back-forward cache brings a page back without loading it."""
    host.head = '<a href="/b">b</a>'
    await page.goto(host.origin + "/a")
    await page.evaluate("window.kept = true")
    await page.click("a")
    await host.pageviews(2)
    await page.go_back(wait_until="commit")
    views = await host.pageviews(3)
    assert await page.evaluate("window.kept")
    assert (views[2]["url"], views[2]["referrer"]) == (host.origin + "/a", "")


async def test_a_page_from_the_back_forward_cache_begins_anew(host: Host, page: Page) -> None:
    """Its first increment left when it was put there; the time in the cache counts nothing, and nothing comes twice."""
    host.head = '<a href="/b">b</a>'
    await opened(page, host, stands=True)
    await page.evaluate("window.kept = true")
    await pass_time(page, host, 5_000)
    await page.click("a")
    await page.wait_for_url("**/b")
    await page.clock.run_for(0)  # the first pageview has a task of its own
    await host.pageviews(2)
    await pass_time(page, host, 3_000)
    await page.go_back(wait_until="commit")
    await page.clock.run_for(0)  # and so has this one
    await host.pageviews(3)
    assert await page.evaluate("window.kept")
    await looked_at(page, host, 2_000)
    found = list(increments(host).values())
    assert [path for path, _, _ in found] == ["/a", "/b", "/a"]
    assert [time for _, time, _ in found][:2] == [5_000, 3_000]
    assert 2_000 <= found[2][1] < 3_000, "the clock of the page stood still in the cache, or went on by a tick"


async def test_of_several_tabs_the_one_in_front_counts(host: Host, browser: Browser) -> None:
    """Both are visible, in windows of their own, and one has the focus. The test looks at one, and then at the other."""
    context = await browser.new_context()
    pages = [await context.new_page(), await context.new_page()]
    await context.clock.install()
    await context.clock.pause_at(await pages[0].evaluate("Date.now() + 60_000"))
    for number, page in enumerate(pages):
        await page.goto(f"{host.origin}/{number}")
        session = await context.new_cdp_session(page)  # Playwright gives every page the focus
        await session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    await context.clock.run_for(0)  # the first pageviews have tasks of their own
    await host.pageviews(2)
    for front, seconds in ((0, 20), (1, 30)):
        await pages[front].bring_to_front()
        await pages[front].wait_for_function("document.hasFocus()", polling=50)
        await pages[1 - front].wait_for_function("!document.hasFocus()", polling=50)
        await pass_time(pages[front], host, seconds * TICK_MS)
    await context.close()

    def total(path: str) -> int:
        return sum(milliseconds for at, milliseconds, _ in increments(host).values() if at == path)

    # Each change of focus is seen within a second.
    await until(lambda: total("/0") >= 20_000 - 2 * TICK_MS and total("/1") >= 30_000 - 2 * TICK_MS)
    assert total("/0") <= 20_000 + 2 * TICK_MS
    assert total("/1") <= 30_000 + 2 * TICK_MS
