"""Measures what the tracker costs the main thread of a slow phone, and prints it: `.venv/bin/python -m tests.main_thread`.

A real Chromium, its CPU slowed down six times, opens a page with the tracker (and its further files with `--with 'vitals queue'`), reads it for some seconds,
and clicks; the browser's own trace says how long it compiled and ran the script, how long the pieces were, and how long the main thread was busy. In turns with it the same page is
opened without the tracker. It asserts nothing: times depend on the machine.
"""

import argparse
import asyncio
import json
import statistics
from typing import Any, NamedTuple

from playwright.async_api import Browser

from tests.support.browser import open_browser
from tests.support.host import Host, run_host
from tests.support.waiting import until

READING_SECONDS = 5
# What the browser does for a script, each with its file in args.data.url (v8.compile has it in args.data too).
WORK = frozenset(("EvaluateScript", "v8.compile", "FunctionCall", "v8.evaluateModule", "v8.compileModule"))
# What calls a script's function, and then lets it go on behind its `await`, which names no file.
CALLERS = frozenset(("TimerFire", "EventDispatch", "FireIdleCallback"))


class Piece(NamedTuple):
    """Holds one run of the tracker's files: when it began and ended by the browser's clock, and what it took of the CPU, in ms."""

    began: float
    ended: float
    cpu: float


def pieces_of(trace: list[dict[str, Any]]) -> list[Piece]:
    """Returns the runs of the tracker's files in their order; what ran within another one is a part of that.

    The browser slows a thread down by making it spin, so its CPU time has the six times, and not what other programs took.
    """
    ours = [event for event in trace if event.get("name") in WORK and event.get("ph") == "X" and is_ours(event)]
    callers = [event for event in trace if event.get("name") in CALLERS and event.get("ph") == "X"]
    ours += [caller for caller in callers if any(is_within(event, caller) for event in ours)]
    pieces: list[Piece] = []
    for event in sorted(ours, key=lambda event: (event["ts"], -event.get("dur", 0))):
        if not pieces or event["ts"] / 1_000 >= pieces[-1].ended:
            began = event["ts"] / 1_000
            pieces.append(Piece(began, began + event.get("dur", 0) / 1_000, event.get("tdur", 0) / 1_000))
    return pieces


def is_within(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    is_same_thread = (inner["pid"], inner["tid"]) == (outer["pid"], outer["tid"])
    return is_same_thread and outer["ts"] <= inner["ts"] <= outer["ts"] + outer.get("dur", 0)


def is_ours(event: dict[str, Any]) -> bool:
    data = json.dumps(event.get("args", {}))
    return "/f.js" in data or ("/f." in data and ".js" in data)


def sent(trace: list[dict[str, Any]]) -> float:
    """Returns when the first event was sent, by the browser's clock."""
    posts = [
        event["ts"]
        for event in trace
        if event.get("name") == "ResourceSendRequest" and event["args"]["data"].get("requestMethod") == "POST"
    ]
    return float(min(posts)) / 1_000


def longest_task(trace: list[dict[str, Any]], pieces: list[Piece]) -> float:
    """Returns the longest of the browser's tasks that have a piece of the tracker in them, with all else that is in them."""
    found = [
        task["tdur"]
        for task in main_tasks(trace)
        if any(task["ts"] <= piece.began * 1_000 <= task["ts"] + task["dur"] for piece in pieces)
    ]
    return float(max(found)) / 1_000


def main_tasks(trace: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the tasks of the main threads of all processes that draw pages."""
    named = {(event["pid"], event["tid"]) for event in trace if "CrRendererMain" in json.dumps(event.get("args", {}))}
    return [
        event
        for event in trace
        if event.get("name") == "RunTask" and (event["pid"], event["tid"]) in named and "tdur" in event
    ]


def whole(trace: list[dict[str, Any]]) -> float:
    """Returns CPU milliseconds of the main threads."""
    return float(sum(task["tdur"] for task in main_tasks(trace))) / 1_000


async def visit(browser: Browser, host: Host, slowed: int, tags: int) -> list[dict[str, Any]]:
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
    trace: list[dict[str, Any]] = json.loads(await browser.stop_tracing())["traceEvents"]
    await context.close()
    return trace


async def measured(files: str, visits: int, slowed: int) -> None:
    async with open_browser() as browser, run_host() as host:
        host.head = (
            '<a href="https://other.example/" onclick="return false">out</a><main style="height: 3000px"></main>'
        )
        host.attributes += f' data-with="{files}"' if files else ""
        pairs = [[await visit(browser, host, slowed, tags) for tags in (1, 0)] for _ in range(visits)]
    traces = [trace for trace, _ in pairs]
    runs = [pieces_of(trace) for trace in traces]
    moments = [sent(trace) for trace in traces]
    begun = [[piece for piece in pieces if piece.began <= moment] for pieces, moment in zip(runs, moments, strict=True)]
    print(f"CPU slowed {slowed} times, {visits} visits, further files: {files or 'none'}; ms, median (worst)")
    for name, values in (
        ("to begin (compile, run, first pageview)", [sum(piece.cpu for piece in pieces) for pieces in begun]),
        ("longest piece at once", [max(piece.cpu for piece in pieces) for pieces in runs]),
        ("longest task with a piece of it", [longest_task(*run) for run in zip(traces, runs, strict=True)]),
        (f"all of a visit of {READING_SECONDS} s", [sum(piece.cpu for piece in pieces) for pieces in runs]),
        (
            "from its begin to the pageview's request",
            [moment - pieces[0].began for pieces, moment in zip(runs, moments, strict=True)],
        ),
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
