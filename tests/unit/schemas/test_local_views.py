"""The views that count by local time have the same text where they mean the same."""

from __future__ import annotations

import pytest

from forebay.commands.migrate import packaged

COUNTED = ("local_days", "local_hours", "local_totals", "local_revenue", "local_pages")
FIRST_DAY = (
    "toDate(greatest(toDate32(toTimeZone(toDateTime64({since:Date}, 0, {timezone:String}), 'UTC')), toDate32('1970-01-01')))"
    " AS first_day"
)
LAST_DAY = (
    "toDate(least(toDate32(toTimeZone(toDateTime64(toDate32({until:Date}) + 1, 0, {timezone:String}) - INTERVAL 1 SECOND, 'UTC')),"
    " toDate32('2149-06-06'))) AS last_day"
)
IN_RANGE = (
    "WHERE e.site = {site:String} AND e.bot = '' AND toDate(e.ts) BETWEEN first_day AND last_day"
    " AND toDate(toStartOfFifteenMinutes(e.ts), {timezone:String}) BETWEEN {since:Date} AND {until:Date}"
)
# Events of these names make nobody a visitor (docs/visits.md).
VISITORS_IN_RANGE = IN_RANGE.replace(
    "e.bot = ''", "e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')"
)


@pytest.fixture(scope="module")
def views() -> dict[str, str]:
    """Returns the text of each view, without line breaks."""
    (text,) = [migration.text for migration in packaged() if migration.name.startswith("0008")]
    parts = " ".join(text.split()).split("CREATE OR REPLACE VIEW forebay.")[1:]
    return {part.partition(" ")[0]: part for part in parts}


@pytest.mark.parametrize("name", COUNTED)
def test_the_range_is_the_same_in_each_view(views: dict[str, str], name: str) -> None:
    """Finds the first and the last UTC day of the range in each view that counts events."""
    assert f"WITH {FIRST_DAY}, {LAST_DAY}" in views[name]


@pytest.mark.parametrize("name", ["local_days", "local_hours", "local_totals"])
def test_each_branch_reads_the_same_rows(views: dict[str, str], name: str) -> None:
    """Finds two branches that read events: the counts, and the visitors."""
    assert views[name].count("FROM forebay.events AS e") == 2
    assert f"FROM forebay.events AS e {IN_RANGE} GROUP BY" in views[name]
    assert f"FROM forebay.events AS e {VISITORS_IN_RANGE} GROUP BY" in views[name]


def test_money_is_of_the_same_rows(views: dict[str, str]) -> None:
    """Finds the rows of the range, less those without money."""
    assert f"FROM forebay.events AS e {IN_RANGE} AND e.currency" in views["local_revenue"]
