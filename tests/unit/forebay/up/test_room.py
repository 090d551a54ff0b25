"""`forebay up` says which disk has too little space, how much is needed, and what follows from it."""

import shutil
from pathlib import Path

from forebay.up.room import needs, shortages

MIB = 1 << 20


def test_what_is_short_is_said_with_what_is_needed(tmp_path: Path) -> None:
    """Each part has a sentence, also if its directory is not made yet; with enough space there is none."""
    free = shutil.disk_usage(tmp_path).free
    assert list(shortages(needs(tmp_path, redis=1, spool=1, clickhouse=1))) == []
    needed = free * 2
    said = list(shortages(needs(tmp_path / "data", redis=needed, spool=1, clickhouse=needed)))
    assert [line.partition(" has ")[0] for line in said] == [
        f"the disk of {tmp_path}/data/redis",
        f"the disk of {tmp_path}/data/clickhouse",
    ]
    assert f"needs {-(-needed >> 20)} (FOREBAY_REDIS_FREE_BYTES_MIN)" in said[0]
    assert "events go to the spool and are not stored" in said[0]
