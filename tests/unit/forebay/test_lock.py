"""A free data directory is locked at once."""

import os
from pathlib import Path

from forebay import lock as locks
from forebay.lock import lock
from tests.support.waiting import wait_until


def test_a_free_lock_is_taken_at_once(tmp_path: Path) -> None:
    """The directory is made, and the file says who owns it."""
    descriptor = lock(tmp_path / "deep" / "data")
    assert (tmp_path / "deep" / "data" / "lock").read_text() == str(os.getpid())
    os.close(descriptor)
    wait_until(lambda: not locks._holding(tmp_path / "deep" / "data" / "lock"))
