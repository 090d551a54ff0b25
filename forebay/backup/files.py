"""Copies files that other processes go on changing: holds them as of one moment, then copies them in its own time.

A file is held by a hard link, and by its size at that moment. Redis, ingest and the engine write a file once, append to
it, or replace it by renaming another over it, so the first bytes of a held file stay what they were.

Not promised: a file that is changed in place. A table engine of ClickHouse that does so (`Log`, `StripeLog`) may be
torn.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from forebay.embedded.clickhouse.dedup_log import PART

STAGE = "backup"  # in the data directory, because a hard link can't lead to another file system
READ_BYTES = 1 << 20
TRIES = 20  # to list a directory whose parts are replaced meanwhile: each try takes milliseconds
_libc = ctypes.CDLL(None, use_errno=True)


class Unheld(Exception):
    """Reports that files can't be held or copied. Its text says why."""


@contextmanager
def staged(data: Path) -> Iterator[Path]:
    """Makes an empty directory for links, and removes it afterwards. Raises Unheld while another backup is made."""
    stage = data / STAGE
    descriptor = os.open(data / f"{STAGE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unheld("another backup of this installation is being made") from None
        shutil.rmtree(stage, ignore_errors=True)  # a backup that was killed left it
        stage.mkdir(mode=0o700)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        os.close(descriptor)


def forget(data: Path) -> None:
    """Removes what a killed backup left, because its links keep the disk space of deleted files."""
    if (data / STAGE).exists():
        with contextlib.suppress(Unheld, OSError), staged(data):
            pass


def hold(source: Path, into: Path, is_left_out: Callable[[str], bool]) -> dict[Path, int]:
    """Holds every file below `source` by a link in a new directory, and returns their sizes by the new path.

    Symbolic links are copied. Files that disappear meanwhile are left out, except those of a table's parts: the table
    is listed again then, and finds the part that replaced them. Raises Unheld and OSError.
    """
    for _ in range(TRIES):
        try:
            return _hold(source, into, is_left_out)
        except FileNotFoundError:
            shutil.rmtree(into, ignore_errors=True)
            if not source.exists():
                if PART.fullmatch(source.name):
                    raise
                return {}
    raise Unheld(f"{source} changes faster than it can be listed")


def _hold(source: Path, into: Path, is_left_out: Callable[[str], bool]) -> dict[Path, int]:
    into.mkdir(mode=0o700, parents=True)
    sizes: dict[Path, int] = {}
    is_part = any(PART.fullmatch(one.name) for one in (source, source.parent))  # the parent's: a projection in a part
    entries = list(os.scandir(source))
    gone = replaced(entry.name for entry in entries)
    for entry in entries:
        target = into / entry.name
        if entry.name in gone or is_left_out(entry.name):
            continue
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            sizes |= (
                _hold(Path(entry.path), target, is_left_out) if is_part else hold(Path(entry.path), target, is_left_out)
            )
        elif entry.is_file():
            try:
                sizes[target] = link(Path(entry.path), target)
            except FileNotFoundError:
                if is_part:
                    raise
    return sizes


def replaced(names: Iterable[str]) -> set[str]:
    """Returns the parts among these names that another of them replaced.

    ClickHouse keeps such parts for minutes, with the rows that were erased.
    """
    found: set[str] = set()
    by_partition: dict[str, list[tuple[int, int, int, int, str]]] = {}
    for name in names:
        if match := PART.fullmatch(name):
            partition, first, last, level, mutation = match.groups()
            ranges = by_partition.setdefault(partition, [])
            ranges.append((int(first), -int(last), -int(level), -int(mutation or 0), name))
    for ranges in by_partition.values():  # ranges of block numbers, each of which lies within another or beside it
        end = -1
        for _, last, _, _, name in sorted(ranges):
            if -last <= end:
                found.add(name)
            end = max(end, -last)
    return found


def link(source: Path, target: Path) -> int:
    """Holds one file, and returns its size now. Raises FileNotFoundError, and Unheld where there are no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unheld(f"{source} can't be held by a hard link: {error.strerror}") from error
    return target.stat().st_size


def copy(source: Path, target: Path, size: int) -> str:
    """Copies the first bytes of a file, and returns their SHA-256. Raises OSError, and Unheld if there are fewer."""
    digest, left = hashlib.sha256(), size
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source.open("rb") as reading, target.open("xb") as writing:
        while left and (piece := reading.read(min(left, READ_BYTES))):
            writing.write(piece)
            digest.update(piece)
            left -= len(piece)
    if left:
        raise Unheld(f"{source} has {left} bytes fewer than it should")
    return digest.hexdigest()


def digest(path: Path) -> tuple[int, str]:
    """Returns the size and the SHA-256 of a file. Raises OSError."""
    with path.open("rb") as reading:
        found = hashlib.file_digest(reading, "sha256").hexdigest()
        return reading.tell(), found


def sync_all(directory: Path) -> None:
    """Has the file system of a directory write everything to disk. Raises OSError.

    It is one call, because an fsync for each of a hundred thousand files takes minutes.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)
