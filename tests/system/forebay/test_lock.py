"""The lock of a data directory has one owner, lasts as long as the owner's children, and is free when all are gone."""

import os
import subprocess
from pathlib import Path

import pytest

from forebay.lock import DataInUse, lock
from tests.support.programs import program


def test_a_second_one_is_told_who_has_it(tmp_path: Path) -> None:
    """The error has the owner's pid and command."""
    words = program("lock_owner", tmp_path)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(DataInUse, match=rf"{tmp_path} is in use by pid {owner.pid} \(.*python"):
            lock(tmp_path)


def test_what_a_killed_owner_left_keeps_it_locked(tmp_path: Path) -> None:
    """Its children hold the lock until they end; a start waits for that, and then succeeds."""
    data = tmp_path / "data"
    words = program("lock_owner", data)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
        owner.wait()
        with pytest.raises(DataInUse, match=f"killed forebay up left: pid {child}"):
            lock(data, leftover_seconds=0.6)
        owner.stdin.close()  # the child ends by itself
        os.close(lock(data, leftover_seconds=60))
