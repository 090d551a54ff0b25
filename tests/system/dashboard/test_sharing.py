"""Public links on the page: made and revoked by an admin of the site, and what somebody sees who has one, without a login.

What a link may ask, and for which days, is judged by the server: tests/servers/dashboard/access/test_links.py.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Response, expect

from tests.support.accessible import looked_at
from tests.support.dashboard.crowd import shop
from tests.support.dashboard.showing import Shown, fill, put, register, shown
from tests.support.system import System, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = "shop.example"
MARCH = ("2026-03-01", "2026-03-31")
MAY_ASK = {"/api/link", f"/api/sites/{SHOP}", "/api/panel", "/api/panel.csv", "/api/export.zip"}
REFUSED = {400, 401, 403, 404}
HIDDEN = ("Revenue", "Campaigns", "Retention", "Links and forms")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Runs a system with a site that has visits in March."""
    async with running(
        tmp_path_factory.mktemp("sharing"), FOREBAY_PRODUCTION="true", FOREBAY_QUESTION_SECONDS="30"
    ) as up:
        await fill(up, [shop(until=date(2026, 3, 31), weeks=4, visits_a_day=20)])
        await register(up, SHOP)
        await put(up, f"{SHOP}/goals", {"text": "purchase"})
        yield up


async def test_an_admin_makes_a_link_and_revokes_it(browser: Browser, system: System) -> None:
    """Its reader sees what the admin sees of these days, asks for nothing else, and hears that it is over."""
    url = system.facts()["dashboard_url"]
    async with shown(browser, url, width=390) as mine:
        await mine.go(f"#/{SHOP}?period={','.join(MARCH)}")
        visitors = await mine.page.locator(".kpi .value").first.inner_text()
        assert int(visitors.replace(",", "")) > 0
        address = await _made(mine.page, "the board")
        await looked_at(mine.page)
        async with shown(browser, url) as theirs:
            answers: list[Response] = []
            theirs.page.on("response", partial(_note, answers))
            await theirs.page.goto(address)
            await _looked_over(theirs)
            await expect(theirs.page.locator(".kpi .value").first).to_have_text(visitors)
            await looked_at(theirs.page)
            await _offers_nothing_else(theirs.page)
            _asked_little(answers, address)
            await mine.page.get_by_role("button", name="Revoke the board").click()
            await expect(mine.page.get_by_text("There is no link to this site.")).to_be_visible()
            await theirs.page.get_by_role("link", name="Details of Pages").click()
            await expect(theirs.page.get_by_role("heading", name="This link shows nothing now")).to_be_visible()
            await looked_at(theirs.page)
            await theirs.page.get_by_role("button", name="Open it again").click()
            await expect(theirs.page.get_by_text("This link shows nothing any more.")).to_be_visible()
        assert _faults(mine) == []


async def test_what_is_ticked_is_shown(browser: Browser, system: System) -> None:
    """With a password, which is asked for without scripts of ours, and under a name that leads nowhere else."""
    password = "a password of some length"
    said = {"name": "all", "password": password, "shows": ["users", "revenue", "properties"]}
    link = await asyncio.to_thread(_put, system, {**said, "since": MARCH[0], "until": MARCH[1]})
    async with shown(browser, system.facts()["dashboard_url"]) as theirs:
        answers: list[Response] = []
        await theirs.page.goto(link["address"])
        await theirs.page.get_by_label("Password").fill(password)
        theirs.page.on("response", partial(_note, answers))
        await theirs.page.keyboard.press("Enter")
        await expect(theirs.page.get_by_role("heading", name=SHOP)).to_be_visible()
        await _looked_over(theirs)
        for title in HIDDEN:
            await expect(theirs.page.get_by_role("heading", name=title, exact=True)).to_have_count(1)
        _asked_little(answers, link["address"])
        assert _faults(theirs) == []


def _faults(opened: Shown) -> list[str]:
    """Returns what a page complained of, but for panels that waited too long on a busy machine."""
    return [text for text in opened.complaints if "503" not in text and "504" not in text]


async def _looked_over(theirs: Shown) -> None:
    """Looks at everything that there is, so that every panel asks."""
    await expect(theirs.page.locator(".kpi").first).to_be_visible()
    await theirs.settled()
    await theirs.seen()


async def _offers_nothing_else(page: Page) -> None:
    """Fails if a reader is offered what the link hides or refuses; what is downloaded comes."""
    for title in HIDDEN:
        await expect(page.get_by_role("heading", name=title, exact=True)).to_have_count(0)
    for name in ("Share", "Notes", "Change goals", "Add a funnel"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    for name in ("Health", "Account", "Forebay: all sites"):
        await expect(page.get_by_role("link", name=name)).to_have_count(0)
    await page.get_by_role("button", name="Period: ").click()
    periods = page.get_by_role("group", name="Period", exact=True)
    await expect(periods.get_by_role("button")).to_have_text([f"{MARCH[0]} to {MARCH[1]}"])
    await page.keyboard.press("Escape")
    for link in (page.get_by_role("link", name="CSV of Pages"), page.get_by_role("link", name="All tables as CSV")):
        address = await link.get_attribute("href")
        assert await page.evaluate("address => fetch(address).then(answer => answer.status)", address) == 200


def _asked_little(answers: list[Response], address: str) -> None:
    """Fails if something of the API was asked that is not the link's, or was refused."""
    asked = [(urlsplit(one.url), one.status) for one in answers if "/api/" in one.url]
    link_id = address.rpartition("/")[2].partition("_")[0]
    assert {url.path for url, _ in asked} <= MAY_ASK
    assert [url for url, _ in asked if parse_qs(url.query).get("link") != [link_id]] == []
    assert [(url, status) for url, status in asked if status in REFUSED] == []
    assert len(asked) > len(MAY_ASK)


async def _made(page: Page, name: str) -> str:
    """Makes a link for the days of March on the page, and returns its address."""
    await page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill(name)
    await dialog.get_by_label("Days").select_option("between")
    await dialog.get_by_label("First day", exact=True).fill(MARCH[0])
    await dialog.get_by_label("Last day", exact=True).fill(MARCH[1])
    await dialog.get_by_role("button", name="Make a link").click()
    address = await dialog.get_by_role("group", name="the address").inner_text()
    await expect(dialog.get_by_role("list", name="Links")).to_contain_text(f"{name} {MARCH[0]} to {MARCH[1]}")
    return address.strip()


def _note(answers: list[Response], answer: Response) -> None:
    answers.append(answer)


def _put(system: System, said: dict[str, Any]) -> dict[str, Any]:
    """Makes a link, as the page does."""
    request = urllib.request.Request(
        f"{system.facts()['dashboard_url']}/api/sites/{SHOP}/links",
        json.dumps(said).encode(),
        {"Content-Type": "application/json", "X-Forebay": "1"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        made: dict[str, Any] = json.loads(answer.read())
    return made
