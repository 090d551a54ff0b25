"""Columns of Python values become one block in ClickHouse's Native format, some rows at a time.

What is kept of a row is its bytes as they are sent, about 250, and no Python object: rows as
objects took 1.2 kB each. That is the gain, and why this is not clickhouse-connect's writer,
which wants whole columns: the time a row takes is the same. The bytes are the same too; a test
holds it to that. Made for the types of schemas/row.py and for no others.

    columns, rows, then of each: name, type, [version of a dictionary,] values

Not promised: that ClickHouse takes what was encoded.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

DICTIONARY = struct.pack("<Q", 1)  # the version of LowCardinality's serialization
# Flags of a dictionary: keys follow, and it is this block's own; the low byte says how wide an index is.
KEYS_FOLLOW, IS_NEW = 1 << 9, 1 << 10
INDEX_CODES = "BHI"  # of 1, 2 and 4 bytes
FIXED: dict[str, str] = {
    "UInt8": "B",
    "UInt16": "H",
    "UInt32": "I",
    "UInt64": "Q",
    "Int64": "q",
    "DateTime64(3, 'UTC')": "q",
}
Piece = bytes | bytearray


class Unencodable(Exception):
    """A value is not of its column's type: ClickHouse would never take it."""


class Column:
    """One column under construction. `extend` takes the next values; `pieces` ends it."""

    def extend(self, values: Sequence[Any]) -> None:
        """Add values. Raises what Python raises for one that is not of the type; the column is then worth nothing."""
        raise NotImplementedError

    def pieces(self) -> Iterator[Piece]:
        """The column as it is sent, behind its name and type."""
        raise NotImplementedError


class Numbers(Column):
    """Integers of one width."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._bytes = bytearray()

    def extend(self, values: Sequence[Any]) -> None:
        # bytes() is five times as fast as array() where it will do
        self._bytes += bytes(values) if self._code == "B" else _little(array(self._code, values))

    def pieces(self) -> Iterator[Piece]:
        yield self._bytes


class Floats(Column):
    """32-bit floats; one that is too large is refused, not made infinite."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def extend(self, values: Sequence[Any]) -> None:
        self._bytes += struct.pack(f"<{len(values)}f", *values)

    def pieces(self) -> Iterator[Piece]:
        yield self._bytes


class Strings(Column):
    """Each with its length before it."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def extend(self, values: Sequence[Any]) -> None:
        first = values[0]
        if first == values[-1] and values.count(first) == len(values):
            self._bytes += _strings(values[:1]) * len(values)
        else:
            self._bytes += _strings(values)

    def pieces(self) -> Iterator[Piece]:
        yield self._bytes


class _Numbered(dict[str, int]):
    """Texts by the order in which they were first looked up: a dictionary costs one lookup a value."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[bytes] = []

    def __missing__(self, value: str) -> int:
        self.encoded.append(value.encode())
        number = self[value] = len(self)
        return number


class Dictionary(Column):
    """LowCardinality(String): the distinct values once, and an index of 1, 2 or 4 bytes a row."""

    def __init__(self) -> None:
        self._numbers = _Numbered()
        self._index = array(INDEX_CODES[0])

    def extend(self, values: Sequence[Any]) -> None:
        first = values[0]
        if first == values[-1] and values.count(first) == len(values):
            numbers: Any = (self._numbers[first],)
            times = len(values)
        else:
            numbers = list(map(self._numbers.__getitem__, values))
            times = 1
        while len(self._numbers) > 1 << 8 * self._index.itemsize:
            self._index = array(INDEX_CODES[INDEX_CODES.index(self._index.typecode) + 1], self._index)
        self._index += array(self._index.typecode, numbers) * times

    def counts(self) -> dict[str, int]:
        """How often each value stands in it."""
        times = Counter(self._index)
        return {value: times[number] for value, number in self._numbers.items()}

    def pieces(self) -> Iterator[Piece]:
        yield DICTIONARY
        yield from self.rest()

    def rest(self) -> Iterator[Piece]:
        """Without the version, which a Map writes in its own place. Nothing where there are no rows."""
        if not self._index:
            return
        width = INDEX_CODES.index(self._index.typecode)
        keys = self._numbers.encoded
        yield struct.pack("<QQ", KEYS_FOLLOW | IS_NEW | width, len(keys)) + _measured(keys)
        yield struct.pack("<Q", len(self._index))
        yield _little(self._index)


