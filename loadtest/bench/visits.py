"""`python -m loadtest.bench.visits`: questions about visits and pages, to the views of now and to those of release 0.1.0, in turns.

A stand gets 3 M events of 30 days, half of them of one site, and everything is merged. The older view is made again
beside the present one, from its migration. Compared is the CPU time of the engine, because a busy machine changes it
little. The answers differ where a rule changed (docs/visits.md), so they are not compared.

Not promised: the time of your questions. All of the table is in the page cache here, and nothing else asks.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from loadtest.bench import children, stand
from loadtest.bench.ask import BenchError
from loadtest.bench.baseline import Tables
from loadtest.bench.figures import text
from loadtest.bench.readers import FILL_ROWS, SITE, fill
from loadtest.bench.stand import Stand

TURNS = 7
TIMES = 3  # asked in a turn, because CPU time comes in hundredths of a second
OLD, NEW = "forebay.v_sessions_0_1", "forebay.v_sessions"
OF_SITE = f"WHERE site = '{SITE}'"
WEEK = f"{OF_SITE} AND session_id >= bitShiftLeft(toUInt64(toUnixTimestamp(now() - INTERVAL 7 DAY)), 32)"
# Of either view.
VISITS = {
    "visits, duration and bounces by day": f"SELECT toDate(started_at) AS day, count(), avg(seconds), avg(is_bounce) FROM {{}} {OF_SITE} GROUP BY day",
    "visits": f"SELECT count() FROM {{}} {OF_SITE}",
    "visitors by day": f"SELECT toDate(started_at) AS day, uniq(visitor_id) FROM {{}} {OF_SITE} GROUP BY day",
    "entry pages": f"SELECT entry_path, count() AS n FROM {{}} {OF_SITE} GROUP BY entry_path ORDER BY n DESC LIMIT 10",
    "exit pages": f"SELECT exit_path, count() AS n FROM {{}} {OF_SITE} GROUP BY exit_path ORDER BY n DESC LIMIT 10",
    "sources": f"SELECT source, count() AS n FROM {{}} {OF_SITE} GROUP BY source ORDER BY n DESC LIMIT 10",
    "sources of a week, by range of session_id": f"SELECT source, count() AS n FROM {{}} {WEEK} GROUP BY source",
    "countries": f"SELECT country, count() AS n, avg(engaged_ms) FROM {{}} {OF_SITE} GROUP BY country ORDER BY n DESC LIMIT 10",
    "bounces of all sites": "SELECT site, avg(is_bounce) FROM {} GROUP BY site",
}
PAGE = "SELECT path, sum(engaged_ms) / countIf(pageviews > 0), avgIf(scroll_pct, pageviews > 0) FROM forebay.v_pages"
# Of the present ones alone.
PAGES = {
    "time on page, all pages": f"{PAGE} {OF_SITE} GROUP BY path",
    "time on page, a week by range of session_id": f"{PAGE} {WEEK} GROUP BY path",
}


def older() -> str:
    """Returns the statement that makes the older view, under its name here."""
    migration = (children.ROOT / "schemas" / "migrations" / "0004_views.sql").read_text("utf-8")
    made = migration.partition(f"CREATE OR REPLACE VIEW {NEW} ")[2].partition(";")[0]
    return f"CREATE VIEW {OLD} {made.replace('${ON_CLUSTER}', '')}"


def in_turns(tables: Tables, on: Stand, questions: Sequence[str]) -> list[float]:
    """Returns the median CPU ms of each question."""
    used: dict[str, list[float]] = {sql: [] for sql in questions}
    for turn in range(TURNS):
        for sql in questions[:: 1 if turn % 2 else -1]:
            usage = on.usage()
            for _ in range(TIMES):
                tables.rows(sql)
            usage.look()
            used[sql].append(1000 * usage.usage["clickhouse"].cpu_s / TIMES)
    return [statistics.median(used[sql]) for sql in questions]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="loadtest.bench.visits", description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--rows", type=int, default=3 * FILL_ROWS, help="events to ask about (default: %(default)s)")
    rows: int = parser.parse_args(argv).rows
    lines = [["question", "0.1.0, ms of CPU", "now, ms of CPU", "now ÷ 0.1.0"]]
    try:
        with tempfile.TemporaryDirectory(prefix="forebay-visits-") as home, ExitStack() as held:
            running = held.enter_context(stand.running(Path(home), sys.executable, children.ROOT))
            tables = held.enter_context(closing(Tables(running.clickhouse_url)))
            fill(running, rows)
            tables.run(older())
            for name, sql in VISITS.items():
                before, now = in_turns(tables, running, [sql.format(OLD), sql.format(NEW)])
                lines.append([name, f"{before:.0f}", f"{now:.0f}", f"{now / before:.2f}"])
            for name, sql in PAGES.items():
                (now,) = in_turns(tables, running, [sql])
                lines.append([name, "", f"{now:.0f}", ""])
    except (BenchError, OSError) as error:
        print(f"loadtest.bench.visits: {error}", file=sys.stderr)
        return 1
    print(text(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
