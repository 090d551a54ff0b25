"""The names and bytes of a spool's segments: records of commits that survive damage one by one.

    <spool>/<12 hex digits>/<shard>.<producer>.<first number>.spool

    segment = records
    record  = magic · body bytes · number · body CRC · header CRC │ msgpack [rows, accepted, data]

Ingest writes and drains them; `forebay audit` and `forebay backup` read them.

A record whose body fails its CRC becomes an empty commit with its number, so that the later ones can follow; where a header
is gone, every number up to the next readable record becomes one. A segment that ends inside a record is called torn: that
record was never fsynced, so it was never acknowledged.

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
    """Holds what the append script takes of one producer and shard: entry bytes, their rows, and totals by "minute site"."""

    number: int
    data: bytes
    rows: int
    accepted: dict[str, int]

    @classmethod
    def empty(cls, number: int) -> Commit:
        """Returns the commit that stands for a lost one, so that those after it can follow."""
        return cls(number, b"", 0, {})


def segment_name(shard: int, producer: str, first: int) -> str:
    """Returns the name of a segment whose first commit has this number."""
    return f"{shard:04d}.{producer}.{first:012d}.spool"


def is_segment(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def parts_of(name: str) -> tuple[int, str, int]:
    """Returns shard, producer and number of the first commit out of a segment's name."""
    found = _NAME.fullmatch(name)
    assert found is not None
    return int(found[1]), found[2], int(found[3])


def pack(commit: Commit) -> bytes:
    """Returns the record of a commit."""
    body = msgspec.msgpack.encode((commit.rows, commit.accepted, commit.data))
    header = HEADER.pack(MAGIC, len(body), commit.number, zlib.crc32(body))
    return header + CRC.pack(zlib.crc32(header)) + body


def unpack(content: bytes, expected: int) -> Iterator[Commit | int]:
    """Yields the commits of a segment from number `expected` on, empty ones for what is damaged.

    An int among them stands for bytes that were given up: a positive one counts unreadable bytes, 0 is a torn tail.
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
