"""Keeps commits that Redis can't take on the local disk: bounded, checksummed and fsynced.

Each process owns a folder under a lock; the commits of one producer and shard lie in segments, in
the order of their numbers. `write` returns when the commit is fsynced; from then on it is as safe
as an appended one (I1). The process that holds the folder's lock drains it in order. The append
script knows the numbers of commits, so a drain that is killed half-way can start over without
harm (docs/delivery.md, rule 1). A process adopts the folders of processes that died.

    <folder>/<12 hex digits>/<shard>.<producer>.<first number>.spool    SEGMENT_BYTES each

A damaged segment (schemas/segment.py) is set aside under `damaged/`, counted, and never deleted.
Other files and folders are left alone.

Not promised: what the disk loses after an fsync; and that there is room, unless it was reserved
with `reserve` before the events were admitted.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from runtime.durable import sync_names
from runtime.folders import lock_folder
from schemas.segment import FOLDER_NAME, Commit, is_segment, pack, parts_of, segment_name, unpack

log = logging.getLogger(__name__)
SEGMENT_BYTES = 16 << 20  # segments are deleted one by one as they are drained
READ_BYTES_MAX = 64 << 20  # at once; a whole segment is one read


# Too many open files, no memory, no permission: the segment itself is whole, and can be read later.
NOT_NOW = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM))


class Unreadable(Exception):
    """Says that a segment can't be read now, although nothing is wrong with it."""


class SpoolFull(Exception):
    """Says that a commit is not on disk, because there is no room or the disk refused the write."""


class Counts(Protocol):
    """Counts what happens in the spool."""

    def spool_bytes(self, held: int) -> None: ...
    def spool_damaged(self, records: int) -> None: ...
    def spool_torn(self) -> None: ...


