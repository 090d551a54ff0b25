"""Makes names survive a power cut: a file is on disk under its name only once its directory was fsynced too."""

from __future__ import annotations

import os
from pathlib import Path


def sync_names(directory: Path) -> None:
    """Syncs a directory (fsync), so that what was made, renamed or removed in it stays so. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Makes a directory that only its owner may enter, and the missing ones above it; a power cut takes none of them.

    Raises OSError.
    """
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in reversed(missing):
        sync_names(one.parent)
