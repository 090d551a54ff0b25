"""The numbers that everybody asks first are those that were counted on paper (tests/support/dashboard/hand.py)."""

from __future__ import annotations

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import days, rows_of
from tests.support.dashboard.hand import FIRST, THIRD, ZONE

PERIOD = days(FIRST, THIRD, ZONE)
SITE = "hand.example"


def test_counts(seeded: ClickHouse) -> None:
    """Pageviews and events by day and by name; engaged time has that of a tab which is no visit."""
    by_day = rows_of(seeded, "counts", SITE, PERIOD, dimensions=("time:day",))
    assert by_day == [["2026-03-01", 4, 5, 42_000], ["2026-03-02", 4, 6, 0], ["2026-03-03", 2, 5, 5_000]]
    assert rows_of(seeded, "counts", SITE, PERIOD) == [[SITE, 10, 16, 47_000]]
    names = {row[0]: row[2] for row in rows_of(seeded, "counts", SITE, PERIOD, dimensions=("event",)) if row[2]}
    assert names == {
        "pageview": 10,
        "signup": 1,
        "purchase": 2,
        "404": 1,
        "Outbound Link: Click": 1,
        "File Download": 1,
    }


@pytest.mark.parametrize("bots", [False, True])
def test_with_what_looks_automated(seeded: ClickHouse, bots: bool) -> None:
    """A crawler's page, and the second of somebody who was found to be a program."""
    assert rows_of(seeded, "counts", SITE, PERIOD, bots=bots)[0][1] == (12 if bots else 10)
