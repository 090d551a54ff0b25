"""Entries become blocks: tests where they are cut, and that a block is a function of its entries and earlier blocks
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flusher.blocks.block import (
    AGE_STRETCH,
    INSERTED,
    SMALL_ROWS,
    TINY_ROWS,
    Block,
    BlockLimits,
    Cutter,
    ShapeChanged,
    form,
    prepare,
)
from flusher.blocks.sessions import MEMORY_MS, Sessions, session_id_of
from schemas import entry
from schemas.names import BlockName, EntryId
from schemas.row import INSERT_TYPES, Row
from tests.support.rows import columns_of, plain

NOW = 1_790_000_000_000
LIMITS = BlockLimits(rows_max=1_000, bytes_max=10_000, age_ms=1_000)
WIDE = BlockLimits(rows_max=1_000, bytes_max=1 << 30, age_ms=1_000)


@dataclass(frozen=True)
class Waiting:
    """Is a stream record, as far as blocks need one."""

    id: EntryId
    data: bytes
    rows: int
    fault: str = ""


def waiting(*rows: int, size: int = 10, age_ms: int = 0) -> list[Waiting]:
    """Returns entries of so many rows. The oldest is that old at NOW."""
    return [Waiting(EntryId(NOW - age_ms, number), b"x" * size, count) for number, count in enumerate(rows)]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def row(**fields: Any) -> Row:
    return plain(**({"site": "example.org", "ts": NOW, "visitor_id": 0} | fields))


def record(entry_id: EntryId, *rows: Row) -> Waiting:
    return Waiting(entry_id, entry.encode(columns_of(list(rows))), len(rows))


def formed(entries: list[Waiting], sessions: Sessions | None = None) -> Block:
    sessions = Sessions() if sessions is None else sessions
    return form(prepare(entries), incarnation="abcd0123", shard=3, from_id=EntryId(5, 1), sessions=sessions)


def column(block: Block, name: str, part: int = 0) -> list[Any]:
    return block.parts[part].columns[INSERTED.index(name)]


def test_nothing_waits_for_nothing() -> None:
    """Without entries no block is cut, also when draining."""
    assert Cutter(LIMITS).ready([], NOW) == 0
    assert Cutter(LIMITS).ready([], NOW, drain=True) == 0


@pytest.mark.parametrize(
    ("rows", "cut"),
    [
        ((400, 400), 0),
        ((400, 400, 400), 2),
        ((400, 600, 1), 2),
        ((400, 600), 2),
        ((1_000,), 1),
        ((999, 2), 1),
        ((5_000,), 1),
        ((5_000, 1), 1),
        ((1, 5_000), 1),
    ],
)
def test_a_block_full_of_rows_is_cut_at_once(rows: tuple[int, ...], cut: int) -> None:
    """A full block has as many entries as the row limit takes, but at least one: an entry over the limit is a block
    alone.
    """
    assert Cutter(LIMITS).ready(waiting(*rows), NOW) == cut


@pytest.mark.parametrize(
    ("size", "entries", "cut"), [(4_000, 2, 0), (4_000, 3, 2), (5_000, 2, 2), (10_000, 1, 1), (99_000, 2, 1)]
)
def test_a_block_full_of_bytes_is_cut_at_once(size: int, entries: int, cut: int) -> None:
    """The byte limit counts encoded bytes, as the row limit counts rows."""
    assert Cutter(LIMITS).ready(waiting(*[1] * entries, size=size), NOW) == cut


@pytest.mark.parametrize(("age_ms", "cut"), [(0, 0), (999, 0), (1_000, 2), (60_000, 2)])
def test_a_smaller_block_is_cut_when_its_oldest_entry_is_old_enough(age_ms: int, cut: int) -> None:
    """All entries that wait are cut together with the oldest, once that is old enough."""
    assert Cutter(LIMITS).ready(waiting(1, 1, age_ms=age_ms), NOW) == cut


@pytest.mark.parametrize(
    ("rows", "full"), [((), 0), ((400, 400), 0), ((400, 600), 2), ((400, 600, 1), 2), ((999, 2), 1)]
)
def test_only_a_full_block_is_known_ahead(rows: tuple[int, ...], full: int) -> None:
    """A full block is cut the same when its turn comes, whatever has come behind it by then."""
    cutter = Cutter(LIMITS)
    entries = waiting(*rows)
    assert cutter.full(entries) == full
    if full:
        assert cutter.ready([*entries, *waiting(700)], NOW) == full


def test_draining_waits_for_no_age() -> None:
    """When draining, everything is cut at once, by the same limits."""
    assert Cutter(LIMITS).ready(waiting(1, 1), NOW, drain=True) == 2
    assert Cutter(LIMITS).ready(waiting(900, 200), NOW, drain=True) == 1


def test_the_age_stretches_while_blocks_are_tiny() -> None:
    """Each tiny block makes the next wait one age longer, up to the stretch, which then stays."""
    cutter = Cutter(LIMITS)
    waited = []
    for _ in range(AGE_STRETCH + 2):
        waited.append(cutter.wait_ms(waiting(1), NOW))
        assert cutter.ready(waiting(1, age_ms=waited[-1] - 1), NOW) == 0
        assert cutter.ready(waiting(1, age_ms=waited[-1]), NOW) == 1
    assert waited == [1_000, 2_000, 3_000, 4_000, 5_000, 5_000, 5_000]


@pytest.mark.parametrize("snap", [waiting(SMALL_ROWS, age_ms=60_000), waiting(1_001, 1), waiting(1_001), []])
def test_the_age_snaps_back_when_a_block_is_worth_its_insert(snap: list[Waiting]) -> None:
    """One such block, or nothing left to wait for, ends the stretch."""
    cutter = Cutter(LIMITS)
    for _ in range(3):
        cutter.ready(waiting(1, age_ms=60_000), NOW)
    assert cutter.wait_ms(waiting(1), NOW) == 4_000
    cutter.ready(snap, NOW)
    assert cutter.wait_ms(waiting(1), NOW) == 1_000


@pytest.mark.parametrize(("rows", "age_ms"), [(TINY_ROWS, 1_500), (SMALL_ROWS - 1, 1_500), (SMALL_ROWS, 1_000)])
def test_a_small_block_waits_half_as_long_again(rows: int, age_ms: int) -> None:
    """What waits for a tiny block is cut sooner once it is more than tiny, and at the age limit once it is not small."""
    cutter = Cutter(BlockLimits(40_000, 10_000_000, 1_000))
    for _ in range(3):
        cutter.ready(waiting(1, age_ms=60_000), NOW)
    assert cutter.wait_ms(waiting(rows), NOW) == age_ms
    assert cutter.ready(waiting(rows, age_ms=age_ms - 1), NOW) == 0
    assert cutter.ready(waiting(rows, age_ms=age_ms), NOW) == 1


def test_a_small_block_takes_one_step_off_the_stretch() -> None:
    """At a rate between tiny and small blocks the age stays near where it makes them: it does not fall and climb again."""
    cutter = Cutter(LIMITS)
    for _ in range(3):
        cutter.ready(waiting(1, age_ms=60_000), NOW)
    cutter.ready(waiting(TINY_ROWS, age_ms=60_000), NOW)
    assert cutter.wait_ms(waiting(1), NOW) == 3_000


def test_an_entry_dated_ahead_waits_no_longer_than_others() -> None:
    """After Redis's clock was set back, an entry's wait counts from when it was first seen, not from its date."""
    cutter = Cutter(LIMITS)
    ahead = waiting(1, 1, age_ms=-600_000)
    assert (cutter.ready(ahead, NOW), cutter.wait_ms(ahead, NOW)) == (0, 1_000)
    assert (cutter.ready(ahead, NOW + 999), cutter.wait_ms(ahead, NOW + 999)) == (0, 1)
    assert cutter.ready(ahead, NOW + 1_000) == 2
    assert cutter.ready(ahead[1:], NOW + 1_001) == 0
    assert cutter.ready(ahead[1:], NOW - 600_000) == 0, "the clock is read anew when the flusher starts over"
    assert cutter.ready(ahead[1:], NOW - 598_000) == 1


@pytest.mark.parametrize(("age_ms", "left"), [(0, 1_000), (400, 600), (1_000, 0), (5_000, 0)])
def test_the_wait_is_what_is_left_of_the_age(age_ms: int, left: int) -> None:
    """The wait is the rest of the age and never negative, because it becomes a timeout."""
    assert Cutter(LIMITS).wait_ms(waiting(1, age_ms=age_ms), NOW) == left


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(0, 2_000), st.booleans())
def test_a_cut_takes_no_more_than_fits(rows: list[int], age_ms: int, drain: bool) -> None:
    """A cut block is within the limits or one entry; when none is cut, all that waits would fit in one."""
    entries = waiting(*rows, age_ms=age_ms)
    cut = Cutter(LIMITS).ready(entries, NOW, drain=drain)
    assert cut <= len(rows)
    if cut:
        assert sum(rows[:cut]) <= LIMITS.rows_max
    else:
        assert not drain
        assert sum(rows) < LIMITS.rows_max


def test_a_block_has_its_entries_rows_in_order() -> None:
    """A block's rows follow each other as those of its entries do, under the block's name and edges."""
    entries = [record(EntryId(7, 0), row(title="a"), row(title="b")), record(EntryId(7, 1), row(title="c"))]
    block = formed(entries)
    assert column(block, "title") == ["a", "b", "c"]
    assert (block.name, block.rows) == (BlockName("abcd0123", 3, EntryId(5, 1), EntryId(7, 1)), 3)
    assert block.id == str(block.name)
    assert block.bytes == sum(len(one.data) for one in entries)


def test_what_is_inserted_is_what_the_insert_expects() -> None:
    """A part has the columns that are inserted, except the three of the delivery, all of equal length."""
    (part,) = formed([record(EntryId(7, 0), row(), row())]).parts
    assert list(INSERTED) == [name for name in INSERT_TYPES if name not in ("block_id", "attempt", "deadline")]
    assert [len(values) for values in part.columns] == [2] * len(INSERTED)


def test_sessions_are_assigned_at_the_time_of_the_last_entry() -> None:
    """Each row gets its session and keeps its visitor; sessions that an SDK owns stay."""
    sessions = Sessions()
    rows = [row(visitor_id=7), row(visitor_id=8, visitor_before=7), row(visitor_id=9, session_id=4711)]
    block = formed([record(EntryId(NOW, 0), *rows)], sessions)
    assert column(block, "session_id") == [session_id_of(7, NOW), session_id_of(7, NOW), 4711]
    assert column(block, "visitor_id") == [7, 8, 9]
    later = formed([record(EntryId(NOW + 60_000, 0), row(visitor_id=7, ts=NOW + 60_000))], sessions)
    assert column(later, "session_id") == [session_id_of(7, NOW)]
    too_late = NOW + 60_000 + MEMORY_MS + 1
    last = formed(
        [record(EntryId(NOW, 1), row()), record(EntryId(too_late, 0), row(visitor_id=7, ts=NOW + 60_000))], sessions
    )
    assert column(last, "session_id")[1] == session_id_of(7, NOW + 60_000)


MOMENTS = ["2026-11-30 23:59:59.999", "2026-12-01 00:00:00.000", "2027-01-01 00:00:00.000", "2026-11-01 00:00:00.000"]


@given(st.lists(st.lists(st.sampled_from(MOMENTS), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_part_for_each_month_keeps_the_order(groups: list[list[str]]) -> None:
    """Every row is in the part of its month, once, in the order of the entries; months ascend; counts add up."""
    moments = [ms(moment) for group in groups for moment in group]
    numbers = iter(range(len(moments)))
    entries = [
        record(EntryId(7, at), *(row(ts=ms(moment), engaged_ms=next(numbers)) for moment in group))
        for at, group in enumerate(groups)
    ]
    block = formed(entries)
    month_at = [datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y%m") for moment in moments]
    assert [str(part.month) for part in block.parts] == sorted(set(month_at))
    for at, part in enumerate(block.parts):
        expected = [number for number, month in enumerate(month_at) if month == str(part.month)]
        assert column(block, "engaged_ms", at) == expected
        assert column(block, "ts", at) == [moments[number] for number in expected]
        assert part.rows == len(expected)
        assert all(len(values) == part.rows for values in part.columns)
    assert sum(part.rows for part in block.parts) == block.rows == len(moments)


@pytest.mark.parametrize("sites", [["a.example"] * 3, ["a.example", "b.example", "a.example"]])
def test_a_block_counts_its_rows_by_site(sites: list[str]) -> None:
    """The counts by site add up to the rows that are stored, for one site and for several, over all months."""
    block = formed(
        [record(EntryId(7, 0), *(row(site=site, ts=ms(at)) for site, at in zip(sites, MOMENTS, strict=False)))]
    )
    assert len(block.parts) == 3
    assert block.sites() == {site: sites.count(site) for site in sites}


TWO_MONTHS = [row(ts=ms(MOMENTS[number % 2]), engaged_ms=number) for number in range(6)]


@pytest.mark.parametrize(
    ("dead", "left"),
    [
        (set(), [[0, 2, 4], [1, 3, 5]]),
        ({3}, [[0, 2, 4], [1, 5]]),
        ({0, 5, 99}, [[2, 4], [1, 3]]),
        ({1, 3, 5}, [[0, 2, 4]]),
        (set(range(6)), []),
    ],
)
def test_a_block_less_its_dead_rows_keeps_the_others_in_order(dead: set[int], left: list[list[int]]) -> None:
    """Rows are left out by their places in the block, and a month without rows left disappears."""
    block = formed([record(EntryId(7, 0), *TWO_MONTHS)])
    less = block.without(dead)
    assert [column(less, "engaged_ms", part) for part in range(len(less.parts))] == left
    assert [list(part.places) for part in less.parts] == left
    assert [part.rows for part in less.parts] == [len(kept) for kept in left]
    assert (less.id, less.rows) == (block.id, sum(len(kept) for kept in left))
    assert less.without(dead) == less


def test_a_slice_of_a_part_knows_its_rows_places() -> None:
    """Bisecting a refused part ends at a row whose place in the block is known."""
    part = formed([record(EntryId(7, 0), *TWO_MONTHS)]).parts[1].slice(1, 3)
    assert (part.rows, list(part.places), part.columns[INSERTED.index("engaged_ms")]) == (2, [3, 5], [3, 5])


ROWS = st.lists(
    st.builds(
        row,
        visitor_id=st.integers(1, 3),
        visitor_before=st.integers(0, 3),
        ts=st.integers(NOW - 10_000_000, NOW + 60_000),
        site=st.sampled_from(["a.example", "b.example"]),
        props=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_a_block_formed_again_is_the_same_block(groups: list[list[Row]]) -> None:
    """The same entries after the same earlier blocks give the same rows in the same order, however often (I5)."""
    entries = [record(EntryId(NOW + at, 0), *rows) for at, rows in enumerate(groups)]
    before = [(7, (session_id_of(1, NOW - 60_000), NOW - 60_000, NOW, NOW - 1_000))]
    first, again = formed(entries, Sessions(before)), formed(entries, Sessions(before))
    assert replace(first, parts=()) == replace(again, parts=())
    assert [(part.month, list(part.places), part.columns) for part in first.parts] == [
        (part.month, list(part.places), part.columns) for part in again.parts
    ]


def test_limits_are_not_applied_when_a_block_is_formed() -> None:
    """A recorded block is formed as it was cut, whatever the settings say now."""
    entries = [record(EntryId(7, at), *[row()] * 300) for at in range(4)]
    assert Cutter(WIDE).ready(entries, NOW) == 3
    assert Cutter(LIMITS).ready(entries, NOW) == 1, (
        "alike rows take a few bytes in an entry, and their own size in a block"
    )
    assert formed(entries).rows == 1_200


@pytest.mark.parametrize("said", [0, 1, 3])
def test_an_entry_with_other_rows_than_it_says_stops_the_shard(said: int) -> None:
    """Such an entry raises ShapeChanged and leaves the sessions as they were, so the block may be formed again."""
    sessions = Sessions()
    good = record(EntryId(7, 0), row(visitor_id=1), row(visitor_id=2))
    with pytest.raises(ShapeChanged, match="7-0"):
        formed([record(EntryId(6, 0), row(visitor_id=5)), Waiting(good.id, good.data, said)], sessions)
    assert len(sessions) == 0


@pytest.mark.parametrize(
    "bad", [{"ts": "noon"}, {"ts": 10**16}, {"visitor_id": -1}, {"session_id": None}, {"site": []}]
)
def test_rows_that_no_session_can_be_given_stop_the_shard(bad: dict[str, Any]) -> None:
    """Such an entry, which no ingest writes, raises Damaged and leaves the sessions as they were."""
    sessions = Sessions()
    with pytest.raises(entry.Damaged):
        formed([record(EntryId(6, 0), row(visitor_id=5), row(**bad))], sessions)
    assert len(sessions) == 0


def test_a_block_without_some_rows_is_the_block_of_a_preparation_without_them() -> None:
    """Rows that are left out once the block's turn has come are left out as if they had never been prepared."""
    entries = [
        record(EntryId(7, 0), *TWO_MONTHS),
        record(EntryId(7, 1), row(visitor_id=3), row(visitor_id=4, session_id=9)),
    ]
    left_out = frozenset({0, 7})
    named: dict[str, Any] = {"incarnation": "cafe", "shard": 1, "from_id": EntryId(0, 0)}
    late = form(prepare(entries), **named, sessions=Sessions(), left_out=left_out)
    early = form(prepare(entries, left_out), **named, sessions=Sessions())
    one, other = ([(part.month, list(part.places), part.columns) for part in block.parts] for block in (late, early))
    assert one == other
    assert late.rows == early.rows == 8 - len(left_out)


@pytest.mark.parametrize(("data", "error"), [(b"\x1f??", entry.UnknownVersion), (b"\x02??", entry.Damaged)])
def test_an_entry_that_cannot_be_read_stops_the_shard(data: bytes, error: type[Exception]) -> None:
    """The entry's own error is raised, and the sessions stay as they were."""
    sessions = Sessions()
    with pytest.raises(error):
        formed([record(EntryId(6, 0), row(visitor_id=5)), Waiting(EntryId(7, 0), data, 1)], sessions)
    assert len(sessions) == 0
