"""The spool: what each kind of damage costs, how segments come and go, and whose folder is whose."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.commit import spool as spool_module
from runtime.folders import lock_folder
from schemas.segment import HEADER_BYTES, Commit, pack
from tests.support.spooling import SHARD, adopted, aside, commit, drained, flip, left_behind, opened, record_at


async def test_without_damage_all_commits_come_back_in_order(tmp_path: Path) -> None:
    """As they were written; then the folder and its bytes are gone."""
    segment = await left_behind(tmp_path)
    found, counts = await adopted(tmp_path)
    assert found == [commit(number) for number in range(1, 6)]
    assert (counts.bytes, counts.damaged, counts.torn) == (0, 0, 0)
    assert not segment.parent.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [1, 3, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 9, -1])
async def test_a_torn_tail_is_dropped(tmp_path: Path, left: int) -> None:
    """The last write did not end, so nobody was told that it had: counted as torn, no damage, nothing set aside."""
    segment = await left_behind(tmp_path)
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) - 1] if left < 0 else content[: record_at(content, 5) + left])
    found, counts = await adopted(tmp_path)
    assert found == [commit(number) for number in range(1, 5)]
    assert (counts.torn, counts.damaged, aside(tmp_path)) == (1, 0, [])


@pytest.mark.parametrize("number", [1, 3, 5])
async def test_a_flipped_bit_in_a_body_costs_that_commit_alone(tmp_path: Path, number: int) -> None:
    """It becomes an empty commit with its number, so that the later ones can follow; the segment is kept aside."""
    segment = await left_behind(tmp_path)
    flip(segment, record_at(segment.read_bytes(), number) + HEADER_BYTES + 7)
    found, counts = await adopted(tmp_path)
    assert found == [Commit.empty(at) if at == number else commit(at) for at in range(1, 6)]
    assert (counts.damaged, counts.torn, counts.bytes) == (1, 0, 0)
    assert aside(tmp_path) == [segment.name + ".damaged"]
    assert not segment.parent.exists()


@pytest.mark.parametrize("at", [0, 5, 9, 17, 21])
@pytest.mark.parametrize("number", [1, 3])
async def test_a_flipped_bit_in_a_header_is_read_over(tmp_path: Path, number: int, at: int) -> None:
    """Magic, size, number or checksum: reading goes on at the next header, and the number in between is empty."""
    segment = await left_behind(tmp_path)
    flip(segment, record_at(segment.read_bytes(), number) + at)
    found, counts = await adopted(tmp_path)
    assert found == [Commit.empty(one) if one == number else commit(one) for one in range(1, 6)]
    assert (counts.damaged, counts.torn) == (1, 0)
    assert aside(tmp_path) == [segment.name + ".damaged"]


@pytest.mark.parametrize("at", [0, 9, 21])
async def test_a_damaged_last_header_is_no_torn_tail(tmp_path: Path, at: int) -> None:
    """A whole record whose header is off was acknowledged: it is counted as damage and kept."""
    segment = await left_behind(tmp_path)
    flip(segment, record_at(segment.read_bytes(), 5) + at)
    found, counts = await adopted(tmp_path)
    assert found == [commit(number) for number in range(1, 5)]
    assert (counts.damaged, counts.torn) == (1, 0)
    assert aside(tmp_path) == [segment.name + ".damaged"]


async def test_two_damaged_neighbours_are_two_empty_commits(tmp_path: Path) -> None:
    """The numbers up to the next readable record are all accounted for."""
    segment = await left_behind(tmp_path)
    for number in (2, 3):
        flip(segment, record_at(segment.read_bytes(), number) + 9)
    found, _ = await adopted(tmp_path)
    assert found == [commit(1), Commit.empty(2), Commit.empty(3), commit(4), commit(5)]


async def test_a_file_cut_in_the_middle_keeps_what_is_before(tmp_path: Path) -> None:
    """It looks like a torn tail, and is counted as one."""
    segment = await left_behind(tmp_path)
    content = segment.read_bytes()
    segment.write_bytes(content[: record_at(content, 3) + 30])
    found, counts = await adopted(tmp_path)
    assert found == [commit(1), commit(2)]
    assert counts.torn == 1


async def test_an_empty_file_is_nothing(tmp_path: Path) -> None:
    """A process may die between making a segment and its first record."""
    segment = await left_behind(tmp_path)
    segment.write_bytes(b"")
    found, counts = await adopted(tmp_path)
    assert (found, counts.damaged, counts.torn, counts.bytes) == ([], 0, 0, 0)
    assert not segment.parent.exists()


@pytest.mark.parametrize("garbage", [b"\0" * 500, b"no spool at all " * 99, b"FBS1" * 50, os.urandom(5_000)])
async def test_a_file_of_garbage_is_set_aside(tmp_path: Path, garbage: bytes) -> None:
    """Nothing is made of it, and it is not deleted."""
    segment = await left_behind(tmp_path)
    segment.write_bytes(garbage)
    found, counts = await adopted(tmp_path)
    assert (found, counts.damaged, counts.bytes) == ([], 1, 0)
    assert (tmp_path / "damaged" / (segment.name + ".damaged")).read_bytes() == garbage


async def test_a_missing_segment_in_the_middle_is_empty_commits(tmp_path: Path) -> None:
    """The numbers it held are sent empty: without them Redis would refuse all later ones."""
    spool, _ = opened(tmp_path, segment_bytes=len(pack(commit(1))) * 2)
    chain = spool.open("producer", SHARD)
    for number in range(1, 7):
        await chain.write(commit(number))
    spool.close()
    first, second, third = sorted(tmp_path.glob("*/*.spool"))
    second.unlink()
    found, _ = await adopted(tmp_path)
    assert found == [commit(1), commit(2), Commit.empty(3), Commit.empty(4), commit(5), commit(6)]
    assert not first.exists()
    assert not third.exists()


async def test_a_segment_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    """As on a failing disk: damage, counted; the other segments come back."""
    segment = None
    spool, _ = opened(tmp_path, segment_bytes=1)
    chain = spool.open("producer", SHARD)
    for number in range(1, 4):
        await chain.write(commit(number))
    spool.close()
    segment = sorted(tmp_path.glob("*/*.spool"))[1]
    segment.unlink()
    segment.mkdir()  # opening it fails, whoever asks
    found, counts = await adopted(tmp_path)
    assert found == [commit(1), Commit.empty(2), commit(3)]
    assert counts.damaged == 1
    assert aside(tmp_path) == [segment.name + ".damaged"]


async def test_foreign_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    """Neither read nor deleted, beside our folders or in them, whatever they are called."""
    segment = await left_behind(tmp_path)
    foreign = [tmp_path / "lost+found" / "#1", tmp_path / "notes.spool", segment.parent / "x.spool"]
    foreign += [segment.parent / "notes.txt", tmp_path / "0123456789ab" / "mine", tmp_path / "empty"]
    for path in foreign[:-1]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("foreign")
    foreign[-1].mkdir()
    for _ in range(2):
        found, counts = await adopted(tmp_path)
        assert found in ([commit(number) for number in range(1, 6)], [])
        assert (counts.damaged, counts.torn, counts.bytes) == (0, 0, 0)
        assert all(path.exists() for path in foreign)
    assert not segment.exists()


async def test_drained_segments_give_their_bytes_back_one_by_one(tmp_path: Path) -> None:
    """A long outage's spool shrinks while it is drained, not only at its end."""
    size = len(pack(commit(1)))
    spool, counts = opened(tmp_path, segment_bytes=size * 2)
    chain = spool.open("producer", SHARD)
    for number in range(1, 7):
        await chain.write(commit(number))
    held = []
    while await chain.next() is not None:
        held.append((counts.bytes // size, len(list(tmp_path.glob("*/*.spool")))))
        await chain.drained()
    assert held == [(6, 3), (6, 3), (4, 2), (4, 2), (2, 1), (2, 1)]
    await chain.close()
    assert counts.bytes == 0
    spool.close()


@pytest.mark.parametrize("records", [1, 2, 5])
async def test_what_is_written_behind_a_reader_is_read_too(tmp_path: Path, records: int) -> None:
    """A segment read before it was full, then rolled, still has commits that nobody has read."""
    spool, counts = opened(tmp_path, segment_bytes=len(pack(commit(1))) * 4)
    chain = spool.open("producer", SHARD)
    found, number = [], 0
    for _ in range(6):
        for _ in range(records):
            number += 1
            await chain.write(commit(number))
        first = await chain.next()
        assert first is not None
        found.append(first)
        for _ in range(records):
            number += 1
            await chain.write(commit(number))
        await chain.drained()
    found += await drained(chain)
    assert found == [commit(one) for one in range(1, number + 1)]
    assert counts.damaged == counts.torn == 0
    spool.close()


async def test_two_heirs_do_not_share(tmp_path: Path) -> None:
    """The first one that locks the folder drains it; when it leaves off, the other has the rest."""
    await left_behind(tmp_path)
    first, _ = opened(tmp_path)
    second, _ = opened(tmp_path)
    (chain,) = first.adopt()
    assert second.adopt() == []
    assert first.adopt() == []
    assert await chain.next() == commit(1)
    await chain.drained()
    first.close()
    (again,) = second.adopt()
    assert await drained(again) == [commit(number) for number in range(1, 6)]
    second.close()


async def test_a_folder_that_went_meanwhile_is_nobodys(tmp_path: Path) -> None:
    """Its lock file was opened before it was drained and removed: the lock is then one of nothing."""
    segment = await left_behind(tmp_path)
    folder = segment.parent
    seen = os.open(folder / "lock", os.O_RDWR)
    await adopted(tmp_path)
    fcntl.flock(seen, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert lock_folder(folder) is None
    folder.mkdir()
    (folder / "lock").touch()
    os.close(seen)
    assert (await adopted(tmp_path))[0] == []
    assert not folder.exists()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 255))
def test_whatever_lies_in_a_folder_an_heir_comes_to_its_end(tmp_path: Path, garbage: bytes, at: int, bits: int) -> None:
    """Any damage to a real folder is drained, and the folder is gone."""

    async def scene() -> None:
        segment = await left_behind(tmp_path)
        content = segment.read_bytes()
        at_most = min(at, len(content) - 1)
        changed = bytes((content[at_most] ^ bits,))
        segment.write_bytes(content[:at_most] + changed + garbage + content[at_most + 1 :])
        found, _ = await adopted(tmp_path)
        assert all(one in (commit(one.number), Commit.empty(one.number)) for one in found)
        assert not segment.parent.exists()

    asyncio.run(scene())


async def test_a_segment_that_can_not_be_opened_now_is_whole(tmp_path: Path) -> None:
    """Out of file descriptors, a segment waits to be read; it is neither counted as damaged nor set aside."""
    spool, counts = opened(tmp_path)
    chain = spool.open("producer", SHARD)
    await chain.write(commit(1))
    segment = next(tmp_path.rglob("*.spool"))
    heir = spool_module.Chain.of(spool, [segment])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(path.name) for path in Path("/proc/self/fd").iterdir()), hard))
    held = []
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        with pytest.raises(spool_module.Unreadable):
            heir._read()  # in this thread: another would want descriptors as well
        assert await chain.next() == commit(1), "the one being written is open already"
    finally:
        for file in held:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await heir.next() == commit(1)
    assert counts.damaged == 0
    assert segment.exists()
    spool.close()


async def test_many_commits_are_fsynced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each segment once. What does not fit is not there, and what was there before stays."""
    synced: list[int] = []
    fdatasync = os.fdatasync

    def counting(file: int) -> None:
        synced.append(file)
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", counting)
    spool, counts = opened(tmp_path)
    spool.segment_bytes = 10 * len(pack(commit(10)))
    chain = spool.open("producer", SHARD)
    await chain.write(*(commit(number) for number in range(1, 26)))
    assert len(synced) == 3
    assert counts.bytes == sum(len(pack(commit(number))) for number in range(1, 26))

    def fails(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(spool_module.SpoolFull):
        await chain.write(*(commit(number) for number in range(26, 29)))
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    await chain.write(commit(26), commit(27))
    assert await drained(chain) == [commit(number) for number in range(1, 28)]
    spool.close()
