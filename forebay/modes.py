"""Takes away the rights of others on a data directory, because what is stored about visitors is its owner's alone.

A data directory that an earlier version made, or that somebody copied, may have modes that let others read it. Symbolic
links are not followed, and what belongs to somebody else is left alone.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

OTHERS = 0o077
SMALL = ("redis", "spool")  # directories with few files


def tighten(data: Path) -> int:
    """Takes away the rights of others on a data directory; returns how many files and directories had some.

    What the engine stored is many files, and looked at only where others could have come to it.
    """
    engine = data / "clickhouse"
    was_open = _is_open(data) and _is_open(engine)
    paths = [data, *_entries(data), *(path for name in SMALL for path in _below(data / name))]
    return sum(map(_closed, [*paths, *(_below(engine) if was_open else _entries(engine))]))


def _is_open(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(path.lstat().st_mode & OTHERS)
    return False


def _entries(directory: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from directory.iterdir()


def _below(directory: Path) -> Iterator[Path]:
    for place, directories, files in os.walk(directory):
        yield from (Path(place, name) for name in (*directories, *files))


def _closed(path: Path) -> bool:
    """Takes away the rights of others on one path; returns whether they had any."""
    try:
        found = path.lstat()
        is_ours = found.st_uid == os.getuid() and (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode))
        if not is_ours or not found.st_mode & OTHERS:
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except OSError:  # it is gone
        return False
    return True