class Chain:
    """Holds the spooled commits of one producer and shard: written at one end, drained at the other."""

    def __init__(self, spool: Spool, folder: Path, shard: int, producer: str) -> None:
        self.shard = shard
        self.producer = producer
        self.has_gap = (
            False  # Redis lost commits of the producer, so the drained ones behind them have producers of their own
        )
        self._spool = spool
        self.folder = folder
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
        """Returns the chain of these segments of a folder, which are in order."""
        shard, producer, first = parts_of(segments[0].name)
        chain = cls(spool, segments[0].parent, shard, producer)
        chain._segments.extend(segments)
        chain._expected = first
        return chain

    def age_seconds(self) -> float:
        """Returns how long ago its oldest segment was written."""
        return time.time() - self._segments[0].stat().st_mtime

    async def write(self, *commits: Commit) -> None:
        """Puts commits behind the others; when it returns, all of them are fsynced, with one fsync for each segment.

        Raises SpoolFull, and then the last of them are not there, or none is.
        """
        async with self._turn:
            await asyncio.to_thread(self._write, commits)

    def _write(self, commits: Sequence[Commit]) -> None:
        records: list[bytes] = []  # for the end of the segment that is being written
        size = self._file_bytes
        try:
            for commit in commits:
                record = pack(commit)
                if self._file is None or size + len(record) > self._spool.segment_bytes:
                    self._append(records)
                    self._roll(commit.number)
                    records, size = [], 0
                records.append(record)
                size += len(record)
            self._append(records)
        except OSError as error:
            self._undo()
            raise SpoolFull(f"{self.folder}: {error}") from error

    def _append(self, records: Sequence[bytes]) -> None:
        """Writes records at the end of the segment, and fsyncs it. Raises OSError."""
        if self._file is None or not records:
            return
        content = b"".join(records)
        os.lseek(self._file, self._file_bytes, os.SEEK_SET)
        _write_all(self._file, content)
        os.fdatasync(self._file)
        self._file_bytes += len(content)
        self._spool.grew(len(content))

    def _undo(self) -> None:
        """Cuts off what a failed write left, so that the next record follows the last good one.

        A segment without any record is removed, because its name would stand in the way of the next try.
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
        self._spool.make_own()
        path = self.folder / segment_name(self.shard, self.producer, first)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file is not None:
            os.close(self._file)
        self._file, self._file_bytes = file, 0
        if not self._segments:
            self._expected = first
        self._segments.append(path)
        sync_names(self.folder)

    async def next(self) -> Commit | None:
        """Returns the first commit that is not drained, or None. Raises Unreadable if the caller must ask again later."""
        if not self._reading and self._segments:
            async with self._turn:
                await asyncio.to_thread(self._read)
        return self._reading[0] if self._reading else None

    def _read(self) -> None:
        """Reads the next commits. Removes a segment once it is fully drained and no longer being written."""
        while self._segments and not self._reading:
            path = self._segments[0]
            is_writing = self._is_writing(path)
            # of the one being written, what is fsynced: a failed write may have left bytes behind it
            bytes_max = self._file_bytes - self._read_bytes if is_writing else READ_BYTES_MAX
            try:
                content = self._content(path, bytes_max)
            except OSError as error:
                if error.errno in NOT_NOW:
                    raise Unreadable(f"{path.name}: {error}") from error
                self._damaged(path, 1, str(error))
                content = b""
            self._read_bytes += len(content)
            self._reading.extend(self._commits(path, content))
            if not content:
                if is_writing:
                    return
                self._remove(path)

    def _content(self, path: Path, bytes_max: int) -> bytes:
        if self._file is not None and path == self._segments[-1]:
            return os.pread(self._file, bytes_max, self._read_bytes)  # needs no descriptor that a flood may have taken
        with path.open("rb") as file:
            file.seek(self._read_bytes)
            return file.read(bytes_max)

    def _commits(self, path: Path, content: bytes) -> Iterator[Commit]:
        unreadable = 0
        for item in unpack(content, self._expected):
            if isinstance(item, Commit):
                yield item
            elif item:
                unreadable += 1
            else:
                self._spool.counts.spool_torn()
                log.warning("spool: %s ends inside a record that was never acknowledged", path.name)
        if unreadable:
            self._damaged(path, unreadable, "checksums do not match")

    def _damaged(self, path: Path, places: int, why: str) -> None:
        self._is_damaged = True
        self._spool.counts.spool_damaged(places)
        log.critical("spool: %s is damaged in %d places (%s); it is set aside", path.name, places, why)

    async def drained(self) -> None:
        """Notes that the commit that `next` returned is in Redis."""
        self._expected = self._reading.popleft().number + 1

    async def close(self) -> None:
        """Removes what is left when everything is drained and nothing more will be written."""
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
        is_damaged, self._is_damaged = self._is_damaged, False
        try:
            size = path.stat().st_size
            if is_damaged:
                aside = self._spool.folder / "damaged"
                aside.mkdir(exist_ok=True)
                path.rename(aside / (path.name + ".damaged"))
            else:
                path.unlink()
        except OSError as error:  # it stays where it is; drained once more, it changes nothing
            log.critical("spool: %s", error)
        else:
            self._spool.shrank(size)


class Spool:
    """Holds a process's own folder, the folders that it adopted, and its share of the bytes."""

    def __init__(
        self, folder: Path, *, bytes_max: int, free_bytes_min: int, counts: Counts, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.counts = counts
        self._bytes_max = bytes_max
        self._free_bytes_min = free_bytes_min
        self._bytes = 0
        self._reserved = 0
        self._since: float | None = None  # since when it has not been empty
        self._own = folder / secrets.token_hex(6)
        self._is_named = False  # its name is on disk
        self._said = ""
        self._locks: dict[Path, int] = {}
        self._making = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # no room, then; Redis may well be there
            log.critical("spool: %s", error)

    def make_own(self) -> None:
        """Makes and locks our folder, before the first write and not at the start, which a full disk must not stop.

        The folder gets its name when it is locked, so that no other process adopts it meanwhile. Raises OSError.
        """
        with self._making:
            if self._own not in self._locks:
                self._locks[self._own] = self._made()
            if not self._is_named:  # asked again after it failed: without it a power loss takes folder and segments
                sync_names(self.folder)
                self._is_named = True

    def _made(self) -> int:
        """Makes our folder, and returns its lock."""
        unnamed = self._own.with_name("." + secrets.token_hex(6))
        unnamed.mkdir()
        try:
            lock = os.open(unnamed / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                unnamed.rename(self._own)
            except OSError:
                os.close(lock)
                raise
        except OSError:
            shutil.rmtree(unnamed, ignore_errors=True)
            raise
        return lock

    def open(self, producer: str, shard: int) -> Chain:
        """Returns a new chain for the commits of this producer and shard."""
        return Chain(self, self._own, shard, producer)

    def adopt(self) -> list[Chain]:
        """Returns the chains of processes that are gone; from now on we drain them. It is cheap, and is asked twice a second."""
        chains: list[Chain] = []
        try:
            folders = sorted(self.folder.iterdir())
            self._said = ""
        except OSError as error:
            if str(error) != self._said:
                self._said = str(error)
                log.critical("spool: %s", error)
            return chains
        for folder in folders:
            if folder in self._locks or not FOLDER_NAME.fullmatch(folder.name) or (lock := lock_folder(folder)) is None:
                continue
            self._locks[folder] = lock
            grouped: dict[tuple[int, str], list[Path]] = {}
            for path in _segments(folder):
                grouped.setdefault(parts_of(path.name)[:2], []).append(path)
                self.grew(path.stat().st_size)
            if not grouped:
                self.leave(folder)
            chains += [Chain.of(self, paths) for paths in grouped.values()]
        return chains

    def leave(self, folder: Path) -> None:
        """Removes a folder that is drained, unless there are files in it that are not ours."""
        if _segments(folder):
            return
        lock = self._locks.pop(folder)
        try:
            (folder / "lock").unlink()
            folder.rmdir()
        except OSError as error:
            log.warning("spool: %s", error)
        os.close(lock)

    def reserve(self, size: int) -> bool:
        """Sets room aside for a request before its first append; returns False if there is none."""
        if self._bytes + self._reserved + size > self._bytes_max:
            return False
        self._reserved += size
        return True

    def has_room(self, size: int) -> bool:
        """Returns whether the budget and the disk have room for so many bytes."""
        return self._bytes + self._reserved + size <= self._bytes_max and self.has_disk()

    def release(self, size: int) -> None:
        """Gives reserved room back when the request was answered."""
        self._reserved -= size

    def has_disk(self) -> bool:
        """Returns whether the disk has more than its minimum of free bytes."""
        try:
            return shutil.disk_usage(self.folder).free > self._free_bytes_min + self._reserved
        except OSError:
            return False

    def shortage(self, size: int) -> str:
        """Returns, in words, what is missing for so many bytes; empty if there is room for them."""
        if not self.has_disk():
            return (
                f"the disk of {self.folder} has less than spool_free_bytes_min ({self._free_bytes_min >> 20} MiB) left"
            )
        return "" if self.has_room(size) else f"the spool holds {self._bytes >> 20} of {self._bytes_max >> 20} MiB"

    def lag_seconds(self) -> float:
        """Returns for how many seconds the spool has not been empty."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def grew(self, size: int) -> None:
        self._bytes += size
        self._since = None if self._bytes <= 0 else self._since or time.monotonic()
        self.counts.spool_bytes(self._bytes)

    def shrank(self, size: int) -> None:
        self.grew(-size)

    def close(self) -> None:
        """Releases all folders, and removes our own if it is empty."""
        if self._own in self._locks:
            self.leave(self._own)
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_segment(path.name))


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
