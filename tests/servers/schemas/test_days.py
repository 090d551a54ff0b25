"""Local days are ClickHouse's: the day under whose salt a visitor was hashed is `toDate(ts, zone)` of the row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runtime import zones
from schemas.days import day_of
from tests.support.engine import EngineProcess
from tests.support.volume import volume

# Years that ended before any database in use was made: of later ones two databases may know different decisions. In
# 2011 Samoa skipped a day and St. John's changed its clocks at one minute past midnight; in 2024 Egypt's, Lebanon's
# and Chile's midnights did not exist once and came twice once; 2007 changed the rules of North America.
YEARS = (2011, 2024, 2000, 2007, 2016)[: volume(2, 5)]


def days(name: str, year: int) -> list[int]:
    """Returns the starts of all local days that begin in a year, by our rule."""
    zone = zones.load(name)
    moment, last = (int(datetime(year + more, 1, 1, tzinfo=UTC).timestamp()) for more in (0, 1))
    found = []
    while (moment := day_of(moment, zone).end) < last:
        found.append(moment)
    return found


def clickhouse_days(engine: EngineProcess, name: str, year: int) -> list[int]:
    """Returns the same of ClickHouse, which is asked for each quarter of an hour of the year."""
    first, last = (datetime(year + more, 1, 1, tzinfo=UTC) for more in (0, 1))
    begin, quarters = int(first.timestamp()), (last - first) // timedelta(minutes=15)
    said = engine.tools.run(
        f"""
        SELECT toUnixTimestamp(min(at)) AS first, any(start), uniqExact(start) FROM (
            SELECT toDateTime({begin} + number * 900, 'UTC') AS at, toDate(at, '{name}') AS day,
                toUnixTimestamp(toStartOfDay(at, '{name}')) AS start FROM numbers({quarters}))
        GROUP BY day HAVING first > {begin} ORDER BY first
        """
    )
    found = [[int(one) for one in line.split()] for line in said.splitlines()]
    assert all(start == first and starts == 1 for first, start, starts in found), name
    return [first for first, _, _ in found]


@pytest.mark.parametrize("year", YEARS)
def test_a_local_day_is_that_of_clickhouse(engine: EngineProcess, year: int) -> None:
    """In every zone, for every quarter of an hour of the year, by `toDate` and by `toStartOfDay`."""
    alike: dict[tuple[int, ...], str] = {}  # most zones of a year are another's by another name
    for name in sorted(zones.names()):
        alike.setdefault(tuple(days(name, year)), name)
    assert len(alike) > 40
    for starts, name in alike.items():
        assert list(starts) == clickhouse_days(engine, name, year), name
