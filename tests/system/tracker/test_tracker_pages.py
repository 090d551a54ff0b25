"""Pages that broke what the tracker reads: they are counted all the same, and nothing is thrown into them."""

import json
import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.support.host import STUB, Host
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


BREAKAGES = (
    "delete Crypto.prototype.randomUUID",  # plain HTTP
    "Object.defineProperty(window, 'crypto', {value: undefined})",
    "history.pushState = null",
    "Object.freeze(history)",
    "window.addEventListener = null",
    "window.URL = 'https://x.example'",
    "window.screen = null",
    "window.forebay = document",
    "document.querySelector = null",
    "navigator.sendBeacon = window.fetchLater = undefined",
    "window.AbortController = undefined",
    "document.hasFocus = null",
    "window.setInterval = undefined",
    "Object.defineProperty(window, 'innerHeight', {get() { throw new Error('broken') }})",
    "Object.defineProperty(window, 'outerWidth', {get() { throw new Error('broken') }})",
    "Math.random = () => 0.5",
    "window.escape = () => { throw new Error('the dialog is closed') }",  # a name that pages give to a function of theirs
    "window.escape = window.unescape = undefined",
    "Date.now = () => 0",
    "Object.defineProperty(window, 'forebay', {value: undefined, writable: true})",
    "Object.defineProperty(window, 'navigation', {get() { throw new Error('broken') }})",
    "Object.defineProperty(window, 'screen', {get() { throw new Error('broken') }})",
    "Object.defineProperty(navigator, 'language', {get() { throw new Error('broken') }})",
    "Object.defineProperty(navigator, 'language', {value: ['en']})",
    "Object.defineProperty(document, 'title', {get() { throw new Error('broken') }})",
    "Object.defineProperty(Document.prototype, 'title', {get() { throw new Error('broken') }})",
    "Object.defineProperty(Document.prototype, 'referrer', {get() { throw new Error('broken') }})",
    "Object.defineProperty(Document.prototype, 'prerendering', {get() { throw new Error('broken') }})",
)


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_counts_on_a_page_with_broken_globals(host: Host, page: Page, breakage: str) -> None:
    """Without what can't be read. Each event has an id of its own; the fixture `page` holds that nothing was thrown."""
    await page.add_init_script(breakage)
    await page.goto(host.origin + "/a")
    (view,) = await host.pageviews(1)
    assert view["url"] == host.origin + "/a"
    assert ("screen" in view) == ("screen" not in breakage)
    assert ("title" in view) == ("Document.prototype, 'title'" not in breakage)
    assert ("language" in view) == ("language" not in breakage)
    await page.evaluate("forebay('signup'); forebay('signup')")
    await until(lambda: len(host.events("signup")) == 2)
    ids = [event["id"] for event in host.all_events()]
    assert len(set(ids)) == len(ids) == 3


NOT_DRIVEN = "Object.defineProperty(navigator, 'webdriver', {get: () => false});"
SIGNS = (
    ("", 1),
    (NOT_DRIVEN, None),
    (NOT_DRIVEN + "window.__pwInitScripts = {}", 2),
    (NOT_DRIVEN + "window.__playwright__binding__ = {}", 2),
    (NOT_DRIVEN + "window.cdc_adoQpoasnfa76pfcZLmcfl_Array = Array", 2),
    (NOT_DRIVEN + "window.phantom = {solana: {}}; window._phantomWallet = window.__webpack_modules__ = {}", None),
    (NOT_DRIVEN + "window.outerWidth = window.outerHeight = 0", 4),
    (NOT_DRIVEN + "delete window.chrome; delete Navigator.prototype.plugins", None),
    (
        NOT_DRIVEN + "window.outerWidth = window.outerHeight = 0;"
        "Object.defineProperty(Document.prototype, 'hidden', {get: () => true})",
        None,
    ),
    ("window.cdc_adoQpoasnfa76pfcZLmcfl_Array = Array; window.outerWidth = 0", 7),
    ("Object.defineProperty(navigator, 'webdriver', {get() { throw new Error('broken') }})", None),
)


@pytest.mark.parametrize(("script", "auto"), SIGNS, ids=range(len(SIGNS)))
async def test_signs_that_a_program_drives_the_browser(host: Host, page: Page, script: str, auto: int | None) -> None:
    """A mask, absent without a sign. A wallet of that name, a WebView without `chrome` and a hidden page are no sign."""
    await page.add_init_script(script)
    await page.goto(host.origin + "/a")
    (view,) = await host.pageviews(1)
    assert view.get("auto") == auto


