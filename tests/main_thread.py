"""Measures what the tracker costs the main thread of a slow phone, and prints it: `.venv/bin/python -m tests.main_thread`.

A real Chromium, its CPU slowed down six times, opens a page with the tracker (and its further files with `--with 'vitals queue'`), reads it for some seconds,
and clicks; the browser's own trace says how long it compiled and ran the script, and how long the main thread was busy. In turns with it the same page is
opened without the tracker. It asserts nothing: times depend on the machine.
"""

import argparse
import asyncio
import json
import statistics
from collections import defaultdict

from playwright.async_api import Browser

from tests.support.browser import open_browser
from tests.support.host import Host, run_host
from tests.support.waiting import until

READING_SECONDS = 5
# What the browser does for a script, each with its file in args.data.url (v8.compile has it in args.data too).
WORK = frozenset(("EvaluateScript", "v8.compile", "FunctionCall", "v8.evaluateModule", "v8.compileModule"))


def spent(trace: list[dict[str, object]]) -> dict[str, list[float]]:
    """Returns CPU milliseconds of each run of the tracker's files, by what the browser did.

    The browser slows a thread down by making it spin, so its CPU time has the six times, and not what other programs took.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for event in trace:
        data = json.dumps(event.get("args", {}))
        if (
            event.get("name") in WORK
            and event.get("ph") == "X"
            and ("/f.js" in data or ("/f." in data and ".js" in data))
        ):
            found[str(event["name"])].append(float(str(event.get("tdur", 0))) / 1_000)
    return found


def whole(trace: list[dict[str, object]]) -> float:
    """Returns CPU milliseconds of the main threads of all processes that draw pages."""
    named = {(event["pid"], event["tid"]) for event in trace if "CrRendererMain" in json.dumps(event.get("args", {}))}
    tasks = [event for event in trace if event.get("name") == "RunTask" and (event["pid"], event["tid"]) in named]
    return sum(float(str(event.get("tdur", 0))) for event in tasks) / 1_000


async def visit(browser: Browser, host: Host, slowed: int, tags: int) -> list[dict[str, object]]:
    """Returns the trace of one visit of a page with so many tags of the tracker."""
    host.tags = tags
    context = await browser.new_context()
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    await browser.start_tracing(
        page=page, categories=["devtools.timeline", "v8", "disabled-by-default-devtools.timeline"]
    )
    before = len(host.events())
    await page.goto(host.origin + "/a")
    await until(lambda: len(host.events()) > before or not tags)
    await page.evaluate("window.forebay && forebay('signup', {plan: 'pro'})")
    await page.click("a")
    await page.wait_for_timeout(READING_SECONDS * 1_000)
    trace: list[dict[str, object]] = json.loads(await browser.stop_tracing())["traceEvents"]
    await context.close()
    return trace


async def measured(files: str, visits: int, slowed: int) -> None:
    async with open_browser() as browser, run_host() as host:
        host.head = (
            '<a href="https://other.example/" onclick="return false">out</a><main style="height: 3000px"></main>'
        )
        host.attributes += f' data-with="{files}"' if files else ""
        pairs = [[await visit(browser, host, slowed, tags) for tags in (1, 0)] for _ in range(visits)]
    runs = [spent(trace) for trace, _ in pairs]
    start = [sum(run["v8.compile"]) + sum(run["EvaluateScript"]) for run in runs]
    longest = [max(part for parts in run.values() for part in parts) for run in runs]
    script = [sum(part for parts in run.values() for part in parts) for run in runs]
    print(f"CPU slowed {slowed} times, {visits} visits, further files: {files or 'none'}; ms, median (worst)")
    for name, values in (
        ("to begin (compile, run, first pageview)", start),
        ("longest piece at once", longest),
        (f"all of a visit of {READING_SECONDS} s", script),
        ("main thread with the tracker", [whole(trace) for trace, _ in pairs]),
        ("main thread of the same page without", [whole(trace) for _, trace in pairs]),
        ("what the tracker adds, in turns", [whole(one) - whole(other) for one, other in pairs]),
    ):
        print(f"{name:42} {statistics.median(values):6.2f} ({max(values):.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--with", dest="files", default="", metavar="FILES", help="as in data-with")
    parser.add_argument("--visits", type=int, default=7)
    parser.add_argument(
        "--slowed", type=int, default=6, help="how many times; 1 on a machine that is busy, and multiply"
    )
    given = parser.parse_args()
    asyncio.run(measured(given.files, given.visits, given.slowed))
