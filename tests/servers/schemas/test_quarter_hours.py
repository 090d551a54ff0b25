"""What release 0.2.0 changes in tables that a release before it filled is done in the background, also over a kill."""

from __future__ import annotations

from pathlib import Path

from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import migrate, packaged
from tests.support.engine import EngineProcess
from tests.support.waiting import wait_until
from tests.unit.schemas.test_migrations import released

ROWS = 200_000
DAY = "(site = 's1', timezone = 'Asia/Kathmandu', since = '2026-11-02', until = '2026-11-02')"
COUNTS = f"SELECT pageviews, events FROM forebay.local_totals{DAY}"
NAIVE = (
    "SELECT countIf(name = 'pageview'), count() FROM forebay.events WHERE site = 's1' AND bot = ''"
    " AND toDate(ts, 'Asia/Kathmandu') = '2026-11-02'"
)
# Parts without the projection, and those in which a title or a referrer is still a text.
LACKING = """
SELECT (SELECT count() FROM system.parts WHERE active AND database = 'forebay' AND table = 'events'
    AND NOT has(projections, 'quarter_hours')),
    (SELECT uniqExact(name) FROM system.parts_columns WHERE active AND database = 'forebay' AND table = 'events'
    AND column IN ('title', 'referrer') AND type = 'String')
"""
TEXTS = "SELECT groupUniqArray(title), groupUniqArray(referrer) FROM forebay.v_events WHERE session_id < 1"


def fill(clickhouse: ClickHouse, rows: int) -> None:
    """Inserts rows of ten sites, thirty days and two months."""
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, ts, session_id, path, title, referrer_url) SELECT concat('s', toString(number % 10)),"
        " if(number % 4 = 0, 'signup', 'pageview'), toDateTime64('2026-10-20 00:00:00', 3, 'UTC') + intHash32(number) % 2592000,"
        f" number, toString(number % 100), concat('T ', toString(number % 100)), 'https://x.example/' FROM numbers({rows})"
    )


def test_stored_events_are_changed_although_the_engine_is_killed(tmp_path: Path) -> None:
    """The migration waits for no part, the numbers are right before and after, and what was begun is finished."""
    engine = EngineProcess(tmp_path)
    try:
        clickhouse = engine.tools
        migrate(clickhouse.run, migrations=[one for one in packaged() if one.name in released()])
        fill(clickhouse, ROWS)
        clickhouse.run("SYSTEM STOP MERGES")  # no part can be changed: who waits for it waits for ever
        migrate(clickhouse.run)
        assert clickhouse.run(LACKING) == "2\t2\n"
        fill(clickhouse, 10)
        wanted = clickhouse.run(NAIVE)
        assert clickhouse.run(COUNTS) == wanted
        assert clickhouse.run(TEXTS) == "['T 0']\t['https://x.example/']\n"
        engine.kill()
        engine = EngineProcess(tmp_path)
        clickhouse = engine.tools
        wait_until(lambda: clickhouse.run(LACKING) == "0\t0\n")
        assert clickhouse.run(TEXTS) == "['T 0']\t['https://x.example/']\n"
        assert clickhouse.run(COUNTS) == wanted == clickhouse.run(NAIVE, optimize_use_projections="0")
        assert "ReadFromMergeTree (forebay.events)" not in clickhouse.run(f"EXPLAIN {COUNTS}")
        clickhouse.run("ALTER TABLE forebay.events MATERIALIZE PROJECTION quarter_hours", mutations_sync="1")
        assert clickhouse.run(COUNTS) == wanted
    finally:
        engine.close()
