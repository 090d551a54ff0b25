"""Makes unix sockets for the data directory, which no web page and no other user of the machine can reach."""

import contextlib
import hashlib
import os
import socket
import tempfile
from pathlib import Path

PATH_BYTES_MAX = 100  # sun_path has 108 with its NUL
PRIVATE = "forebay-"  # how the private directories' names begin


class NotOurs(Exception):
    """Reports that the directory for a socket belongs to somebody else. Its text says what to do."""


def private_path(directory: Path, name: str) -> Path:
    """Returns where a socket of this name lies: in the directory, or in a private one if that path would be too long.

    Raises NotOurs.
    """
    inside = directory / name
    if len(os.fsencode(inside)) <= PATH_BYTES_MAX:
        return inside
    digest = hashlib.blake2b(os.fsencode(inside), digest_size=8).hexdigest()
    private = Path(tempfile.gettempdir()) / f"{PRIVATE}{os.getuid()}-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotOurs(f"{private} belongs to somebody else: choose a shorter --data")
    return private / name


def forget(path: Path) -> None:
    """Removes a socket that `private_path` named, and the private directory if it lies in one. Call it when nothing listens."""
    path.unlink(missing_ok=True)
    if path.parent.name.startswith(PRIVATE):
        with contextlib.suppress(OSError):  # somebody else's file in it stays
            path.parent.rmdir()


def bound(path: Path) -> socket.socket:
    """Makes a socket at this path that this user alone can connect to. One that a killed process left is replaced."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    path.chmod(0o600)
    return made
