"""`python -m loadtest.bench.panels`: P12, how long each panel of the dashboard takes over ten million events.

    fill     rows of thirty days, half of them of one site (`panels_fill`), everything merged; then the flusher copies the visits of
             all days that are over
    alone    each panel of a site's first view, then other tables, filtered panels, a funnel and retention: many times,
             one after the other, as the page asks them (POST /api/panel), with the memory of answers switched off
    at once  the panels of the first view together, as a page that is opened asks them

A relay between the dashboard and ClickHouse writes down what is asked: the SQL, and the rows that it reads. CPU is that of
ClickHouse, whatever else the machine does; the time is that of the whole way from the request to the answer. `--page
docs/performance.md` writes the table between the marks of that page, `--json` keeps everything, with the SQL of each panel.

Not promised: the time of your panels. All of the table is in the page cache here, and nothing else asks. Exit status: 0
measured, 1 a panel had no answer, or nothing was measured.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.bench import children, machine, stand
from loadtest.bench.ask import BenchError, ask, number, until_answers
from loadtest.bench.config import environment
from loadtest.bench.figures import markdown, text
from loadtest.bench.marks import replaced
from loadtest.bench.nginx import free_port
from loadtest.bench.panels_fill import DAYS, FILL, SITE, ZONE
from loadtest.bench.relay import Relay
from loadtest.report import result

MARK = "panels"
ROWS, FILL_ROWS = 10_000_000, 1_000_000
TIMES = 20
SETTLE_SECONDS = 900
PANEL_SECONDS = 120
CLOSE_POLL_S = 1.0
OPEN_DAYS_MAX = 2  # today, and yesterday in its first hour
OPEN_DAYS = f"""
SELECT uniqExact(intDiv(session_id, 371085174374400)) - (SELECT uniqExact(opened) FROM forebay.closed_days WHERE site = '{SITE}')
FROM forebay.events WHERE site = '{SITE}'
"""
SIZES = """
SELECT if(table = 'events', 'events', 'copies') AS what, sum(bytes_on_disk) AS bytes FROM system.parts
WHERE database = 'forebay' AND active AND (table = 'events' OR startsWith(table, 'closed_')) GROUP BY what
"""
GOAL_MS, FIRST_VIEW_MS, FILTERED_MS, DEEP_MS = 60, 150, 500, 2_000
VERDICTS = ("goal met", "first bar met", "missed")
GOALS = ("signup", "purchase", "Visit /page/1")
FUNNEL = "buy"
RECORD = (*(f"--goal={goal}" for goal in GOALS), f"--funnel={FUNNEL}=Visit /page/*,signup,purchase")


class Asked(NamedTuple):
    """Holds a panel, and what the page says with it. `bar_ms` is for the 95th percentile; None: it has no bar."""

    name: str
    panel: str
    bar_ms: int | None
    more: dict[str, Any] | None = None


def _filtered(panel: str, dimension: str, value: str) -> Asked:
    return Asked(f"{panel} ({dimension} is {value})", panel, FILTERED_MS, {"filters": [["is", dimension, [value]]]})


COMPARED = ("totals", "series")  # the page compares these with the period before, and no table
FIRST_VIEW = [
    Asked(panel, panel, FIRST_VIEW_MS)
    for panel in ("live", "totals", "series", "sources", "pages", "countries", "devices", "goals")
]
OTHERS = [
    *(Asked(panel, panel, None) for panel in ("channels", "entry_pages", "exit_pages", "cities", "browsers", "events")),
    *(Asked(panel, panel, None) for panel in ("page_times", "campaigns", "revenue", "vitals", "bots", "crawlers")),
]
FILTERED = [
    _filtered("totals", "country", "DE"),
    _filtered("series", "source", "Google"),
    _filtered("sources", "country", "DE"),
    _filtered("pages", "browser", "Firefox"),
    _filtered("totals", "page", "/page/1"),
    _filtered("countries", "goal", "purchase"),
]
DEEP = [
    Asked("funnel", "funnel", DEEP_MS, {"parameters": {"name": FUNNEL}}),
    Asked("retention", "retention", DEEP_MS),
]
PANELS = [*FIRST_VIEW, *OTHERS, *FILTERED, *DEEP]


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    rows: int
    times: int
    only: str
    page: Path | None
    json: Path | None


class Dashboard:
    """Asks one dashboard, whose questions go through a relay."""

    def __init__(self, url: str, relay: Relay) -> None:
        self._url = url
        self.relay = relay

    def ms(self, asked: Asked) -> float:
        """Returns how long a panel took. Raises BenchError for an answer that is none."""
        question = {"site": SITE, "panel": asked.panel, "period": f"{DAYS}d", "limit": 9, "with_total": False}
        question |= {"compare": "previous" if asked.panel in COMPARED else "", **(asked.more or {})}
        began = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        status, body = ask(f"{self._url}/api/panel", json.dumps(question).encode(), headers, timeout_s=PANEL_SECONDS)
        took_ms = 1000 * (time.perf_counter() - began)
        if status != 200:
            raise BenchError(f"the panel {asked.name}: {status} {body.decode('utf-8', 'replace')[:300]}")
        if not json.loads(body)["rows"] and asked.panel != "live":
            raise BenchError(f"the panel {asked.name} has no rows")
        return took_ms


def fill(url: str, rows: int) -> None:
    """Inserts the rows, and merges them. Raises BenchError."""
    statements = (FILL.format(first=at, rows=min(FILL_ROWS, rows - at)) for at in range(0, rows, FILL_ROWS))
    for sql in (*statements, "OPTIMIZE TABLE forebay.events FINAL"):
        status, body = ask(f"{url}/", sql.encode(), timeout_s=SETTLE_SECONDS)
        if status != 200:
            raise BenchError(f"the rows are not taken: {body.decode('utf-8', 'replace')[:300]}")


def close(on: stand.Stand) -> None:
    """Waits until a new flusher has copied the visits of the site's days that are over. Raises BenchError."""
    on.restart_flusher()
    on.until(lambda: number(on.clickhouse_url, OPEN_DAYS) <= OPEN_DAYS_MAX, SETTLE_SECONDS, "closed days", CLOSE_POLL_S)


