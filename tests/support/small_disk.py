"""Makes a file system of a test's own, of one kind or another, and fills it to the last byte."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("tmpfs", "ext4")
PAGE_BYTES = 4_096


class SmallDisk:
    """Holds a file system of its own, and the ballast that fills it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ballast = path / "ballast"

    def fill(self, *, leaving: int = 0) -> None:
        """Fills the disk to the last page but `leaving` bytes, again if space came back meanwhile.

        Half of what is free at a time: a file system takes all or nothing, and processes that write meanwhile would make
        it nothing.
        """
        with self._ballast.open("ab") as file:
            while (free := shutil.disk_usage(self._path).free - leaving) > 0:
                piece = max(free // 2, PAGE_BYTES)
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), piece)
                except OSError:
                    if piece == PAGE_BYTES:
                        return

    def empty(self) -> None:
        """Gives the space back."""
        self._ballast.unlink()


@contextmanager
def small_disk(path: Path, size: int, kind: str = "tmpfs") -> Iterator[SmallDisk]:
    """Mounts a file system at this path. Skips the test where that is not allowed."""
    path.mkdir(parents=True)
    image = path.with_name(path.name + ".image")
    if kind == "tmpfs":
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "forebay-test", str(path)]
    else:
        with image.open("wb") as file:
            file.truncate(size)
        _run("mkfs." + kind, "-q", "-F", "-m", "0", str(image))
        words = ["mount", "-o", "loop", str(image), str(path)]
    _run(*words)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)
        image.unlink(missing_ok=True)


def _run(*words: str) -> None:
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"there is no {words[0]}")
    if said.returncode:
        pytest.skip(f"a small disk needs root: {said.stderr.strip()}")
