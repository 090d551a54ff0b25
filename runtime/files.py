"""Opens files that an operator names in a setting, where a pipe or a device may stand in the file's place.

To open a pipe waits until somebody writes into it, and a device such as /dev/zero has no end; a thread that reads one
never comes back, and the process can't end before it does.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path


class NotAFile(OSError):
    """Says that a path leads to something else than a file."""


def opened(path: str | Path) -> BufferedReader:
    """Opens a file to be read, and waits for nobody. Raises OSError; NotAFile if it is a pipe, a device or a socket."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it; Path.open has no opener
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotAFile(f"{path} is not a file")
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
