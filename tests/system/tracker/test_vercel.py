"""What @vercel/analytics says to its script is said to the tracker."""

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.host import DIST, Host

pytestmark = pytest.mark.asyncio(loop_scope="module")
# As the package defines it before it adds the script.
QUEUE = "window.va = (...call) => (window.vaq = window.vaq || []).push(call);"
SCRIPT = "".join((Path(DIST) / name).read_text() for name in ("vercel.js", "f.js"))


async def opened(page: Page, host: Host, said: str) -> None:
    """Opens a page that said this before the script was there, which is served as the package's."""
    host.tags = 0
    await page.goto(host.origin + "/a")
    await page.evaluate(QUEUE + said)
    await page.add_script_tag(content=SCRIPT)


async def test_events_from_before_and_after_the_script(page: Page, host: Host) -> None:
    """Each is one event; a pageview that the package reports too is counted once."""
    await opened(
        page, host, "va('pageview', {route: '/[name]', path: '/a'}); va('event', {name: 'early', data: {plan: 'pro'}})"
    )
    assert await host.event("early")  # of one request the newest stands first
    await page.evaluate("va('event', {name: 'late'})")
    assert await host.event("late")
    sent = await host.sent_before(page)
    assert [(one.get("name"), one.get("props")) for one in sent] == [
        ("early", {"plan": "pro"}),
        (None, None),
        ("late", None),
    ]


async def test_a_page_that_would_see_its_events_first_sends_none(page: Page, host: Host) -> None:
    """It may take addresses out of them, which the tracker can't know. The console says so."""
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))
    await opened(page, host, "va('beforeSend', () => null); va('event', {name: 'early'})")
    await page.evaluate("va('event', {name: 'late'}); forebay('direct')")
    await page.evaluate("fetch('/a')")
    assert host.posts == []
    assert "beforeSend is not supported" in warnings[0]


async def test_nonsense_throws_nothing_into_the_page(page: Page, host: Host) -> None:
    """An event without a name is the caller's mistake, and not the page's end."""
    await opened(page, host, "va('event'); va(); va('event', null)")
    await page.evaluate("va('event'); va('unknown', {})")
    assert len(await host.pageviews(1)) == 1
