"""Lets one process believe that it is another time of day, by libfaketime, which the tests' tools install on Debian."""

from __future__ import annotations

from pathlib import Path

# Preloaded into one process: it adds what a file says to every answer about the time of day.
LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class OtherTime:
    """Is the time of day as a process sees it that is started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def is_settable(self) -> bool:
        return LIBFAKETIME is not None

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables under which a process believes it."""
        return {
            "LD_PRELOAD": str(LIBFAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",  # it would stay in /dev/shm behind each process that was killed
        }

    def set(self, seconds: float) -> None:
        """Sets the time so far from the true one, in one step, as when somebody sets a clock."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.3f}\n", "ascii")
        fresh.replace(self._file)
