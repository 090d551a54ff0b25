"""A page is not touched by its tracker: nothing of it is changed, whatever it forbids or broke, and nothing is thrown into it."""

import base64
import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.support.host import DIST, Host
from tests.support.pages import pass_time
from tests.support.waiting import until
from tests.system.tracker.conftest import open_page

pytestmark = pytest.mark.asyncio(loop_scope="module")
VIOLATIONS = "window.violations = []; addEventListener('securitypolicyviolation', event => violations.push(event.violatedDirective))"
FILES = "performance.getEntriesByType('resource').filter(one => /\\.(vitals|queue)\\.js$/.test(one.name) && one.responseEnd).length"

# What a page can see: every property of every prototype and global, and what it is.
SEEN = """() => {
  const seen = {};
  for (const name of Object.getOwnPropertyNames(window)) {
    const value = Object.getOwnPropertyDescriptor(window, name).value;
    seen[name] = typeof value;
    for (const holder of value && /function|object/.test(typeof value) && value !== window ? [value, value.prototype] : []) {
      if (!holder || holder instanceof Node || holder === window) continue;
      for (const key of Reflect.ownKeys(holder)) {
        const {value: inner, get, set} = Object.getOwnPropertyDescriptor(holder, key);
        seen[`${name}.${holder === value ? '' : 'prototype.'}${String(key)}`] = [inner, get, set]
          .map(part => typeof part === 'function' ? String(part).slice(0, 200) : typeof part).join();
      }
    }
  }
  return seen;
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def strict(browser: Browser) -> AsyncIterator[Page]:
    """Opens a page that notes what its policy forbade."""
    async with open_page(browser, VIOLATIONS) as page:
        yield page


POLICIES = (
    "script-src 'nonce-n'; connect-src TRACKER; require-trusted-types-for 'script'; trusted-types 'none'",
    "script-src 'nonce-n' 'strict-dynamic'; connect-src TRACKER; default-src 'none'",
    "script-src TRACKER; connect-src TRACKER; default-src 'none'; sandbox allow-scripts allow-same-origin",
)


@pytest.mark.parametrize("policy", POLICIES, ids=("trusted types", "strict-dynamic", "hosts"))
async def test_strict_policies(host: Host, strict: Page, policy: str) -> None:
    """With its nonce or its host allowed, the tracker and its files load and send, and offend against nothing."""
    host.attributes += ' nonce="n" data-with="vitals queue"'
    host.headers = {
        "Content-Security-Policy": policy.replace("TRACKER", host.tracker),
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    await strict.goto(host.origin + "/a")
    await host.pageviews(1)
    await strict.evaluate("forebay('signup', {plan: 'pro'})")
    assert (await host.event("signup"))["props"] == {"plan": "pro"}
    await until_true(strict, f"{FILES} === 2")
    assert await strict.evaluate("violations") == []


async def until_true(page: Page, condition: str) -> None:
    """Waits without a timer of the page, whose policy may forbid to evaluate texts."""

    async def holds() -> bool:
        return bool(await page.evaluate(condition))

    await until(holds)


COUNTS = """
window.tries = window.handed = 0;
const [tried, later] = [fetch, fetchLater];
fetch = (url, options) => { tries += !!options; return tried(url, options) };
fetchLater = (...given) => { handed++; return later(...given) };
"""


async def test_a_policy_that_forbids_us_is_offended_by_tries_alone(host: Host, strict: Page) -> None:
    """Each offence is a report to the site: a try, and with it what is handed to the browser, and both come less often with time."""
    host.headers = {"Content-Security-Policy": "connect-src 'self'"}
    await strict.add_init_script(COUNTS)
    await strict.clock.install()
    await strict.goto(host.origin + "/a")
    await until_true(strict, "tries > 0")
    await pass_time(strict, host, 60_000)
    tries, handed, offences = await strict.evaluate("[tries, handed, violations.length]")
    assert 10 < tries < 36
    assert handed <= tries + 2
    assert offences <= tries + handed + 1


async def test_its_hash_is_enough(host: Host, strict: Page) -> None:
    """Subresource integrity: the tag names the script's hash, as does the policy, and nothing else is allowed."""
    digest = base64.b64encode(hashlib.sha384((DIST / "f.js").read_bytes()).digest()).decode()
    host.attributes += f' integrity="sha384-{digest}" crossorigin="anonymous"'
    host.headers = {"Content-Security-Policy": f"script-src 'sha384-{digest}'; connect-src {host.tracker}"}
    await strict.goto(host.origin + "/a")
    await host.pageviews(1)
    assert await strict.evaluate("violations") == []


async def test_nothing_of_the_page_is_changed(host: Host, page: Page) -> None:
    """No global but its own name, no function that is another one, no element, no storage."""
    await page.add_init_script(f"window.seen = {SEEN}; window.before = null; window.before = seen()")
    host.attributes += ' data-with="vitals queue"'
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
    await until_true(page, f"{FILES} === 2")
    await page.evaluate("forebay('signup'); document.body.click(); history.pushState(null, '', '/b')")
    await host.pageviews(2)
    changed = await page.evaluate(
        "() => { const now = seen(); return [...new Set([...Object.keys(now), ...Object.keys(before)])]"
        ".filter(name => now[name] !== before[name]).map(name => name.split('.')[0]) }"
    )
    assert set(changed) <= {"forebay", "before"}, "`before` is the test's own"
    html = await page.evaluate("document.documentElement.outerHTML")
    assert html.count("<script") == 1
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]


