"""Names that a power cut does not take: a file is on disk under its name only once its directory was fsynced too."""

from __future__ import annotations

import os
from pathlib import Path


def sync_names(directory: Path) -> None:
    """Fsyncs a directory: what was made, renamed or removed in it stays so. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Makes a directory that only its owner may enter, with those above it that are missing, for good. Raises OSError."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in reversed(missing):
        sync_names(one.parent)
