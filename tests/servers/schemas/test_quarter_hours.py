"""The projection `quarter_hours` comes to tables that a release before it filled: in the background, also over a kill."""

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
LACKING = """
SELECT count() FROM system.parts WHERE active AND database = 'forebay' AND table = 'events'
    AND NOT has(projections, 'quarter_hours')
"""


def fill(clickhouse: ClickHouse, rows: int) -> None:
    """Inserts rows of ten sites, thirty days and two months."""
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, ts, session_id, path) SELECT concat('s', toString(number % 10)),"
        " if(number % 4 = 0, 'signup', 'pageview'), toDateTime64('2026-10-20 00:00:00', 3, 'UTC') + intHash32(number) % 2592000,"
        f" number, toString(number % 100) FROM numbers({rows})"
    )


def test_stored_events_get_it_although_the_engine_is_killed(tmp_path: Path) -> None:
    """The migration waits for no part, the numbers are right before and after, and what was begun is finished."""
    engine = EngineProcess(tmp_path)
    try:
        clickhouse = engine.tools
        migrate(clickhouse.run, migrations=[one for one in packaged() if one.name in released()])
        fill(clickhouse, ROWS)
        clickhouse.run("SYSTEM STOP MERGES")  # nothing can be materialized: who waits for it waits for ever
        migrate(clickhouse.run)
        assert int(clickhouse.run(LACKING)) == 2
        fill(clickhouse, 10)
        wanted = clickhouse.run(NAIVE)
        assert clickhouse.run(COUNTS) == wanted
        engine.kill()
        engine = EngineProcess(tmp_path)
        clickhouse = engine.tools
        wait_until(lambda: clickhouse.run(LACKING) == "0\n")
        assert clickhouse.run(COUNTS) == wanted == clickhouse.run(NAIVE, optimize_use_projections="0")
        assert "ReadFromMergeTree (forebay.events)" not in clickhouse.run(f"EXPLAIN {COUNTS}")
        clickhouse.run("ALTER TABLE forebay.events MATERIALIZE PROJECTION quarter_hours", mutations_sync="1")
        assert clickhouse.run(COUNTS) == wanted
    finally:
        engine.close()