BROKEN = (
    tuple(
        f"{name} = () => {{ throw new Error('broken') }}"
        for name in [
            "window.fetch",
            "window.fetchLater",
            "navigator.sendBeacon",
            "history.pushState",
            "history.replaceState",
            "JSON.stringify",
            "JSON.parse",
            "Array.isArray",
            "Object.keys",
            "Object.entries",
            "Object.assign",
            "Object.values",
            "Reflect.get",
            "Math.random",
            "Math.max",
            "Date.now",
            "Event.prototype.composedPath",
            "Element.prototype.matches",
            "Element.prototype.getAttribute",
            "performance.getEntries",
            "Promise.prototype.then",
            "Promise.prototype.catch",
            "window.setInterval",
            "window.setTimeout",
            "window.clearTimeout",
            "window.requestIdleCallback",
            "window.encodeURI",
            "window.AbortController",
            "window.addEventListener",
            "document.hasFocus",
            "document.querySelector",
            "Response.prototype.json",
            "Headers.prototype.get",
        ]
    )
    + tuple(
        f"Array.prototype.{name} = () => {{ throw new Error('broken') }}"
        for name in [
            "map",
            "filter",
            "push",
            "splice",
            "slice",
            "find",
            "some",
            "includes",
            "forEach",
            "concat",
            "join",
            "reduce",
        ]
    )
    + (
        "Array.prototype[Symbol.iterator] = () => { throw new Error('broken') }",
        "String.prototype.replace = String.prototype.split = String.prototype.slice = () => { throw new Error('broken') }",
        "RegExp.prototype.test = RegExp.prototype.exec = () => { throw new Error('broken') }",
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('broken') }})",
        "Object.defineProperty(window, 'forebay', {value: 7})",
        "Object.defineProperty(window, 'forebay', {get() { throw new Error('broken') }, configurable: true})",
        "Object.defineProperty(navigator, 'globalPrivacyControl', {get() { throw new Error('broken') }})",
        "Object.defineProperty(HTMLElement.prototype, 'dataset', {get() { throw new Error('broken') }})",
        "window.fetch = () => 1",
        "window.fetch = () => Promise.reject(1)",
        "window.fetch = () => Promise.resolve({status: 503})",
        "window.Promise = undefined",
        "window.performance = undefined",
        "Object.freeze(window.history); Object.freeze(Array.prototype); Object.freeze(Object.prototype)",
    )
)


# Each frame breaks what its name says before the tracker is there, and notes what reaches it as an error.
GUEST = """<script>top !== window && (0, eval)(name)</script>
<form onsubmit="return false"><button>go</button></form><a onclick="return false" href="https://other.example/">out</a>"""
USE = """async breakages => {
  const thrown = [];
  await Promise.all(breakages.map(breakage => new Promise(loaded => {
    const frame = document.createElement('iframe');
    frame.name = breakage;
    frame.src = '/frame';
    frame.onload = () => {
      const inner = frame.contentWindow;
      try {
        inner.document.forms[0].elements[0].click();
        inner.document.links[0].click();
        inner.location.hash = 'part';
        inner.dispatchEvent(new inner.Event('visibilitychange'));
        if (typeof Object.getOwnPropertyDescriptor(inner, 'forebay')?.value === 'function') {
          inner.forebay('signup', {plan: 'pro', tags: ['a']});
          inner.forebay.consent('granted');
        }
      } catch (error) {
        thrown.push(`${breakage}: ${error.stack}`);
      }
      loaded();
    };
    document.body.append(frame);
  })));
  await new Promise(passed => setTimeout(passed, 2500)); // some ticks of the trackers
  return thrown;
}"""


async def test_nothing_is_thrown_into_broken_pages(browser: Browser, host: Host) -> None:
    """Not by the script, not by its calls, listeners and timers, not as an unhandled rejection."""
    errors: list[str] = []
    context = await browser.new_context()
    page = await context.new_page()
    page.on("pageerror", lambda error: errors.append(f"{error} {error.stack}"))
    host.head = GUEST
    host.attributes += ' data-with="queue" data-hash'
    await page.goto(host.origin + "/a")
    assert await page.evaluate(USE, ["", *BROKEN]) == []
    assert errors == []
    assert len(host.events("signup")) > len(BROKEN) // 2, "most pages are counted all the same"
    await context.close()


async def test_a_sandboxed_frame_counts(host: Host, page: Page) -> None:
    """It has neither an origin nor a storage, and the file of the queue finds nothing to keep it in."""
    host.head = (
        "<script>if (top === window) document.write('<iframe sandbox=allow-scripts src=/inner></iframe>')</script>"
    )
    host.attributes += ' data-with="queue"'
    await page.goto(host.origin + "/a")
    await until(lambda: {event["url"] for event in host.events()} == {host.origin + "/a", host.origin + "/inner"})
