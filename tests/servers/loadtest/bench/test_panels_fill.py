"""The rows that P12 is measured on are visits as the flusher stores them."""

from __future__ import annotations

from forebay.clickhouse import ClickHouse
from loadtest.bench.panels_fill import EVENTS_A_VISIT, FILL, SITE

ROWS = 4_000


def test_the_rows_are_visits_half_of_them_of_one_site(clickhouse: ClickHouse) -> None:
    """Each session has its five events, an id that says when it began, and one visitor."""
    clickhouse.run(FILL.format(first=0, rows=ROWS))
    (found,) = clickhouse.rows(
        "SELECT count() AS sessions, sum(events) AS rows, min(events) AS least, max(events) AS most, avg(site = {site:String}) AS share,"
        " countIf(bitShiftRight(session_id, 32) != toUnixTimestamp(started_at)) AS others, avg(bot != '') AS bots,"
        " countIf(first_visitor != last_visitor AND first_visitor != 0) AS over_midnight FROM forebay.sessions",
        {"site": SITE},
    )
    assert found["rows"] == ROWS
    assert found["least"] == found["most"] == EVENTS_A_VISIT
    assert found["sessions"] == ROWS / EVENTS_A_VISIT
    assert found["others"] == found["over_midnight"] == 0
    assert 0.4 < found["share"] < 0.6
    assert 0.01 < found["bots"] < 0.1
    names = {row["name"] for row in clickhouse.rows("SELECT DISTINCT name FROM forebay.events")}
    assert names >= {
        "pageview",
        "engagement",
        "vitals",
        "signup",
        "purchase",
        "404",
        "Outbound Link: Click",
        "File Download",
    }
