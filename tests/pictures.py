"""`python -m tests.pictures [DIRECTORY]`: takes the pictures of the dashboard and of a report for docs/pictures, over a `forebay up` with made-up visits.

The visits are the same each time but for their dates, which end yesterday, so that the lists of the last hours have something to show. What
is drawn also depends on the fonts of the machine. Look at the pictures before you commit them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from playwright.async_api import Browser, Page

from tests.support.browser import open_browser
from tests.support.dashboard.crowd import AGENTS, shop
from tests.support.dashboard.seed import Hit, Site, Visit
from tests.support.dashboard.showing import Shown, fill, shown
from tests.support.system import ROOT, System, running

PICTURES = ROOT / "docs" / "pictures"
BYTES_MAX = 800_000  # of all together
SHOP, ZONE = "shop.example", "Europe/Berlin"
GOALS = ("signup", "purchase", "Visit /pricing", "Visit /docs*")
FUNNEL = "buy=Visit /cart,Visit /checkout,purchase"
QUALITY = (
    70  # of WebP: what is written stays sharp, and the same pictures as PNG have more than three times as many bytes
)
WIDTHS = (1440, 390)
NARROW_HEIGHT = 844
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAUSE_MS = 500  # for what fades


class Picture(NamedTuple):
    """Holds what one picture shows: an address, its height at 1440 px, the element that stands at its top, if not the whole page does, and a button that is pressed before."""

    name: str
    address: str
    height: int
    top: str = ""
    press: str = ""


LOGIN = (Picture("login", "", 520),)  # for which there has to be a user, and then everybody has to log in


def pictures(until: date, shared: str) -> Iterator[Picture]:
    """Returns all other pictures, of the 28 days that end on a date. `shared` is the address of a public link."""
    site = f"#/{SHOP}?period={until - timedelta(days=27)},{until}"
    filtered = f'{site}&metric=visits&tab.pages=entry_pages&f=[["is","country",["DE"]],["is","source",["Google"]]]'
    yield Picture("site", site, 900)
    yield Picture("sites", "#/", 560)
    yield Picture("filtered", filtered, 900)
    yield Picture("goals", site, 900, "#goals-title")
    yield Picture("health", "#/?page=health", 620)
    yield Picture("empty", "#/empty.example", 560)
    yield Picture("sharing", "#/empty.example", 700, press="Share")
    yield Picture("shared", shared, 560)


def sites(until: date) -> Iterator[Site]:
    """Returns the shop, two smaller sites beside it, and seven people who are on a page of the shop now."""
    yield shop(until, visits_a_day=140)
    yield replace(shop(until, weeks=4, visits_a_day=60, seed=21), name="blog.example")
    yield replace(shop(until, weeks=4, visits_a_day=25, seed=22), name="docs.example")
    now = int(time.time() * 1000)
    pages = ("/", "/pricing", "/", "/blog/exactly-once", "/docs/install", "/cart", "/")
    yield Site(
        SHOP,
        ZONE,
        [
            Visit(f"now {at}", now - 20_000 * at, (Hit(0, path),), AGENTS[at % len(AGENTS)][0])
            for at, path in enumerate(pages, start=1)
        ],
    )


def register(system: System) -> None:
    """Registers the sites; the shop gets goals and a funnel."""
    url = str(system.facts()["redis_url"])
    record = [*(f"--goal={goal}" for goal in GOALS), f"--funnel={FUNNEL}"]
    for name, more in ((SHOP, record), ("blog.example", []), ("docs.example", []), ("empty.example", [])):
        words = ["forebay", "site", "add", name, "--timezone", ZONE, "--redis-url", url, *more]
        subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)


def put(system: System, path: str, said: object) -> bytes:
    """Adds to a site what the page can add, and returns the answer."""
    headers = {"Content-Type": "application/json", "X-Forebay": "1"}
    url = f"{system.facts()['dashboard_url']}/api/sites/{path}"
    request = urllib.request.Request(url, json.dumps(said).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: bytes = answer.read()
    return found


def note(system: System, on: date) -> None:
    """Writes an annotation into the chart of the shop."""
    put(system, f"{SHOP}/annotations", {"date": str(on), "text": "Spring newsletter"})


def share(system: System) -> str:
    """Makes public links, and returns the address of one that shows the shop, without the host."""
    put(system, "empty.example/links", {"name": "Screen in the hall", "days": 30})
    put(
        system,
        "empty.example/links",
        {"name": "Ann", "password": "four words that nobody guesses", "shows": ["revenue"]},
    )
    made = json.loads(put(system, f"{SHOP}/links", {"days": 28}))
    return str(made["address"]).split("/", 3)[3]


def add_user(system: System) -> None:
    """Adds a user, so that the form of the login is shown."""
    words = [sys.executable, "-m", "forebay", "user", "add", "ann", "--redis-url", str(system.facts()["redis_url"])]
    subprocess.run(
        words, cwd=ROOT, check=True, capture_output=True, text=True, input="four words that nobody guesses\n"
    )


def refused(system: System) -> None:
    """Sends events of a site that nobody registered, which the page of health lists."""
    for page in ("", "cart"):
        body = json.dumps({"url": f"https://shop.exmaple/{page}"}).encode()
        request = urllib.request.Request(f"{system.facts()['url']}/f", body, {"Content-Type": "application/json"})
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60).close()


async def take(opened: Shown, picture: Picture) -> bytes:
    """Returns a picture of what is seen without scrolling. Raises AssertionError if something sticks out at the right."""
    await opened.page.goto("about:blank")  # so that nothing is kept of the picture before
    await opened.go(picture.address)
    if picture.top:
        await _scroll_to(opened.page, picture.top)
    if picture.press:
        await opened.page.get_by_role("button", name=picture.press, exact=True).click()
    await opened.settled()
    await opened.page.wait_for_timeout(PAUSE_MS)
    assert not await opened.page.evaluate("document.documentElement.scrollWidth > innerWidth"), picture.name
    return await _taken(opened.page)


async def take_all(browser: Browser, url: str, wanted: Iterable[Picture], directory: Path) -> None:
    """Takes these pictures at every width, in both themes: site.webp, site-dark.webp, site-390.webp, site-390-dark.webp."""
    chosen = tuple(wanted)
    for width, theme in itertools.product(WIDTHS, THEMES):
        async with shown(browser, url, width=width, theme=theme) as opened:
            for picture in chosen:
                height = picture.height if width == WIDTHS[0] else NARROW_HEIGHT
                await opened.page.set_viewport_size({"width": width, "height": height})
                (directory / f"{picture.name}{_kind(width, theme)}.webp").write_bytes(await take(opened, picture))
            assert opened.complaints == []


def report(system: System) -> str:
    """Returns the report of the shop's last week, as its mail has it."""
    words = ["forebay", "report", "send", "--site", SHOP, "--print", "html", "--data", str(system.data)]
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


