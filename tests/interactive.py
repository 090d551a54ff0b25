"""`python -m tests.interactive`: how long a newcomer's browser takes until the page of a site with a million events is of use.

It starts `forebay up`, fills it with the rows that P12 is measured on, and opens the page in a fresh profile of Chromium several times, at
the machine's speed and with the browser four times slower. It prints the medians, in ms from the click on: when something was
drawn first, when the totals stood there (the page sets a mark), and when all tables in sight did; and the load of the machine, because the
browser, ClickHouse and whatever else runs share its processors.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import urllib.request
from pathlib import Path

from playwright.async_api import Browser

from loadtest.bench.panels_fill import DAYS, FILL, SITE
from tests.support.browser import open_browser
from tests.support.dashboard.showing import PATIENCE_MS
from tests.support.system import System, running

ROWS = 1_000_000
TIMES = 7
SLOWER = (1, 4)
FILL_SECONDS = 600
LOOK = """() => [
  performance.getEntriesByName('first-contentful-paint')[0].startTime,
  performance.getEntriesByName('numbers')[0].startTime,
  Math.max(...performance.getEntriesByType('resource').filter(one => one.name.endsWith('/api/panel')).map(one => one.responseEnd)),
]"""


def fill(system: System) -> None:
    """Puts the rows into the engine, and merges them."""
    for sql in (FILL.format(first=0, rows=ROWS), "OPTIMIZE TABLE forebay.events FINAL"):
        request = urllib.request.Request(f"{system.facts()['clickhouse_url']}/", data=sql.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=FILL_SECONDS) as answer:
            answer.read()


async def look(browser: Browser, url: str, slower: int) -> list[float]:
    """Opens the page once, and returns when things were drawn (ms)."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    await page.goto(f"{url}/#/{SITE}?period={DAYS}d")
    await page.wait_for_function("() => performance.getEntriesByName('numbers').length", timeout=PATIENCE_MS)
    await page.locator("[aria-labelledby=pages-title] tbody tr").first.wait_for(timeout=PATIENCE_MS)
    await page.wait_for_load_state("networkidle", timeout=PATIENCE_MS)
    found: list[float] = await page.evaluate(LOOK)
    await context.close()
    return found


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with running(Path(directory)) as system, open_browser() as browser:
            await asyncio.to_thread(fill, system)
            for slower in SLOWER:
                seen = []
                for _ in range(TIMES):
                    await asyncio.sleep(6)  # so that no answer is remembered from the last time
                    seen.append(await look(browser, system.facts()["dashboard_url"], slower))
                first, totals, tables = (statistics.median(times) for times in zip(*seen, strict=True))
                print(
                    f"browser {slower} times slower: first paint {first:.0f} ms, totals {totals:.0f} ms, tables {tables:.0f} ms"
                    f" (medians of {TIMES}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)",
                    flush=True,
                )


if __name__ == "__main__":
    asyncio.run(main())
