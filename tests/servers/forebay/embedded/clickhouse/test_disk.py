"""The embedded engine stays whole on a disk that gets full, and says what is wrong."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.embedded.clickhouse.disk import EXIT_BROKEN_PART
from tests.support.engine import EngineProcess
from tests.support.small_disk import small_disk

TABLE = "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n SETTINGS min_bytes_for_wide_part = 0"
ROWS = "SELECT number, toString(number) FROM numbers(1000)"


@pytest.fixture
def engines() -> Iterator[list[EngineProcess]]:
    """Makes engines, and ends those that a test started."""
    started: list[EngineProcess] = []
    yield started
    for engine in started:
        engine.close()


def merged(data: Path, engines: list[EngineProcess]) -> Path:
    """Makes the part of a merge whose two sources still exist."""
    engines.append(EngineProcess(data))
    engine = engines[-1]
    assert engine.sql(TABLE).status == 200
    for _ in range(2):
        assert engine.sql(f"INSERT INTO t {ROWS}").status == 200
    assert engine.sql("OPTIMIZE TABLE t FINAL").status == 200
    (part,) = data.glob("engine/store/*/*/all_1_2_1")
    return part


def test_a_question_that_meets_a_broken_part_has_the_engine_go_back_to_its_sources(
    tmp_path: Path, engines: list[EngineProcess]
) -> None:
    """A merged part lost a file, as on a full disk: it is named, the process exits, and a restart has all rows."""
    part = merged(tmp_path, engines)
    os.truncate(part / "s.bin", 0)
    with pytest.raises(OSError, match=r"closed|reset|refused"):
        engines[-1].sql("SELECT sum(cityHash64(s)) FROM t")
    process = engines[-1].process
    assert process.wait(10) == EXIT_BROKEN_PART
    assert process.stderr is not None
    said = process.stderr.read()
    assert "s.bin has 0 bytes and should have" in said
    assert str(part) in said
    engines.append(EngineProcess(tmp_path))
    assert engines[-1].sql("SELECT count(), uniqExact(n) FROM t").text == "2000\t1000\n"
    assert list(part.parent.glob("detached/broken*"))


def test_an_insert_whose_part_is_broken_is_not_answered(tmp_path: Path, engines: list[EngineProcess]) -> None:
    """The engine reports success although it lost a file; the sender must not be told so."""
    part = merged(tmp_path, engines)
    broken = part.with_name("all_9_9_0")
    shutil.copytree(part, broken)
    os.truncate(broken / "checksums.txt", 0)
    with pytest.raises(OSError, match=r"closed|reset|refused"):
        engines[-1].sql(f"INSERT INTO t {ROWS}")
    assert engines[-1].process.wait(10) == EXIT_BROKEN_PART


def test_a_mutation_that_a_full_disk_cut_off_does_not_keep_the_engine_from_opening(
    tmp_path: Path, engines: list[EngineProcess]
) -> None:
    """Its empty record would make the engine refuse the table, and then the start."""
    part = merged(tmp_path, engines)
    engines[-1].kill()
    (part.parent / "mutation_7.txt").touch()
    engines.append(EngineProcess(tmp_path))
    assert engines[-1].sql("SELECT count() FROM t").text == "2000\n"
    assert engines[-1].sql("ALTER TABLE t DELETE WHERE n = 1 SETTINGS mutations_sync = 1").status == 200
    assert engines[-1].sql("SELECT count() FROM t").text == "1998\n"
    engines[-1].kill()
    engines.append(EngineProcess(tmp_path))
    assert engines[-1].sql("SELECT count() FROM t").text == "1998\n"


def test_with_less_than_the_floor_nothing_is_inserted_and_with_less_than_twice_it_nothing_merged(
    tmp_path: Path, engines: list[EngineProcess]
) -> None:
    """Questions are answered all the while."""
    merged(tmp_path, engines)
    assert engines[-1].stop() == 0
    free = shutil.disk_usage(tmp_path).free
    engines.append(EngineProcess(tmp_path, settings={"clickhouse_free_bytes_min": str(free * 7 // 10)}))
    assert engines[-1].sql(f"INSERT INTO t {ROWS}").status == 200
    assert "Cancelled" in engines[-1].sql("OPTIMIZE TABLE t FINAL SETTINGS optimize_throw_if_noop = 1").text
    assert engines[-1].stop() == 0
    engines.append(EngineProcess(tmp_path, settings={"clickhouse_free_bytes_min": str(free * 2)}))
    refused = engines[-1].sql(f"INSERT INTO t {ROWS}")
    assert (refused.status, refused.headers["X-ClickHouse-Exception-Code"]) == (500, "243")
    assert engines[-1].sql("SELECT count() FROM t").text == "3000\n"


def test_an_answer_that_has_no_room_is_an_error(tmp_path: Path, engines: list[EngineProcess]) -> None:
    """One that is waited for is kept in a file until its query has ended. A full disk is said as the engine says it, and not logged as a fault of ours."""
    with small_disk(tmp_path / "disk", 64 << 20) as disk, (tmp_path / "log").open("w+") as log:
        engines.append(EngineProcess(tmp_path / "disk" / "data", errors=log))
        disk.fill(leaving=8 << 20)
        answer = engines[-1].sql("SELECT number FROM numbers(3000000)", wait_end_of_query="1")
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "243")
        assert "Cannot keep the answer on the disk until its query has ended: No space left on device" in answer.text
        assert engines[-1].sql("SELECT 1").text == "1\n"
        engines[-1].close()
        log.seek(0)
        assert "Traceback" not in log.read()
