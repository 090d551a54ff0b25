"""Encodes columns of Python values as one block of ClickHouse's Native format, some rows at a time.

Of a row only its encoded bytes are kept, about 250, because a row of Python objects took 1.2 kB. That is what this
gains over clickhouse-connect's writer, which needs whole columns; the time for each row is the same. So are the bytes,
which a test compares. It knows the types of schemas/row.py and no others.

A block is the number of its columns and the number of its rows, and then for each column its name, its type, the
version of the dictionary (LowCardinality only), and the values.

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
# Flags of a dictionary: its keys follow, and they belong to this block alone. The low byte is the width of an index.
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
    """Says that a value is not of its column's type, so ClickHouse would never take it."""


class Column:
    """Encodes one column: `extend` takes the next values, `pieces` returns the result."""

    def extend(self, values: Sequence[Any]) -> None:
        """Encodes more values. Raises what Python raises for another type; the column is useless after that."""
        raise NotImplementedError

    def pieces(self) -> Iterator[Piece]:
        """Yields the column as it is sent, without its name and type."""
        raise NotImplementedError


class Numbers(Column):
    """Encodes integers of one width; `code` is the one of the array module."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._bytes = bytearray()

    def extend(self, values: Sequence[Any]) -> None:
        # bytes() is five times as fast as array(), but it only takes numbers of one byte.
        self._bytes += bytes(values) if self._code == "B" else _little(array(self._code, values))

    def pieces(self) -> Iterator[Piece]:
        yield self._bytes


class Floats(Column):
    """Encodes 32-bit floats. A number that is too large raises OverflowError instead of becoming infinite."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def extend(self, values: Sequence[Any]) -> None:
        self._bytes += struct.pack(f"<{len(values)}f", *values)

    def pieces(self) -> Iterator[Piece]:
        yield self._bytes


class Strings(Column):
    """Encodes texts, each behind its length."""

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
    """Numbers texts in the order in which they are first looked up, so that a value costs one lookup."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[bytes] = []

    def __missing__(self, value: str) -> int:
        self.encoded.append(value.encode())
        number = self[value] = len(self)
        return number


class Dictionary(Column):
    """Encodes LowCardinality(String): each distinct value once, and for each row an index of 1, 2 or 4 bytes."""

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
        """Counts how often each value occurs."""
        times = Counter(self._index)
        return {value: times[number] for value, number in self._numbers.items()}

    def pieces(self) -> Iterator[Piece]:
        yield DICTIONARY
        yield from self.rest()

    def rest(self) -> Iterator[Piece]:
        """Yields the column without its version, because a Map writes that earlier.

        Yields nothing when there are no rows.
        """
        if not self._index:
            return
        width = INDEX_CODES.index(self._index.typecode)
        keys = self._numbers.encoded
        yield struct.pack("<QQ", KEYS_FOLLOW | IS_NEW | width, len(keys)) + _measured(keys)
        yield struct.pack("<Q", len(self._index))
        yield _little(self._index)


class Maps(Column):
    """Encodes Map(LowCardinality(String), T): where the pairs of each row end, then all keys, then all values."""

    def __init__(self, values: Column) -> None:
        self._ends = bytearray()
        self._total = 0
        self._keys = Dictionary()
        self._values = values

    def extend(self, values: Sequence[Any]) -> None:
        if not any(values):  # nearly all maps are empty, and cost 0.02 us a row here
            if values.count({}) != len(values):
                raise TypeError("a map is not a dict")
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
    """Encodes the columns of one block. `types` gives their names, ClickHouse types and order."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types
        self._columns = {name: column_of(kind) for name, kind in types.items()}
        self._failure: Exception | None = None

    def extend(self, name: str, values: Sequence[Any]) -> None:
        """Encodes the next values of a column. A value that can't be encoded shows in `failure` and in `pieces`."""
        if self._failure is not None or not values:
            return
        try:
            self._columns[name].extend(values)
        except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            self._failure = error
            self._columns = {}

    @property
    def failure(self) -> str:
        """Returns why the columns can't be encoded; empty when they can."""
        return f"{type(self._failure).__name__}: {self._failure}" if self._failure is not None else ""

    def counts(self, name: str) -> dict[str, int] | None:
        """Counts the values of a LowCardinality column. Returns None for other types, and where encoding failed."""
        column = self._columns.get(name)
        return column.counts() if isinstance(column, Dictionary) else None

    def pieces(self) -> Iterator[Piece]:
        """Yields the columns as they are sent. Raises Unencodable."""
        if self._failure is not None:
            raise Unencodable(self.failure)
        for name, column in self._columns.items():
            yield _named(name, self._types[name])
            yield from column.pieces()


def header(columns: int, rows: int) -> bytes:
    """Returns the beginning of a block: its numbers of columns and rows."""
    return _length(columns) + _length(rows)


def constant(name: str, kind: str, value: Any, rows: int) -> bytes:
    """Returns a whole column that holds one value in every row. Raises what Python raises for another type."""
    column = column_of(kind)
    column.extend([value] * rows)
    return _named(name, kind) + b"".join(column.pieces())


def column_of(kind: str) -> Column:
    """Returns an empty column of a ClickHouse type. Raises KeyError for a type that schemas/row.py doesn't use."""
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
    """Encodes a length as LEB128: seven bits a byte, the lowest first."""
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
    """Returns each value behind its length."""
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
