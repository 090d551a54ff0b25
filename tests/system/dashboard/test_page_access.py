"""The page is of use to everybody: axe-core finds nothing in it, in both themes and on a telephone, and nothing sticks out of 360 px;
and a keyboard is enough.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.support.dashboard.showing import Shown, shown
from tests.support.system import ROOT, System

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERIOD = "period=2026-03-04,2026-03-31"
FILTERED = f'{PERIOD}&f=[["is","country",["DE"]]]'
# Each state is an address, and what is pressed there by the text of its name.
STATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sites": ("#/", ()),
    "site": (f"#/shop.example?{PERIOD}", ()),
    "table": (f"#/shop.example?{PERIOD}&metric=bounce_rate", ("Table",)),
    "filtered": (f"#/shop.example?{FILTERED}&tab.acquisition=utm_medium", ("4 – 31 Mar 2026",)),
    "filter": (f"#/shop.example?{FILTERED}", ("Country is Germany",)),
    "details": (f"#/shop.example?{PERIOD}&detail=cities", ()),
    "health": ("#/?page=health", ()),
    "setup": ("#/empty.example", ()),
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TABS_MAX = 150
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RUN = "rules => axe.run(document, {runOnly: rules})"
WIDEST = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def look_through(page: Page) -> None:
    """Scrolls to the end, so that everything that waits for being seen has asked for its numbers."""
    for _ in range(20):
        await page.evaluate("() => scrollBy(0, innerHeight)")
        await page.wait_for_load_state("networkidle")
        if await page.evaluate("() => innerHeight + scrollY >= document.documentElement.scrollHeight - 1"):
            break
    await expect(page.locator("[aria-busy=true]")).to_have_count(0)


def said(violation: dict[str, Any]) -> str:
    return f"{violation['id']}: {[node['html'][:160] for node in violation['nodes'][:3]]}"


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
async def test_axe_finds_nothing(browser: Browser, system: System, theme: Literal["light", "dark"], width: int) -> None:
    """Of WCAG 2.2 AA and of best practice; eight states of the page."""
    faults = []
    for name, (address, pressed) in STATES.items():
        async with shown(browser, system.facts()["dashboard_url"], width=width, theme=theme) as opened:
            await opened.go(address)
            if name == "site":
                await look_through(opened.page)
            for text in pressed:
                await opened.page.get_by_role("button", name=text).first.click()
                await opened.settled()
            await opened.page.evaluate(AXE)
            found = await opened.page.evaluate(RUN, RULES)
            assert len(found["passes"]) > 20
            faults += [f"{name}: {said(violation)}" for violation in found["violations"]]
            if out := await opened.page.evaluate(WIDEST):
                faults.append(f"{name}: {out} px stick out")
            faults += [f"{name}: {complaint}" for complaint in opened.complaints]
    assert faults == []


async def tab_to(page: Page, wanted: Locator, key: Literal["Tab", "Shift+Tab"] = "Tab") -> None:
    """Presses Tab until an element has the focus, which has to be seen then."""
    for _ in range(TABS_MAX):
        await page.keyboard.press(key)
        if await wanted.count() and await wanted.first.evaluate("element => element === document.activeElement"):
            outline = await wanted.first.evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline != "none", f"the focus of {wanted} is not seen"
            return
    raise AssertionError(f"{key} does not come to {wanted}")


async def registered(system: System, site: str) -> None:
    """Registers a site, so that the list has it whenever its events were."""
    words = ["forebay", "site", "add", site, "--redis-url", str(system.facts()["redis_url"])]
    await asyncio.to_thread(subprocess.run, [sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)


async def test_a_site_and_a_period_are_chosen_by_keyboard_alone(system: System, opened: Shown) -> None:
    """From the list past what stands above it into a site; another period; what was opened is closed, and the focus is where it was."""
    await registered(system, "shop.example")
    await opened.go(f"#/?{PERIOD}")
    page, press = opened.page, opened.page.keyboard.press
    site = page.get_by_role("link", name="shop.example")
    await expect(site).to_have_count(1)
    await tab_to(page, page.get_by_role("link", name="Skip to the numbers"))
    await press("Enter")
    await tab_to(page, site)
    await press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("shop.example")
    await opened.settled()
    chooser = page.locator(".period > button")
    await tab_to(page, chooser)
    await press("Enter")
    await tab_to(page, page.get_by_role("button", name="All time"))
    await press("Enter")
    await expect(chooser).to_be_focused()
    assert "period=all" in page.url
    await press("Enter")
    await tab_to(page, page.get_by_role("button", name="Same dates a year before", exact=True))
    await press("Escape")
    await expect(chooser).to_be_focused()
    await tab_to(page, page.get_by_role("button", name="Pageviews"))
    await press("Enter")
    await expect(page.locator(".chart h2")).to_have_text("Pageviews")
    assert opened.complaints == []


async def test_rows_filter_and_are_downloaded_by_keyboard_alone(opened: Shown) -> None:
    """A row filters, the filter is taken away, a table is downloaded, and a dialog opens and closes."""
    await opened.go(f"#/shop.example?{PERIOD}")
    page, press = opened.page, opened.page.keyboard.press
    await tab_to(page, page.get_by_role("tab", name="Countries"))
    await press("ArrowRight")
    await expect(page.get_by_role("tab", name="Regions")).to_be_focused()
    await press("ArrowLeft")
    row = page.get_by_role("link", name="Germany")
    await expect(row).to_have_count(1)
    await tab_to(page, row)
    await press("Enter")
    taken = page.get_by_role("button", name="Remove the filter: Country is Germany")
    await expect(taken).to_have_count(1)
    await opened.settled()
    await tab_to(page, taken, "Shift+Tab")
    await press("Enter")
    await expect(taken).to_have_count(0)
    await opened.settled()
    await tab_to(page, page.get_by_role("link", name="CSV of Countries"))
    async with page.expect_download() as download:
        await press("Enter")
    assert (await download.value).suggested_filename.endswith(".csv")
    goal = page.get_by_role("button", name="Add a goal")
    await tab_to(page, goal)
    await press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(goal).to_be_focused()
    assert opened.complaints == []
