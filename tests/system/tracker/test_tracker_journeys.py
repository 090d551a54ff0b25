"""Ways through a site that lose events elsewhere: quick clicks, several tabs, a slow network, a blocked beacon; and web vitals of each page."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route

from tests.support.host import Host
from tests.support.pages import HIDE, NO_FETCH_LATER, SHOW
from tests.support.waiting import until
from tests.system.tracker.conftest import SCRIPTS

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAVIGATIONS = 200
LOADS = 20


def views(host: Host) -> list[str]:
    """Returns the path of each pageview once, in the order in which they happened."""
    once = {view["id"]: view for view in host.events()}
    return [
        view["url"].removeprefix(host.origin)
        for view in sorted(once.values(), key=lambda view: (view["ts"], len(view["id"]), view["id"]))
    ]


async def test_quick_navigations_of_an_application(host: Host, page: Page) -> None:
    """Faster than any answer: each is a pageview, with the page before as its referrer."""
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.evaluate(f"for (let n = 0; n < {NAVIGATIONS}; n++) history.pushState(null, '', '/' + n)")
    paths = ["/a", *(f"/{number}" for number in range(NAVIGATIONS))]
    await until(lambda: len(views(host)) >= len(paths))
    assert views(host) == paths
    referrers = {
        view["url"].removeprefix(host.origin): view["referrer"].removeprefix(host.origin) for view in host.events()
    }
    assert [referrers[path] for path in paths[1:]] == paths[:-1]
    assert len(host.taken()) == len(paths), "one request at a time: none of them is sent twice"


async def test_quick_loads(host: Host, page: Page) -> None:
    """Each page is left as soon as it has begun, by a link in its own script."""
    host.head = (
        "<script>const n = +location.pathname.slice(1);"
        f"if (n < {LOADS}) addEventListener('DOMContentLoaded', () => {{ location.href = '/' + (n + 1) }})</script>"
    )
    await page.goto(host.origin + "/0", wait_until="commit")
    await until(lambda: len(views(host)) > LOADS)
    assert sorted(views(host), key=lambda path: int(path[1:])) == [f"/{number}" for number in range(LOADS + 1)]


async def test_two_tabs(host: Host, browser: Browser) -> None:
    """Of one profile, at the same time: each tells its own, and no id is used twice."""
    context = await browser.new_context()
    pages = [await context.new_page(), await context.new_page()]
    await asyncio.gather(*(page.goto(f"{host.origin}/{number}") for number, page in enumerate(pages)))
    for page in pages:
        await page.evaluate("for (let n = 0; n < 5; n++) forebay('signup')")
    await until(lambda: len({event["id"] for event in host.events("signup")}) == 10)
    assert sorted(views(host)) == ["/0", "/1"]
    assert [event["url"].removeprefix(host.origin) for event in host.events("signup")].count("/0") == 5
    await context.close()


async def test_a_slow_network(host: Host, page: Page) -> None:
    """While a request is under way no other one is made; what comes meanwhile goes with the next."""
    held, released = [], asyncio.Event()

    async def hold(route: Route) -> None:
        held.append(route)
        await released.wait()
        await route.continue_()

    await page.route("**/f", hold)
    await page.goto(host.origin + "/a")
    await until(lambda: held)
    await page.evaluate("forebay('one'); forebay('two'); history.pushState(null, '', '/b'); forebay('three')")
    await page.evaluate("() => fetch('/a')")
    assert len(held) == 1
    released.set()
    await host.event("three")
    assert [sorted(event.get("name", "") for event in post.events) for post in host.posts] == [
        [""],
        ["", "one", "three", "two"],
    ]


async def test_a_beacon_that_is_blocked(host: Host, page: Page) -> None:
    """A beacon says nothing of its fate. Whether the browser refuses it or a blocker does, the event is sent again when the page is shown."""
    await page.add_init_script(NO_FETCH_LATER + "navigator.sendBeacon = () => false")
    host.usual = 503
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('signup')")
    await host.event("signup")
    await page.evaluate(HIDE)
    host.usual = 202
    await page.evaluate(SHOW)
    await until(lambda: len(host.taken()) == 2)
    assert {post.mode for post in host.posts} == {"cors"}


async def said(page: Page, host: Host, count: int) -> list[dict[str, Any]]:
    """Hides the page, and returns the vitals that came until then."""
    await page.evaluate(HIDE)
    await until(lambda: len(host.events("vitals")) >= count)
    await page.evaluate(SHOW)
    return host.events("vitals")


@pytest.mark.parametrize("script", SCRIPTS)
async def test_web_vitals(host: Host, page: Page, script: str) -> None:
    """Once for each page that was loaded or came back, under the address that was loaded, in the server's names and units."""
    host.script = script
    host.attributes += ' data-with="vitals"'
    host.head = "<h1>Large enough to be painted</h1><button onclick='this.textContent = 2'>1</button><a href='/b'>b</a>"
    await page.goto(host.origin + "/a")
    await page.wait_for_function(
        "performance.getEntriesByType('resource').some(one => /vitals/.test(one.name) && one.responseEnd)"
    )
    await page.click("button")
    await page.wait_for_function("performance.getEntriesByType('paint').length")
    await page.evaluate("history.pushState(null, '', '/c')")
    await page.evaluate("() => new Promise(requestIdleCallback)")
    (event,) = await said(page, host, 1)
    assert event["url"] == host.origin + "/a"
    assert {"ttfb", "fcp", "cls"} <= event["vitals"].keys() <= {"ttfb", "fcp", "cls", "lcp", "inp"}
    assert all(isinstance(value, int | float) and value >= 0 for value in event["vitals"].values())
    assert event["vitals"]["cls"] < 1 <= event["vitals"]["fcp"]
    await said(page, host, 1)
    assert len(host.events("vitals")) == 1, "once"


async def test_no_vitals_unless_asked(host: Host, page: Page) -> None:
    """A page without data-with loads one file."""
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.evaluate(HIDE)
    await page.evaluate("() => new Promise(requestIdleCallback)")
    assert [url for url in loaded if url.endswith(".js")] == [host.tracker + "/f.js"]
