"""Encodes the rows of one commit and shard as the bytes of one entry, and reads them back.

An entry is columnar: a version byte, the weight (4 bytes, what the rows take when they are unpacked) and
zstd(msgpack(columns)). A column whose values are all equal is kept as that one value, so a commit of one site costs one
site name. Ids of events that are all UUIDs, as those of our tracker are, are kept as 16 bytes each. The flusher extends columns
by columns and never sees a row (3.6 us a row against 8: docs/facts.md). zstd has a dictionary, because entries are small:
without one an event in an entry of 4 takes half as many bytes again, and four times the time.

A new column (schemas/columns.py) is no new version: it comes behind the others. An entry of an older release lacks it,
and gets its default instead. An entry of a newer release has columns that this one does not know, and they are left out.

The other fields of the record are in schemas/redis/records.py.

Not promised: that an entry of another version can be read. `decode` raises UnknownVersion, and the shard stops with an
alarm until a process that knows the version serves it. Bytes that begin with a number which no version will have soon
are no entry at all.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
import zstandard

from schemas.columns import DEFAULTS, FEWEST, FIRST_RELEASE
from schemas.row import COLUMNS

VERSION = 3
# What zstd knows of entries before it sees one, by version. A version that is no longer written is still read.
DICTIONARIES = {version: files("schemas").joinpath(f"entry-{version}.dict").read_bytes() for version in (2, VERSION)}
UNRELEASED_VERSION = 1  # what revisions before the first release wrote at first: without a dictionary
VERSION_MAX = 31  # what begins with a higher byte is text, or somebody else's
# Of entries of 4 to 64 rows: 2 to 5 % fewer bytes than level 1 in the same time. Level 3 saves 1 to 3 % more for 0.1 to
# 0.3 us a row, measured with a warm cache: it fills a second table, and a commit's cache is cold.
ZSTD_LEVEL = 2
ENTRY_BYTES_MAX = 64 << 20  # of one decoded entry: a commit is cut far below it
ENTRY_ROWS_MAX = 1_000_000  # a constant column is kept once: bytes alone do not bound what it unfolds to

HEADER = struct.Struct("<BI")
WEIGHT_MAX = (1 << 32) - 1
NUMBER_BYTES = 8
EVENT_ID = COLUMNS.index("event_id")
# A UUID as text with what msgpack puts before it, and as bytes; its dashes.
UUID_TEXT, UUID_PACKED, UUID_BYTES = 36, 38, 16
UUID_DASHES = (8, 13, 18, 23)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode
_dictionaries = {version: zstandard.ZstdCompressionDict(known) for version, known in DICTIONARIES.items()}
_dictionaries[VERSION].precompute_compress(level=ZSTD_LEVEL)


class _Zstd(threading.local):
    """Holds this thread's contexts: making one takes longer than 16 rows do, and two threads can't share one."""

    def __init__(self) -> None:
        # The checksum is 4 B an entry and no time that can be measured; the AOF and the stream have none.
        self.compressor = zstandard.ZstdCompressor(
            level=ZSTD_LEVEL, write_checksum=True, write_dict_id=False, dict_data=_dictionaries[VERSION]
        )
        self.decompressors = {
            version: zstandard.ZstdDecompressor(dict_data=known) for version, known in _dictionaries.items()
        }


_zstd = _Zstd()


class UnknownVersion(Exception):
    """Says that the entry is of a version which this process can't read. Its text says what to do."""


class Damaged(Exception):
    """Says that an entry is not what was appended: it fails its checksum or a bound, or its columns differ in length."""


def encode(columns: Sequence[Sequence[Any]]) -> bytes:
    """Returns the entry bytes of equally long, non-empty columns in `row.COLUMNS` order."""
    packed, weight = plain(columns)
    return HEADER.pack(VERSION, min(WEIGHT_MAX, weight)) + _zstd.compressor.compress(packed)


def plain(columns: Sequence[Sequence[Any]]) -> tuple[bytes, int]:
    """Returns the bytes that are to be compressed, and the bytes that the rows take unpacked."""
    rows = len(columns[0])
    packed: list[Any] = [rows]
    folded = shortened = 0
    for at, column in enumerate(columns):
        first = column[0]
        if column.count(first) == rows:
            packed.append((first,))
            folded += len(_encode(first)) if isinstance(first, str | dict) else NUMBER_BYTES
        elif at == EVENT_ID and (uuids := uuids_of(column)) is not None:
            packed.append(uuids)
            shortened = UUID_PACKED - UUID_BYTES
        else:
            packed.append(column)
    content = _encode(packed)
    return content, len(content) + folded * (rows - 1) + shortened * rows


