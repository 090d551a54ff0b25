"""Gives a tier a directory for its counters: in memory where possible, its owner's alone, and gone when its owner is.

It lies in memory because the counters' files are mapped, and on a full disk writing to one ends the worker (SIGBUS). A
tier that is killed leaves its directory there. The next one to start, on whatever data, removes those of its user whose
owner is gone; an owner holds the directory's lock for as long as it lives (runtime/folders.py).

Not promised: that a directory without a lock goes at once. Another tier may be about to make its lock, or the directory
is of a version that made none. So it goes a minute after it was made, if no process names it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.folders import lock_folder, make_locked

log = logging.getLogger(__name__)
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory is made in it that nobody else can enter
PREFIX = "forebay-"
UNLOCKED_SECONDS = 60.0


@contextlib.contextmanager
def own(named: str | None, memory: Path = MEMORY) -> Iterator[Path]:
    """Yields an empty directory of our own, `named` or a new one; counters of an earlier tier must not be summed."""
    remove_abandoned(memory)
    place = memory if os.access(memory, os.W_OK) else None
    directory = Path(named) if named else Path(tempfile.mkdtemp(prefix=f"{PREFIX}ingest-", dir=place))
    lock = make_locked(directory)
    for left in directory.glob("*.db"):
        left.unlink()
    try:
        yield directory
    finally:
        if not named:
            shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def remove_abandoned(memory: Path) -> None:
    """Removes what killed tiers of this user left in memory."""
    for directory in memory.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # somebody else removes it too, or it is not ours to enter
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            lock = lock_folder(directory)
            if lock is None and ((directory / "lock").exists() or not _is_forgotten(directory, found.st_mtime)):
                continue
            shutil.rmtree(directory)
            log.info("removed %s, which a killed process had left", directory)
            if lock is not None:
                os.close(lock)


def _is_forgotten(directory: Path, made_at: float) -> bool:
    """Returns whether a directory was made some time ago and no process that we can see names it."""
    if time.time() - made_at < UNLOCKED_SECONDS:
        return False
    name = os.fsencode(directory)
    for process in Path("/proc").glob("[0-9]*"):
        for told in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if name in (process / told).read_bytes():
                    return False
    return True
