"""How long a page was looked at and how deep it was scrolled: increments that add up to the truth, each of them once.

The clock of these pages stands still unless a test turns it, so that the sums are exact on a machine of any speed.
"""

from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.support.host import Host
from tests.support.pages import HIDE, NO_FETCH_LATER, SHOW, TICK_MS, crash, increments, looked_at, opened, pass_time
from tests.support.volume import volume
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def page(focused_page: Page) -> Page:
    return focused_page


MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
BLUR = "document.hasFocus = () => false"
FOCUS = "delete document.hasFocus"


def times(host: Host) -> list[int]:
    return [milliseconds for _, milliseconds, _ in increments(host).values()]


async def test_an_increment_is_sent_when_the_page_is_hidden(host: Host, page: Page) -> None:
    """It is an event with an id of its own and with all that the pageview said, so that time can be asked for by any of it."""
    await opened(page, host, path="/a?utm_source=x", stands=True)
    await looked_at(page, host, 12_000)
    (view,), (event,) = host.events(), host.events("engagement")
    assert (event.pop("engaged_ms"), event.pop("name")) == (12_000, "engagement")
    assert 100 <= event.pop("scroll_pct") < 101
    assert event.pop("id") != view.pop("id")
    assert view.pop("sent_at", 0) - view.pop("ts", 0) < TICK_MS
    assert event.pop("sent_at", 0) - event.pop("ts", 0) <= TICK_MS
    assert event == view


async def test_hide_return_hide_adds_up(host: Host, page: Page) -> None:
    """Each increment has what was added since the last one, under an id of its own; what was hidden counts nothing."""
    await opened(page, host, stands=True)
    await looked_at(page, host, 5_000)
    await pass_time(page, host, HOUR_MS)
    await page.evaluate(SHOW)
    await looked_at(page, host, 7_000)
    await page.evaluate(SHOW)
    await looked_at(page, host, 1_000)
    assert times(host) == [5_000, 7_000, 1_000]
    assert len(host.posts) == 4, "one request for each increment"


async def test_nothing_is_sent_of_nothing(host: Host, page: Page) -> None:
    """A page that is hidden and shown again has nothing to add; what is less than a second waits for the next."""
    await opened(page, host, stands=True)
    for _ in range(3):
        await page.evaluate(HIDE)
        await page.evaluate(SHOW)
    await page.clock.run_for(600)
    await page.evaluate(HIDE)
    await pass_time(page, host, 5_000)
    assert times(host) == []
    await page.evaluate(SHOW)
    await page.clock.run_for(600)
    await page.evaluate(HIDE)
    await pass_time(page, host, 5_000)
    assert times(host) == [1_200]


async def test_a_window_without_focus_counts_nothing(host: Host, page: Page) -> None:
    """The increment ends when the page is no longer looked at, and is delivered then."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 6_000)
    await page.evaluate(BLUR)
    await pass_time(page, host, 4 * TICK_MS)
    assert len(times(host)) == 1, "before the page is hidden or left"
    await pass_time(page, host, HOUR_MS)
    await page.evaluate(FOCUS)
    await pass_time(page, host, 3_000)
    await page.evaluate(HIDE)
    await pass_time(page, host, TICK_MS)
    assert len(times(host)) == 2
    assert abs(sum(times(host)) - 9_000) <= 2 * TICK_MS, "each change of focus is seen within a second"


async def test_time_within_an_application_belongs_to_the_page_that_was_left(host: Host, page: Page) -> None:
    """It goes with the next pageview in one request."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 5_000)
    await page.evaluate("history.pushState(null, '', '/b')")
    await pass_time(page, host, 3_000)
    await page.evaluate("history.back()")
    await page.wait_for_function("location.pathname == '/a'")
    await looked_at(page, host, 2_000)
    assert [(path, time) for path, time, _ in increments(host).values()] == [
        ("/a", 5_000),
        ("/b", 3_000),
        ("/a", 2_000),
    ]
    assert [sorted(event.get("name", "view") for event in post.events) for post in host.posts] == [
        ["view"],
        ["engagement", "view"],
        ["engagement", "view"],
        ["engagement"],
    ]


async def test_a_long_reading_is_told_every_ten_minutes(host: Host, page: Page) -> None:
    """So that a visit does not end because nothing was heard of it for half an hour."""
    await opened(page, host, stands=True)
    for _ in range(7):
        await pass_time(page, host, 5 * MINUTE_MS)
    await page.evaluate(HIDE)
    await pass_time(page, host, TICK_MS)
    assert sum(times(host)) == 35 * MINUTE_MS
    assert len(times(host)) == 4
    assert max(times(host)) <= 10 * MINUTE_MS + 15 * TICK_MS


async def test_a_laptop_that_slept_was_not_looked_at(host: Host, page: Page) -> None:
    """Timers stand still meanwhile, and the clock has jumped when they go on."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 4_000)
    await page.clock.fast_forward(8 * HOUR_MS)
    await looked_at(page, host, 3_000)
    assert sum(times(host)) == 7_000


@pytest.mark.parametrize("jump", [-HOUR_MS, HOUR_MS, -30 * 24 * HOUR_MS])
async def test_a_clock_that_is_set_makes_no_time(host: Host, page: Page, jump: int) -> None:
    """No time is negative, and none of days: the second in which the clock was set is left out."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 4_000)
    await page.clock.set_system_time(await page.evaluate(f"new Date(Date.now() + {jump}).toISOString()"))
    await looked_at(page, host, 3_000)
    assert all(time > 0 for time in times(host))
    assert 7_000 - TICK_MS <= sum(times(host)) <= 7_000


HIGH = "<style>main {height: 3000px} body {margin: 0}</style><main></main>"


