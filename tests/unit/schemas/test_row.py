"""Rows become columns, and moments fall in the partitions ClickHouse puts them in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.row import COLUMNS, DELIVERY, INDEX, INSERT_TYPES, Row, month_of, months_of
from tests.support.rows import columns_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = st.integers(-2_208_988_800_000, 10_413_791_999_999)  # 1900 to 2299: what DateTime64(3) holds


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        ("1970-01-01T00:00:00.000+00:00", 197001),
        ("1969-12-31T23:59:59.999+00:00", 196912),
        ("2023-02-28T23:59:59.999+00:00", 202302),
        ("2023-03-01T00:00:00.000+00:00", 202303),
        ("2024-02-29T00:00:00.000+00:00", 202402),
        ("2024-02-29T23:59:59.999+00:00", 202402),
        ("2024-03-01T00:00:00.000+00:00", 202403),
        ("2000-02-29T23:59:59.999+00:00", 200002),
        ("2026-11-30T23:59:59.999+00:00", 202611),
        ("2026-12-01T00:00:00.000+00:00", 202612),
        ("2026-12-31T23:59:59.999+00:00", 202612),
        ("2027-01-01T00:00:00.000+00:00", 202701),
        ("2026-12-01T00:30:00.000+01:00", 202611),
        ("2026-11-30T23:30:00.000-01:00", 202612),
    ],
)
def test_a_month_ends_on_the_millisecond_in_utc(moment: str, month: int) -> None:
    """The last millisecond of a month is in it and the next one is not, in leap years too, whatever the client's zone."""
    assert month_of(ms(moment)) == month


@given(st.integers(1900, 2298), st.integers(1, 12))
def test_no_month_loses_or_gains_a_millisecond(year: int, month: int) -> None:
    """At every month's start the partition changes between two neighbouring milliseconds."""
    starts = (datetime(year, month, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
    before = year * 100 + month - 1 if month > 1 else (year - 1) * 100 + 12
    assert (month_of(starts - 1), month_of(starts)) == (before, year * 100 + month)


@given(st.lists(MOMENT, min_size=1, max_size=8))
def test_the_months_of_moments_are_all_of_them_once_ascending(ts: list[int]) -> None:
    """The shortcut for one month, and the long way, give what each moment's month says."""
    assert months_of(ts) == sorted({month_of(moment) for moment in ts})


def test_months_between_the_first_and_the_final_one_are_not_made_up() -> None:
    """Rows of November and January touch two partitions, not three."""
    assert months_of([ms("2027-01-01T00:00:00+00:00"), ms("2026-11-30T23:59:59.999+00:00")]) == [202611, 202701]


def test_columns_are_rows_turned() -> None:
    """A column holds its field of each row, in order, in table order."""
    values: dict[str, Any] = {name: f"{name} " for name in COLUMNS}
    rows = [Row(**{name: text + str(number) for name, text in values.items()}) for number in range(3)]
    columns = columns_of(rows)
    assert len(columns) == len(COLUMNS)
    for name in COLUMNS:
        assert columns[INDEX[name]] == [f"{name} 0", f"{name} 1", f"{name} 2"]


def test_every_column_but_one_has_an_insert_type() -> None:
    """What is inserted is the row without `visitor_before`, which the flusher consumes, and with DELIVERY."""
    assert list(INSERT_TYPES) == [*(name for name in COLUMNS if name != "visitor_before"), *DELIVERY]
