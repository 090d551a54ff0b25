"""What a real Chromium sends when a page has the tracker on it."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.browser import FLAGS, browser_or_skip
from tests.support.host import STUB, Host
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_load_is_one_pageview(host: Host, page: Page) -> None:
    """All fields of the native event that a page can know, by a request that needs no preflight.

    `auto` is 1 because the browser of these tests says that a program drives it.
    """
    await page.goto(host.origin + "/a?utm_source=x#part")
    (view,) = await host.pageviews(1)
    assert 20 < len(view.pop("id")) < 64
    assert view.pop("sent_at", 0) - view.pop("ts", 0) < 1_000  # of the moment it was made to that it was sent
    assert view == {
        "url": host.origin + "/a?utm_source=x",
        "site": "example.com",
        "title": "/a",
        "referrer": "",
        "language": "en-US",
        "screen": [1280, 720],
        "auto": 1,
    }
    assert (host.posts[0].mode, host.posts[0].cookie) == ("cors", None)
    assert host.posts[0].content_type == "text/plain;charset=UTF-8"
    assert await host.sent_before(page) == [host.posts[0].event]


async def test_site_is_left_to_the_server_without_data_site(host: Host, page: Page) -> None:
    """The server then takes the host of the address."""
    host.attributes = ""
    await page.goto(host.origin + "/a")
    assert "site" not in (await host.pageviews(1))[0]


async def test_data_api_overrides_the_endpoint(host: Host, page: Page) -> None:
    """For a page whose own server passes events on: the host of the script is not asked."""
    host.attributes = 'data-site="example.com" data-api="/elsewhere"'
    async with page.expect_request("**/elsewhere") as request:
        await page.goto(host.origin + "/a")
    assert (await request.value).url == host.origin + "/elsewhere"


async def test_referrer_is_the_page_before(host: Host, page: Page) -> None:
    """The document's on a load, the previous address within an application."""
    host.head = '<a href="/b">b</a>'
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.click("a")
    await host.pageviews(2)
    await page.evaluate("history.pushState(null, '', '/c')")
    referrers = [view.get("referrer") for view in await host.pageviews(3)]
    assert referrers == ["", host.origin + "/a", host.origin + "/b"]


@pytest.mark.parametrize("method", ["pushState", "replaceState"])
async def test_new_address_is_a_pageview(host: Host, page: Page, method: str) -> None:
    """An application that changes the path shows another page."""
    await page.goto(host.origin + "/a")
    await page.evaluate(f"history.{method}(null, '', '/b?c=d#e')")
    await host.pageviews(2)
    urls = [event["url"] for event in await host.sent_before(page)]
    assert urls == [host.origin + "/a", host.origin + "/b?c=d"]


@pytest.mark.parametrize("method", ["pushState", "replaceState"])
async def test_same_address_is_no_pageview(host: Host, page: Page, method: str) -> None:
    """Routers keep scroll positions with replaceState; a fragment is a place on the same page."""
    await page.goto(host.origin + "/a?b=c")
    await host.pageviews(1)
    await page.evaluate(f"history.{method}({{scroll: 1}}, '', '/a?b=c')")
    await page.evaluate(f"history.{method}({{scroll: 2}}, '', '#part')")
    await page.evaluate("location.hash = 'other'")
    assert len(await host.sent_before(page)) == 1


CLEANED = "history.replaceState(null, '', location.pathname)"
TYPED = "for (const text of ['s', 'sh', 'shoes']) history.replaceState(null, '', '?q=' + text)"
FILTERED = "history.pushState(null, '', '?colour=red'); history.back()"


@pytest.mark.parametrize(("change", "by_query"), [(CLEANED, 1), (TYPED, 3), (FILTERED, 2)])
async def test_another_query_is_no_pageview_unless_asked(host: Host, page: Page, change: str, by_query: int) -> None:
    """A cleaned campaign, a search box and a filter are the same page, but not where `data-query` says otherwise."""
    for attribute, more in (("", 0), (" data-query", by_query)):
        host.posts.clear()
        host.attributes = 'data-site="example.com"' + attribute
        await page.goto(host.origin + "/a?utm_source=mail")
        await host.pageviews(1)
        await page.evaluate(change)
        await page.wait_for_function("!location.search.includes('colour')")
        await page.evaluate("history.pushState(null, '', '/b')")
        await until(lambda: any(view["url"].endswith("/b") for view in host.events()))
        assert len(host.events()) == 2 + more, attribute


async def test_a_routes_own_query_is_no_pageview(host: Host, page: Page) -> None:
    """With `data-hash` the route counts, and of it what stands before its question mark."""
    host.attributes += " data-hash"
    await page.goto(host.origin + "/#/a")
    await page.evaluate("for (const q of ['s', 'sh']) history.replaceState(null, '', '#/a?q=' + q)")
    await page.evaluate("location.hash = '#/b?q=1'")
    await host.pageviews(2)
    urls = [event["url"] for event in await host.sent_before(page)]
    assert urls == [host.origin + "/#/a", host.origin + "/#/b?q=1"]


