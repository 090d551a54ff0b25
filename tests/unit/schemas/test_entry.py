"""Rows survive an entry, damage never passes for rows."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_type_hints
from uuid import UUID

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import entry
from schemas.columns import DEFAULTS, FEWEST, Columns
from schemas.row import COLUMNS, Row
from tests.support.rows import columns_of, plain

UINT64 = st.integers(0, 2**64 - 1)
MOMENT = st.integers(0, 4_102_444_800_000)
TEXT = st.text(max_size=12)  # every script, emoji, NUL; lone surrogates are no UTF-8 and can't be decoded from a body
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 2**32 - 1),
    dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=3),
    dict[str, float]: st.dictionaries(TEXT, st.floats(allow_nan=False), max_size=3),
}
WIDER = {"ts": MOMENT, "received_at": MOMENT, "visitor_id": UINT64, "visitor_before": UINT64, "session_id": UINT64}
ROW = st.builds(Row, **{name: WIDER.get(name, FIELDS[kind]) for name, kind in get_type_hints(Columns).items()})
# few different rows often, so that constant columns and mixed ones both occur
ROWS = st.lists(ROW, min_size=1, max_size=2).flatmap(lambda few: st.lists(st.sampled_from(few), min_size=1, max_size=6))


some = settings(max_examples=60)
few = settings(some, max_examples=30)  # a row of 28 columns takes 10 ms to draw


def packed(content: object) -> bytes:
    """An entry of this version with other content than `encode` would give it."""
    return entry.HEADER.pack(entry.VERSION, 0) + zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(content))


def one_row(**fields: Any) -> Row:
    return plain(**({"site": "example.org"} | fields))


@few
@given(ROWS)
def test_rows_survive_an_entry(rows: list[Row]) -> None:
    """What was encoded is decoded: values, order and number, for constant columns and for mixed ones."""
    columns = columns_of(rows)
    assert entry.decode(entry.encode(columns)) == columns
    assert [Row(*values) for values in zip(*columns, strict=True)] == rows


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_a_constant_column_is_kept_once(rows: int) -> None:
    """An entry of equal rows grows by its row count alone, and unfolds to all of them."""
    columns = columns_of([one_row(title="ж" * 100)] * rows)
    assert entry.decode(entry.encode(columns)) == columns
    (content, _), (alone, _) = entry.plain(columns), entry.plain(columns_of([one_row(title="ж" * 100)]))
    assert len(content) <= len(alone) + 2  # the number of rows


def test_dictionaries_of_an_unfolded_column_are_equal_to_what_was_sent() -> None:
    """Empty dictionaries come back empty, also where all rows share one."""
    columns = columns_of([one_row(props={}), one_row(props={})])
    assert entry.decode(entry.encode(columns))[COLUMNS.index("props")] == [{}, {}]


@pytest.mark.parametrize("first", [entry.UNRELEASED_VERSION, entry.VERSION + 1, entry.VERSION_MAX])
def test_another_version_is_said_to_be_one(first: int) -> None:
    """It is UnknownVersion and never Damaged: the shard waits, and nothing is set aside."""
    data = bytes([first]) + entry.encode(columns_of([one_row()]))[1:]
    assert entry.is_of_another_version(data)
    with pytest.raises(entry.UnknownVersion, match=f"entry version {first}"):
        entry.decode(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x00rest", b"hello", b"{}", b"\xff" + entry.encode(columns_of([one_row()]))[1:]]
)
def test_what_no_version_begins_with_is_no_entry(data: bytes) -> None:
    """Text that somebody appended by hand is Damaged: no version will come that can read it."""
    assert not entry.is_of_another_version(data)
    with pytest.raises(entry.Damaged):
        entry.decode(data)


def test_what_is_nested_too_deeply_is_damaged() -> None:
    """As any other content that is no rows."""
    deep = zstandard.ZstdCompressor().compress(b"\x91" * 100_000)
    with pytest.raises(entry.Damaged):
        entry.decode(entry.HEADER.pack(entry.VERSION, 0) + deep)


def test_an_entry_from_before_the_first_release_says_what_to_do() -> None:
    """Nothing reads it any more, and a person can't guess why."""
    with pytest.raises(
        entry.UnknownVersion, match=r"before release 0\.1\.0.*store it with that revision, or begin with"
    ):
        entry.decode(b"\x01" + entry.encode(columns_of([one_row()]))[1:])