NAMED = (
    '<form name="title"></form><img name="referrer"><img name="currentScript"><form name="hidden"></form>'
    '<form name="prerendering"></form><form name="visibilityState"></form>'
)


@pytest.mark.parametrize("elements", [NAMED, '<form id="forebay"><input name="q"></form>', '<p id="forebay"></p>'])
async def test_elements_with_the_names_of_what_is_read(host: Host, page: Page, elements: str) -> None:
    """A form called title hides the document's title, and an id is a global: neither is taken for the thing."""
    host.head = elements
    await page.goto(host.origin + "/a")
    (view,) = await host.pageviews(1)
    assert (view["title"], view["referrer"], view["site"]) == ("/a", "", "example.com")
    await page.evaluate("forebay('signup')")
    await host.event("signup")


TO_JSON = (
    "Array.prototype.toJSON = function () { return '[' + Array.from(this).join(', ') + ']' }",
    "Object.prototype.toJSON = function () { return 'replaced' }",
    "Object.prototype.toJSON = () => { throw new Error('broken') }",
    "Array.prototype.toJSON = () => { throw new Error('broken') }",
    "for (const type of [String, Number, Boolean]) type.prototype.toJSON = () => 'replaced'",
    # as Prototype 1.6 had them
    (
        "for (const type of [Object, Array, String, Number, Boolean])"
        " type.prototype.toJSON = function () { return JSON.stringify(String(this)) }"
    ),
)


@pytest.mark.parametrize("library", TO_JSON)
async def test_a_librarys_to_json_changes_nothing(host: Host, page: Page, library: str) -> None:
    """The event is the same as on any other page, and the library's function stays where it was."""
    await page.add_init_script(library)
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    kept = "JSON.stringify([Object, Array, String].map(type => String(type.prototype.toJSON)).join())"
    before = await page.evaluate(kept) if "broken" not in library else ""
    await page.evaluate(
        "forebay('signup', {tags: ['a', 'b'], plan: 'pro', n: 1, deep: {list: [1]}, yes: true},"
        " {revenue: {amount: '9.90', currency: 'EUR'}})"
    )
    signup = await host.event("signup")
    view = host.events()[0]
    if "throw" not in library:
        assert view["screen"] == [1280, 720]
        assert signup["props"] == {"tags": ["a", "b"], "plan": "pro", "n": 1, "deep": {"list": [1]}, "yes": True}
        assert signup["revenue"] == {"amount": "9.90", "currency": "EUR"}
        assert await page.evaluate(kept) == before
    assert (signup["props"]["plan"], signup["props"]["n"], view["title"]) == ("pro", 1, "/a")


