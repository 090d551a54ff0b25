"""The lock of a data directory has one owner, lasts as long as the owner's children, and is free when all are gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forebay import lock as locks
from forebay.lock import DataInUse, lock
from tests.support.waiting import wait_until

OWNER = """
import os, subprocess, sys
from pathlib import Path
from forebay.lock import lock
descriptor = lock(Path(sys.argv[1]))
child = subprocess.Popen((sys.executable, "-c", "import sys; sys.stdin.read()"), pass_fds=(descriptor,), stdin=0)
print(child.pid, flush=True)
child.wait()
"""


def test_a_second_one_is_told_who_has_it(tmp_path: Path, checkout: Path) -> None:
    """The error has the owner's pid and command."""
    words = (sys.executable, "-c", OWNER, str(tmp_path))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=checkout) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(DataInUse, match=rf"{tmp_path} is in use by pid {owner.pid} \(.*python"):
            lock(tmp_path)


def test_what_a_killed_owner_left_keeps_it_locked(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children hold the lock until they end; a start waits for that, and then succeeds."""
    data = tmp_path / "data"
    words = (sys.executable, "-c", OWNER, str(data))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=checkout) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
        owner.wait()
        monkeypatch.setattr(locks, "LEFTOVER_SECONDS", 0.6)
        with pytest.raises(DataInUse, match=f"killed forebay up left: pid {child}"):
            lock(data)
        owner.stdin.close()  # the child ends by itself
        monkeypatch.setattr(locks, "LEFTOVER_SECONDS", 10)
        os.close(lock(data))


def test_a_free_lock_is_taken_at_once(tmp_path: Path) -> None:
    """The directory is made, and the file says who owns it."""
    descriptor = lock(tmp_path / "deep" / "data")
    assert (tmp_path / "deep" / "data" / "lock").read_text() == str(os.getpid())
    os.close(descriptor)
    wait_until(lambda: not locks._holding(tmp_path / "deep" / "data" / "lock"))
