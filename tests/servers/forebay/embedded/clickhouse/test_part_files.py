"""A part whose files are not what the engine wrote is found, whichever file it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.embedded.clickhouse.part_files import Parts, expected_sizes, fault
from tests.support.engine import EngineProcess

ROWS = 30_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Gives an engine's store with a part of each kind: inserted and merged, wide and compact, with a projection."""
    data = tmp_path_factory.mktemp("parts")
    engine = EngineProcess(data)
    for wide in (0, 1 << 30):
        table = f"t{wide}"
        engine.sql(
            f"CREATE TABLE {table} (n UInt64, k UInt8, s String, PROJECTION p (SELECT k, count() GROUP BY k))"
            f" ENGINE = MergeTree ORDER BY n SETTINGS min_bytes_for_wide_part = {wide}"
        )
        for _ in range(2):
            rows = f"SELECT number, number % 10, toString(number) FROM numbers({ROWS})"
            assert engine.sql(f"INSERT INTO {table} {rows}").status == 200
        assert engine.sql(f"OPTIMIZE TABLE {table} FINAL").status == 200
    yield data / "engine" / "store"
    engine.close()


def parts(store: Path) -> list[Path]:
    return sorted(store.glob("*/*/all_*"))


def named_files(part: Path) -> list[Path]:
    """Returns the files of a part whose size is known."""
    names = expected_sizes((part / "checksums.txt").read_bytes())
    return [part / name for name in ("checksums.txt", *names) if (part / name).is_file()]


def test_whole_parts_are_whole(store: Path) -> None:
    """Every file of every part is known, so none could be cut off unnoticed."""
    assert len(parts(store)) == 6
    for part in parts(store):
        assert fault(part) is None
        sizes = expected_sizes((part / "checksums.txt").read_bytes())
        assert "p.proj" in sizes
        assert {path.name for path in part.iterdir()} - set(sizes) <= {
            *("checksums.txt", "columns.txt", "columns_substreams.txt", "default_compression_codec.txt"),
            *("metadata_version.txt", "serialization.json"),
        }


def test_a_file_that_is_cut_off_or_gone_is_named(store: Path) -> None:
    """Each file that the checksums name is tried in turn, of the part and of its projection."""
    for part in parts(store):
        for path in (*named_files(part), *named_files(part / "p.proj")):
            content = path.read_bytes()
            try:
                os.truncate(path, 0)
                assert path.name in str(fault(part))
                path.write_bytes(content[:-1])
                assert path.name in str(fault(part))
                path.unlink()
                assert path.name in str(fault(part))
            finally:
                path.write_bytes(content)
        assert fault(part) is None


def test_a_part_is_looked_at_once_and_again_when_asked(store: Path) -> None:
    """The next look finds a new part; a part that is gone is no fault."""
    looked = Parts(store)
    assert looked.look() == []
    part = parts(store)[0]
    content = (part / "checksums.txt").read_bytes()
    try:
        os.truncate(part / "checksums.txt", 0)
        assert looked.look() == []
        assert [broken.part for broken in looked.look(again=True)] == [part]
        fresh = part.with_name("all_77_77_0")
        fresh.mkdir()
        assert looked.look() == [(fresh, "checksums.txt is missing")]
        fresh.rmdir()
        assert looked.look() == []
    finally:
        (part / "checksums.txt").write_bytes(content)
