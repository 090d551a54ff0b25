"""Reads files of MaxMind's format: a binary trie of networks, a section of data, and metadata at the end.

The format is public (MaxMind DB File Format Specification, version 2.0). It is read here and not by the library
`maxminddb`, because the library's reader in C believes a file: one that is damaged ended the process (SIGSEGV, in a
minute of random damage), and one that was cut short while it was mapped did too (SIGBUS). Its reader in Python is safe,
and takes 10 to 100 µs for a look-up. Here a file is read into memory, every number of it is checked before it is used,
and the trie becomes an array in which a look-up takes 1.7 µs. A test compares what both readers find.

A record is found in two steps, so that whoever asks can remember what a record means: `find` returns where in the data
it is, and `record` decodes it.

Not promised: that all of a file was looked at when it was opened. What is damaged raises Damaged when it is reached.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from os import SEEK_END
from struct import Struct
from typing import Any, BinaryIO

from ingest.geography.where import give_way

MARKER = b"\xab\xcd\xefMaxMind.com"
METADATA_BYTES_MAX = 128 << 10
SEPARATOR_BYTES = 16  # between the trie and the data
ELEMENTS_MAX = 10_000  # of one record, with what it points to; the largest ones have a few hundred
DEPTH_MAX = 32
IPV4_BITS, IPV6_BITS = 32, 128
PIECE_NODES = 1 << 15  # that are converted at a time: 1 ms
POINTER_BASES = (0, 1 << 11, (1 << 19) + (1 << 11), 0)
SIZE_BASES = (29, 285, 65_821)  # of sizes that are written in one, two or three bytes
UTF8, DOUBLE, BYTES, UINT16, UINT32, MAP, INT32, UINT64, UINT128, ARRAY, BOOLEAN, FLOAT = (
    2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15,
)  # fmt: skip
POINTER = 1
_double, _float = Struct(">d").unpack, Struct(">f").unpack
_upper_half, _lower_half = bytes(one >> 4 for one in range(256)), bytes(one & 15 for one in range(256))


class Damaged(ValueError):
    """Says that a file, or the part of it that was asked for, is not what the format says."""


class File:
    """Holds one file in memory."""

    def __init__(self, source: BinaryIO) -> None:
        """Reads a file. Raises Damaged if it has no metadata, or if its trie is not whole; OSError."""
        tail_at = max(0, source.seek(0, SEEK_END) - METADATA_BYTES_MAX)
        source.seek(tail_at)
        tail = source.read()
        at = tail.rfind(MARKER)
        if at < 0:
            raise Damaged("it has no metadata at its end")
        metadata = _Data(tail[at + len(MARKER) :]).value(0)
        if not isinstance(metadata, dict):
            raise Damaged("its metadata are no map")
        self.type = str(metadata.get("database_type", ""))
        self.built = _number(metadata, "build_epoch")  # unix seconds
        self.version = _number(metadata, "ip_version")
        self._count = _number(metadata, "node_count")
        bits = _number(metadata, "record_size")
        if bits not in _CONVERTED or self.version not in {4, 6}:
            raise Damaged(f"it has records of {bits} bits for version {self.version} of IP")
        data_at = self._count * bits // 4 + SEPARATOR_BYTES
        if not SEPARATOR_BYTES < data_at <= tail_at + at:
            raise Damaged("its trie is not whole")
        source.seek(0)
        self._records = _converted(source, self._count, bits)
        source.seek(data_at)
        self._data = _Data(source.read(tail_at + at - data_at))
        self._four = self._walk(0, 0, IPV6_BITS, IPV4_BITS) if self.version == 6 else 0

    def find(self, packed: bytes) -> int | None:
        """Returns where the record of an address of 4 or 16 bytes is; None if there is none. Raises Damaged."""
        if len(packed) == IPV6_BITS // 8:
            if self.version == 4:
                return None
            node = self._walk(0, int.from_bytes(packed), IPV6_BITS, 0)
        else:
            node = self._walk(self._four, int.from_bytes(packed), IPV4_BITS, 0)
        if node == self._count:
            return None
        at = node - self._count - SEPARATOR_BYTES
        if not 0 <= at < len(self._data):
            raise Damaged("its trie leads out of it")
        return at

    def record(self, at: int) -> Any:
        """Returns a record of the data: texts, numbers, lists and maps. Raises Damaged."""
        return self._data.value(at)

    def _walk(self, node: int, number: int, above: int, below: int) -> int:
        """Returns where the bits of an address lead, from a node; `above` and `below` say which bits of it."""
        records, count = self._records, self._count
        for at in range(above - 1, below - 1, -1):
            if node >= count:
                break
            node = records[2 * node + (number >> at & 1)]
        return node


class _Data:
    """Decodes a section of data."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = 0

    def __len__(self) -> int:
        return len(self._content)

    def value(self, at: int) -> Any:
        """Returns the value that begins there. Raises Damaged."""
        self._left = ELEMENTS_MAX
        try:
            return self._next(at, 0)[0]
        except (IndexError, UnicodeDecodeError) as error:
            raise Damaged("its data are not whole") from error

    def _next(self, at: int, depth: int) -> tuple[Any, int]:
        """Returns a value and where the next one begins. Raises Damaged, IndexError or UnicodeDecodeError."""
        self._left -= 1
        if not self._left or depth > DEPTH_MAX:
            raise Damaged("one of its records does not end")
        control = self._content[at]
        kind, size, at = control >> 5, control & 31, at + 1
        if kind == POINTER:
            length = (size >> 3) + 1
            high = 0 if length == 4 else size & 7
            where = (high << 8 * length | int.from_bytes(self._taken(at, length))) + POINTER_BASES[length - 1]
            return self._next(where, depth + 1)[0], at + length
        if not kind:
            kind, at = 7 + self._content[at], at + 1
        if size > 28:
            length = size - 28
            size, at = int.from_bytes(self._taken(at, length)) + SIZE_BASES[length - 1], at + length
        if kind == MAP:
            return self._map(size, at, depth)
        if kind == ARRAY:
            found = []
            for _ in range(size):
                one, at = self._next(at, depth + 1)
                found.append(one)
            return found, at
        if kind == BOOLEAN:
            return bool(size), at
        read = _SCALARS.get(kind)
        if read is None:
            raise Damaged(f"it has a value of type {kind}")
        return read(self._taken(at, size)), at + size

    def _map(self, size: int, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found = {}
        for _ in range(size):
            name, at = self._next(at, depth + 1)
            value, at = self._next(at, depth + 1)
            if not isinstance(name, str):
                raise Damaged("a name in one of its maps is no text")
            found[name] = value
        return found, at

    def _taken(self, at: int, size: int) -> bytes:
        taken = self._content[at : at + size]
        if len(taken) != size:
            raise Damaged("its data are not whole")
        return taken


def _sized(size: int, read: Callable[[bytes], tuple[float]]) -> Callable[[bytes], float]:
    def number(text: bytes) -> float:
        if len(text) != size:
            raise Damaged("a number in it has another length than it should")
        return read(text)[0]

    return number


def _signed(text: bytes) -> int:
    return int.from_bytes(text.rjust(4, b"\0"), signed=True)


_SCALARS: dict[int, Callable[[bytes], Any]] = {
    UTF8: bytes.decode,
    DOUBLE: _sized(8, _double),
    BYTES: bytes,
    UINT16: int.from_bytes,
    UINT32: int.from_bytes,
    INT32: _signed,
    UINT64: int.from_bytes,
    UINT128: int.from_bytes,
    FLOAT: _sized(4, _float),
}


def _number(metadata: dict[str, Any], name: str) -> int:
    found = metadata.get(name)
    if not isinstance(found, int):
        raise Damaged(f"its metadata have no {name}")
    return found


def _converted(source: BinaryIO, count: int, bits: int) -> array[int]:
    """Returns the two records of each node of the trie. Raises Damaged."""
    records = array("I")
    for first in range(0, count, PIECE_NODES):
        nodes = source.read((min(count, first + PIECE_NODES) - first) * bits // 4)
        piece = array("I", _CONVERTED[bits](nodes))
        if sys.byteorder == "little":
            piece.byteswap()
        records.extend(piece)
        give_way()
    if len(records) != 2 * count:
        raise Damaged("its trie is not whole")
    return records


def _of_24(nodes: bytes) -> bytes:
    found = bytearray(len(nodes) // 3 * 4)
    for at in range(3):
        found[at + 1 :: 4] = nodes[at::3]
    return bytes(found)


def _of_28(nodes: bytes) -> bytes:
    """Returns the records of nodes of seven bytes, of which the middle one has the highest four bits of both records."""
    found = bytearray(len(nodes) // 7 * 8)
    found[0::8] = nodes[3::7].translate(_upper_half)
    found[4::8] = nodes[3::7].translate(_lower_half)
    for at in range(3):
        found[at + 1 :: 8] = nodes[at::7]
        found[at + 5 :: 8] = nodes[at + 4 :: 7]
    return bytes(found)


_CONVERTED: dict[int, Callable[[bytes], bytes]] = {24: _of_24, 28: _of_28, 32: bytes}
