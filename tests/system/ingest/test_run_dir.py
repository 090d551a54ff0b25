"""What killed tiers left in memory goes with a later start; what a living one has stays."""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ingest import run_dir
from tests.support.programs import program
from tests.support.waiting import wait_until


class Tier:
    """A process that owns a directory as a tier does."""

    def __init__(self, memory: Path, named: str = "") -> None:
        self.process = subprocess.Popen(
            program("run_dir_owner", named, memory),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.directory = Path(self.process.stdout.readline().strip())

    def end(self, number: signal.Signals | None = None) -> None:
        if number is not None:
            self.process.send_signal(number)
        self.process.communicate()


@pytest.mark.parametrize("named", [False, True], ids=["its own", "named by forebay up"])
def test_what_a_killed_tier_left_goes_and_what_a_living_one_has_stays(tmp_path: Path, named: bool) -> None:
    """A start of any data directory of the same user removes the first, never the second."""
    killed = Tier(tmp_path, str(tmp_path / "forebay-0-killed") if named else "")
    living = Tier(tmp_path, str(tmp_path / "forebay-0-living") if named else "")
    try:
        killed.end(signal.SIGKILL)
        assert killed.directory.exists()
        for _ in range(2):
            with run_dir.own(None, tmp_path) as directory:
                assert not killed.directory.exists()
                assert (living.directory / "counter_0.db").exists()
                assert directory.exists()
        assert sorted(tmp_path.iterdir()) == [living.directory]
    finally:
        living.end()
    assert list(tmp_path.iterdir()) == (
        [living.directory] if named else []
    )  # the named one is who named it's to remove


def test_one_that_is_being_made_stays(tmp_path: Path) -> None:
    """It has no lock yet: it goes when it is old and no process names it."""
    made = tmp_path / "forebay-0-abc"
    made.mkdir()
    run_dir.remove_abandoned(tmp_path)
    assert made.exists()
    long_ago = time.time() - 2 * run_dir.UNLOCKED_SECONDS
    os.utime(made, (long_ago, long_ago))
    named = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(made)}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=named) as worker:
        run_dir.remove_abandoned(tmp_path)
        assert made.exists()
        worker.communicate(b"\n")
    run_dir.remove_abandoned(tmp_path)
    assert not made.exists()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """A link, a file, another's name."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "forebay-link").symlink_to(elsewhere)
    (tmp_path / "forebay-file").touch()
    before = sorted(tmp_path.iterdir())
    run_dir.remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_directory_that_is_removed_while_it_is_taken_is_made_again(tmp_path: Path) -> None:
    """The remover held its lock: whoever waited for it has a lock of nothing, and takes it once more."""
    directory = tmp_path / "forebay-0-abc"
    directory.mkdir()
    remover = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(remover, fcntl.LOCK_EX)
    taker = subprocess.Popen(
        program("run_dir_owner", directory, tmp_path / "none"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: directory / "lock" in opened(taker.pid))
        (directory / "lock").unlink()
        directory.rmdir()
        os.close(remover)
        assert taker.stdout is not None
        assert taker.stdout.readline().strip() == str(directory)
        assert (directory / "lock").exists()
    finally:
        taker.kill()
        taker.communicate()


def opened(pid: int) -> list[Path]:
    """The files that a process has open."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(one.readlink())
    return found