async def scroll(page: Page, to: int) -> None:
    await page.evaluate("to => scrollTo(0, to)", to)
    await page.screenshot()  # a frame is drawn, so its scroll event was dispatched


async def test_scroll_depth_is_the_deepest(host: Host, page: Page) -> None:
    """Of a document of 3 000 pixels in a window of 720; scrolling back takes nothing away."""
    host.head = HIGH
    await opened(page, host, stands=True)
    await looked_at(page, host, 2_000)
    await page.evaluate(SHOW)
    await scroll(page, 1_500)
    await page.clock.run_for(10)
    await scroll(page, 300)
    await looked_at(page, host, 2_000)
    await page.evaluate(SHOW)
    await scroll(page, 3_000)
    await looked_at(page, host, 2_000)
    first, second, third = (percent for _, _, percent in increments(host).values())
    assert 23 <= first <= 25
    assert 73 <= second <= 75
    assert third == 100


@pytest.mark.parametrize(
    "head",
    [
        "<p>short</p>",
        "<style>html, body {height: 0; overflow: hidden}</style>",
        "<style>html {display: none}</style>",
    ],
)
async def test_a_page_that_cannot_be_scrolled_is_seen_whole(host: Host, page: Page, head: str) -> None:
    """Also one of no height."""
    host.head = head
    await opened(page, host, stands=True)
    await looked_at(page, host, 2_000)
    assert [percent for _, _, percent in increments(host).values()] == [100]


async def test_scroll_depth_of_a_page_that_grows(host: Host, page: Page) -> None:
    """It is of the document as it is when the increment ends: an empty page that is filled later was not seen whole."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 2_000)
    await page.evaluate("document.body.innerHTML = '<main style=\"height: 7200px\"></main>'")
    await looked_at(page, host, 2_000)
    ((_, _, percent),) = increments(host).values()
    assert 9 <= percent <= 11


async def test_scroll_depth_begins_anew_on_the_next_page(host: Host, page: Page) -> None:
    """Within an application, where the place on the page before says nothing of the next one."""
    host.head = HIGH
    await opened(page, host, stands=True)
    await scroll(page, 3_000)
    await pass_time(page, host, 2_000)
    await page.evaluate("history.pushState(null, '', '/b')")
    await page.clock.run_for(100)
    await scroll(page, 0)
    await looked_at(page, host, 2_000)
    percents = [percent for _, _, percent in increments(host).values()]
    assert percents[0] == 100
    assert percents[1] <= 25


async def leave_by_closing(page: Page) -> None:
    await page.close()


async def leave_by_closing_with_its_handlers(page: Page) -> None:
    await page.close(run_before_unload=True)


async def leave_by_a_link(page: Page) -> None:
    await page.goto("about:blank")


@pytest.mark.parametrize("leave", [leave_by_closing, leave_by_closing_with_its_handlers, crash, leave_by_a_link])
async def test_what_a_page_engaged_leaves_with_it(host: Host, page: Page, leave: Any) -> None:
    """In one request, whatever ended the page. What a crash takes along is less than a second."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 9_000)
    await leave(page)
    await until(lambda: host.events("engagement"))
    assert times(host) == [9_000]
    assert len(host.posts) == 2, "a page costs two requests: its pageview's and one more"


CRASHED = volume(6, 25)  # pages


async def test_crashed_pages_told_their_time(host: Host, browser: Browser) -> None:
    """No page says anything when its process dies; the browser has the increment as it was a second before."""
    context = await browser.new_context()
    await context.add_init_script(
        "window.handed = 0; const native = fetchLater; window.fetchLater = (url, given) => {"
        " handed += given.body.includes('engagement'); return native(url, given) }"
    )
    pages = []
    for number in range(CRASHED):
        page = await context.new_page()
        await page.goto(f"{host.origin}/{number}")
        pages.append(page)
    await host.pageviews(CRASHED)
    for page in pages:
        await page.wait_for_function("handed > 0", polling=100, timeout=60_000)
        await crash(page)
    await until(lambda: len(increments(host)) == CRASHED)
    assert len({path for path, _, _ in increments(host).values()}) == CRASHED
    assert min(times(host)) >= 1_000
    await context.close()


@pytest.mark.parametrize("refused", [503, 400])
async def test_an_increment_is_delivered_as_other_events_are(host: Host, page: Page, refused: int) -> None:
    """Under the same id until it is answered, as it was when it ended; what comes after it is another one."""
    await opened(page, host, stands=True)
    await pass_time(page, host, 4_000)
    host.answers.append(refused)
    await page.evaluate(HIDE)
    await pass_time(page, host, TICK_MS)
    await page.evaluate(SHOW)
    await pass_time(page, host, 6_000)
    await page.evaluate(HIDE)
    await pass_time(page, host, 5_000)
    assert times(host) == [4_000, 6_000]
    assert [event["engaged_ms"] for event in host.events("engagement")].count(4_000) == (2 if refused == 503 else 1)


async def test_a_beacon_carries_it_where_the_browser_has_no_fetch_later(host: Host, page: Page) -> None:
    """A beacon has no answer: while the page lives the same increment is sent again by fetch, under the same id."""
    await opened(page, host, NO_FETCH_LATER, stands=True)
    await pass_time(page, host, 4_000)
    assert len(host.posts) == 1, "nothing is sent while the page is looked at"
    await page.evaluate(HIDE)
    await until(lambda: times(host) == [4_000])
    assert [post.mode for post in host.posts] == ["cors", "no-cors"]
    await pass_time(page, host, 5_000)
    assert [post.mode for post in host.posts] == ["cors", "no-cors", "cors"]
    assert times(host) == [4_000]
