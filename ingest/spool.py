"""A bounded, checksummed, fsynced overflow on local disk for commits Redis can't take.

Each process owns a folder under a lock; the commits of one producer and shard lie in
segments, in order of their numbers. `write` returns when the commit is fsynced, and from
then on it is as good as appended (I1). Whoever holds the folder's lock drains it in order:
the append script knows commit numbers, so a drain killed half-way starts over harmlessly
(delivery.md, rule 1). A process adopts the folders that the dead left behind.

    segment    <shard>.<producer>.<first number>.spool = records, SEGMENT_BYTES each
    record     magic · body bytes · number · body CRC · header CRC │ msgpack [rows, accepted, data]

Damage: a record whose body fails its CRC becomes an empty commit with its number, so that
the later ones can follow; where a header is gone, the numbers up to the next readable record
do. The segment is set aside under `.damaged`, counted, and never deleted. A tail that ends
inside a record was never fsynced, so never acknowledged: counted as torn, and dropped.

Not promised: what the disk loses after fsync, and room: `reserve` before admitting.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

log = logging.getLogger(__name__)
MAGIC = b"FBS1"
HEADER = struct.Struct("<4sIQI")  # magic, body bytes, number, body CRC; a CRC of these 20 follows
CRC = struct.Struct("<I")
HEADER_BYTES = HEADER.size + CRC.size
SEGMENT_BYTES = 16 << 20  # given back one by one as they drain
RECORD_BYTES_MAX = 64 << 20
SUFFIX = ".spool"


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


class SpoolFull(Exception):
    """No room, or the disk refused the write; the commit is not on disk."""


class Counts(Protocol):
    """What the spool counts."""

    def spool_bytes(self, held: int) -> None: ...
    def spool_damaged(self, records: int) -> None: ...
    def spool_torn(self) -> None: ...


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
                # at the very end an unfinished write; with a whole header's worth of bytes, damage
                yield 0 if content.startswith(MAGIC[: len(content) - at], at) else len(content) - at
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


class Chain:
    """The spooled commits of one producer and shard: written at one end, drained at the other."""

    def __init__(self, spool: Spool, folder: Path, shard: int, producer: str) -> None:
        self.shard = shard
        self.producer = producer
        self._spool = spool
        self._folder = folder
        self._segments: deque[Path] = deque()
        self._reading: deque[Commit] = deque()
        self._file: int | None = None
        self._file_bytes = 0
        self._expected = 0
        self._read_bytes = 0  # of the first segment
        self._is_damaged = False
        self._turn = asyncio.Lock()  # a reader must not see half a record

    @classmethod
    def of(cls, spool: Spool, segments: list[Path]) -> Chain:
        """The chain that these segments of a folder make, in order."""
        shard, producer, first = _parts(segments[0])
        chain = cls(spool, segments[0].parent, shard, producer)
        chain._segments.extend(segments)
        chain._expected = first
        return chain

    async def write(self, commit: Commit) -> None:
        """Put a commit behind the others; on return it is fsynced. Raises SpoolFull."""
        async with self._turn:
            await asyncio.to_thread(self._write, commit)

    def _write(self, commit: Commit) -> None:
        record = pack(commit)
        try:
            if self._file is None or self._file_bytes + len(record) > SEGMENT_BYTES:
                self._roll(commit.number)
            assert self._file is not None
            os.lseek(self._file, self._file_bytes, os.SEEK_SET)
            _write_all(self._file, record)
            os.fdatasync(self._file)
        except OSError as error:
            self._undo()
            raise SpoolFull(f"{self._folder}: {error}") from error
        self._file_bytes += len(record)
        self._spool.grew(len(record))

    def _undo(self) -> None:
        """Cut off what a failed write left, so that the next record follows the last good one.

        A segment that got no record goes: its name would stand in the way of the next try.
        """
        if self._file is None:
            return
        try:
            if self._file_bytes:
                os.ftruncate(self._file, self._file_bytes)
                return
            os.close(self._file)
            self._file = None
            self._segments.pop().unlink()
        except OSError as error:
            log.warning("spool: %s", error)

    def _roll(self, first: int) -> None:
        path = self._folder / f"{self.shard:04d}.{self.producer}.{first:012d}{SUFFIX}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file is not None:
            os.close(self._file)
        self._file, self._file_bytes = file, 0
        if not self._segments:
            self._expected = first
        self._segments.append(path)
        _sync_folder(self._folder)

    async def next(self) -> Commit | None:
        """The first commit not yet drained; None when all are."""
        if not self._reading and self._segments:
            async with self._turn:
                await asyncio.to_thread(self._read)
        return self._reading[0] if self._reading else None

    def _read(self) -> None:
        while self._segments and not self._reading:
            path = self._segments[0]
            commits, unreadable = [], 0
            with path.open("rb") as file:
                file.seek(self._read_bytes)
                content = file.read(SEGMENT_BYTES + RECORD_BYTES_MAX)
            self._read_bytes += len(content)
            for item in unpack(content, self._expected):
                if isinstance(item, Commit):
                    commits.append(item)
                elif item:
                    unreadable += 1
                else:
                    self._spool.counts.spool_torn()
                    log.warning("spool: %s ends inside a record that was never acknowledged", path.name)
            if unreadable:
                self._is_damaged = True
                self._spool.counts.spool_damaged(unreadable)
                log.critical("spool: %s is damaged in %d places; it is kept beside the others", path.name, unreadable)
            self._reading.extend(commits)
            if self._reading or self._is_writing(path):
                return
            self._remove(path)

    async def drained(self) -> None:
        """The commit that `next` gave is in Redis."""
        commit = self._reading.popleft()
        self._expected = commit.number + 1
        if not self._reading and not self._is_writing(self._segments[0]):
            async with self._turn:
                await asyncio.to_thread(self._remove, self._segments[0])

    async def close(self) -> None:
        """All is drained and nobody writes any more: remove what is left."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        for path in list(self._segments):
            await asyncio.to_thread(self._remove, path)

    def _is_writing(self, path: Path) -> bool:
        return self._file is not None and path == self._segments[-1]

    def _remove(self, path: Path) -> None:
        self._segments.remove(path)
        self._read_bytes = 0
        size = path.stat().st_size
        if self._is_damaged:
            aside = self._spool.folder / "damaged"
            aside.mkdir(exist_ok=True)
            path.rename(aside / (path.name + ".damaged"))
            self._is_damaged = False
        else:
            path.unlink()
        self._spool.shrank(size)


