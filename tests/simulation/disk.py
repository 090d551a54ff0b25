"""Stands where ingest.spool has `os`: real files, whose writes can be refused or torn by a death.

Files are counted per process: when it dies they are closed, and the locks on them are free.
fsync is left out. What dies here is the process, not the machine: what was written stays.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from tests.simulation.fates import Fate
from tests.simulation.loop import PROCESS
from tests.simulation.process import Died, Process


def _process() -> Process:
    process = PROCESS.get()
    assert isinstance(process, Process)
    return process


class Disk:
    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str | Path, flags: int, mode: int = 0o777) -> int:
        file = os.open(path, flags, mode)
        _process().files.add(file)
        return file

    def close(self, file: int) -> None:
        _process().files.discard(file)
        os.close(file)

    def write(self, file: int, content: bytes) -> int:
        process = _process()
        if process.disk_fault is Fate.BEFORE:
            process.disk_fault = Fate.NONE
            os.write(file, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "no space left on device")
        if process.disk_fault is Fate.CRASH:
            os.write(file, content[: process.world.rng.randrange(len(content))])
            process.kill()
            raise Died
        return os.write(file, content)

    def fdatasync(self, file: int) -> None:
        """Nothing: it costs nothing and proves nothing here."""

    def fsync(self, file: int) -> None:
        """Nothing, as above."""
