"""Locks a data directory, by an flock that lasts until every process working on it is gone.

Redis and the ClickHouse engine inherit the locked descriptor, because they live some milliseconds longer than a
`forebay up` that was killed, and two of them on the same files would damage both. So the lock is free only when the last
of them has ended, and a start waits for that.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from runtime import ports
from runtime.durable import make_directory

OWNER_SECONDS = 0.5  # a killed owner needs that long at most to be gone
LEFTOVER_SECONDS = 10.0  # what its children need: the engine gives back 400 MB, Redis may be in a rewrite
POLL_SECONDS = 0.02


class DataInUse(Exception):
    """Is raised where another `forebay up` works on the directory. Its text names the pid."""


def lock(data: Path, *, leftover_seconds: float = LEFTOVER_SECONDS) -> int:
    """Makes the directory where it is missing, locks it, and returns the descriptor to pass on.

    Raises DataInUse at once while its owner lives, and after `leftover_seconds` while a killed owner's children do.
    """
    make_directory(data)
    path = data / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            waited = time.monotonic() - began
            if waited < OWNER_SECONDS or (waited < leftover_seconds and _owner(path) not in _holding(path)):
                time.sleep(POLL_SECONDS)
                continue
            os.close(descriptor)
            raise DataInUse(f"{data} is in use by {_owners(path)}") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _owner(path: Path) -> int:
    text = path.read_text("ascii")
    return int(text) if text.isdigit() else 0


def _holding(path: Path) -> list[int]:
    # kill(pid, 0) would call a zombie alive. We are left out, because in a container the owner before us had our pid.
    return [pid for pid in ports.holders(path.resolve()) if pid != os.getpid()]


def _owners(path: Path) -> str:
    owner, holding = _owner(path), _holding(path)
    if owner in holding or not holding:
        return ports.described(owner)
    return "what a killed forebay up left: " + ", ".join(ports.described(pid) for pid in holding)
