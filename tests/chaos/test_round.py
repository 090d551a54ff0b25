"""Runs one round of the chaos campaign, small enough for every run of the tests; `make thorough` runs a longer one, and
`make chaos` as many as it is told.
"""

import os
import random
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.installation import PROCESSES, Installation, own_disk
from tests.support.volume import volume

FAULTS = volume(12, 30)


async def test_many_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    """Every acknowledged event is there once after kills, pauses and cuts under load: in rows, rollups and books.

    Each process is killed at least once.
    """
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"replay with: SEED={seed} pytest tests/chaos/test_round.py; the data is in {tmp_path}")
    async with Installation(tmp_path, random.Random(seed), own_disk(tmp_path, say=print)) as installation:
        campaign = Campaign(installation, say=print)
        await campaign.round(seed, FAULTS, is_small=True)
    figures = campaign.figures
    print(figures.text())
    assert all(figures.kills[name] for name in PROCESSES)
    assert figures.faults >= FAULTS
    assert figures.acknowledged > 1_000