class Maps(Column):
    """Map(LowCardinality(String), T): where each row's pairs end, then all keys, then all values."""

    def __init__(self, values: Column) -> None:
        self._ends = bytearray()
        self._total = 0
        self._keys = Dictionary()
        self._values = values

    def extend(self, values: Sequence[Any]) -> None:
        if not any(values):  # nearly all are: 0.02 us a row
            if values.count({}) != len(values):
                raise TypeError("a map is no dictionary")
            self._ends += struct.pack("<Q", self._total) * len(values)
            return
        ends = array("Q", accumulate(map(len, values), initial=self._total))
        self._ends += _little(ends[1:])
        self._total = ends[-1]
        full = list(filter(None, values))
        self._keys.extend(list(chain.from_iterable(full)))
        self._values.extend(list(chain.from_iterable(map(dict.values, full))))

    def pieces(self) -> Iterator[Piece]:
        yield DICTIONARY
        yield self._ends
        yield from self._keys.rest()
        yield from self._values.pieces()


class Columns:
    """The columns of one block, in the order and of the types of `types`."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types
        self._columns = {name: column_of(kind) for name, kind in types.items()}
        self._failure: Exception | None = None

    def extend(self, name: str, values: Sequence[Any]) -> None:
        """Add a column's next values. What cannot be encoded shows when the block is asked for."""
        if self._failure is not None or not values:
            return
        try:
            self._columns[name].extend(values)
        except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            self._failure = error
            self._columns = {}

    @property
    def failure(self) -> str:
        """What can't be encoded of it; empty: nothing."""
        return f"{type(self._failure).__name__}: {self._failure}" if self._failure is not None else ""

    def counts(self, name: str) -> dict[str, int] | None:
        """How often each value stands in a LowCardinality column; None where the block cannot be encoded."""
        column = self._columns.get(name)
        return column.counts() if isinstance(column, Dictionary) else None

    def pieces(self) -> Iterator[Piece]:
        """The columns as they are sent. Raises Unencodable."""
        if self._failure is not None:
            raise Unencodable(self.failure)
        for name, column in self._columns.items():
            yield _named(name, self._types[name])
            yield from column.pieces()


def header(columns: int, rows: int) -> bytes:
    """What a block begins with."""
    return _length(columns) + _length(rows)


def constant(name: str, kind: str, value: Any, rows: int) -> bytes:
    """A column of one value."""
    column = column_of(kind)
    column.extend([value] * rows)
    return _named(name, kind) + b"".join(column.pieces())


def column_of(kind: str) -> Column:
    """An empty column of a ClickHouse type."""
    if kind in FIXED:
        return Numbers(FIXED[kind])
    return _OTHERS[kind]()


_OTHERS: dict[str, Callable[[], Column]] = {
    "String": Strings,
    "LowCardinality(String)": Dictionary,
    "Map(LowCardinality(String), String)": lambda: Maps(Strings()),
    "Map(LowCardinality(String), Float32)": lambda: Maps(Floats()),
}


def _length(size: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


LENGTHS = tuple(_length(size) for size in range(1 << 14))


def _strings(values: Sequence[str]) -> bytes:
    return _measured([value.encode() for value in values])


def _measured(values: Sequence[bytes]) -> bytes:
    """Each behind its length."""
    pieces = [b""] * (2 * len(values))
    try:
        pieces[::2] = [LENGTHS[len(value)] for value in values]
    except IndexError:
        pieces[::2] = [_length(len(value)) for value in values]
    pieces[1::2] = values
    return b"".join(pieces)


def _named(name: str, kind: str) -> bytes:
    return _strings([name, kind])


def _little(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()
