"""Makes disks whose power can be cut: an ext4 image on a loop device, as root, or a preloaded library, as any user.

Both keep what had reached the disk at one moment, while every process that writes to it is stopped, and let the next
start find exactly that. They err on different sides: ext4 keeps what the kernel happened to have written by then, and
replays its journal; the library keeps only what was fsynced, but takes names to be on disk at once. Data that survives
both depends neither on luck nor on the file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

IMAGE_BYTES = 2 << 30  # sparse: what is not used takes no room
COPIES = 20
UNMOUNT_SECONDS = 20
SHIM = Path(__file__).with_name("unsynced.c")


class Unavailable(Exception):
    """Says that this machine can't have such a disk. The text says what is missing."""


class Disk(Protocol):
    """Keeps a system's data. `close` must be called whatever happened."""

    path: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """Returns the environment that the processes must be started with."""

    def snapshot(self) -> None:
        """Keeps what is on disk now. Every writer must be stopped."""

    def power_on(self) -> None:
        """Makes the disk what `snapshot` found. No writer may live."""

    def close(self) -> None:
        """Leaves nothing behind that outlives the directory."""


class Ext4:
    """Is a file system in a file. The kernel writes to the file what it would write to a disk, when it would."""

    environment: Mapping[str, str] = {}

    def __init__(self, directory: Path) -> None:
        self.path = directory / "disk"
        self._image = directory / "disk.img"
        self._kept = directory / "kept.img"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        # Nothing is left for the kernel to initialise later: its writes would disturb the copy.
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))
        device = self.path.stat().st_dev
        self._writes = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")

    def snapshot(self) -> None:
        """Copies the image, and again if something was written meanwhile, because the kernel may write without any
        process.
        """
        for _ in range(COPIES):
            before = self._writes.read_text().split()[4:9]
            _run("cp", "--sparse=always", str(self._image), str(self._kept))
            if before[-1] == "0" and self._writes.read_text().split()[4:9] == before:
                return
            time.sleep(0.1)
        raise Unavailable("the kernel does not stop writing to the disk")

    def power_on(self) -> None:
        self._unmount()
        self._kept.replace(self._image)
        self._mount()  # replays the journal

    def _unmount(self) -> None:
        """Unmounts, and waits for dying processes: the last one holds a file a little longer than its name is
        in /proc.
        """
        deadline = time.monotonic() + UNMOUNT_SECONDS
        while os.path.ismount(self.path):
            try:
                _run("umount", str(self.path))
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False, stderr=subprocess.DEVNULL)


class Unsynced:
    """Is a directory that loses every byte in a cut which was not fsynced, as `unsynced.c` wrote it down."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise Unavailable("there is no C compiler")
        self.path = directory / "disk"
        self.path.mkdir()
        self._kept = directory / "kept"
        self._log = directory / "synced"
        library = directory / "unsynced.so"
        _run(compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SHIM), "-ldl")
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "UNSYNCED_LOG": str(self._log)}

    def snapshot(self) -> None:
        synced: dict[tuple[int, int], int] = {}
        for line in self._log.read_text("ascii").splitlines():
            device, inode, size = map(int, line.split())
            synced[device, inode] = size
        for source in sorted(self.path.rglob("*")):
            target = self._kept / source.relative_to(self.path)
            if source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif source.is_file():
                facts = source.stat()
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open("rb") as file:
                    target.write_bytes(file.read(synced.get((facts.st_dev, facts.st_ino), 0)))
                target.chmod(facts.st_mode)
                os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def power_on(self) -> None:
        shutil.rmtree(self.path)
        self._kept.rename(self.path)
        files = [path.stat() for path in self.path.rglob("*") if path.is_file() and not path.is_symlink()]
        self._log.write_text("".join(f"{one.st_dev} {one.st_ino} {one.st_size}\n" for one in files), "ascii")

    def close(self) -> None:
        """Does nothing, because all of it is in the directory."""


DISKS: Mapping[str, type[Ext4 | Unsynced]] = {"ext4": Ext4, "unsynced": Unsynced}


def _run(*words: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}  # where mkfs is
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError as error:
        raise Unavailable(f"there is no {words[0]}") from error
    if done.returncode:
        raise Unavailable(f"{' '.join(words[:2])}: {done.stderr.strip()}")
