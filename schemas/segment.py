"""The names and bytes of a spool's segments: records of commits that survive damage one by one.

    <spool>/<12 hex digits>/<shard>.<producer>.<first number>.spool

    segment = records
    record  = magic · body bytes · number · body CRC · header CRC │ msgpack [rows, accepted, data]

Damage: a record whose body fails its CRC becomes an empty commit with its number, so that
the later ones can follow; where a header is gone, the numbers up to the next readable record
do. A tail that ends inside a record was never fsynced, so never acknowledged: it is torn.

Not promised: to tell a tail that a disk lost after fsync from one that was never written.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

FOLDER_NAME = re.compile(r"[0-9a-f]{12}")  # of one process
_NAME = re.compile(r"(\d{4})\.([^.]+)\.(\d{12})\.spool")
MAGIC = b"FBS1"
HEADER = struct.Struct("<4sIQI")  # magic, body bytes, number, body CRC; a CRC of these 20 follows
CRC = struct.Struct("<I")
HEADER_BYTES = HEADER.size + CRC.size


class Commit(NamedTuple):
    """What the append script takes, under one producer and shard."""

    number: int
    data: bytes
    rows: int
    accepted: dict[str, int]

    @classmethod
    def empty(cls, number: int) -> Commit:
        """Stands for a commit that is lost, so that those after it can follow."""
        return cls(number, b"", 0, {})


def segment_name(shard: int, producer: str, first: int) -> str:
    """The name of a segment whose first commit has this number."""
    return f"{shard:04d}.{producer}.{first:012d}.spool"


def is_segment(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def parts_of(name: str) -> tuple[int, str, int]:
    """Shard, producer and number of the first commit of a segment."""
    found = _NAME.fullmatch(name)
    assert found is not None
    return int(found[1]), found[2], int(found[3])


def pack(commit: Commit) -> bytes:
    """A record."""
    body = msgspec.msgpack.encode((commit.rows, commit.accepted, commit.data))
    header = HEADER.pack(MAGIC, len(body), commit.number, zlib.crc32(body))
    return header + CRC.pack(zlib.crc32(header)) + body


def unpack(content: bytes, expected: int) -> Iterator[Commit | int]:
    """The commits of a segment from number `expected` on, empty ones for what is damaged.

    An int stands for bytes given up: > 0 that many unreadable ones, 0 a torn tail.
    """
    at = 0
    while at < len(content):
        found = _header(content, at)
        if found is None:
            following = next((to for to in _magics(content, at + 1) if _header(content, to) is not None), None)
            if following is None:
                left = len(content) - at  # less than a header is an unfinished write; a whole one is damage
                yield 0 if left < HEADER_BYTES and content.startswith(MAGIC[:left], at) else left
                return
            yield following - at
            at = following
            continue
        size, number, body_crc = found
        body = content[at + HEADER_BYTES : at + HEADER_BYTES + size]
        if len(body) < size:
            yield 0
            return
        while expected < number:
            yield Commit.empty(expected)
            expected += 1
        at += HEADER_BYTES + size
        expected = number + 1
        if zlib.crc32(body) != body_crc:
            yield size
            yield Commit.empty(number)
            continue
        rows, accepted, data = msgspec.msgpack.decode(body, type=tuple[int, dict[str, int], bytes])
        yield Commit(number, data, rows, accepted)


def _header(content: bytes, at: int) -> tuple[int, int, int] | None:
    raw = content[at : at + HEADER.size]
    crc = content[at + HEADER.size : at + HEADER_BYTES]
    if len(crc) < CRC.size or raw[:4] != MAGIC or CRC.unpack(crc)[0] != zlib.crc32(raw):
        return None
    _, size, number, body_crc = HEADER.unpack(raw)
    return size, number, body_crc


def _magics(content: bytes, at: int) -> Iterator[int]:
    while (at := content.find(MAGIC, at)) >= 0:
        yield at
        at += 1
