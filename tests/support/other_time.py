"""Lets one process believe that it is another time of day, by libfaketime, which the tests' tools install on Debian."""

from __future__ import annotations

from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  only what libfaketime has left there is looked for
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
            "FAKETIME_DISABLE_SHM": "1",  # which libfaketime knows from 0.9.11 on; `forget` is for those before it
        }

    def set(self, seconds: float) -> None:
        """Sets the time so far from the true one, in one step, as when somebody sets a clock."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.3f}\n", "ascii")
        fresh.replace(self._file)

    @staticmethod
    def forget() -> None:
        """Removes what an older libfaketime has left in /dev/shm of processes that were killed; their names end with the pid."""
        for path in SHARED_MEMORY.glob("*faketime_s[eh]m_*"):
            if not Path(f"/proc/{path.name.rpartition('_')[2]}/exe").exists():  # also of one that nobody has reaped yet
                path.unlink(missing_ok=True)