def uuids_of(texts: Sequence[str]) -> bytes | None:
    """Returns the bytes of texts that are UUIDs in small letters; None if one is anything else.

    `texts_of` has to give back the very texts, because events are told apart by them (I1).
    """
    text = "".join(texts)
    digits = text.replace("-", "")
    rows = len(texts)
    if set(map(len, texts)) != {UUID_TEXT} or len(digits) != 2 * UUID_BYTES * rows:
        return None
    if any(text[at::UUID_TEXT].count("-") != rows for at in UUID_DASHES):
        return None
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        return None
    return found if found.hex() == digits else None


def texts_of(uuids: bytes) -> list[str]:
    """Returns the texts of UUIDs."""
    digits = uuids.hex()
    return [
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}-{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
        for at in range(0, len(digits), 2 * UUID_BYTES)
    ]


def weight_of(data: bytes) -> int:
    """Returns the bytes that an entry's rows take unpacked, by which blocks are cut; of another version, its size."""
    if len(data) < HEADER.size or data[0] not in _zstd.decompressors:
        return len(data)
    weight: int = HEADER.unpack_from(data)[1]
    return weight


def is_of_another_version(data: bytes) -> bool:
    """Tells whether an entry has a version that this process can't read, though another may."""
    return bool(data) and data[0] not in _zstd.decompressors and 0 < data[0] <= VERSION_MAX


def decode(data: bytes) -> list[list[Any]]:
    """Returns the columns of an entry, all equally long, in `row.COLUMNS` order, whichever release wrote it.

    Raises UnknownVersion or Damaged.
    """
    columns = whole(data)
    del columns[len(COLUMNS) :]
    return columns


def whole(data: bytes) -> list[list[Any]]:
    """Returns the same, and behind them the columns of a newer release that this one does not know.

    Of these, one whose values are all equal is that one value.
    """
    decompressor = _zstd.decompressors.get(data[0]) if data else None
    if decompressor is None:
        raise _unreadable(data)
    frame = data[HEADER.size :]
    try:
        # A size that the frame declares is allocated as it says: 6 kB would become 200 MB, whatever max_output_size is.
        if zstandard.frame_content_size(frame) > ENTRY_BYTES_MAX:
            raise Damaged(f"more than {ENTRY_BYTES_MAX} bytes")
        content = decompressor.decompress(frame, max_output_size=ENTRY_BYTES_MAX, allow_extra_data=False)
        rows, *columns = _decode(content)
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Damaged(str(error)) from error
    unknown: list[Any] = []
    if len(columns) != len(COLUMNS):
        unknown = columns[len(COLUMNS) :]
        columns = [*columns[: len(COLUMNS)], *([value] for value in missing(columns))]
    if type(rows) is not int or not 0 < rows <= ENTRY_ROWS_MAX:
        raise Damaged(f"{rows!r} rows")
    # a loop: a generator with a set of lengths took 4 us an entry
    for at, column in enumerate(columns):
        if type(column) is not list or len(column) != rows:
            if type(column) is bytes and len(column) == UUID_BYTES * rows:
                columns[at] = texts_of(column)
            elif type(column) is list and len(column) == 1:
                columns[at] = column * rows
            else:
                raise Damaged("columns differ in length")
    if unknown:
        if any(type(column) is not list or len(column) not in {1, rows} for column in unknown):
            raise Damaged("columns of a newer release differ in length")
        columns += unknown
    return columns


def missing(values: Sequence[Any]) -> tuple[Any, ...]:
    """Returns the defaults of the columns that an older release did not know, for its columns or its row.

    Raises Damaged where there are fewer than any release wrote.
    """
    if len(values) < FEWEST:
        raise Damaged(f"{len(values)} columns, and every release has at least {FEWEST}")
    return DEFAULTS[len(values) :]


def _unreadable(data: bytes) -> Exception:
    """Returns what to raise for an entry that begins with no version of these."""
    if not is_of_another_version(data):
        return Damaged(f"it begins with {data[:1].hex() or 'nothing'}, and no version does")
    if data[0] == UNRELEASED_VERSION:
        return UnknownVersion(
            f"entry version {UNRELEASED_VERSION} was written by a revision from before release {FIRST_RELEASE}, and nothing"
            " reads it any more: store it with that revision, or begin with an empty Redis"
        )
    return UnknownVersion(f"entry version {data[0]}, this process knows {' and '.join(map(str, DICTIONARIES))}")
