"""The page in a browser: it shows what the server answers, keeps its state in the address, and outlives a server that is away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.dashboard.showing import Shown
from tests.support.system import ROOT, System

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERIOD = "2026-03-04,2026-03-31"
SITE = f"#/shop.example?period={PERIOD}"


async def panel(system: System, **more: Any) -> dict[str, Any]:
    """Returns the answer of a panel to the question that the page asks."""
    question = {"site": "shop.example", "period": PERIOD, "compare": "previous", **more}
    headers = {"Content-Type": "application/json"}
    url = f"{system.facts()['dashboard_url']}/api/panel"
    request = urllib.request.Request(url, data=json.dumps(question).encode(), headers=headers)
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


async def test_the_page_shows_what_the_server_answers(system: System, opened: Shown) -> None:
    """Totals, chart and tables have the numbers of their panels; nothing else is asked, and the policy refused nothing."""
    await opened.go(SITE)
    page = opened.page
    totals = await panel(system, panel="totals")
    visitors, visits, pageviews, per_visit, bounces, seconds, events = totals["rows"][0]
    assert visitors > 100
    await expect(page.locator(".kpi .value")).to_have_text(
        [
            f"{visitors:,}",
            f"{visits:,}",
            f"{pageviews:,}",
            f"{per_visit:g}",
            f"{bounces}%",
            f"{seconds // 60}m {seconds % 60}s" if seconds >= 60 else f"{seconds}s",
            f"{events:,}",
        ]
    )
    await expect(page.locator(".point")).to_have_count(28)
    series = await panel(system, panel="series")
    shown = await page.locator(".behind tbody tr td:nth-child(2)").all_text_contents()
    assert shown == [str(row[1]) for row in series["rows"]]
    pages = await panel(system, panel="pages", limit=9)
    rows = page.locator("[aria-labelledby=pages-title] tbody tr")
    await expect(rows.locator("th a")).to_have_text([f"{row[0]}: filter by this" for row in pages["rows"]])
    await expect(rows.locator("td.visitors")).to_have_text([f"{row[1]:,}" for row in pages["rows"]])
    assert {address.split("/")[2] for address in opened.asked} == {opened.url.rpartition("/")[2]}
    assert opened.complaints == []


async def test_the_address_has_what_was_chosen(system: System, opened: Shown) -> None:
    """A click on a row is a filter and an entry in the history; Back takes it away, and the focus stays on the row."""
    await opened.go(SITE)
    page = opened.page
    row = page.get_by_role("link", name="Germany")
    await row.focus()
    await page.keyboard.press("Enter")
    await opened.settled()
    await expect(page.locator(".chips li:not(.all)")).to_have_text(["Country is Germany"])
    await expect(row).to_be_focused()
    german = await panel(system, panel="totals", filters=[["is", "country", ["DE"]]])
    await expect(page.locator(".kpi .value").first).to_have_text(str(german["rows"][0][0]))
    address = page.url
    await page.go_back()
    await expect(page.locator(".chips li:not(.all)")).to_have_count(0)
    await page.goto("about:blank")
    await page.goto(address)
    await expect(page.locator(".chips li:not(.all)")).to_have_text(["Country is Germany"])
    assert opened.complaints == []


async def test_the_points_of_the_chart_are_walked_by_keyboard(opened: Shown) -> None:
    """One point is in the order of Tab; the arrows, Home and End move, each point says its day, and Enter shows that day."""
    await opened.go(SITE)
    page = opened.page
    await expect(page.locator('.point[tabindex="0"]')).to_have_count(1)
    await page.locator('.point[tabindex="0"]').focus()
    for key, at in (("ArrowLeft", 26), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1), ("End", 27)):
        await page.keyboard.press(key)
        await expect(page.locator(f'.point[data-at="{at}"]')).to_be_focused()
    label = await page.locator(":focus").get_attribute("aria-label")
    assert label is not None
    assert label.startswith(("Tuesday 31 March 2026: ", "Tuesday, 31 March 2026: "))
    await page.keyboard.press("Enter")
    await expect(page.locator(".point")).to_have_count(24)
    assert page.url.endswith("?period=2026-03-31,2026-03-31")


def forebay(system: System, *words: str) -> str:
    """Returns what a command printed, on the data of this system."""
    command = [sys.executable, "-m", "forebay", *words, "--data", str(system.data)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


async def test_a_program_with_a_key_reads_the_same(system: System) -> None:
    """The Stats API has the page's numbers for a key that a command made, and refuses it as soon as it is revoked."""
    added = ["key", "add", "--site", "shop.example", "--scope", "read"]
    text = (await asyncio.to_thread(forebay, system, *added)).split()[0]
    metrics = ["visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration", "events"]
    question = {"site_id": "shop.example", "date_range": PERIOD.split(","), "metrics": metrics}
    request = urllib.request.Request(
        f"{system.facts()['dashboard_url']}/api/v2/query",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {text}"},
    )
    with await asyncio.to_thread(urllib.request.urlopen, request, timeout=60) as answer:
        assert json.load(answer)["results"][0]["metrics"] == (await panel(system, panel="totals"))["rows"][0]
    await asyncio.to_thread(forebay, system, "key", "revoke", text)
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(urllib.request.urlopen, request, timeout=60)
    with refused.value:
        assert refused.value.code == 401


async def test_the_page_outlives_clickhouse(system: System, opened: Shown) -> None:
    """While ClickHouse is away the last numbers stay, greyed, under a line that says so; the page comes back by itself."""
    await opened.go(SITE)
    page = opened.page
    before = await page.locator(".kpi .value").first.text_content()
    os.kill(system.pids()["clickhouse"], signal.SIGKILL)
    await page.get_by_role("button", name="Earlier").click()
    await expect(page.locator(".away")).to_contain_text("ClickHouse does not answer")
    await expect(page.locator(".kpis.stale")).to_have_count(1)
    await expect(page.locator(".kpi .value").first).to_have_text(str(before))
    await expect(page.locator(".away")).to_be_empty()
    await expect(page.locator(".stale")).to_have_count(0)
    earlier = await panel(system, panel="totals", period="2026-02-04,2026-03-03")
    await expect(page.locator(".kpi .value").first).to_have_text(str(earlier["rows"][0][0]))
