"""The page is of use to everybody: axe-core finds nothing in it, in both themes and on a telephone, and nothing sticks out of 360 px."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.dashboard.showing import shown
from tests.support.system import System

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
