"""The rollups are a projection and a view of `events`: used by what people ask, and never other than the rows."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse, ClickHouseError
from tests.support.engine import EngineProcess
from tests.support.fresh import engine_with_tables

SITE = "site = 'site1'"
MONDAY = "'2026-11-02'"
PANELS = {
    "top pages": f"SELECT path, sum(events) AS n FROM forebay.daily WHERE {SITE} AND day >= {MONDAY} AND name = 'pageview'"
    " AND bot = '' GROUP BY path ORDER BY n DESC, path LIMIT 10",
    "by day": f"SELECT day, sum(events), sum(engaged_ms), sum(revenue) FROM forebay.daily WHERE {SITE} AND bot = ''"
    " GROUP BY day ORDER BY day",
    "top pages of events": f"SELECT path, count() AS n FROM forebay.events WHERE {SITE} AND toDate(ts) >= {MONDAY}"
    " AND name = 'pageview' AND bot = '' GROUP BY path ORDER BY n DESC, path LIMIT 10",
}
# `late`, which is always 0, is in no projection.
AGREE = """
SELECT (SELECT count() FROM forebay.events WHERE late = 0), (SELECT sum(events) FROM forebay.daily),
    (SELECT sum(events) FROM forebay.sessions)
"""
COLUMNS = "site, name, ts, session_id, visitor_id, path, engaged_ms, source, block_id, attempt"


def fill(rows: int, block: str, attempt: int = 0) -> str:
    """An INSERT of that many rows of three sites, eleven days and a few sessions each."""
    return f"""
    INSERT INTO forebay.events ({COLUMNS}) SELECT
        'site' || toString(number % 3), if(number % 4 = 0, 'engagement', 'pageview'),
        toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number * 15 % 950400,
        (toUInt64(toUnixTimestamp('2026-11-01 00:00:00', 'UTC')) + number * 15 % 950400 - number % 3) * 4294967296 + number % 99,
        number % 99, '/' || toString(number % 300), number % 7, 'src' || toString(number % 5), '{block}', {attempt}
    FROM numbers({rows})
    """


def numbers(clickhouse: ClickHouse) -> tuple[int, ...]:
    """Events that raw, daily and sessions hold."""
    return tuple(int(one) for one in clickhouse.run(AGREE).split())


@pytest.fixture(name="clickhouse")
def without_events(clickhouse: ClickHouse) -> ClickHouse:
    """The tables, with nothing in them."""
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    return clickhouse


def test_panels_are_answered_by_the_projection_alone_and_as_the_rows_would(clickhouse: ClickHouse) -> None:
    """Through the view and the filters that people use, by part and merged."""
    for block in "ab":
        clickhouse.run(fill(60_000, block))
    for _ in range(2):
        for name, sql in PANELS.items():
            plan = clickhouse.run("EXPLAIN " + sql)
            assert "ReadFromMergeTree (daily)" in plan, (name, plan)
            assert "(forebay.events)" not in plan, (name, plan)
            assert clickhouse.run(sql) == clickhouse.run(sql, optimize_use_projections="0"), name
        clickhouse.run("OPTIMIZE TABLE forebay.events FINAL")


def test_sessions_are_what_their_events_say(clickhouse: ClickHouse) -> None:
    """First and last path by time, the first source, counts, bounces; a session with a bot's event is no visit."""
    for block, ts, name, path, source, engaged_ms, session, bot in (
        ("b", 9, "pageview", "/late", "b", 0, 7, ""),
        ("a", 1, "pageview", "/early", "a", 0, 7, ""),
        ("b", 5, "engagement", "/mid", "", 4_000, 7, ""),
        ("a", 2, "pageview", "/only", "", 0, 8, ""),
        ("a", 3, "pageview", "/x", "", 0, 9, ""),
        ("b", 4, "pageview", "/x", "", 0, 9, "agent"),
    ):
        clickhouse.run(
            "INSERT INTO forebay.events (site, name, ts, session_id, visitor_id, path, source, engaged_ms, bot, block_id)"
            f" SELECT 's', '{name}', toDateTime64({1_796_083_200 + ts}, 3, 'UTC'), {session}, {session}, '{path}', '{source}',"
            f" {engaged_ms}, '{bot}', '{block}'"
        )
    said = clickhouse.run(
        "SELECT session_id, entry_path, exit_path, source, seconds, events, pageviews, engaged_ms, is_bounce"
        " FROM forebay.v_sessions WHERE site = 's' ORDER BY session_id"
    )
    assert said == "7\t/early\t/late\ta\t8\t3\t2\t4000\t0\n8\t/only\t/only\t\t0\t1\t1\t0\t1\n"
    said = clickhouse.run(
        "SELECT session_id, events, min(entry).2, bot FROM forebay.sessions GROUP BY ALL ORDER BY ALL"
    )
    assert said == "7\t3\t/early\t\n8\t1\t/only\t\n9\t2\t/x\tagent\n"