@pytest.mark.parametrize("breakage", ["Object.freeze(history)", "history.pushState = null"])
async def test_navigations_behind_our_back(host: Host, page: Page, breakage: str) -> None:
    """A framework that kept the browser's own pushState, or froze it, is seen by its navigations."""
    await page.add_init_script("window.push = history.pushState.bind(history);" + breakage)
    await page.goto(host.origin + "/a")
    await page.evaluate("push(null, '', '/b')")
    await host.pageviews(2)
    assert len(await host.sent_before(page)) == 2


@pytest.mark.parametrize("change", ["history.pushState(null, '', '/b')", "location.hash = '#/b'"])
async def test_a_browser_without_navigations(host: Host, page: Page, change: str) -> None:
    """Firefox and Safari until 2025: the address is looked at once a second, and before anything else is sent."""
    await page.add_init_script("Object.defineProperty(window, 'navigation', {value: undefined})")
    host.attributes += " data-hash"
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.evaluate(change)
    views = await host.pageviews(2)
    assert views[1]["url"] == await page.evaluate("location.href")
    assert views[1]["referrer"] == host.origin + "/a"
    await page.evaluate("history.pushState(null, '', '/thanks'); forebay('purchase')")
    purchase = await host.event("purchase")
    assert purchase["url"] == host.origin + "/thanks"
    assert (await host.pageviews(3))[2]["url"] == host.origin + "/thanks"


async def test_history_is_not_touched(host: Host, page: Page) -> None:
    """Its functions are the browser's own, for frameworks that compare them or wrap them."""
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    assert await page.evaluate("Object.keys(history).length") == 0
    assert "[native code]" in await page.evaluate("String(history.pushState)")


async def test_a_module_finds_its_own_tag(host: Host, page: Page) -> None:
    """Modules, and what a script loader runs, have no document.currentScript."""
    host.attributes += ' type="module"'
    await page.goto(host.origin + "/a")
    assert (await host.pageviews(1))[0]["site"] == "example.com"


async def test_an_injected_tag_without_attributes(host: Host, page: Page) -> None:
    """Tag managers make the element by script, and strip what begins with data-."""
    host.tags = 0
    host.head = (
        "<script>const tag = document.createElement('script');"
        f"tag.src = '{host.tracker}/f.js'; document.head.append(tag)</script>"
    )
    await page.goto(host.origin + "/a")
    (view,) = await host.pageviews(1)
    assert (view["url"], "site" in view) == (host.origin + "/a", False)


async def test_history_behaves_as_without_us(host: Host, page: Page) -> None:
    """`this`, result, state and errors are those of what was there before, here a wrapper itself."""
    await page.add_init_script(
        "const native = history.pushState;"
        "history.pushState = function () { native.apply(this, arguments); return 'result' }"
    )
    await page.goto(host.origin + "/a")
    result = await page.evaluate("[history.pushState({kept: 1}, '', '/b'), history.state.kept]")
    assert result == ["result", 1]
    thrown = """act => { try { act() } catch (error) { return error.name } }"""
    assert await page.evaluate(f"({thrown})(() => history.pushState(0, '', 'https://x.example'))") == ("SecurityError")
    assert await page.evaluate(f"({thrown})(() => history.pushState.call({{}}, 0, '', '/c'))") == ("TypeError")


async def test_back_and_forward_within_an_application(host: Host, page: Page) -> None:
    """A pageview of the page returned to, by popstate."""
    await page.goto(host.origin + "/a")
    await page.evaluate("history.pushState(null, '', '/b')")
    await host.pageviews(2)
    await page.evaluate("history.back()")
    await host.pageviews(3)
    await page.evaluate("history.forward()")
    paths = [view["url"].removeprefix(host.origin) for view in await host.pageviews(4)]
    assert paths == ["/a", "/b", "/a", "/b"]


async def test_hash_routing(host: Host, page: Page) -> None:
    """With data-hash the fragment is part of the address."""
    host.attributes += " data-hash"
    await page.goto(host.origin + "/#/a")
    await page.evaluate("location.hash = '/b'")
    await host.pageviews(2)
    urls = [event["url"] for event in await host.sent_before(page)]
    assert urls == [host.origin + "/#/a", host.origin + "/#/b"]


async def test_application_names_the_page_after_the_push(host: Host, page: Page) -> None:
    """Routers set the title later than the address; the pageview has the new one."""
    await page.goto(host.origin + "/a")
    await page.evaluate("history.pushState(null, '', '/b'); setTimeout(() => document.title = 'B', 50)")
    assert [view["title"] for view in await host.pageviews(2)] == ["/a", "B"]