def test_dictionaries_are_those_that_entries_of_their_version_were_written_with() -> None:
    """Another dictionary is another version: with it no waiting entry could be read."""
    found = {version: hashlib.sha256(known).hexdigest()[:32] for version, known in entry.DICTIONARIES.items()}
    assert found == {2: "415b2ad96577df59a0c1796c21c961b4", 3: "81469d290670e21c7f14e1d673c740ac"}
    assert max(found) == entry.VERSION


def test_an_entry_of_the_first_release_is_read() -> None:
    """It has another dictionary, and its ids are texts."""
    columns = columns_of([one_row(event_id=str(UUID(int=number)), ts=number) for number in range(3)])
    content = msgspec.msgpack.encode(
        [3, *(column if len(set(map(str, column))) > 1 else column[:1] for column in columns)]
    )
    known = zstandard.ZstdCompressionDict(entry.DICTIONARIES[2])
    assert (
        entry.decode(entry.HEADER.pack(2, 0) + zstandard.ZstdCompressor(dict_data=known).compress(content)) == columns
    )


# Texts that are nearly UUIDs.
UUID_TEXT = st.uuids().map(str)
NEAR = UUID_TEXT.flatmap(
    lambda text: st.one_of(
        st.just(text.upper()),
        st.just(text.replace("-", "")),
        st.just(f" {text[1:]}"),
        st.just(f"-{text[1:8]}{text[9:9]}{text[8:]}"),
        st.just(text[:-1] + "\N{FULLWIDTH DIGIT ONE}"),
        st.sampled_from([text[:-1], text + "0", "", "a-b"]),
    )
)


@few
@given(st.lists(st.one_of(UUID_TEXT, UUID_TEXT, NEAR), min_size=2, max_size=5))
def test_ids_come_back_as_they_were(ids: list[str]) -> None:
    """To the letter: events are told apart by them."""
    columns = columns_of([one_row(event_id=one) for one in ids])
    assert entry.decode(entry.encode(columns)) == columns


def test_lengths_that_add_up_are_no_uuids() -> None:
    """Ids that a client chose so that all of them together look like as many UUIDs come back as they were."""
    whole = "".join(str(UUID(int=number)) for number in range(3))
    columns = columns_of([one_row(event_id=one) for one in (whole[:35], whole[35:73], whole[73:])])
    assert entry.decode(entry.encode(columns)) == columns


def test_uuids_take_sixteen_bytes_and_weigh_what_their_texts_do() -> None:
    """Blocks are cut by what rows take unpacked, and texts are what they become."""
    ids = [str(UUID(int=number << 64 | 0xABCDEF)) for number in range(50)]
    columns = columns_of([one_row(event_id=one) for one in ids])
    others = columns_of([one_row(event_id=one.upper()) for one in ids])
    assert len(entry.plain(others)[0]) - len(entry.plain(columns)[0]) == pytest.approx(22 * 50, abs=5)
    assert entry.plain(others)[1] == pytest.approx(entry.plain(columns)[1], abs=5)


def test_threads_have_contexts_of_their_own() -> None:
    """What several threads encode and decode at once comes out as it went in."""
    columns = columns_of([one_row(title=str(number), ts=number) for number in range(500)])
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: entry.decode(entry.encode(columns)) == columns, range(200)))


SAMPLES = [columns_of([one_row(title="a", ts=number) for number in range(rows)]) for rows in (1, 2, 300)]


@pytest.mark.parametrize("columns", SAMPLES)
def test_a_flipped_bit_is_damage(columns: list[list[Any]]) -> None:
    """No single bit behind the version and weight changes a row: all but zstd's few unused ones are Damaged."""
    good = entry.encode(columns)
    number = int.from_bytes(good, "little")
    unused = 0
    for bit in range(entry.HEADER.size * 8, len(good) * 8):
        try:
            assert entry.decode((number ^ 1 << bit).to_bytes(len(good), "little")) == columns
            unused += 1
        except entry.Damaged:
            continue
    assert unused < 10


@pytest.mark.parametrize("columns", SAMPLES)
def test_a_cut_or_lengthened_entry_is_damage(columns: list[list[Any]]) -> None:
    """An entry that lost its end, or has more behind it, is Damaged."""
    good = entry.encode(columns)
    for upto in range(1, len(good)):
        for bad in (good[:upto], good + good[:upto]):
            with pytest.raises(entry.Damaged):
                entry.decode(bad)