RING = "const ring = {plan: 'pro'}; ring.self = ring; return ring"
ELEMENT = "const p = document.createElement('p'); p.__x = {stateNode: p}; return {plan: 'pro', at: p}"
DEEP = "let deep = 1; for (let i = 0; i < 5000; i++) deep = {deep}; return {plan: 'pro', deep}"
DEEPER = "let deep = []; for (let i = 0; i < 990; i++) deep = [deep]; return {plan: 'pro', deep}"
MANY = "const all = {plan: 'pro'}; for (let i = 0; i < 5000; i++) all['n' + i] = 'é'.repeat(400); return all"
PROPS: tuple[tuple[str, dict[str, object] | None], ...] = (
    (RING, {"plan": "pro"}),
    (ELEMENT, {"plan": "pro"}),
    (DEEP, {"plan": "pro"}),
    (DEEPER, {"plan": "pro"}),
    ("return {order: 12345678901234567890n, plan: 'pro'}", {"order": "12345678901234567890", "plan": "pro"}),
    ("return {cart: {order: 1n}, plan: 'pro'}", {"cart": {"order": "1"}, "plan": "pro"}),
    ("return {plan: 'pro', get bad() { throw new Error('no') }}", {"plan": "pro"}),
    ("return {plan: 'pro', at: new Date(NaN), on: new Date(0)}", {"plan": "pro", "on": "1970-01-01T00:00:00.000Z"}),
    ("return {plan: 'pro', window, frames, body: document.body}", {"plan": "pro"}),
    ("return {plan: 'pro', f() {}, s: Symbol('s'), [Symbol('k')]: 1, u: undefined}", {"plan": "pro"}),
    ("return {plan: 'pro', nan: NaN, inf: -Infinity}", {"plan": "pro"}),
    ("return {plan: 'pro', map: new Map([[1, 2]]), set: new Set([1])}", {"plan": "pro"}),
    ("return {plan: 'pro', to: new URL('https://x.example/')}", {"plan": "pro", "to": "https://x.example/"}),
    ("return {plan: 'pro', bad: {toJSON() { throw new Error('no') }}}", {"plan": "pro"}),
    ("return {plan: 'pro', bad: new Proxy({}, {ownKeys() { throw new Error('no') }})}", {"plan": "pro"}),
    ("return {plan: 'pro', text: 'x'.repeat(1e6)}", {"plan": "pro"}),
    ("return {plan: 'pro', list: Array(1e5).fill('x')}", {"plan": "pro"}),
    ("return {plan: 'pro', half: '\\ud800', nul: '\\0', quote: '\"\\\\'}", None),
    ("return Object.assign(Object.create(null), {plan: 'pro'})", {"plan": "pro"}),
    ("return new (class Plan { constructor() { this.plan = 'pro' } })()", {"plan": "pro"}),
    ("const a = {b: 1}; return {plan: 'pro', one: a, two: a}", {"plan": "pro", "one": {"b": 1}, "two": {"b": 1}}),
    (MANY, None),
    ("return 'pro'", None),
    ("return ['a']", None),
    ("return 5", {}),
    ("return null", None),
    ("return () => 1", {}),
    ("const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); return proxy", None),
)


@pytest.mark.parametrize(("code", "stored"), PROPS, ids=range(len(PROPS)))
async def test_an_event_survives_its_properties(
    host: Host, page: Page, code: str, stored: dict[str, object] | None
) -> None:
    """What JSON can't write, or what is too large, is left out; the event and its other properties are sent."""
    await page.goto(host.origin + "/a")
    await page.evaluate(f"forebay('order', (() => {{ {code} }})())")
    order = await host.event("order")
    props = {name: value for name, value in order.get("props", {}).items() if value not in ({}, None)}
    if stored is not None:
        assert props == stored
    elif "plan" in code:
        assert props["plan"] == "pro"
    else:
        assert "props" not in order
    assert len(json.dumps(order, ensure_ascii=False).encode("utf-8", "surrogatepass")) < 32 << 10


@pytest.mark.parametrize("name", ["undefined", "null", "() => 1", "5", "{}", "''"])
async def test_a_call_without_a_name_is_no_pageview(host: Host, page: Page, name: str) -> None:
    """It is sent with the name it has, for the server to judge: an empty one is refused."""
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.evaluate(f"forebay({name})")
    assert [("name" in event) for event in await host.sent_before(page)] == [False, True]


async def test_a_long_address_and_title_are_cut(host: Host, page: Page) -> None:
    """The server judges the length of what it keeps; what it can't keep need not be sent, nor end the event."""
    await page.goto(host.origin + "/a?utm_source=mail")
    await page.evaluate("history.pushState(null, '', '/b?state=' + 'x'.repeat(9e4)); document.title = 'é'.repeat(1e5)")
    view = (await host.pageviews(2))[1]
    assert view["url"].startswith(host.origin + "/b?state=xx")
    await page.evaluate("history.pushState(null, '', '/c')")
    assert len(json.dumps((await host.pageviews(3))[2], ensure_ascii=False).encode()) < 16 << 10
    assert len(view["title"]) == 500


async def test_a_call_that_is_none_costs_no_other(host: Host, page: Page) -> None:
    """What a page put into the stub's list by itself, and no call made."""
    host.head = STUB + "<script>forebay('early'); forebay.q.push(null, 5); forebay('late')</script>"
    await page.goto(host.origin + "/a")
    await host.event("late")
    assert [event.get("name") for event in await host.sent_before(page)].count("early") == 1


async def test_a_replaced_clock_costs_no_event(host: Host, page: Page) -> None:
    """Nor does it make an event of another time."""
    await page.add_init_script("Date.now = () => NaN")
    await page.goto(host.origin + "/a")
    (view,) = await host.pageviews(1)
    assert abs(view["ts"] / 1_000 - time.time()) < 60
    await page.evaluate("forebay('signup')")
    await host.event("signup")


