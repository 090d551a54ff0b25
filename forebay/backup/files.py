"""Files that somebody else goes on changing: held as of one moment, then copied at leisure.

A file is held by a hard link, and by its size at that moment. What Redis, ingest and the engine write is written once, appended
to, or replaced by a renamed one, so the first bytes of a held file stay what they were.

Not promised: a file that is changed in place. A table engine of ClickHouse that does (`Log`, `StripeLog`) may be torn.
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

STAGE = "backup"  # in the data directory: a hard link can't lead to another file system
READ_BYTES = 1 << 20
TRIES = 20  # of one directory whose parts are replaced while it is listed: each try takes milliseconds
_libc = ctypes.CDLL(None, use_errno=True)


class Unheld(Exception):
    """Files can't be held or copied. Its text says why."""


@contextmanager
def staged(data: Path) -> Iterator[Path]:
    """An empty directory for links, gone afterwards. Raises Unheld while another backup is made."""
    stage = data / STAGE
    descriptor = os.open(data / f"{STAGE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unheld("another backup of this installation is being made") from None
        shutil.rmtree(stage, ignore_errors=True)  # of one that was killed
        stage.mkdir(mode=0o700)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        os.close(descriptor)


def forget(data: Path) -> None:
    """Removes what a backup left that was killed: its links hold the room of files that are gone."""
    if (data / STAGE).exists():
        with contextlib.suppress(Unheld, OSError), staged(data):
            pass


def hold(source: Path, into: Path, is_left_out: Callable[[str], bool]) -> dict[Path, int]:
    """Links every file below `source` into a new directory, symlinks as they are; sizes by path in it.

    What goes meanwhile is left out, but for parts of a table: whatever replaced one was there when the table was listed
    again. Raises Unheld and OSError.
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
    is_part = any(PART.fullmatch(one.name) for one in (source, source.parent))  # the latter: a projection in a part
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
    """Parts among these names that another one has replaced: ClickHouse keeps them for minutes, with what was erased."""
    found: set[str] = set()
    by_partition: dict[str, list[tuple[int, int, int, int, str]]] = {}
    for name in names:
        if match := PART.fullmatch(name):
            partition, first, last, level, mutation = match.groups()
            ranges = by_partition.setdefault(partition, [])
            ranges.append((int(first), -int(last), -int(level), -int(mutation or 0), name))
    for ranges in by_partition.values():  # of blocks: each lies within another, or beside it
        end = -1
        for _, last, _, _, name in sorted(ranges):
            if -last <= end:
                found.add(name)
            end = max(end, -last)
    return found


def link(source: Path, target: Path) -> int:
    """Holds one file; its size now. Raises FileNotFoundError, and Unheld where there are no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unheld(f"{source} can't be held by a hard link: {error.strerror}") from error
    return target.stat().st_size


def copy(source: Path, target: Path, size: int) -> str:
    """Copies the first bytes of a file; their SHA-256. Raises OSError, and Unheld when there are fewer."""
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
    """Size and SHA-256 of a file. Raises OSError."""
    with path.open("rb") as reading:
        found = hashlib.file_digest(reading, "sha256").hexdigest()
        return reading.tell(), found


def sync_all(directory: Path) -> None:
    """Has the file system of a directory write everything to disk. Raises OSError.

    One call: an fsync for each of a hundred thousand files takes minutes.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)
