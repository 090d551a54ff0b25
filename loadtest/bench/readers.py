"""`python -m loadtest.bench.readers`: measures whether people who ask ClickHouse slow down those who send events.

    fill     ten million rows of thirty days, half of them of one site, straight into `events`
    rounds   the load test sends single events at one rate, with nobody asking and with a dashboard of twelve
             questions, all of them again every ten seconds; in turns, each pair in the other order than the last
    result   p99 of the acknowledgements' latency of each run, and the ratio of each pair; how long the questions took

It runs on a stand of its own on two cores, as the rest of the bench. The goal is a ratio of 1.25. Latency counts from
the moment at which a request was due. Exit status: 0 measured, 1 something failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from loadtest.bench import children, command, machine, stand
from loadtest.bench.ask import BenchError, ask, number
from loadtest.bench.stand import Stand
from loadtest.report import result

GOAL = 1.25
EVERY_SECONDS = 10.0
ROWS = 10_000_000
FILL_ROWS = 1_000_000
SITE = "big.example"
DAYS = 30
SETTLE_SECONDS = 600
# Rows as ingest and the flusher would have written them: visits of up to eight events, a few paths that everybody reads.
FILL = f"""
INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, url, referrer_url, language, screen_w,
  screen_h, dialect, bot, country, browser, os, device, engaged_ms, block_id)
WITH intDiv(number, 5) AS visit, cityHash64(visit) AS h, now() - (h % ({DAYS} * 86400)) - 600 AS began,
  cityHash64(number) AS e
SELECT if(h % 2, '{SITE}', concat('site', toString(h % 40), '.example')) AS of_site,
  multiIf(e % 10 < 7, 'pageview', e % 10 < 9, 'engagement', 'signup') AS of_name, began + number % 5 * 20, began + number % 5 * 20,
  cityHash64(intDiv(visit, 3)), bitOr(bitShiftLeft(toUInt64(began), 32), h % 4294967296),
  concat('https://', of_site, '/page/', toString(toUInt32(pow(e % 10000 / 10000, 4) * 500)),
    if(h % 9 = 0, '?utm_source=news&utm_medium=mail&utm_campaign=spring', '')),
  ['', 'https://www.google.com/', 'https://news.example/', 'https://t.co/x'][h % 4 + 1], 'en', 1440, 900, 'native',
  if(h % 20 = 7, 'agent', ''), ['DE', 'US', 'FR', 'GB', 'IN', 'BR'][h % 6 + 1],
  ['Chrome', 'Safari', 'Firefox', 'Edge'][h % 4 + 1], ['Windows', 'macOS', 'iOS', 'Android'][h % 4 + 1],
  ['desktop', 'mobile', 'tablet'][h % 3 + 1], if(of_name = 'engagement', e % 60000, 0), 'bench'
FROM numbers({{first}}, {{rows}}) SETTINGS max_execution_time = 300, max_partitions_per_insert_block = 100
"""
_SINCE = f"site = '{SITE}' AND day > today() - {DAYS}"
_EVENTS = f"site = '{SITE}' AND ts > now() - INTERVAL {DAYS} DAY"
_VISITS = f"site = '{SITE}' AND started_at > now() - INTERVAL {DAYS} DAY"
QUESTIONS = {
    "visits a day (README)": "SELECT toDate(started_at) AS day, count() AS visits, avg(seconds), countIf(is_bounce) / visits"
    f" FROM forebay.v_sessions WHERE site = '{SITE}' GROUP BY day ORDER BY day",
    "pages (README)": f"SELECT path, sum(events) AS views FROM forebay.daily WHERE {_SINCE} AND name = 'pageview'"
    " AND bot = '' GROUP BY path ORDER BY views DESC LIMIT 20",
    "latest (README)": "SELECT ts, site, name, path, bot FROM forebay.events ORDER BY ts DESC LIMIT 10",
    "views a day": f"SELECT day, sum(events) FROM forebay.daily WHERE {_SINCE} AND name = 'pageview' GROUP BY day ORDER BY day",
    "views an hour": "SELECT toStartOfHour(ts) AS hour, count() FROM forebay.v_pageviews"
    f" WHERE site = '{SITE}' AND ts > now() - INTERVAL 1 DAY GROUP BY hour ORDER BY hour",
    "visitors a day": f"SELECT toDate(ts) AS day, uniq(visitor_id) FROM forebay.v_events WHERE {_EVENTS} GROUP BY day ORDER BY day",
    "sources": f"SELECT source, uniq(visitor_id) AS n FROM forebay.v_pageviews WHERE {_EVENTS} GROUP BY source ORDER BY n DESC LIMIT 10",
    "countries": f"SELECT country, uniq(visitor_id) AS n FROM forebay.v_pageviews WHERE {_EVENTS} GROUP BY country ORDER BY n DESC LIMIT 10",
    "browsers": f"SELECT browser, device, uniq(visitor_id) AS n FROM forebay.v_pageviews WHERE {_EVENTS} GROUP BY ALL ORDER BY n DESC LIMIT 10",
    "campaigns": f"SELECT utm_source, utm_medium, utm_campaign, count() AS n FROM forebay.v_pageviews WHERE {_EVENTS}"
    " AND utm_source != '' GROUP BY ALL ORDER BY n DESC LIMIT 10",
    "entries": f"SELECT entry_path, count() AS n FROM forebay.v_sessions WHERE {_VISITS} GROUP BY entry_path ORDER BY n DESC LIMIT 10",
    "events by name": f"SELECT name, sum(events) AS n FROM forebay.daily WHERE {_SINCE} GROUP BY name ORDER BY n DESC",
}


class Dashboard:
    """Asks all questions at once, each in a thread of its own, and again every ten seconds, until it is closed."""

    def __init__(self, clickhouse_url: str) -> None:
        self._url = clickhouse_url
        self._over = threading.Event()
        self.took_s: dict[str, list[float]] = {name: [] for name in QUESTIONS}
        self.faults: list[str] = []
        self._threads = [threading.Thread(target=self._keep_asking, args=one) for one in QUESTIONS.items()]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the asking, and returns once the last answers are there."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _keep_asking(self, name: str, sql: str) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            try:
                status, body = ask(f"{self._url}/?{urlencode({'query': sql})}", timeout_s=60)
            except BenchError as error:
                status, body = 0, str(error).encode()
            self.took_s[name].append(round(time.monotonic() - began, 3))
            if status != 200:
                self.faults.append(f"{name}: {body.decode('utf-8', 'replace')[:200]}")
            due += EVERY_SECONDS


def fill(tested: Stand, rows: int) -> None:
    """Inserts the rows. Raises BenchError if ClickHouse refuses them, or has not merged them in time."""
    for first in range(0, rows, FILL_ROWS):
        sql = FILL.format(first=first, rows=min(FILL_ROWS, rows - first))
        status, body = ask(tested.clickhouse_url + "/", sql.encode(), timeout_s=SETTLE_SECONDS)
        if status != 200:
            raise BenchError(f"the rows are not taken: {body.decode('utf-8', 'replace')[:300]}")
    status, body = ask(f"{tested.clickhouse_url}/", b"OPTIMIZE TABLE forebay.events FINAL", timeout_s=SETTLE_SECONDS)
    if status != 200:
        raise BenchError(f"the rows are not merged: {body.decode('utf-8', 'replace')[:300]}")
    merges = "SELECT count() FROM system.merges"
    tested.until(lambda: number(tested.clickhouse_url, merges) == 0, SETTLE_SECONDS, "merges to end", 1.0)


def send(tested: Stand, directory: Path, *, rate: int, seconds: int) -> dict[str, Any]:
    """Returns one run's latency in ms, once its events are stored. Nobody looks at ClickHouse meanwhile."""
    before = tested.stored()
    options = ["--profile", "single", "--rate", str(rate), "--duration", str(seconds), "--no-verify"]
    found = command.run(tested, directory, *options, seconds=seconds)
    tested.drained(before + found["events"]["acknowledged"])
    return {"latency_ms": found["latency_ms"], "acknowledged": found["events"]["acknowledged"]}


