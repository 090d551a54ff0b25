"""Makes records that somebody, or another version, can append to a shard's stream, and says what becomes of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import zstandard

from schemas.entry import ENTRY_BYTES_MAX, HEADER, VERSION, encode
from schemas.row import Row
from tests.support.rows import columns_of, plain

Fields = dict[bytes, bytes]


def row(event_id: str, at_ms: int, **fields: Any) -> Row:
    """Returns a row of a.example."""
    return plain(**({"event_id": event_id, "ts": at_ms, "received_at": at_ms} | fields))


def record(*rows: Row, producer: str = "p", commit: int = 0) -> Fields:
    """Returns the fields that the append script gives a commit of these rows."""
    data = encode(columns_of(list(rows)))
    return {b"d": data, b"n": b"%d" % len(rows), b"p": producer.encode(), b"c": b"%d" % commit}


def of_version(version: int, *rows: Row) -> Fields:
    """Returns the fields of a commit as another version might write it."""
    fields = record(*rows)
    return fields | {b"d": bytes([version]) + fields[b"d"][1:]}


def packed(content: Any) -> bytes:
    """Returns entry bytes with any content."""
    return HEADER.pack(VERSION, 9) + zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(content))


class Strange(NamedTuple):
    """Holds a record that can't be stored, the reason for it, and how many of its rows can be read."""

    name: str
    fields: Fields
    reason: str
    rows: int = 0


def strange(at_ms: int) -> list[Strange]:
    """Returns one record of each kind that can't be stored."""
    good = record(row("s1", at_ms), row("s2", at_ms))
    data = good[b"d"]
    columns: list[Any] = [[value] for value in row("s", at_ms)]
    twice: list[Any] = [column * 2 for column in columns]
    moved: list[Any] = [*columns[:2], ["soon"], *columns[3:]]
    sites: list[Any] = [[["a"]], *columns[1:]]
    numbers: list[Any] = [[3], *columns[1:]]
    wrong = [row(f"w{number}", at_ms, url=5) for number in range(40)]
    return [
        Strange("no field d", {b"n": b"1", b"hello": b"world"}, "no_rows"),
        Strange("no field n", {b"d": data}, "no_rows", 2),
        Strange("n is a word", good | {b"n": b"two"}, "no_rows", 2),
        Strange("n is zero", good | {b"n": b"0"}, "no_rows", 2),
        Strange("n is below zero", good | {b"n": b"-2"}, "no_rows", 2),
        Strange("n is beyond all bounds", good | {b"n": b"9" * 300}, "no_rows", 2),
        Strange("n is another number", good | {b"n": b"5"}, "rows_differ", 2),
        Strange("d is empty", good | {b"d": b""}, "damaged"),
        Strange("d is text", good | {b"d": b"hello"}, "damaged"),
        Strange("d is cut off", good | {b"d": data[:-9]}, "damaged"),
        Strange("d is a header alone", good | {b"d": data[: HEADER.size]}, "damaged"),
        Strange("d has a byte too many", good | {b"d": data + b"x"}, "damaged"),
        Strange("d unpacks to nothing", good | {b"d": packed([])}, "damaged"),
        Strange("d unpacks to a word", good | {b"d": packed("rows")}, "damaged"),
        Strange("d has too few columns", good | {b"d": packed([1, *columns[:5]])}, "damaged"),
        Strange(
            "d has a column behind ours that is too short",
            {b"d": packed([2, *twice, [1, 2, 3]]), b"n": b"2"},
            "damaged",
        ),
        Strange("d has a column behind ours that is none", {b"d": packed([2, *twice, "new"]), b"n": b"2"}, "damaged"),
        Strange("d has a time that is none", {b"d": packed([1, *moved]), b"n": b"1"}, "damaged", 1),
        Strange("d has a site that is a list", {b"d": packed([1, *sites]), b"n": b"1"}, "damaged"),
        Strange("d has a site that is a number", {b"d": packed([1, *numbers]), b"n": b"1"}, "damaged"),
        Strange("a moment that no calendar has", record(row("far", 1 << 61)), "damaged", 1),
        Strange("an id that is a number", record(row("x", at_ms)._replace(event_id=5)), "damaged", 1),  # type: ignore[arg-type]  # that is the point
        Strange("no row can be sent", record(*wrong), "unencodable", 40),
        Strange("the producer is no text", {b"n": b"1", b"p": b"\xff\xfe", b"c": b"x"}, "no_rows"),
        Strange("it has ten thousand fields", {b"f%d" % number: b"v" for number in range(10_000)}, "no_rows"),
        Strange("d is larger than any entry", good | {b"d": data[:5] + b"x" * (1 << 20)}, "damaged"),
        Strange("d says that it is larger than any entry", good | {b"d": huge()}, "damaged"),
        Strange("a version that will never be", of_version(200, row("v", at_ms)), "damaged"),
    ]


def huge() -> bytes:
    """Returns a few kB that unpack to more than an entry may have."""
    frame = zstandard.ZstdCompressor().compress(bytes(ENTRY_BYTES_MAX + 1))
    return HEADER.pack(VERSION, 9) + frame


NEWER = VERSION + 1
