"""Stands where ingest.commit.spool has `os`: real files, whose writes can be refused, or torn by a death.

Files are counted for each process: when it dies they are closed, which frees the locks on them. When the machine dies
with it (`Process.lose_power`), files keep the bytes that were synced and perhaps some of the rest, and files whose
folder was not synced since they were made are gone.
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
        process = _process()
        is_new = bool(flags & os.O_CREAT) and not Path(path).exists()
        file = os.open(path, flags, mode)
        process.files[file] = Path(path)
        if is_new:
            process.unsynced[Path(path)] = 0
            process.unnamed.add(Path(path))
        return file

    def close(self, file: int) -> None:
        _process().files.pop(file, None)
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
        """Notes that the file's bytes of now survive a loss of power."""
        process = _process()
        process.unsynced[process.files[file]] = os.fstat(file).st_size

    def fsync(self, file: int) -> None:
        """Notes that the names in a folder survive a loss of power."""
        process = _process()
        folder = process.files[file]
        process.unnamed = {path for path in process.unnamed if path.parent != folder}
