"""The visits that the dashboard's tests count are stored as they are written down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.dashboard.hand import FIRST, THIRD, ZONE

RANGE = f"(site = 'hand.example', timezone = '{ZONE}', since = '{FIRST}', until = '{THIRD}')"


@pytest.mark.parametrize(
    ("column", "counted"),
    [
        ("visitors", [3, 4, 2]),
        ("pageviews", [4, 4, 2]),
        ("engaged_ms", [42_000, 0, 5_000]),
    ],
)
def test_each_day_of_the_hand_counted_site(seeded: ClickHouse, column: str, counted: list[int]) -> None:
    """The table in hand.py is what the views in local time count."""
    rows = seeded.rows(f"SELECT day, {column} AS n FROM forebay.local_days{RANGE} ORDER BY day")
    assert [(row["day"], int(row["n"])) for row in rows] == [
        (str(FIRST + timedelta(days=number)), n) for number, n in enumerate(counted)
    ]


def test_visits_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """Three, two and two; one over midnight belongs to the day on which it began."""
    asked = (
        f"SELECT toDate(started_at, '{ZONE}') AS day, count() AS visits, sum(is_bounce) AS bounces, sum(seconds) AS seconds"
        " FROM forebay.v_sessions WHERE site = 'hand.example' GROUP BY day ORDER BY day"
    )
    rows = [(int(row["visits"]), int(row["bounces"]), int(row["seconds"])) for row in seeded.rows(asked)]
    assert rows == [(3, 1, 1385), (2, 1, 360), (2, 1, 123)]


def test_where_the_visits_came_from(seeded: ClickHouse) -> None:
    """ClickHouse derives source and paths from the addresses that are put in."""
    asked = (
        "SELECT source, entry_path, exit_path FROM forebay.v_sessions WHERE site = 'hand.example' ORDER BY started_at"
    )
    assert [tuple(row.values()) for row in seeded.rows(asked)] == [
        ("google.com", "/", "/pricing"),
        ("newsletter", "/blog/hello", "/blog/hello"),
        ("", "/", "/docs"),
        ("", "/", "/"),
        ("t.co", "/shop", "/shop"),
        ("", "/missing", "/missing"),
        ("chatgpt.com", "/", "/"),
    ]