@some
@given(st.binary(max_size=200))
def test_any_bytes_are_damage_and_nothing_worse(data: bytes) -> None:
    """Bytes that are no entry raise Damaged, whatever they are."""
    with pytest.raises(entry.Damaged):
        entry.decode(entry.HEADER.pack(entry.VERSION, 0) + data)


N = len(COLUMNS)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        [2],
        [2, *[[1]] * (FEWEST - 1)],
        [2, *[[1]] * N, [1, 2, 3]],
        [2, *[[1]] * N, []],
        [2, *[[1]] * N, "ab"],
        [2, b"0" * 31, *[[1]] * (N - 1)],
        [1, *[[1]] * (N - 1), b"0" * 32],
        [3, *[[1, 2]] * N],
        [2, *[[]] * N],
        [0, *[[]] * N],
        [-1, *[[1]] * N],
        ["1", *[[1]] * N],
        [1.0, *[[1]] * N],
        [None, *[[1]] * N],
        [2, *[5] * N],
        [2, *["ab"] * N],
        [1, *["a"] * N],
        [1, *[{"a": 1}] * N],
        [1, *[None] * N],
    ],
)
def test_what_is_not_equally_long_columns_is_damage(content: object) -> None:
    """An entry whose checksum holds but whose shape is wrong is Damaged, by no other exception."""
    with pytest.raises(entry.Damaged):
        entry.decode(packed(content))


@pytest.mark.parametrize("rows", [1, 3])
def test_columns_of_a_newer_release_are_left_out(rows: int) -> None:
    """Constant or not, however many there are; the others are as if the newer ones were not there."""
    columns = columns_of([one_row(ts=number) for number in range(rows)])
    data = entry.encode([*columns, ["new"] * rows, list(range(rows))])
    assert entry.decode(data) == columns
    assert entry.whole(data)[:N] == columns
    assert entry.whole(data)[N:] == [["new"], list(range(rows))]
    assert rows * 1_000 > entry.weight_of(data) > entry.weight_of(entry.encode(columns)) > 0


def test_columns_that_an_older_release_did_not_have_are_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row has them; an entry with less than the first release wrote is no entry still."""
    columns = columns_of([one_row(ts=number) for number in range(3)])
    data, short = entry.encode(columns), entry.encode(columns[: FEWEST - 1])
    monkeypatch.setattr(entry, "COLUMNS", (*COLUMNS, "campaign", "weather"))
    monkeypatch.setattr(entry, "DEFAULTS", (*DEFAULTS, "none", {}))
    assert entry.decode(data) == [*columns, ["none"] * 3, [{}] * 3]
    with pytest.raises(entry.Damaged, match=f"{FEWEST - 1} columns"):
        entry.decode(short)


def test_a_declared_size_over_the_bound_is_not_unpacked() -> None:
    """A frame of 2 kB that says it holds one byte too many is refused before anything is allocated."""
    bomb = zstandard.ZstdCompressor().compress(bytes(entry.ENTRY_BYTES_MAX + 1))
    with pytest.raises(entry.Damaged, match="more than"):
        entry.decode(entry.HEADER.pack(entry.VERSION, 0) + bomb)


def test_an_undeclared_size_over_the_bound_is_not_unpacked() -> None:
    """A frame that does not say its size is unpacked to the bound and no further."""
    stream = zstandard.ZstdCompressor().compressobj()
    bomb = stream.compress(bytes(entry.ENTRY_BYTES_MAX + 1)) + stream.flush()
    with pytest.raises(entry.Damaged):
        entry.decode(entry.HEADER.pack(entry.VERSION, 0) + bomb)


def test_constant_columns_do_not_unfold_past_the_bound() -> None:
    """A row count no commit can have is refused: 60 bytes must not become 28 lists of that length."""
    with pytest.raises(entry.Damaged, match="rows"):
        entry.decode(packed([entry.ENTRY_ROWS_MAX + 1, *[[1]] * N]))


def test_the_weight_is_what_the_rows_take_unpacked() -> None:
    """A column kept once weighs as often as it has rows: what compresses well must not make a block too large."""
    sample = Row._make(DEFAULTS)
    rows = [sample._replace(url="x" * 1_000)] * 500
    data = entry.encode(columns_of(rows))
    assert len(data) < 2_000
    assert 500 * 1_000 < entry.weight_of(data) < 500 * 1_500
    assert entry.weight_of(b"") == 0
    assert entry.weight_of(b"\xff" * 99) == 99