async def take_report(browser: Browser, html: str, directory: Path) -> None:
    """Takes the report as a mail program shows it, at both widths, in both themes."""
    for width, theme in itertools.product(WIDTHS, THEMES):
        page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        await page.set_content(html)
        assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        (directory / f"report{_kind(width, theme)}.webp").write_bytes(await _taken(page))
        await page.close()


def _kind(width: int, theme: str) -> str:
    return ("" if width == WIDTHS[0] else f"-{width}") + ("-dark" if theme == "dark" else "")


async def _taken(page: Page) -> bytes:
    session = await page.context.new_cdp_session(page)
    taken = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    return base64.b64decode(taken["data"])


async def _scroll_to(page: Page, selector: str) -> None:
    """Scrolls an element to the top, again after what came into view has found its size."""
    for _ in range(3):
        await page.locator(selector).evaluate(
            "element => scrollTo(0, scrollY + element.getBoundingClientRect().top - 40)"
        )
        await page.wait_for_load_state("networkidle")


async def main(directory: Path) -> int:
    until = datetime.now(ZoneInfo(ZONE)).date() - timedelta(days=1)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        async with running(Path(data), FOREBAY_PRODUCTION="true") as system, open_browser() as browser:
            await asyncio.to_thread(register, system)
            for site in sites(until):
                await fill(system, [site])
            await asyncio.to_thread(note, system, until - timedelta(days=12))
            await asyncio.to_thread(refused, system)
            url, shared = system.facts()["dashboard_url"], await asyncio.to_thread(share, system)
            await take_all(browser, url, pictures(until, shared), directory)
            await take_report(browser, await asyncio.to_thread(report, system), directory)
            await asyncio.to_thread(add_user, system)
            await take_all(browser, url, LOGIN, directory)
    size = sum(path.stat().st_size for path in directory.glob("*.webp"))
    print(f"{size:,} of {BYTES_MAX:,} bytes in {directory}")
    return 0 if size <= BYTES_MAX else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)))
