"""Folders that one process owns by the lock of a file in them, as the spool has them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def lock_folder(folder: Path) -> int | None:
    """Takes the lock of a folder that nobody alive owns; None where somebody does, or it is gone."""
    try:
        file = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return None  # none of ours, or somebody drained it meanwhile
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (folder / "lock").stat().st_ino == os.fstat(file).st_ino:
            return file
    except OSError:
        pass
    os.close(file)
    return None


def sync_folder(folder: Path) -> None:
    """Fsyncs the names in a folder. Raises OSError."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