@pytest.mark.parametrize("broken", ["() => undefined", "value => typeof value == 'number' ? undefined : native(value)"])
async def test_broken_json_costs_no_other_event(host: Host, page: Page, broken: str) -> None:
    """An event that can't be written is not sent, and leaves a body that can be read to those that are."""
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await page.evaluate(
        f"const native = JSON.stringify; JSON.stringify = {broken}; forebay('lost');"
        "JSON.stringify = native; forebay('kept')"
    )
    await host.event("kept")
    assert [event.get("name") for event in await host.sent_before(page)] == [None, "kept"]


FRAMES = (
    "frame.srcdoc = TAG",
    "frame.src = 'data:text/html,' + encodeURIComponent(TAG)",
    "frame.src = URL.createObjectURL(new Blob([TAG], {type: 'text/html'}))",
    (
        "setTimeout(() => { frame.contentDocument.open(); frame.contentDocument.write(TAG);"
        " frame.contentDocument.close() })"
    ),
)


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_frame_without_an_address_says_nothing(host: Host, page: Page, frame: str) -> None:
    """about:srcdoc, about:blank, data: and blob: are no page that anybody could look at, and nothing is thrown there."""
    host.tags = 0
    await page.goto(host.origin + "/a")
    done = "addEventListener(\\'load\\',()=>{forebay(\\'inner\\');top.postMessage(typeof forebay,\\'*\\')})"
    await page.evaluate(
        f"""() => new Promise(loaded => {{
          const TAG = '<script defer src="{host.tracker}/f.js" data-site="example.com"></' + 'script>'
            + '<script>{done}</' + 'script>';
          const frame = document.createElement('iframe');
          addEventListener('message', loaded);
          {frame};
          document.body.append(frame);
        }})"""
    )
    await page.evaluate("""navigator.sendBeacon('/f', '{"name": "last"}')""")
    await host.event("last")
    # A document that was written into about:blank has the address of who wrote it.
    written = [event["url"] for event in host.all_events() if event.get("name") != "last"]
    assert written == ([host.origin + "/a"] * len(written) if "write" in frame else [])


async def test_a_file_says_nothing(host: Host, page: Page, tmp_path: Path) -> None:
    """Nothing is sent from file:, however often it is called, and the console is empty."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.method))
    file = tmp_path / "index.html"
    file.write_text(f'<title>t</title><script defer src="{host.tracker}/f.js" data-site="example.com"></script>')
    await page.goto(file.as_uri())
    await page.evaluate("for (let i = 0; i < 1000; i++) forebay('open')")
    assert (set(requests), said, host.posts) == ({"GET"}, [], [])


async def test_an_isolated_page_counts(host: Host, page: Page) -> None:
    """Cross-Origin-Embedder-Policy: require-corp."""
    host.headers = {"Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Opener-Policy": "same-origin"}
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    assert await page.evaluate("crossOriginIsolated")


async def test_a_policy_that_forbids_us_throws_nothing(browser: Browser, host: Host, page: Page) -> None:
    """connect-src without our host: the page works, and nothing arrives."""
    host.headers = {"Content-Security-Policy": "connect-src 'self'"}
    await page.goto(host.origin + "/a")
    await page.evaluate("forebay('signup'); history.pushState(null, '', '/b')")
    await page.evaluate("""navigator.sendBeacon('/f', '{"name": "last"}')""")
    await host.event("last")
    assert len(host.posts) == 1


@pytest.mark.parametrize(
    "breakage",
    [
        "JSON.stringify = () => { throw new Error('broken') }",
        "navigator.sendBeacon = window.fetchLater = window.fetch = undefined",
        "navigator.sendBeacon = window.fetchLater = undefined; window.fetch = () => 1",
        (
            "navigator.sendBeacon = window.fetchLater = undefined;"
            "window.fetch = () => Promise.reject(1);window.setTimeout = undefined"
        ),
    ],
)
async def test_throws_nothing_where_it_cannot_send(host: Host, page: Page, breakage: str) -> None:
    """Not from a call, not from a listener, not as an unhandled rejection (fixture `page`)."""
    await page.add_init_script(breakage)
    await page.goto(host.origin + "/a")
    await page.evaluate("const loop = {}; loop.loop = loop; forebay('signup', loop); history.pushState(0, '', '/b')")
    assert await page.evaluate("location.pathname") == "/b"
    assert host.posts == []