class Spool:
    """One process's folder, its share of the bytes, and the folders it adopted."""

    def __init__(self, folder: Path, *, bytes_max: int, free_bytes_min: int, counts: Counts) -> None:
        self.folder = folder
        self.counts = counts
        self._bytes_max = bytes_max
        self._free_bytes_min = free_bytes_min
        self._bytes = 0
        self._reserved = 0
        self._own = folder / secrets.token_hex(6)
        self._own.mkdir(parents=True)
        self._locks: dict[Path, int] = {self._own: _lock(self._own) or 0}

    def open(self, producer: str, shard: int) -> Chain:
        """A new chain for the commits of this producer and shard."""
        return Chain(self, self._own, shard, producer)

    def adopt(self) -> list[Chain]:
        """The chains of processes that are gone; from now on they are ours to drain."""
        chains = []
        for folder in sorted(path for path in self.folder.iterdir() if path.is_dir() and path.name != "damaged"):
            if folder in self._locks or (lock := _lock(folder)) is None:
                continue
            self._locks[folder] = lock
            grouped: dict[tuple[int, str], list[Path]] = {}
            for path in sorted(folder.glob("*" + SUFFIX)):
                grouped.setdefault(_parts(path)[:2], []).append(path)
                self.grew(path.stat().st_size)
            if not grouped:
                self.leave(folder)
            chains += [Chain.of(self, paths) for paths in grouped.values()]
        return chains

    def leave(self, folder: Path) -> None:
        """Remove an adopted folder that is drained."""
        if any(folder.glob("*" + SUFFIX)):
            return
        lock = self._locks.pop(folder)
        shutil.rmtree(folder)
        os.close(lock)

    def reserve(self, size: int) -> bool:
        """Set room aside for a request before its first append; False when there is none."""
        if self._bytes + self._reserved + size > self._bytes_max:
            return False
        self._reserved += size
        return True

    def has_room(self, size: int) -> bool:
        """Whether so many bytes would be taken, by the budget and by the disk."""
        return self._bytes + self._reserved + size <= self._bytes_max and self.has_disk()

    def release(self, size: int) -> None:
        """Give reserved room back: the request was answered."""
        self._reserved -= size

    def has_disk(self) -> bool:
        """Whether the disk has more than its minimum of free bytes."""
        return shutil.disk_usage(self.folder).free > self._free_bytes_min + self._reserved

    def grew(self, size: int) -> None:
        self._bytes += size
        self.counts.spool_bytes(self._bytes)

    def shrank(self, size: int) -> None:
        self.grew(-size)

    def close(self) -> None:
        """Let go of all folders; an empty one of our own is removed."""
        if not any(self._own.glob("*" + SUFFIX)):
            self.leave(self._own)
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()


def cost(strings: Mapping[str, str], text: int) -> int:
    """Bytes a row of so many characters takes in a record at most: 4 a character and the fixed columns."""
    return 600 + 4 * text + sum(4 * (len(key) + len(value)) + 10 for key, value in strings.items())


def _parts(path: Path) -> tuple[int, str, int]:
    shard, producer, first, _ = path.name.split(".")
    return int(shard), producer, int(first)


def _lock(folder: Path) -> int | None:
    try:
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None  # somebody removed the folder meanwhile
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
