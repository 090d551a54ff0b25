"""Native blocks are byte for byte what clickhouse-connect writes, however the rows came, and ClickHouse reads them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.transform import NativeTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from flusher.blocks import native_format
from flusher.blocks.block import TYPES, Block, form, prepare
from flusher.blocks.sessions import Sessions
from flusher.delivery.table import Table
from forebay.clickhouse import ClickHouse
from schemas.entry import encode
from schemas.names import EntryId
from schemas.redis.records import Entry
from schemas.row import INSERT_TYPES, Row
from tests.support.engine import EngineProcess
from tests.support.programs import program
from tests.support.rows import columns_of, plain

NOW = int(time.time()) * 1000 - 60_000  # of rows older than 8 days ClickHouse empties the ids when it merges them
TEXT = st.text(max_size=20) | st.sampled_from(["", "x" * 127, "x" * 128, "é" * 64, "x" * 16_383, "x" * 16_384])
FLOAT = st.floats(width=32, allow_nan=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "UInt8": st.integers(0, 2**8 - 1),
    "UInt16": st.integers(0, 2**16 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "DateTime64(3, 'UTC')": st.integers(0, 4_102_444_800_000),
    "String": TEXT,
    "LowCardinality(String)": TEXT,
    "Map(LowCardinality(String), String)": st.dictionaries(TEXT, TEXT, max_size=3),
    "Map(LowCardinality(String), Float32)": st.dictionaries(TEXT, FLOAT, max_size=3),
}
# few different values often, so that runs of one value and mixed ones both occur
RUNS = {
    kind: st.lists(
        st.lists(value, min_size=1, max_size=3).flatmap(lambda few: st.lists(st.sampled_from(few), max_size=6)),
        max_size=5,
    )
    for kind, value in VALUES.items()
}


def theirs(types: Mapping[str, str], columns: Sequence[Sequence[Any]]) -> bytes:
    """Returns what clickhouse-connect sends behind the statement."""
    kinds = [get_from_name(kind) for kind in types.values()]
    context = InsertContext("t", list(types), kinds, data=columns, column_oriented=True, block_size=1 << 30)
    return b"".join(NativeTransform.build_insert(context)).partition(b" FORMAT Native\n")[2]


def ours(types: Mapping[str, str], runs: Mapping[str, Sequence[Sequence[Any]]], rows: int) -> bytes:
    columns = native_format.Columns(types)
    for name in types:
        for run in runs[name]:
            columns.extend(name, run)
    return native_format.header(len(types), rows) + b"".join(columns.pieces())


def test_every_type_that_is_inserted_is_covered() -> None:
    """Every type that is inserted is tried here, because nothing else shows that it is written right."""
    assert set(INSERT_TYPES.values()) <= set(VALUES)


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=60)
@given(st.data())
def test_a_column_is_what_clickhouse_connect_writes(kind: str, data: st.DataObject) -> None:
    """A column has clickhouse-connect's bytes, whatever the values and however many came at a time."""
    runs = data.draw(RUNS[kind])
    column = [value for run in runs for value in run]
    if column:
        assert ours({"c": kind}, {"c": runs}, len(column)) == theirs({"c": kind}, [column])


