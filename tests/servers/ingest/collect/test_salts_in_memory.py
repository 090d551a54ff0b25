"""What a salt leaves behind in the memory of an ingest worker (I8)."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import redis_server
from tests.support.ingesting import ingesting
from tests.support.other_time import OtherTime
from tests.support.waiting import wait_until

DAY_SECONDS, HALF_SECONDS = 86_400, 1_800
EARLY_SECONDS = 600  # far longer than it takes a busy machine to look at the memory once


def copies(pid: int, secret: bytes) -> int:
    """Returns how often a secret is in the memory of a process, of which a core image would be a copy."""
    found = 0
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            region = re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S* \S+ \S+ \S+\s*(\[v)?", line)
            if region and not region[3]:  # the kernel's own pages can't be read
                begin, end = int(region[1], 16), int(region[2], 16)
                memory.seek(begin)
                try:
                    found += memory.read(end - begin).count(secret)
                except OSError:  # pages that were given back since
                    continue
    return found


@pytest.mark.skipif(not OtherTime(Path()).is_settable, reason="libfaketime is not installed")
def test_a_core_image_after_a_salts_end_does_not_have_it(tmp_path: Path) -> None:
    """It has the salt of today, so it was looked at rightly; that of yesterday is gone within seconds of 00:30."""
    clock = OtherTime(tmp_path / "clock")
    tomorrow = (int(time.time()) // DAY_SECONDS + 1) * DAY_SECONDS  # Redis drops nothing yet: its clock is right

    def set_to(moment: float) -> None:
        clock.set(moment - time.time())

    with redis_server.started(tmp_path) as (redis, _):
        set_to(tomorrow + HALF_SECONDS - EARLY_SECONDS)
        with ingesting(tmp_path, clock.environment) as ingest:
            ingest.port("port")
            [worker] = ingest.pids()
            for page in range(5):
                assert ingest.post(f"page {page}") == 202
            names = sorted(redis.keys("forebay:salt:*"))
            assert len(names) == 2
            known: Any = redis.mget(names)
            yesterday, today = known
            assert copies(worker, yesterday)
            set_to(tomorrow + HALF_SECONDS + 1)
            wait_until(lambda: not copies(worker, yesterday))
            assert copies(worker, today)
            assert ingest.post("later") == 202
            assert not copies(worker, yesterday)
