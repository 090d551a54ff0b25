"""What strangers can make many of (sites, names, keys, ids, minutes, sessions) costs as much each, however many there are.

Where the setting `sites` is `*` anybody invents sites; names, keys and ids are anybody's always. Each case is
measured with 10 000 and 100 000 distinct ones, by `make thorough` also with 1 000 000, unless a limit elsewhere keeps them fewer.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from flusher.blocks import native_format as native
from flusher.blocks.block import Rows, form, prepare
from flusher.blocks.sessions import GAP_MS, Sessions
from flusher.metrics import Metrics
from schemas.entry import encode
from schemas.names import ORIGIN, EntryId
from schemas.row import Row
from tests.support.growth import SIZES, STEEPNESS_MAX, steepest
from tests.support.rows import columns_of, plain

NOON = 1_796_083_200_000
DAY_MS = 86_400_000
ENTRY_ROWS = 2_000
Work = Callable[[], object]


class Entry:
    """A stream record."""

    fault = ""

    def __init__(self, number: int, rows: list[Row]) -> None:
        self.id = EntryId(NOON + number, 0)
        self.data = encode(columns_of(rows))
        self.rows = len(rows)


def row(number: int, *, ts: int = NOON) -> Row:
    """An event in which nothing is like in another."""
    return plain(
        site=f"s{number}.example", name=f"name {number}", ts=ts, received_at=NOON + number * 60_000,
        event_id=f"id-{number}", visitor_id=number + 1, language=f"l{number}", props={f"key {number}": "value"},
        browser=f"b{number}",
    )  # fmt: skip


def entries(rows: int, *, months: int = 1) -> list[Entry]:
    """So many rows, whose times take turns among so many months."""
    return [
        Entry(at, [row(number, ts=NOON + number % months * 31 * DAY_MS) for number in range(at, at + ENTRY_ROWS)])
        for at in range(0, rows, ENTRY_ROWS)
    ]


def dictionary(distinct: int) -> Work:
    """A LowCardinality column of distinct values, encoded and counted."""
    values = [f"s{number}.example" for number in range(distinct)]

    def work() -> None:
        column = native.Dictionary()
        for at in range(0, distinct, ENTRY_ROWS):
            column.extend(values[at : at + ENTRY_ROWS])
        assert len(column.counts()) == distinct

    return work


def maps(distinct: int) -> Work:
    """Properties of which no two have the same key."""
    values = [{f"key {number}": "value"} for number in range(distinct)]

    def work() -> None:
        column = native.Maps(native.Strings())
        for at in range(0, distinct, ENTRY_ROWS):
            column.extend(values[at : at + ENTRY_ROWS])
        assert sum(map(len, column.pieces())) > distinct

    return work


def metrics(distinct: int) -> Work:
    """Stored events and copies of distinct sites; the label values stay 1 000 and `other`."""
    events = {f"s{number}.example": 1 for number in range(distinct)}

    def work() -> None:
        counted = Metrics(CollectorRegistry())
        counted.stored(events)
        counted.duplicate(events)

    return work


def one_visitor(events: int) -> Work:
    """One visitor whose events are further apart than a session's can be; 13 us each, as 16 sessions are looked at."""
    events //= 10
    ts = [NOON - number * (GAP_MS + 1000) for number in range(events)]

    def work() -> None:
        Sessions().assign([1] * events, [0] * events, [0] * events, ts, NOON)

    return work


@pytest.mark.parametrize("prepare_work", [dictionary, maps, metrics, one_visitor])
def test_each_costs_as_much_however_many_there_are(prepare_work: Callable[[int], Work]) -> None:
    """A straight line from 10 000 on."""
    assert steepest(prepare_work) < STEEPNESS_MAX


@pytest.mark.parametrize("months", [1, 2, 12])
def test_a_block_of_nothing_twice_costs_as_much_a_row_however_large_it_is(months: int) -> None:
    """Decoded, encoded, put into months that take turns, given sessions and counted by site.

    To 100 000 rows: `block_rows_max` ends at 500 000, and a block of many months is cut nowhere else.
    """

    def work_of(rows: int) -> Work:
        made = entries(rows, months=months)

        def work() -> None:
            block = form(prepare(made), incarnation="cafe", shard=0, from_id=ORIGIN, sessions=Sessions())
            assert (len(block.parts), len(block.sites())) == (months, rows)

        return work

    assert steepest(work_of, SIZES[:2]) < STEEPNESS_MAX


def test_a_row_of_a_block_is_found_whichever_entry_holds_it() -> None:
    """A refused block is asked for thousands of its rows, one by one: each costs one entry, not a look at all of them."""

    def work_of(count: int) -> Work:
        made = [Entry(number, [row(number)]) for number in range(count)]
        rows = Rows(made, range(count), range(count))
        return lambda: [rows.columns([at]) for at in range(0, count, 10)]

    assert steepest(work_of, (4_000, 40_000)) < STEEPNESS_MAX


def test_what_was_prepared_in_months_is_in_order() -> None:
    """Rows of two months that take turns, in many runs, are each month's, ascending."""
    prepared = prepare(entries(2 * ENTRY_ROWS, months=2))
    block = form(prepared, incarnation="cafe", shard=0, from_id=ORIGIN, sessions=Sessions())
    assert [list(part.places) for part in block.parts] == [list(range(at, 2 * ENTRY_ROWS, 2)) for at in (0, 1)]
