"""Turns the clock of a page with the tracker, and hides and shows the page, so that tests wait for no real time."""

import asyncio

from playwright.async_api import Page

from tests.support.host import Host
from tests.support.waiting import until

TICK_MS = 1_000  # how often the tracker looks, and delivers what was closed
NO_FETCH_LATER = "delete window.fetchLater;"
_VISIBILITY = """hidden => {{
  Object.defineProperty(Document.prototype, 'hidden', {{get: () => {hidden}, configurable: true}});
  document.dispatchEvent(new Event('visibilitychange', {{bubbles: true}}));
}}"""
HIDE = _VISIBILITY.format(hidden="true")
SHOW = _VISIBILITY.format(hidden="false")


async def answered(page: Page) -> None:
    """Returns when the requests that the page made before have arrived."""
    await page.evaluate("() => fetch('/a')")


async def pass_time(page: Page, host: Host, milliseconds: int, until: int | None = None) -> None:
    """Lets so much of the page's time pass, in steps that leave requests time to be answered.

    Stops early when so many posts have arrived.
    """
    step = max(500, milliseconds // 40)
    for _ in range(0, milliseconds, step):
        if until is not None and len(host.posts) >= until:
            return
        await page.clock.run_for(step)
        await answered(page)


async def opened(page: Page, host: Host, script: str = "", path: str = "/a", *, stands: bool = False) -> None:
    """Opens a page whose clock the test turns, and waits for its first pageview.

    With `stands` the clock stands still between two turns, so sums of time are exact on any machine.
    """
    await page.add_init_script(script)
    if stands:
        await opened_before_its_task(page, host, path)
    else:
        await page.clock.install()
        await page.goto(host.origin + path)

    async def is_sent() -> bool:
        if stands:
            # Its task is there when the page has loaded, but with data-debug, where the tracker waits for a file.
            await page.clock.run_for(0)
        return bool(host.posts)

    await until(is_sent)


async def opened_before_its_task(page: Page, host: Host, path: str = "/a") -> None:
    """Opens a page whose clock stands still from its beginning on: its first pageview waits for a task of its own."""
    await page.clock.install()
    await page.clock.pause_at(await page.evaluate("Date.now() + 60_000"))
    await page.goto(host.origin + path)


async def crash(page: Page) -> None:
    """Ends the process of the page. Its answer never comes, so nothing waits for it."""
    session = await page.context.new_cdp_session(page)
    dying = asyncio.ensure_future(session.send("Page.crash"))
    dying.add_done_callback(lambda done: done.cancelled() or done.exception())


def increments(host: Host) -> dict[str, tuple[str, int, float]]:
    """Returns (path, milliseconds, percent) of each increment that arrived, by its id, in order of arrival.

    One that came in two ways has to say the same in both. More than 100 % is 100, as it is to the server.
    """
    found: dict[str, tuple[str, int, float]] = {}
    for event in host.events("engagement"):
        said = (event["url"].removeprefix(host.origin), event["engaged_ms"], min(event["scroll_pct"], 100))
        assert found.setdefault(event["id"], said) == said
    return found


async def looked_at(page: Page, host: Host, milliseconds: int) -> None:
    """Looks at the page for so long and hides it, and waits until what that gives is delivered."""
    await pass_time(page, host, milliseconds)
    await page.evaluate(HIDE)
    await pass_time(page, host, TICK_MS)