@pytest.mark.parametrize("breakage", ["", "navigator.sendBeacon = undefined"])
async def test_leaving_at_once_loses_no_pageview(host: Host, page: Page, breakage: str) -> None:
    """The 300 ms a pageview waits for its title end with the page, and what is sent outlives it.

    What was on its way when the page went may come twice, by both ways, under one id: it is one pageview.
    """
    await page.add_init_script(breakage)
    await page.goto(host.origin + "/a")
    await page.evaluate("history.pushState(null, '', '/b'); location.href = '/c'")
    await until(lambda: len({view["id"] for view in host.events()}) >= 3)
    urls = sorted({view["id"]: view["url"] for view in host.events()}.values())
    assert urls == [host.origin + path for path in ("/a", "/b", "/c")]


async def test_prerendered_page_counts_when_it_is_shown(host: Host, tmp_path: Path) -> None:
    """A bare browser, because one that is driven from outside does not activate what it prerendered."""
    host.head = (
        STUB
        + """<script type="module">
      if (document.prerendering) {
        forebay('early');
        addEventListener('DOMContentLoaded', () => { // the tracker has run
          navigator.sendBeacon('/f', '{"name": "prerendered"}');
        });
      } else if (location.pathname === '/a') {
        const rules = document.createElement('script');
        rules.type = 'speculationrules';
        rules.text = '{"prerender": [{"urls": ["/b"], "eagerness": "immediate"}]}';
        document.head.append(rules);
        fetch('/release').then(() => { location.href = '/b' });
      }
    </script>"""
    )
    running = await asyncio.create_subprocess_exec(
        await browser_or_skip(),
        *(*FLAGS, "--headless", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}"),
        host.origin + "/a",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await host.event("prerendered")
        assert [view["url"] for view in await host.pageviews(1)] == [host.origin + "/a"]
        assert host.events("early") == []
        assert not any(event["url"].endswith("/b") for event in host.events("engagement"))
        host.page_released.set()
        assert (await host.pageviews(2))[1]["url"] == host.origin + "/b"
        await host.event("early")
    finally:
        running.terminate()
        await running.wait()


async def test_custom_events_before_and_after_load(host: Host, page: Page) -> None:
    """The stub's queue is drained after the pageview; both kinds carry properties and revenue."""
    host.head = STUB + "<script>forebay('early', {plan: 'pro'})</script>"
    await page.goto(host.origin + "/a")
    revenue = {"amount": "9.90", "currency": "EUR"}
    await page.evaluate("money => forebay('buy', {n: 1, gift: true}, {revenue: money})", revenue)
    early, buy = await host.event("early"), await host.event("buy")
    assert (early["props"], early["url"]) == ({"plan": "pro"}, host.origin + "/a")
    assert (buy["props"], buy["revenue"]) == ({"n": 1, "gift": True}, revenue)
    assert "revenue" not in early
    events = await host.sent_before(page)
    assert len({event["id"] for event in events}) == len(events) == 3


async def test_two_tags_count_once(host: Host, page: Page) -> None:
    """A template and a tag manager may both have put it there."""
    host.tags = 2
    await page.goto(host.origin + "/a")
    await page.evaluate("history.pushState(null, '', '/b')")
    await host.pageviews(2)
    assert len(await host.sent_before(page)) == 2


async def test_nothing_is_stored_in_the_browser(host: Host, page: Page) -> None:
    """No cookie, no storage, no database, no cache."""
    await page.goto(host.origin + "/a")
    await page.evaluate("history.pushState(null, '', '/b'); forebay('signup', {plan: 'pro'})")
    await host.event("signup")
    assert await page.context.cookies() == []
    kept = """async () => [document.cookie, localStorage.length, sessionStorage.length,
        (await indexedDB.databases()).length, (await caches.keys()).length]"""
    assert await page.evaluate(kept) == ["", 0, 0, 0, 0]
    assert all(post.cookie is None for post in host.posts)


async def test_localhost_is_ignored_only_when_asked(host: Host, page: Page) -> None:
    """The other tests are the proof that it counts otherwise."""
    host.attributes += " data-ignore-localhost"
    await page.goto(host.origin + "/a")
    await page.evaluate("""forebay('signup'); navigator.sendBeacon('/f', '{"name": "last"}')""")
    await host.event("last")
    assert len(host.posts) == 1


async def test_demo_page_shows_what_it_sends(host: Host, page: Page) -> None:
    """Its links and buttons send what they say, and its log says what came back."""
    await page.goto(host.origin + "/demo")
    await page.click("text=Pricing")
    await page.click("#signup")
    await page.click("#purchase")
    await page.locator("#log i.good").nth(3).wait_for()
    assert sorted(event.get("name", "") for event in host.all_events()) == ["", "", "purchase", "signup"]
    assert {event["site"] for event in host.all_events()} == {"demo"}
    assert host.events()[1]["title"] == "Pricing · Forebay demo"
    assert host.events("purchase")[0]["revenue"] == {"amount": "9.90", "currency": "EUR"}
    assert "202 in" in await page.locator("#log").inner_text()
