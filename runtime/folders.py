"""Owns folders: a process owns one for as long as it holds the lock of the file `lock` in it.

The kernel gives the lock back when the process ends, however it ends; so what a killed process left behind is found by
a lock that can be taken.

Not promised: that nobody without this module touches the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def lock_folder(folder: Path) -> int | None:
    """Takes the lock of a folder that no living process owns; returns its descriptor.

    None means that somebody owns it, that it is gone, or that it is no folder of this kind.
    """
    try:
        file = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # not of this kind, or somebody drained it meanwhile
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_there(folder, file):
            return file
    except OSError:
        pass
    os.close(file)
    return None


def make_locked(folder: Path) -> int:
    """Makes a folder where it is missing and takes its lock, and waits for that; returns its descriptor."""
    while True:  # once more, where somebody removed the folder in between
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if _is_there(folder, file):
                    return file
            os.close(file)


def _is_there(folder: Path, file: int) -> bool:
    """Returns whether this is the folder's lock still. Raises OSError where the folder has none."""
    return (folder / "lock").stat().st_ino == os.fstat(file).st_ino
