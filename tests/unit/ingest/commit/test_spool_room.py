"""The spool's room: promised, used, given back, and refused by a disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ingest.commit import spool as spool_module
from ingest.commit.spool import SpoolFull
from runtime import durable
from tests.support.spooling import SHARD, commit, drained, left_behind, opened


async def test_room_is_reserved_and_given_back(tmp_path: Path) -> None:
    """What is held and what is promised never exceed the limit together."""
    spool, counts = opened(tmp_path, bytes_max=1_000)
    assert spool.reserve(600)
    assert not spool.reserve(401)
    assert spool.has_room(400)
    assert not spool.has_room(401)
    await spool.open("producer", SHARD).write(commit(1, 300))
    assert 300 < counts.bytes < 400
    assert not spool.has_room(200)
    spool.release(600)
    assert spool.reserve(600)
    spool.close()


async def test_what_was_adopted_counts(tmp_path: Path) -> None:
    """The heir has so much less room, until it is drained."""
    segment = await left_behind(tmp_path)
    spool, counts = opened(tmp_path, bytes_max=segment.stat().st_size + 100)
    (chain,) = spool.adopt()
    assert not spool.reserve(101)
    assert spool.reserve(100)
    await drained(chain)
    assert counts.bytes == 0
    spool.close()


async def test_no_room_on_a_disk_below_its_minimum(tmp_path: Path) -> None:
    """However much the limit would allow."""
    spool, _ = opened(tmp_path, free_bytes_min=1 << 60)
    assert not spool.has_room(1)
    spool.close()


class FailingDisk:
    """Stands where the spool has `os`: while it `fails`, writes end half-way and syncs are refused."""

    def __init__(self) -> None:
        self.fails = ""
        self.synced: list[Path] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _refuse(self, call: str) -> None:
        if self.fails == call:
            raise OSError(errno.ENOSPC, "no space left on device")

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".spool"):
            self._refuse("open")
        return os.open(path, flags, mode)

    def write(self, file: int, content: bytes) -> int:
        if self.fails == "write":
            os.write(file, content[: len(content) // 2])
        self._refuse("write")
        return os.write(file, content)

    def fdatasync(self, file: int) -> None:
        self._refuse("fdatasync")
        os.fdatasync(file)

    def fsync(self, file: int) -> None:
        self._refuse("fsync")
        os.fsync(file)
        self.synced.append(Path(f"/proc/self/fd/{file}").readlink())

    def ftruncate(self, file: int, size: int) -> None:
        self._refuse("write")
        os.ftruncate(file, size)


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "fsync"])
@pytest.mark.parametrize("before", [0, 2])
async def test_a_disk_that_refuses_is_full_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, before: int
) -> None:
    """The write says SpoolFull; later the same commit is taken, and each is there once."""
    disk = FailingDisk()
    monkeypatch.setattr(spool_module, "os", disk)
    monkeypatch.setattr(durable, "os", disk)
    spool, counts = opened(tmp_path, segment_bytes=1 if call in {"open", "fsync"} else 1 << 20)
    chain = spool.open("producer", SHARD)
    for number in range(1, before + 1):
        await chain.write(commit(number))
    held = counts.bytes
    disk.fails = call
    for _ in range(2):
        with pytest.raises(SpoolFull):
            await chain.write(commit(before + 1))
    assert counts.bytes == held
    disk.fails = ""
    for number in range(before + 1, before + 3):
        await chain.write(commit(number))
    assert await drained(chain) == [commit(number) for number in range(1, before + 3)]
    await chain.close()
    assert counts.bytes == 0
    spool.close()


async def test_a_folder_that_could_not_be_synced_is_synced_before_the_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power loss takes our folder's name, and with it commits that were acknowledged."""
    disk = FailingDisk()
    monkeypatch.setattr(spool_module, "os", disk)
    monkeypatch.setattr(durable, "os", disk)
    spool, _ = opened(tmp_path)
    chain = spool.open("producer", SHARD)
    disk.fails = "fsync"
    with pytest.raises(SpoolFull):
        await chain.write(commit(1))
    disk.fails = ""
    await chain.write(commit(1))
    assert disk.synced == [tmp_path, chain.folder]
    spool.close()


async def test_a_reader_does_not_see_what_a_failed_write_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when it could not be cut off: the next record stands in its place, and is read whole."""
    disk = FailingDisk()
    monkeypatch.setattr(spool_module, "os", disk)
    monkeypatch.setattr(durable, "os", disk)
    spool, _ = opened(tmp_path)
    chain = spool.open("producer", SHARD)
    await chain.write(commit(1))
    disk.fails = "write"
    with pytest.raises(SpoolFull):
        await chain.write(commit(2))
    assert await drained(chain) == [commit(1)]
    disk.fails = ""
    await chain.write(commit(2))
    assert await drained(chain) == [commit(2)]
    spool.close()


async def test_nothing_is_written_at_a_start(tmp_path: Path) -> None:
    """A full disk does not stop one: the folder is made with the first commit."""
    spool, _ = opened(tmp_path / "spool")
    assert list((tmp_path / "spool").iterdir()) == []
    spool.close()
