"""`python -m loadtest.bench.local_time`: questions in local time through our views, beside the same ones asked of rows.

A stand gets 3 M events of 32 days, half of them of one site, by one INSERT, and everything is merged. Then each question is asked
both ways, in turns; both must find the same. The CPU time of the engine is compared, because a busy machine changes it little. At
the end the projection is dropped, and built anew as `forebay migrate` does. With `--page docs/performance.md` it writes the table
between the marks of that page.

Not promised: the time of your questions. All of the table is in the page cache here, and nothing else asks.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.bench import children, machine, stand
from loadtest.bench.ask import BenchError
from loadtest.bench.baseline import Tables
from loadtest.bench.figures import markdown, text
from loadtest.bench.marks import replaced

if TYPE_CHECKING:
    from loadtest.bench.stand import Stand

MARK = "local time"
TURNS = 3
TIMES = 5  # asked in a turn, because CPU time comes in hundredths of a second
ZONE = "Asia/Kathmandu"
# Of each three events one visit; 13 sites, of which `example.com` has half; a twentieth of the visits are crawlers'.
FILL = """
INSERT INTO forebay.events (site, name, ts, received_at, session_id, visitor_id, path, hostname, engaged_ms, revenue, currency, bot)
SELECT if(visit % 2 = 0, 'example.com', concat('site', toString(sipHash64(visit) % 12))) AS site,
    multiIf(number % 20 = 0, 'signup', number % 50 = 6, 'purchase', number % 5 = 2, 'engagement', 'pageview') AS name,
    toDateTime64('2026-10-30 00:00:00', 3, 'UTC') + began + (number % 3) * 47 AS ts, ts,
    bitShiftLeft(toUInt64(toUnixTimestamp('2026-10-30 00:00:00', 'UTC') + began), 32) + sipHash64(visit) % 4294967296 AS session_id,
    sipHash64(visit % 400000, intDiv(began, 86400)) AS visitor_id,
    concat('/', toString(toUInt32(exp2(sipHash64(number) % 1300 / 100)))) AS path, site,
    if(name = 'engagement', 1000 + sipHash64(number) % 30000, 0) AS engaged_ms,
    if(name = 'purchase', 49.90, 0) AS revenue, if(name = 'purchase', ['EUR', 'USD', 'JPY'][1 + number % 3], '') AS currency,
    if(visit % 20 = 0, 'crawler', '') AS bot
