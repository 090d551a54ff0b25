"""An event that was not answered is sent again while its page lives, and leaves with the page when that ends."""

import asyncio
import contextlib
import itertools
import json
from typing import Any

import pytest
from playwright.async_api import Error, Page

from tests.support.host import DROP, STUB, Host
from tests.support.pages import HIDE, NO_FETCH_LATER, answered, crash, opened, opened_before_its_task, pass_time
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR_MS = 3_600_000
# Stands still for ever in the step that `window.step` names.
STANDING_STILL = """
const stand = step => { while (window.step === step); };
const around = (holder, name) => {
  const native = holder[name];
  holder[name] = function () {
    stand(`before ${name}`);
    const given = native.apply(this, arguments);
    stand(`after ${name}`);
    return given;
  };
};
around(AbortController.prototype, 'abort');
around(window, 'fetchLater');
"""
# Counts how often the browser took no copy, and how often there was none when the page had done what it does then.
COPIES = """
window.refused = window.without = 0;
const native = fetchLater;
window.fetchLater = (...given) => {
  let taken = false;
  window.isTaken = () => taken;
  try {
    const result = native(...given);
    taken = true;
    return result;
  } catch (error) {
    refused++;
    queueMicrotask(() => isTaken() || without++);
    throw error;
  }
};
"""


@pytest.mark.parametrize("failure", [DROP, 503, 500, 502, 429, 408])
async def test_unanswered_is_tried_until_it_is_taken(host: Host, page: Page, failure: int) -> None:
    """With the same id, and with its age, so that the server stores it once, at the moment it happened."""
    host.answers.extend([failure] * 3)
    await opened(page, host)
    await pass_time(page, host, 30_000, until=4)
    await until(lambda: len(host.posts) == 4)
    await pass_time(page, host, 60_000)
    assert [post.status for post in host.posts] == [failure] * 3 + [202]
    assert len({post.event["id"] for post in host.posts}) == 1
    ages = [post.event.get("sent_at", 0) - post.event.get("ts", 0) for post in host.posts]
    assert ages == sorted(ages)
    assert 2_000 <= ages[3] <= 10_000
    assert len({post.event["ts"] for post in host.posts[1:]}) == 1
    assert {post.mode for post in host.posts} == {"cors"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 415])
async def test_a_refusal_is_not_tried_again(host: Host, page: Page, status: int) -> None:
    """What the server will not take, it will not take a second later."""
    host.answers.append(status)
    await opened(page, host)
    await pass_time(page, host, 120_000)
    await page.evaluate(HIDE)
    assert len(host.posts) == 1


