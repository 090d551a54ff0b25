"""The power is cut under load, with merges and mutations under way: nothing acknowledged is lost or doubled.

These are a few cuts, for every run of the tests; `make powercut N=20` makes as many as it is told.
"""

import os
import random
from pathlib import Path

import pytest

from tests.powercut.cut import cuts, told
from tests.powercut.disk import DISKS, Unavailable

CUTS = 2  # the second finds what the first left


@pytest.mark.parametrize("kind", DISKS)
async def test_a_power_cut_takes_nothing(kind: str, tmp_path: Path) -> None:
    """Rows, rollups and books are whole after each cut, without anybody doing anything about it."""
    try:
        disk = DISKS[kind](tmp_path)
    except Unavailable as error:
        if "CI" in os.environ and os.geteuid() == 0:  # make has installed what it needs
            raise
        pytest.skip(f"no disk to cut: {error}")
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"replay with: SEED={seed} pytest tests/powercut; the log is in {tmp_path}")
    outcomes = await cuts(tmp_path, disk, count=CUTS, seed=seed, say=print)
    assert not any(one.faults for one in outcomes), told(outcomes)
    assert all(one.parts_merged for one in outcomes), "without merges nothing was tried"