def pair(tested: Stand, directory: Path, turn: int, *, rate: int, seconds: int) -> dict[str, Any]:
    """Does a run without questions and one with them, and returns both as JSON has them."""
    runs: dict[str, Any] = {}
    for name in ("alone", "asked") if turn % 2 == 0 else ("asked", "alone"):
        load = children.LOAD.read_text("ascii").split()[0]
        dashboard = Dashboard(tested.clickhouse_url) if name == "asked" else None
        try:
            runs[name] = send(tested, directory, rate=rate, seconds=seconds) | {"load_before": float(load)}
        finally:
            if dashboard is not None:
                dashboard.close()
        if dashboard is not None:
            runs["questions_s"] = dashboard.took_s
            runs["faults"] = dashboard.faults
    runs["ratio_p99"] = round(runs["asked"]["latency_ms"]["p99"] / runs["alone"]["latency_ms"]["p99"], 3)
    alone, asked = (runs[name]["latency_ms"] for name in ("alone", "asked"))
    slowest = max((max(took), name) for name, took in runs["questions_s"].items() if took)
    _say(
        f"p50 {alone['p50']} and {asked['p50']} ms, p99 {alone['p99']} and {asked['p99']} ms, ratio {runs['ratio_p99']};"
        f" load {runs['alone']['load_before']} and {runs['asked']['load_before']}; slowest {slowest[0]} s, {slowest[1]};"
        f" {len(runs['faults'])} refused"
    )
    return runs


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="loadtest.bench.readers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows in `events` before (default: {ROWS:,})")
    parser.add_argument("--rate", type=int, default=2_000, help="single events a second (default: 2,000)")
    parser.add_argument("--seconds", type=int, default=30, help="of one run (default: 30)")
    parser.add_argument("--pairs", type=int, default=5, help="of runs, without and with questions (default: 5)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the stand's")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args()
    settings = dict(one.split("=", 1) for one in options.set)
    facts = machine.facts()
    try:
        with (
            children.on(*children.cores()),
            tempfile.TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as directory,
            stand.running(Path(directory), sys.executable, children.ROOT, **settings) as tested,
        ):
            _say(f"filling {options.rows:,} rows")
            fill(tested, options.rows)
            pairs = [
                pair(tested, Path(directory), turn, rate=options.rate, seconds=options.seconds)
                for turn in range(options.pairs)
            ]
    except (BenchError, OSError, ValueError) as error:
        _say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        _say("bench: stopped; nothing is left behind")
        return 130
    ratios = [one["ratio_p99"] for one in pairs]
    median = statistics.median(ratios)
    said = "met" if median <= GOAL else "missed"
    print(
        f"p99 with questions ÷ without: median {median:.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {GOAL} is {said}"
    )
    found = {"kind": "readers", "rate_per_s": options.rate, "rows": options.rows, "settings": settings}
    found |= {"machine": facts, "pairs": pairs}
    if options.json is not None:
        result.write(options.json, found | {"revision": machine.revision(children.ROOT)})
    return 1 if any(one["faults"] for one in pairs) else 0


if __name__ == "__main__":
    sys.exit(main())