@pytest.mark.parametrize("distinct", [1, 255, 256, 257, 65_536, 65_537])
def test_a_dictionary_grows_with_what_is_in_it(distinct: int) -> None:
    """An index is as wide as the number of distinct values needs, also when that shows late."""
    values = [str(number) for number in range(distinct)]
    data = ours(
        {"c": "LowCardinality(String)"}, {"c": [values[:3], values, values[-1:]]}, distinct + min(3, distinct) + 1
    )
    header = native_format.header(1, 0)[:1]
    assert data[:1] == header
    width = data[data.index(b"LowCardinality(String)") + len("LowCardinality(String)") + 8]
    assert width == (distinct > 256) + (distinct > 65_536)
    assert len(data) > distinct << width


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("UInt8", 256), ("UInt8", -1), ("UInt16", 1 << 16), ("UInt32", 1 << 32), ("UInt64", -1), ("Int64", 1 << 63),
        ("UInt8", None), ("UInt64", "1"), ("UInt16", 1.5), ("String", 5), ("String", None), ("String", "\ud800"),
        ("LowCardinality(String)", 5), ("LowCardinality(String)", None), ("LowCardinality(String)", []),
        ("Map(LowCardinality(String), String)", "text"), ("Map(LowCardinality(String), String)", None),
        ("Map(LowCardinality(String), String)", {"a": 5}), ("Map(LowCardinality(String), String)", {5: "a"}),
        ("Map(LowCardinality(String), Float32)", {"a": 1e300}), ("Map(LowCardinality(String), Float32)", {"a": "b"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", [0, 2])
def test_what_is_not_of_its_type_is_said_when_the_block_is_asked_for(kind: str, bad: object, around: int) -> None:
    """A value of another type is an error only when the block is sent, because blocks are formed ahead of their
    turn.
    """
    good = {"S": "", "L": "", "M": {}}.get(kind[0], 0)
    columns = native_format.Columns({"c": kind})
    columns.extend("c", [good] * around + [bad] + [good] * around)
    columns.extend("c", [good])
    with pytest.raises(native_format.Unencodable):
        list(columns.pieces())


def event(number: int, **fields: Any) -> Row:
    values: dict[str, Any] = {
        "ts": NOW + number, "received_at": NOW, "event_id": f"id{number}", "visitor_id": number % 3 + 1,
        "url": "https://a.example/ü", "title": "títle", "language": "de", "screen_w": 390, "screen_h": 844,
        "country": "DE", "browser": "Firefox", "os": "Linux", "device": "mobile",
    }  # fmt: skip
    return plain(**(values | fields))


ROWS = [event(number, props={"n": str(number)} if number % 4 == 0 else {}) for number in range(20)]
ROWS[7] = event(
    7, title="x" * 20_000, vitals={"lcp": 1.5, "cls": 0.25}, revenue_e4=-5, screen_w=65_535, site="b.example"
)
ENTRIES = [
    Entry(EntryId(NOW, at), encode(columns_of(ROWS[at : at + 6])), len(ROWS[at : at + 6]), "p", 1)
    for at in (0, 6, 12, 18)
]


def formed(entries: Sequence[Entry] = ENTRIES, left_out: frozenset[int] = frozenset()) -> Block:
    return form(
        prepare(entries), incarnation="cafe", shard=1, from_id=EntryId(0, 0), sessions=Sessions(), left_out=left_out
    )


@pytest.mark.parametrize("left", [[3], [0, 19], [5, 6, 7, 18], list(range(20))])
def test_a_part_of_a_part_is_encoded_from_its_entries_again(left: list[int]) -> None:
    """The bytes of a part are those of its values, whichever rows are left in it."""
    (whole,) = formed().parts
    part = whole.without(set(range(20)) - set(left))
    assert list(part.places) == left
    columns = dict(zip(TYPES, part.columns, strict=True))
    assert columns["event_id"] == [f"id{place}" for place in left]
    runs = {name: [values] for name, values in columns.items()}
    encoded = native_format.header(len(TYPES), part.rows) + b"".join(part.encoded().pieces())
    assert sorted(encoded) == sorted(ours(TYPES, runs, part.rows))  # the whole has its sessions last
    assert part.sites() == {site: columns["site"].count(site) for site in columns["site"]}


def test_rows_that_are_left_out_take_no_part_and_keep_their_places() -> None:
    """Rows that are left out change nothing but the places of the others."""
    left_out = frozenset({0, 1, 7, 19})
    block = formed(left_out=left_out)
    kept = [row for place, row in enumerate(ROWS) if place not in left_out]
    alone = formed([Entry(ENTRIES[-1].id, encode(columns_of(kept)), len(kept), "p", 1)])
    assert [part.columns for part in block.parts] == [part.columns for part in alone.parts]
    assert list(block.parts[0].places) == [place for place in range(20) if place not in left_out]
    assert (block.rows, block.sites()) == (16, {"a.example": 16})
    assert block.without({2, 3}).parts[0].columns[4] == [f"id{place}" for place in range(4, 19) if place != 7]


@pytest.fixture(scope="module")
def client(engine: EngineProcess, clickhouse: ClickHouse) -> Iterator[Client]:
    """Yields a client of our tables."""
    client = engine.client(autogenerate_session_id=False)
    yield client
    client.close()


@pytest.mark.parametrize("is_compressed", [False, True])
async def test_clickhouse_holds_what_was_in_the_rows(client: Client, is_compressed: bool) -> None:
    """ClickHouse holds every value of the rows, over loopback and compressed."""
    client.command("TRUNCATE TABLE forebay.events SYNC")
    block = formed()
    table = Table(client, is_compressed=is_compressed)
    await table.insert(block.parts[0], block=block.id, token=block.id, attempt=0, deadline=(1 << 32) - 1)
    stored = [name for name in TYPES if name not in {"url", "referrer_url", "url_flags", "revenue_e4"}]
    times = {"ts", "received_at"}
    asked = ", ".join(f"toUnixTimestamp64Milli({name})" if name in times else name for name in stored)
    found = client.query(f"SELECT {asked}, hostname, block_id, attempt, revenue FROM forebay.events ORDER BY ts")
    columns = dict(zip(TYPES, block.parts[0].columns, strict=True))
    expected = list(zip(*(columns[name] for name in stored), strict=True))
    assert [row[: len(stored)] for row in found.result_rows] == expected
    assert {row[-4:-1] for row in found.result_rows} == {("a.example", block.id, 0)}
    assert [float(row[-1]) for row in found.result_rows] == [0] * 7 + [-0.0005] + [0] * 12


def test_an_insert_imports_no_numpy(client: Client) -> None:
    """An INSERT imports neither pandas nor pyarrow, which would take 80 MB where they are installed."""
    url = client.url  # type: ignore[attr-defined]  # the HTTP client's
    run = subprocess.run(program("insert_imports", url), capture_output=True, text=True, check=False)
    assert (run.stdout.split(), run.returncode) == ([], 0), run.stderr