@pytest.mark.parametrize("said", ["30", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
async def test_retry_after_is_heeded(host: Host, page: Page, said: str) -> None:
    """Not before the seconds are over, for events that come meanwhile too; what is no number changes nothing."""
    host.answers.append(503)
    host.answer_headers = {"Retry-After": said, "Access-Control-Expose-Headers": "retry-after"}
    await opened(page, host)
    await page.evaluate("() => fetch('/a')")
    await page.evaluate("forebay('signup')")
    if said == "30":
        await pass_time(page, host, 20_000)  # the page's clock also goes by itself: a slow machine may add seconds
        assert len(host.posts) == 1
    await pass_time(page, host, 20_000, until=2)
    await until(lambda: len(host.posts) == 2)
    assert len(host.posts[1].events) == 2


async def test_tries_come_within_five_seconds_at_first_and_seldom_later(host: Host, page: Page) -> None:
    """So that a restart is over before a visitor leaves, and a server that is away for an hour is not besieged."""
    host.usual = 503
    await opened(page, host)
    await pass_time(page, host, 45_000)
    host.posts, early = [], host.posts
    moments = [post.event["sent_at"] for post in early[1:]]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert max(gaps) <= 5_500
    assert gaps[-1] > gaps[0], "they come less often"
    for _ in range(4):
        await page.clock.fast_forward(HOUR_MS // 4)
        await page.evaluate("() => fetch('/a')")
    assert 0 < len(host.posts) <= 4
    assert host.posts[-1].event["sent_at"] - host.posts[-1].event["ts"] > HOUR_MS // 2


async def test_what_waits_goes_as_one_request(host: Host, page: Page) -> None:
    """Events of an outage are one body when it is over, each of them once."""
    host.usual = DROP
    await opened(page, host)
    await page.evaluate("() => fetch('/a')")
    for name in ("a", "b", "c"):
        await page.evaluate("name => forebay(name)", name)
    host.usual = 202
    await pass_time(page, host, 30_000)
    taken = host.posts[-1].events
    assert sorted(event.get("name", "") for event in taken) == ["", "a", "b", "c"]
    assert len(host.taken()) == len(set(host.taken())) == 4


WORKER = """
let count = 0;
addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('fetch', event => {
  if (event.request.method == 'POST' && count++ < 2) event.respondWith(ANSWER);
});
"""
OPAQUE = "event.request.text().then(body => fetch(event.request.url, {method: 'POST', mode: 'no-cors', body}))"


@pytest.mark.parametrize(("answer", "arrived"), [("Response.error()", 1), (OPAQUE, 3)])
async def test_a_workers_answer_without_a_status_is_none(host: Host, page: Page, answer: str, arrived: int) -> None:
    """A service worker of the page that fails, or that hides what the server said: the event is tried again, under its id."""
    host.worker, host.tags = WORKER.replace("ANSWER", answer), 0
    await page.goto(host.origin + "/a")
    await page.evaluate("navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready)")
    await page.wait_for_function("navigator.serviceWorker.controller")
    host.tags = 1
    await page.goto(host.origin + "/b")
    await until(lambda: len(host.posts) == arrived and host.posts[-1].mode == "cors")
    await page.evaluate("forebay('signup')")
    await host.event("signup")
    assert {event["id"] for event in host.events()} == {host.events()[0]["id"]}
    assert len(host.events()) == arrived, "an answer ends it"


async def test_a_pages_answer_without_a_status_is_none(host: Host, page: Page) -> None:
    """A page that replaced fetch by one that can't say what the server said: nobody knows whether the event was taken."""
    await page.add_init_script(
        "const native = fetch; let count = 0; window.fetch = (url, options) =>"
        " native(url, options && count++ < 2 ? {...options, mode: 'no-cors'} : options)"
    )
    await page.goto(host.origin + "/a")
    await until(lambda: len(host.posts) == 3)
    await page.evaluate("forebay('signup')")
    await host.event("signup")
    assert [post.mode for post in host.posts[:4]] == ["no-cors", "no-cors", "cors", "cors"]
    assert len({event["id"] for event in host.events()}) == 1
    assert len(host.events()) == 3, "an answer ends it"


async def test_many_calls_in_a_row_are_handed_over_once(host: Host, page: Page) -> None:
    """Each copy is written anew: a thousand of them would stop the page for seconds."""
    host.usual = 503
    await page.add_init_script(
        "window.handed = 0; const native = fetchLater; fetchLater = (...given) => { handed++; return native(...given) }"
    )
    await opened(page, host)
    await page.evaluate("() => fetch('/a')")
    handed = await page.evaluate(
        "handed = 0; for (let i = 0; i < 1000; i++) forebay('e' + i); fetch('/a').then(() => handed)"
    )
    assert handed < 10, "each second there may be one more"
    await page.wait_for_function("handed > 0", polling=100)


async def test_an_array_is_believed_as_a_whole(host: Host, page: Page) -> None:
    """When some of it were refused the others were taken: none is sent again."""
    host.usual = 503
    await opened(page, host)
    await page.evaluate("() => fetch('/a')")
    await page.evaluate("forebay('a'); forebay('b')")
    host.usual = 202
    host.answer_body = '{"accepted": 2, "rejected": [{"index": 0, "reason": "invalid_name"}]}'
    await pass_time(page, host, 60_000)
    assert len(host.taken()) == 3


async def test_every_try_is_keepalive(host: Host, page: Page) -> None:
    """So that it outlives its page. What waits is less than the 64 KiB that a browser takes of such requests."""
    host.answers.append(503)
    await opened(
        page,
        host,
        "const native = fetch; window.flags = []; window.fetch = (url, options) => {"
        " if (options) flags.push(options.keepalive); return native(url, options) }",
    )
    await pass_time(page, host, 10_000, until=2)
    await until(lambda: len(host.posts) == 2)
    assert await page.evaluate("flags") == [True, True]


async def test_an_events_tries_end_before_its_id_is_forgotten(host: Host, page: Page) -> None:
    """The server knows an id for a day: after 20 hours another try could count twice."""
    host.usual = 503
    await opened(page, host)
    await page.evaluate("() => fetch('/a')")
    await page.clock.fast_forward(21 * HOUR_MS)
    host.usual, first = 202, host.all_events()[0]["id"]
    await page.evaluate("forebay('signup')")
    await pass_time(page, host, HOUR_MS)
    assert first not in host.taken()
    assert len(host.events("signup")) == 1


@pytest.mark.parametrize("props", ["{text: 'x'.repeat(100)}", ""])
async def test_memory_is_bounded_and_the_oldest_go_first(host: Host, page: Page, props: str) -> None:
    """A page that makes two thousand events while the server is away keeps the latest, and sends what a browser takes at once."""
    host.usual = 503
    await opened(page, host)
    await page.evaluate("() => fetch('/a')")
    await page.evaluate("for (let i = 0; i < 2000; i++) forebay('e' + i, PROPS)".replace("PROPS", props))
    host.usual = 202
    await pass_time(page, host, 60_000)
    bodies = [[event.get("name") for event in post.events] for post in host.posts if post.status == 202]
    names = [name for body in bodies for name in body]
    assert names == [f"e{number}" for number in range(1999, 1999 - len(names), -1)]
    assert 400 <= len(names) <= 1300
    assert max(len(json.dumps(post.events)) for post in host.posts) < 64 << 10, (
        "what a browser takes of a page that ends"
    )
    assert len(host.taken()) == len(set(host.taken()))


async def leave_by_closing(page: Page) -> None:
    await page.close()


async def leave_by_a_crash(page: Page) -> None:
    with contextlib.suppress(Error):
        await asyncio.wait_for(page.goto("chrome://crash"), 5)


async def leave_by_a_link(page: Page) -> None:
    await page.goto("about:blank")


async def unanswered(host: Host, page: Page) -> set[str]:
    """Opens a page of which a pageview and an event were not taken, and returns their ids. What is sent later is taken."""
    host.usual = 503
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('signup', {plan: 'pro'})")
    await host.event("signup")
    await page.evaluate("() => fetch('/a')")
    host.usual = 202
    return {event["id"] for event in host.all_events()}


@pytest.mark.parametrize("leave", [leave_by_closing, leave_by_a_crash, leave_by_a_link])
async def test_what_is_not_answered_leaves_with_the_page(host: Host, page: Page, leave: Any) -> None:
    """By fetchLater, which the browser sends itself when the page is gone, whatever ended it."""
    ids = await unanswered(host, page)
    await leave(page)
    await until(lambda: set(host.taken()) >= ids)
    carried = [event for post in host.posts if post.status == 202 for event in post.events]
    assert all(event["sent_at"] >= event["ts"] for event in carried if event.get("name") != "engagement")


@pytest.mark.parametrize("step", ["before abort", "after abort", "before fetchLater", "after fetchLater"])
async def test_a_page_that_stands_still_leaves_its_events(host: Host, page: Page, step: str) -> None:
    """A browser gives a page that is closed half a second. Wherever its process stands then, a copy is handed over."""
    await page.add_init_script(STANDING_STILL)
    ids = await unanswered(host, page)
    await page.evaluate("step => { window.step = step }", step)
    await page.close()
    await until(lambda: set(host.taken()) >= ids)


async def test_what_a_browser_can_not_take_twice_is_handed_over(host: Host, page: Page) -> None:
    """While there are two copies they may have 64 KiB together. A page that waits with more dies with all of it handed over."""
    host.usual = 503
    await page.add_init_script(COPIES)
    await page.goto(host.origin + "/a")
    await page.evaluate("for (let i = 0; i < 120; i++) forebay('e' + i, {text: 'x'.repeat(100)})")
    await until(lambda: len(host.posts) >= 4)  # a copy is made at each try, and each second between them
    await page.evaluate("() => fetch('/a')")
    ids = {event["id"] for event in host.posts[-1].events}
    assert await page.evaluate("refused") > 0
    assert await page.evaluate("without") == 0
    host.usual = 202
    await crash(page)
    await until(lambda: set(host.taken()) >= ids)


@pytest.mark.parametrize("beacon", [True, False])
async def test_a_beacon_where_the_browser_has_no_fetch_later(host: Host, page: Page, beacon: bool) -> None:
    """Only when the page is hidden; where there is no beacon either, nothing is thrown."""
    host.usual = 503
    await opened(page, host, NO_FETCH_LATER + ("" if beacon else "navigator.sendBeacon = undefined"))
    await page.evaluate("() => fetch('/a')")
    await page.evaluate("forebay('signup')")
    assert {post.mode for post in host.posts} == {"cors"}
    host.usual = 202
    await page.evaluate(HIDE)
    if beacon:
        await until(lambda: len(host.taken()) == 2)
    await page.evaluate("() => fetch('/a')")
    beacons = [post for post in host.posts if post.mode == "no-cors"]
    assert [len(post.events) for post in beacons] == [2] * beacon
    assert all(post.cookie is None for post in beacons)


@pytest.mark.parametrize("script", ["", NO_FETCH_LATER])
async def test_what_was_answered_is_not_handed_over(host: Host, page: Page, script: str) -> None:
    """A page whose events all arrived leaves without another request."""
    await page.add_init_script(script)
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('signup')")
    await host.event("signup")
    await page.evaluate("() => fetch('/a')")
    await page.goto(host.origin + "/b")
    await host.pageviews(2)
    await page.evaluate("() => fetch('/a')")
    assert len(host.posts) == 3


async def test_what_arrived_later_is_taken_back_from_the_browser(host: Host, page: Page) -> None:
    """An event that a retry delivered is not in what leaves with the page."""
    host.answers.append(503)
    await opened(page, host)
    await pass_time(page, host, 10_000, until=2)
    await until(lambda: len(host.taken()) == 1)
    await page.evaluate("() => fetch('/a')")
    await page.goto(host.origin + "/b")
    await host.pageviews(3)
    assert [view["url"] for view in host.events()] == [host.origin + path for path in ("/a", "/a", "/b")]


async def test_a_title_that_is_waited_for_leaves_with_the_page(host: Host, page: Page) -> None:
    """A pageview that was not sent yet when the page is hidden is sent then."""
    await opened(page, host)
    await page.evaluate("history.pushState(null, '', '/b')")
    await page.evaluate(HIDE)
    assert [view["url"] for view in await host.pageviews(2)] == [host.origin + "/a", host.origin + "/b"]


async def leave_by_hiding(page: Page) -> None:
    await page.evaluate(HIDE)


@pytest.mark.parametrize("script", ["", NO_FETCH_LATER])
@pytest.mark.parametrize("leave", [leave_by_closing, leave_by_a_link, leave_by_hiding])
async def test_a_page_that_is_left_before_its_pageview_was_due(host: Host, page: Page, leave: Any, script: str) -> None:
    """The first pageview has a task of its own; it leaves with a page that goes before that, and so does what was called."""
    host.head = STUB + "<script>forebay('early')</script>"
    await page.add_init_script(script)
    await opened_before_its_task(page, host)
    await page.evaluate("forebay('late')")
    await answered(page)
    assert host.posts == []
    await leave(page)
    await until(lambda: {event.get("name") for event in host.all_events()} >= {None, "early", "late"})
    assert {event["url"] for event in host.all_events()} == {host.origin + "/a"}
    assert len({event["id"] for event in host.all_events()}) == 3


async def test_the_first_pageview_is_of_the_page_that_was_loaded(host: Host, page: Page) -> None:
    """Also where an application changes its address before the pageview is due: a campaign is cleaned away, or `/` becomes `/login`."""
    await opened_before_its_task(page, host, "/a?utm_source=mail")
    await page.evaluate("history.replaceState(null, '', '/a')")
    await answered(page)
    assert host.posts == []
    await page.evaluate("history.replaceState(null, '', '/login')")
    await page.clock.run_for(300)
    assert [view["url"] for view in await host.pageviews(2)] == [
        host.origin + path for path in ("/login", "/a?utm_source=mail")
    ], "they go together, the newest first"


async def test_a_page_in_the_background_sends_at_once(host: Host, page: Page) -> None:
    """Browsers slow its timers down, and nobody waits for its main thread."""
    await page.add_init_script("Object.defineProperty(Document.prototype, 'hidden', {get: () => true})")
    await opened_before_its_task(page, host)
    await host.pageviews(1)