def bytes_per_event(url: str, rows: int) -> dict[str, float]:
    """Returns how many bytes on disk events and their copies take for each event. Raises BenchError."""
    status, body = ask(f"{url}/", f"{SIZES} FORMAT TabSeparated".encode())
    if status != 200:
        raise BenchError(f"sizes are not known: {body.decode('utf-8', 'replace')[:300]}")
    return {
        what: round(int(size) / rows, 1) for what, size in (line.split("\t") for line in body.decode().splitlines())
    }


@contextmanager
def dashboard(on: stand.Stand, home: Path) -> Iterator[Dashboard]:
    """Runs a dashboard that remembers no answers, beside the one of the stand, and registers the site with goals and a funnel."""
    words = ["-m", "forebay", "site", "add", SITE, "--timezone", ZONE, "--redis-url", on.facts.redis_url, *RECORD]
    done = subprocess.run(
        [sys.executable, *words], cwd=children.ROOT, env=environment(), capture_output=True, check=False
    )
    if done.returncode:
        raise BenchError(f"the site is not registered: {done.stderr.decode('utf-8', 'replace')[-300:]}")
    port = free_port()
    with closing(Relay(on.clickhouse_url)) as relay:
        settings = {
            "dashboard_port": str(port),
            "clickhouse_url": relay.url,
            "redis_url": on.facts.redis_url,
            "sites": SITE,
            "timezone": ZONE,
            "cache_bytes_max": "0",
            "question_seconds": "30",
            "log_format": "json",
        }
        process = children.start(
            [sys.executable, "-m", "dashboard"],
            directory=children.ROOT,
            log=home / "dashboard.log",
            environment=environment(**settings) | {"PYTHONPATH": str(children.ROOT)},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until_answers(f"{url}/healthz", 200, seconds=30, alive=lambda: process.poll() is None)
            yield Dashboard(url, relay)
        finally:
            children.end(process)


def at(share: float, values: list[float]) -> float:
    """Returns the value by nearest rank."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def alone(page: Dashboard, on: stand.Stand, asked: Asked, times: int) -> dict[str, Any]:
    """Returns what a panel takes when nothing else is asked, after it was asked once. A panel without an answer has a fault."""
    try:
        page.ms(asked)
        page.relay.seen.clear()
        usage = on.usage()
        took = [page.ms(asked) for _ in range(times)]
        usage.look()
    except BenchError as error:
        _say(str(error))
        return {"panel": asked.name, "bar_ms": asked.bar_ms, "fault": str(error)}
    each = page.relay.seen[-max(1, len(page.relay.seen) // times) :]
    found = {
        "panel": asked.name,
        "bar_ms": asked.bar_ms,
        "fault": "",
        "p50_ms": round(at(0.5, took), 1),
        "p95_ms": round(at(0.95, took), 1),
        "cpu_ms": round(1000 * usage.usage["clickhouse"].cpu_s / times, 1),
        "rows_read": sum(one.rows for one in each),
        "statements": [{"sql": one.sql, "rows_read": one.rows} for one in each],
        "took_ms": [round(one, 1) for one in took],
    }
    _say(f"{asked.name}: p50 {found['p50_ms']} ms, p95 {found['p95_ms']} ms, CPU {found['cpu_ms']} ms")
    return found


def at_once(page: Dashboard, times: int) -> list[float]:
    """Returns how long it took until all panels of the first view were there, each time."""
    took = []
    for _ in range(times):
        faults: list[str] = []

        def one(asked: Asked, faults: list[str] = faults) -> None:
            try:
                page.ms(asked)
            except BenchError as error:
                faults.append(str(error))

        threads = [threading.Thread(target=one, args=(asked,)) for asked in FIRST_VIEW]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took.append(round(1000 * (time.perf_counter() - began), 1))
        if faults:
            raise BenchError(faults[0])
    return took


def verdict(found: dict[str, Any]) -> str:
    """Returns whether a panel keeps its bar, and whether it reaches the goal of a first view."""
    bar_ms = found["bar_ms"]
    if found["fault"]:
        return "no answer"
    if bar_ms is None:
        return ""
    if bar_ms == FIRST_VIEW_MS and found["p95_ms"] <= GOAL_MS:
        return VERDICTS[0]
    return VERDICTS[1] if found["p95_ms"] <= bar_ms else VERDICTS[2]


def table(panels: list[dict[str, Any]]) -> list[list[str]]:
    """Returns the table, with its head."""
    head = ["panel", "p50, ms", "p95, ms", "CPU, ms", "rows read", "statements", "bar, p95", "verdict"]
    rows = []
    for one in panels:
        figures = [""] * 5
        if not one["fault"]:
            times = (f"{one[name]:,.0f}" for name in ("p50_ms", "p95_ms", "cpu_ms", "rows_read"))
            figures = [*times, str(len(one["statements"]))]
        rows.append([one["panel"], *figures, f"{one['bar_ms']} ms" if one["bar_ms"] else "", verdict(one)])
    return [head, *rows]


def page_text(found: dict[str, Any]) -> str:
    """Returns what stands between the marks of docs/performance.md: the table, where it was measured, and the SQL of the first view."""
    where, view = found["machine"], {asked.name for asked in FIRST_VIEW}
    load = f", load average before {where['load_before'][0]}" if where["load_before"] else ""
    kept = [one for one in found["panels"] if one["bar_ms"] is not None]
    missed = [one["panel"] for one in kept if verdict(one) not in VERDICTS[:2]]
    said = f"{len(kept) - len(missed)} of {len(kept)} panels that have a bar keep it."
    parts = [f"{said} These do not: {', '.join(missed)}." if missed else said, markdown(table(found["panels"]))]
    if found["at_once_ms"]:
        least, most = min(found["at_once_ms"]), max(found["at_once_ms"])
        parts.append(
            f"The whole first view, asked at once: {least:,.0f} to {most:,.0f} ms until its last panel was there."
        )
    parts.append(
        f"Of {found['rows']:,} events, half of them of the site asked for; each panel {found['times']} times, {found['at']}, revision"
        f" `{found['revision'] or 'unknown'}`, on {where['cpu']}, two of {where['cores']} cores{load}."
    )
    if sizes := found["bytes_per_event"]:
        parts.append(f"`events` takes {sizes['events']} bytes an event here, and copies take {sizes['copies']}.")
    shown: set[str] = set()  # panels of numbers ask the same statements of other periods and dimensions
    for one in found["panels"]:
        if one["panel"] not in view or one["fault"]:
            continue
        asked = [f"{statement['sql'].strip()};" for statement in one["statements"]]
        new = [sql for sql in dict.fromkeys(asked) if sql not in shown]
        shown.update(new)
        if new:
            sql = "\n\n".join(new)
            parts.append(f"<details><summary>SQL of {one['panel']}</summary>\n\n```text\n{sql}\n```\n</details>")
    return "\n\n".join(parts)


def measured(arguments: Arguments) -> dict[str, Any]:
    """Runs a stand, fills it, and returns all figures. Raises BenchError."""
    wanted = [one for one in PANELS if not arguments.only or one.name in arguments.only.split(",")]
    facts = machine.facts()
    with (
        tempfile.TemporaryDirectory(prefix="forebay-panels-", ignore_cleanup_errors=True) as directory,
        ExitStack() as held,
    ):
        home = Path(directory)
        held.enter_context(children.on(*children.cores()))
        on = held.enter_context(stand.running(home, sys.executable, children.ROOT, sites=SITE, timezone=ZONE))
        _say(f"filling {arguments.rows:,} rows")
        on.pause_flusher()  # or it would copy days again and again while they are filled
        fill(on.clickhouse_url, arguments.rows)
        close(on)
        sizes = bytes_per_event(on.clickhouse_url, arguments.rows)
        page = held.enter_context(dashboard(on, home))
        panels = [alone(page, on, asked, arguments.times) for asked in wanted]
        together = [] if arguments.only else at_once(page, max(1, arguments.times // 4))
    return {
        "kind": "panels",
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "revision": machine.revision(children.ROOT),
        "machine": facts,
        "rows": arguments.rows,
        "times": arguments.times,
        "panels": panels,
        "at_once_ms": together,
        "bytes_per_event": sizes,
    }


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        found = measured(arguments)
    except (BenchError, OSError, ValueError) as error:
        _say(f"loadtest.bench.panels: {error}")
        return 1
    except KeyboardInterrupt:
        _say("loadtest.bench.panels: stopped; nothing is left behind")
        return 130
    print(text(table(found["panels"])))
    if arguments.json:
        result.write(arguments.json, found)
    if arguments.page:
        arguments.page.write_text(replaced(arguments.page.read_text("utf-8"), MARK, page_text(found)), "utf-8")
    return 1 if any(one["fault"] for one in found["panels"]) else 0


def _say(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


def _parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(prog="loadtest.bench.panels", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="events to ask about (default: %(default)s)")
    parser.add_argument("--times", type=int, default=TIMES, help="each panel is asked so often (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these panels (default: all)")
    parser.add_argument("--page", type=Path, help="the page whose marked table is written anew")
    parser.add_argument("--json", type=Path, help="file for the result")
    return parser.parse_args(argv, namespace=Arguments())


if __name__ == "__main__":
    sys.exit(main())
