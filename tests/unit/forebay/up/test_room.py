"""`forebay up` says what a disk has too little of, how much is needed, and what comes of it."""

import shutil
from pathlib import Path

from forebay.up.room import needs, shortages

MIB = 1 << 20


def test_what_is_short_is_said_with_what_is_needed(tmp_path: Path) -> None:
    """One sentence for each part, also where its directory is not made yet; none when there is enough."""
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
