"""Keeps the generator's own record of every event's fate, which the reconciliation reads.

There are three files, one id a line: FILE (acknowledged: the server owes them), FILE.unclear (sent, never answered:
stored once or not at all) and FILE.refused (answered, not accepted). An id stands in exactly one of them, written once
its fate is final. No counter of the server is ever consulted.

`write` hands lines to the kernel, where they survive the death of this process; with `fsync` they survive the machine's
too, and `logged` counts them only after that. Between two writes ids wait in memory.

Not promised: the last batch of a generator that is killed by SIGKILL. Its events show up as foreign rows, never as
lost.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

UNCLEAR = ".unclear"
REFUSED = ".refused"


class Batch(NamedTuple):
    acknowledged: list[str]
    unclear: list[str]
    refused: list[str]


class AckLog:
    """Collects fates in memory, on the event loop; `write` makes a batch of them durable."""

    def __init__(self, path: Path, *, fsync: bool = False) -> None:
        self.path = path
        self.logged = 0  # acknowledged ids that are as durable as was asked
        self._waiting = Batch([], [], [])
        self._fsync = fsync
        self._files = [
            os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644) for name in paths(path)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.write(self.take())
        finally:
            for file in self._files:
                os.close(file)

    def acknowledged(self, ids: list[str]) -> None:
        self._waiting.acknowledged.extend(ids)

    def unclear(self, ids: list[str]) -> None:
        self._waiting.unclear.extend(ids)

    def refused(self, ids: list[str]) -> None:
        self._waiting.refused.extend(ids)

    def take(self) -> Batch:
        """Returns what was collected since the last call, which the caller must `write`.

        For the collecting thread only.
        """
        batch, self._waiting = self._waiting, Batch([], [], [])
        return batch

    def write(self, batch: Batch) -> None:
        """Appends a batch. With fsync it blocks for as long as the disk takes; it may run on another thread."""
        for file, ids in zip(self._files, batch, strict=True):
            if not ids:
                continue
            _write_whole(file, ("\n".join(ids) + "\n").encode())
            if self._fsync:
                os.fsync(file)
        self.logged += len(batch.acknowledged)


def paths(path: Path) -> tuple[Path, Path, Path]:
    """Returns the files of acknowledged, unclear and refused ids."""
    return path, path.with_name(path.name + UNCLEAR), path.with_name(path.name + REFUSED)


def read(path: Path) -> list[str]:
    """Returns the ids of one file. A last line without its end was cut by a crash, and is left out."""
    text = path.read_text("utf-8")
    return text[: text.rfind("\n") + 1].split()


def _write_whole(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