FROM (SELECT number, intDiv(number, 3) AS visit, toUInt32(cityHash64(intDiv(number, 3)) % (32 * 86400)) AS began FROM numbers({rows}))
SETTINGS max_insert_threads = 1
"""
MONTH = f"(site = 'example.com', timezone = '{ZONE}', since = '2026-11-01', until = '2026-11-30')"
DAY = f"(site = 'example.com', timezone = '{ZONE}', since = '2026-11-15', until = '2026-11-15')"
# What somebody writes who knows the table: pruned by UTC days, and by nothing else.
ROWS = (
    "FROM forebay.events WHERE site = 'example.com' AND bot = '' AND toDate(ts) BETWEEN '{0}' AND '{1}'"
    f" AND toDate(ts, '{ZONE}') BETWEEN '{{2}}' AND '{{3}}'"
)
ROWS_MONTH = ROWS.format("2026-10-31", "2026-11-30", "2026-11-01", "2026-11-30")
ROWS_DAY = ROWS.format("2026-11-14", "2026-11-15", "2026-11-15", "2026-11-15")
LOCAL_DAY, LOCAL_HOUR = f"toDate(ts, '{ZONE}') AS day", f"toStartOfHour(toTimeZone(ts, '{ZONE}')) AS hour"
VIEWS = "countIf(name = 'pageview') AS pageviews"
WHO = "uniqExactIf(visitor_id, name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group'))"
SESSIONS = (
    "FROM forebay.v_sessions WHERE site = 'example.com' AND session_id >= bitShiftLeft(toUInt64(toUnixTimestamp('{0} 00:00:00', 'UTC')), 32)"
    f" AND toDate(started_at, '{ZONE}') BETWEEN '{{1}}' AND '{{2}}'"
)
QUESTIONS = {
    "pageviews by day, a month": (
        f"SELECT day, pageviews FROM forebay.local_days{MONTH} ORDER BY day",
        f"SELECT {LOCAL_DAY}, {VIEWS} {ROWS_MONTH} GROUP BY day ORDER BY day",
    ),
    "pageviews by hour, a month": (
        f"SELECT hour, pageviews FROM forebay.local_hours{MONTH} ORDER BY hour",
        f"SELECT {LOCAL_HOUR}, {VIEWS} {ROWS_MONTH} GROUP BY hour ORDER BY hour",
    ),
    "top 10 pages, a month": (
        f"SELECT path, pageviews FROM forebay.local_pages{MONTH} ORDER BY pageviews DESC, path LIMIT 10",
        f"SELECT path, {VIEWS} {ROWS_MONTH} GROUP BY path ORDER BY pageviews DESC, path LIMIT 10",
    ),
    "top 10 pages, a day": (
        f"SELECT path, pageviews FROM forebay.local_pages{DAY} ORDER BY pageviews DESC, path LIMIT 10",
        f"SELECT path, {VIEWS} {ROWS_DAY} GROUP BY path ORDER BY pageviews DESC, path LIMIT 10",
    ),
    "money by day and currency, a month": (
        f"SELECT day, currency, revenue FROM forebay.local_revenue{MONTH} ORDER BY ALL",
        f"SELECT {LOCAL_DAY}, currency, sum(revenue) {ROWS_MONTH} AND currency != '' GROUP BY day, currency ORDER BY ALL",
    ),
    "pageviews and visitors by day, a month": (
        f"SELECT day, pageviews, visitors FROM forebay.local_days{MONTH} ORDER BY day",
        f"SELECT {LOCAL_DAY}, {VIEWS}, {WHO} {ROWS_MONTH} GROUP BY day ORDER BY day",
    ),
    "pageviews and visitors, a month": (
        f"SELECT pageviews, visitors FROM forebay.local_totals{MONTH}",
        f"SELECT {VIEWS}, {WHO} {ROWS_MONTH}",
    ),
    "pageviews and visitors, a day": (
        f"SELECT pageviews, visitors FROM forebay.local_totals{DAY}",
        f"SELECT {VIEWS}, {WHO} {ROWS_DAY}",
    ),
    "visits and bounces, a month": (
        f"SELECT sum(visits), sum(bounces) FROM forebay.local_visits{MONTH}",
        f"SELECT count(), sum(is_bounce) {SESSIONS.format('2026-10-31', '2026-11-01', '2026-11-30')}",
    ),
    "visits and bounces, a day": (
        f"SELECT sum(visits), sum(bounces) FROM forebay.local_visits{DAY}",
        f"SELECT count(), sum(is_bounce) {SESSIONS.format('2026-11-14', '2026-11-15', '2026-11-15')}",
    ),
}  # fmt: skip
DROP = "ALTER TABLE forebay.events DROP PROJECTION quarter_hours SETTINGS mutations_sync = 1"
ADD = (
    "ALTER TABLE forebay.events ADD PROJECTION quarter_hours (SELECT site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot,"
    " currency, count(), sum(engaged_ms), sum(revenue)"
    " GROUP BY site, toDate(ts), toStartOfFifteenMinutes(ts), name, bot, currency)"
)
MATERIALIZE = "ALTER TABLE forebay.events MATERIALIZE PROJECTION quarter_hours SETTINGS mutations_sync = 1"


class Arguments(argparse.Namespace):
    """Holds the command line, typed."""

    rows: int
    page: Path | None


def both(tables: Tables, on: Stand, ours: str, rows: str) -> tuple[float, float]:
    """Returns the median CPU ms of our question and of the one asked of rows. Raises BenchError if they find other things."""
    used: dict[str, list[float]] = {ours: [], rows: []}
    for turn in range(TURNS):
        found = {}
        for sql in (ours, rows)[:: 1 if turn % 2 else -1]:
            usage = on.usage()
            for _ in range(TIMES):
                # Who asks the rows names no projection, but ClickHouse would find one by itself.
                found[sql] = tables.rows(sql if sql == ours else f"{sql} SETTINGS optimize_use_projections = 0")
            usage.look()
            used[sql].append(1000 * usage.usage["clickhouse"].cpu_s / TIMES)
        if found[ours] != found[rows]:
            raise BenchError(f"not the same: {ours} and {rows}")
    return statistics.median(used[ours]), statistics.median(used[rows])


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    lines = [["question", "our view, ms of CPU", "rows, ms of CPU", "rows ÷ view"]]
    try:
        with tempfile.TemporaryDirectory(prefix="forebay-local-") as home, ExitStack() as held:
            running = held.enter_context(stand.running(Path(home), sys.executable, children.ROOT))
            tables = held.enter_context(closing(Tables(running.clickhouse_url)))
            tables.run(FILL.format(rows=arguments.rows))
            tables.run("OPTIMIZE TABLE forebay.events FINAL")
            for name, (ours, rows) in QUESTIONS.items():
                view_ms, rows_ms = both(tables, running, ours, rows)
                lines.append([name, f"{view_ms:.0f}", f"{rows_ms:.0f}", f"{rows_ms / view_ms:.1f}"])
                print(f"{name}: {view_ms:.0f} ms, {rows_ms:.0f} ms", file=sys.stderr, flush=True)
            tables.run(DROP)
            tables.run(ADD)
            usage = running.usage()
            tables.run(MATERIALIZE)
            usage.look()
            per_million = usage.usage["clickhouse"].cpu_s / arguments.rows * 1e6
    except (BenchError, OSError) as error:
        print(f"loadtest.bench.local_time: {error}", file=sys.stderr)
        return 1
    print(text(lines))
    print(f"{per_million:.2f} CPU-seconds to build the projection of a million stored events")
    if arguments.page:
        said = (
            f"Of {arguments.rows:,} events, half of them of the site asked for, {time.strftime('%Y-%m-%d', time.gmtime())}, revision"
            f" `{machine.revision(children.ROOT)}`. The projection of a million stored events was built in {per_million:.2f} CPU-seconds."
        )
        made = f"{markdown(lines)}\n\n{said}"
        arguments.page.write_text(replaced(arguments.page.read_text("utf-8"), MARK, made), "utf-8")
    return 0


def _parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(prog="loadtest.bench.local_time", description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--rows", type=int, default=3_000_000, help="events to ask about (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="the page whose marked table is written anew")
    return parser.parse_args(argv, namespace=Arguments())


if __name__ == "__main__":
    raise SystemExit(main())
