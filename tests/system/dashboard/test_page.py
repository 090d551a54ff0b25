"""The page in a browser: it shows what the server answers, keeps its state in the address, and outlives a server that is away."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.support.dashboard.showing import PATIENCE_MS, Shown
from tests.support.system import ROOT, System
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERIOD = "2026-03-04,2026-03-31"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
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


async def seen(opened: Shown) -> None:
    """Scrolls to the end of the page, until all that comes into view has its numbers."""
    for card in await opened.page.locator(".reports .card").all():
        await card.scroll_into_view_if_needed()
        await expect(card.locator('[aria-busy="true"]')).to_have_count(0)
    await opened.settled()


async def test_reports_ask_when_they_come_into_view(system: System, opened: Shown) -> None:
    """What is below the tables asks for nothing until somebody scrolls to it, and then has the numbers of its panels."""
    asked: list[str] = []
    page = opened.page
    page.on("request", lambda request: asked.append(json.loads(request.post_data or '{"panel": ""}')["panel"]))
    below = {
        "revenue",
        "campaigns",
        "vital_shares",
        "vitals",
        "retention",
        "outbound",
        "assistants",
        "bot_series",
        "durations",
    }
    await opened.go(SITE)
    assert not below & set(asked)
    await seen(opened)
    assert below <= set(asked)
    for name, column in (
        ("campaigns", "visitors"),
        ("outbound", "events"),
        ("durations", "visits"),
        ("assistants", "entry_pages"),
    ):
        found = await panel(system, panel=name)
        at = found["columns"].index(column)
        cells = page.locator(f".numbers.{name} td.{column}")
        await expect(cells).to_have_text([f"{row[at]:,}" for row in found["rows"]])
    revenue = await panel(system, panel="revenue")
    euros = next(row for row in revenue["rows"] if row[0] == "EUR")
    await expect(page.get_by_role("row", name="EUR").locator("td").first).to_have_text(f"€{float(euros[1]):,.2f}")
    shares = {row[0]: row for row in (await panel(system, panel="vital_shares"))["rows"]}
    await expect(page.locator(".tiles strong").first).to_have_text(
        f"{shares['lcp'][2] / 1000:.2f}".rstrip("0").rstrip(".") + "s"
    )
    again = [row for row in (await panel(system, panel="retention"))["rows"] if row[1]]
    shades = await page.locator(".cohorts .shade").all_text_contents()
    assert sorted(text for text in shades if text != "0%") == sorted(f"{row[3]:g}%" for row in again)
    assert opened.complaints == []


async def test_every_choice_of_a_report_is_answered(opened: Shown) -> None:
    """Revenue, vitals and retention have an answer for each thing to show them by, and a row of it filters by that row."""
    await opened.go(SITE)
    page = opened.page
    await seen(opened)
    for label in ("Revenue by", "Web vitals by", "Retention by"):
        choice = page.get_by_label(label)
        for option in await choice.locator("option").all():
            await choice.select_option(await option.get_attribute("value"))
            await opened.settled()
            await expect(page.locator(".reports .problem")).to_have_count(0)
    for panel_name in ("revenue", "campaigns", "vitals", "outbound", "assistants"):
        await page.locator(f".numbers.{panel_name} tbody a").first.click()
        await opened.settled()
        await expect(page.locator("main .problem")).to_have_count(0)
        assert int((await page.locator(".kpi .value").first.text_content() or "0").replace(",", "")) > 0
        await page.go_back()
        await opened.settled()
    assert opened.complaints == []


async def test_an_event_is_picked_and_a_value_of_its_property_filters(system: System, opened: Shown) -> None:
    """Events lead to their properties and these to their values; a value filters by the event and by it."""
    await opened.go(SITE)
    page = opened.page
    card = page.locator(".events-card")
    await card.scroll_into_view_if_needed()
    await card.get_by_role("link", name="purchase").press("Enter")
    await expect(card.get_by_role("heading", name="Event purchase")).to_be_focused()
    await expect(card.get_by_label("Property")).to_have_value("plan")
    wanted = [["is", "event", ["purchase"]]]
    values = await panel(system, panel="property", parameters={"property": "plan"}, filters=wanted)
    await expect(card.locator("td.events")).to_have_text([str(row[2]) for row in values["rows"]])
    await card.locator("tbody a").first.click()
    await expect(page.locator(".chips li:not(.all)")).to_have_text(
        ["Event is purchase", f"plan is {values['rows'][0][0]}"]
    )
    assert opened.complaints == []


async def test_goals_and_funnels_are_made_on_the_page(system: System, opened: Shown) -> None:
    """A goal and a funnel that are added show their numbers at once, a wrong one says what is wrong, and both can be removed."""
    await asyncio.to_thread(forebay, system, "site", "add", "shop.example")
    await opened.go(SITE)
    page, dialog = opened.page, opened.page.get_by_role("dialog")
    await page.get_by_role("button", name="Add a goal").click()
    for text in ("Visit /pricing", "signup"):
        await dialog.get_by_label("A goal").fill(text)
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_label("A goal")).to_have_value("")
    await expect(dialog.locator(".items li > span")).to_have_text(["Visit /pricing", "signup"])
    await dialog.get_by_label("A goal").fill("=x")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_have_text("The name of the goal '=x' is missing")
    await dialog.get_by_label("Remove signup").click()
    await expect(dialog.locator(".items li")).to_have_count(1)
    await page.keyboard.press("Escape")
    goals = await panel(system, panel="goals")
    assert [row[0] for row in goals["rows"]] == ["Visit /pricing"]
    await expect(page.locator(".numbers.goals td.conversion_rate")).to_have_text([f"{goals['rows'][0][3]:g}%"])

    await page.get_by_role("button", name="Add a funnel").click()
    await dialog.get_by_label("Name of the funnel").fill("Buy")
    await dialog.get_by_label("Step 1").fill("Visit /pricing")
    await dialog.get_by_label("Step 2").fill("purchase")
    await dialog.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator(".funnel-steps tbody tr")).to_have_count(2)
    steps = (await panel(system, panel="funnel", parameters={"name": "Buy"}))["rows"]
    await expect(page.locator(".funnel-steps td:nth-child(2)")).to_have_text([str(row[1]) for row in steps])
    await expect(page.locator(".funnel-steps td:nth-child(4)")).to_have_text(["–", f"{steps[1][3]:g}%"])
    assert [text for text in opened.complaints if "400" not in text] == []


async def test_what_was_asked_before_a_change_does_not_hide_it(system: System, opened: Shown) -> None:
    """The page asks again by itself; an answer from before a change that comes after it left the list as it was for a minute."""
    await asyncio.to_thread(forebay, system, "site", "add", "shop.example")
    page, dialog = opened.page, opened.page.get_by_role("dialog")
    await page.clock.install()
    await opened.go(SITE)
    is_read, may_come = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        is_read.set()
        await may_come.wait()
        await route.fulfill(response=answer)

    await page.route("**/api/sites/shop.example", hold, times=1)
    await page.get_by_role("button", name=re.compile("Add a goal|Change goals")).click()
    await page.clock.fast_forward(61_000)
    await asyncio.wait_for(is_read.wait(), PATIENCE_MS / 1000)
    await dialog.get_by_label("A goal").fill("newsletter")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_label("Remove newsletter")).to_be_visible()
    async with page.expect_response("**/api/sites/shop.example"):
        may_come.set()
    await opened.settled()
    assert await dialog.get_by_label("Remove newsletter").count() == 1
    await dialog.get_by_label("Remove newsletter").click()
    await expect(dialog.get_by_label("Remove newsletter")).to_have_count(0)
    assert opened.complaints == []


async def test_segments_and_notes_are_kept(opened: Shown) -> None:
    """Filters under a name are there for the next who looks, and a note stands in the chart on its day."""
    await opened.go(SITE + '&f=[["is","country",["DE"]]]')
    page, dialog = opened.page, opened.page.get_by_role("dialog")
    await page.get_by_role("button", name="Save as a segment").click()
    await dialog.get_by_label("Name of the segment").fill("Germans")
    await page.keyboard.press("Enter")
    await expect(page.locator(".chips .all").first).to_have_text("Germans")
    await page.get_by_role("button", name="Notes").click()
    await dialog.get_by_label("Day").fill("2026-03-10")
    await dialog.get_by_label("What happened").fill("Spring sale")
    await page.keyboard.press("Enter")
    await expect(dialog.locator(".items li > span")).to_contain_text(["Spring sale"])
    await page.keyboard.press("Escape")
    await expect(page.locator('.point[data-at="6"]')).to_have_attribute("aria-label", re.compile("Spring sale"))
    await opened.go(SITE)
    await page.get_by_role("button", name="Add a filter").click()
    await dialog.get_by_role("button", name="Germans", exact=True).click()
    await expect(page.locator(".chips li:not(.all)")).to_have_text(["Country is Germany"])
    await page.get_by_role("button", name="Add a filter").click()
    await dialog.get_by_label("Remove the segment Germans").click()
    await expect(dialog.get_by_text("Germans")).to_have_count(0)
    assert opened.complaints == []


async def test_a_new_site_shows_at_once_what_comes(system: System, opened: Shown) -> None:
    """In the hour after its first event a site is asked again every five seconds; what a program sent is not its last event of a person."""
    await opened.page.clock.install()
    await asyncio.to_thread(send, system, "curl/8.5.0")
    await opened.page.goto(f"{opened.url}/#/new.example")
    page = opened.page
    await expect(page.locator(".notice")).to_have_text(
        "No event of a person in this period. Bots are left out. Count them too"
    )
    await opened.settled()
    async with page.expect_request("**/api/panel", timeout=60_000):
        await page.clock.fast_forward(6_000)
    await asyncio.to_thread(send, system, FIREFOX)
    await expect(page.locator(".kpi .value").first).to_have_text("1")
    await expect(page.locator(".notice")).to_have_count(0)
    # What has no numbers yet says how the tracker, which is in the page already, sends them.
    await seen(opened)
    tag = re.compile(r'^<script defer src="\S+/f\.js" data-site="new\.example" data-with="vitals"></script>$')
    await expect(page.get_by_role("group", name="the snippet")).to_have_text(tag)
    await expect(page.get_by_text("forebay('login', {}, {user: 'u-4711'})")).to_be_visible()


async def test_an_answer_that_takes_long_is_waited_for(system: System, opened: Shown) -> None:
    """Where a machine takes longer than the five seconds after which a new site is asked again, the question is not given up for the next."""
    page = opened.page
    await asyncio.to_thread(send, system, FIREFOX)
    await page.clock.install()
    answers, asked = asyncio.Event(), 0

    async def slow(route: Route) -> None:
        nonlocal asked
        if json.loads(route.request.post_data or "{}")["panel"] == "sources":
            asked += 1
            await answers.wait()
        await route.continue_()

    await page.route("**/api/panel", slow)
    await page.goto(f"{opened.url}/#/new.example")
    await until(lambda: asked)
    for _ in range(3):
        await page.clock.fast_forward(6_000)
        await page.evaluate("async () => (await fetch('/healthz')).text()")  # what the tick asked has left before
    assert asked == 1
    answers.set()
    await expect(page.locator("[aria-busy=true], .stale")).to_have_count(0)
    async with page.expect_request("**/api/panel", timeout=60_000):
        await page.clock.fast_forward(6_000)
    assert opened.complaints == []


def send(system: System, agent: str) -> None:
    """Sends a pageview of a site that nobody has heard of, as a program or a browser would."""
    body = json.dumps({"url": "https://new.example/", "name": "pageview"}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": agent, "Accept-Language": "en"}
    urllib.request.urlopen(
        urllib.request.Request(f"{system.facts()['url']}/f", data=body, headers=headers), timeout=60
    ).close()


async def test_the_list_says_how_to_add_a_site(opened: Shown) -> None:
    """Whoever has a site already finds the command for the next one."""
    await opened.go("#/")
    await expect(opened.page.locator(".another")).to_contain_text("forebay site add example.com")


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
