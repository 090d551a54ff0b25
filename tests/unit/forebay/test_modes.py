"""A data directory whose modes let others in belongs to its owner alone after a start."""

import os
from pathlib import Path

from forebay.modes import tighten


def loose(data: Path) -> list[Path]:
    """Makes a directory as an earlier version left it."""
    made = [
        *("lock", "tables", "redis/appendonlydir/appendonly.aof.1.incr.aof", "redis/redis.conf"),
        *("spool/0123456789ab/0000.producer.000000000001.spool", "clickhouse/config.xml"),
        "clickhouse/engine/store/abc/abcdef/all_1_1_0/data.bin",
    ]
    for name in made:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    everything = [data, *data.rglob("*")]
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return everything


def test_everything_becomes_its_owners_alone(tmp_path: Path) -> None:
    """Modes are 0700 and 0600 afterwards. The count is right, and 0 the second time."""
    data = tmp_path / "data"
    everything = loose(data)
    assert tighten(data) == len(everything)
    for path in everything:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert tighten(data) == 0


def test_one_that_is_loose_in_a_tight_one_is_found(tmp_path: Path) -> None:
    """Somebody may have copied the spool back with wider modes."""
    data = tmp_path / "data"
    loose(data)
    tighten(data)
    (data / "spool").chmod(0o777)
    (data / "spool/0123456789ab/0000.producer.000000000001.spool").chmod(0o644)
    (data / "clickhouse").chmod(0o750)
    assert tighten(data) == 3


def test_links_are_not_followed(tmp_path: Path) -> None:
    """They may point to anybody's files. A data directory that does not exist is no fault."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    data = tmp_path / "data"
    loose(data)
    (data / "redis" / "link").symlink_to(outside)
    (data / "link").symlink_to(outside / "file")
    before = [path.stat().st_mode for path in (outside, outside / "file")]
    tighten(data)
    assert [path.stat().st_mode for path in (outside, outside / "file")] == before
    assert tighten(tmp_path / "nowhere") == 0
    assert os.getuid() == data.stat().st_uid