def test_rows_that_a_repair_replaced_are_not_counted(clickhouse: ClickHouse) -> None:
    """A surplus shows in rollups as in the rows, and goes with them (delivery.md, rule 4)."""
    clickhouse.run(fill(1_000, "a"))
    clickhouse.run(fill(1_000, "a", attempt=1))
    assert numbers(clickhouse) == (2_000, 2_000, 2_000)
    clickhouse.run("ALTER TABLE forebay.events DELETE WHERE block_id = 'a' AND attempt < 1", mutations_sync="2")
    assert numbers(clickhouse) == (1_000, 1_000, 1_000)
    clickhouse.run("OPTIMIZE TABLE forebay.events FINAL")
    assert numbers(clickhouse) == (1_000, 1_000, 1_000)


def test_emptied_ids_change_no_rollup(clickhouse: ClickHouse) -> None:
    """The merge that empties old event ids keeps the projection."""
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, ts, received_at, event_id, session_id) SELECT 's', 'pageview', now() - number,"
        " now() - INTERVAL 20 DAY, toString(number), number FROM numbers(500)"
    )
    clickhouse.run("OPTIMIZE TABLE forebay.events FINAL")
    assert clickhouse.run("SELECT countIf(event_id != '') FROM forebay.events") == "0\n"
    assert numbers(clickhouse) == (500, 500, 500)
    parts = clickhouse.run("SELECT uniqExact(name), countIf(is_broken) FROM system.projection_parts WHERE active")
    assert parts == "3\t0\n"


def test_a_delete_that_would_leave_the_rollups_behind_is_refused(clickhouse: ClickHouse) -> None:
    """ClickHouse's lightweight DELETE marks rows and no projection; ALTER TABLE ... DELETE is the one that works."""
    clickhouse.run(fill(100, "a"))
    with pytest.raises(ClickHouseError, match="projection"):
        clickhouse.run("DELETE FROM forebay.events WHERE path = '/1'")
    assert numbers(clickhouse) == (100, 100, 100)


def test_a_server_killed_in_the_middle_of_inserts_keeps_rows_and_rollups_together(tmp_path: Path) -> None:
    """At whatever moment it dies; and the retry of the token changes nothing or everything."""
    rows = 20_000
    engine = engine_with_tables(tmp_path)
    try:
        for round_ in range(6):
            clickhouse = ClickHouse(f"http://127.0.0.1:{engine.port}")
            token = {"insert_deduplication_token": str(round_), "max_insert_threads": "1"}
            insert = threading.Thread(target=attempted, args=(clickhouse, fill(rows, str(round_)), token))
            insert.start()
            insert.join(0.02 * round_)  # when it dies, not what is waited for
            engine.kill()
            insert.join()
            engine = EngineProcess(tmp_path)
            clickhouse = ClickHouse(f"http://127.0.0.1:{engine.port}")
            raw, daily, sessions = numbers(clickhouse)
            assert raw == daily == sessions
            assert raw in {rows * round_, rows * (round_ + 1)}
            clickhouse.run(fill(rows, str(round_)), **token)
            assert numbers(clickhouse) == (rows * (round_ + 1),) * 3
    finally:
        engine.close()


def attempted(clickhouse: ClickHouse, sql: str, settings: dict[str, str]) -> None:
    """Run it against a server that may die under it."""
    try:
        clickhouse.run(sql, **settings)
    except ClickHouseError:
        return
