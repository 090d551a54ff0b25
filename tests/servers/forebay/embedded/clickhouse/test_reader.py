"""On the reader's socket of the embedded engine everything only reads, whatever a call says of itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse, ClickHouseError
from tests.support.engine import EngineProcess

CHANGES = (
    "INSERT INTO default.kept VALUES (2)",
    "INSERT INTO default.kept SELECT 2",
    "ALTER TABLE default.kept DELETE WHERE 1",
    "ALTER TABLE default.kept ADD COLUMN m UInt8",
    "DROP TABLE default.kept",
    "TRUNCATE TABLE default.kept",
    "CREATE TABLE default.more (n UInt64) ENGINE = Memory",
    "CREATE TEMPORARY TABLE more (n UInt64)",
    "CREATE VIEW default.more AS SELECT 1",
    "CREATE DATABASE more",
    "RENAME TABLE default.kept TO default.other",
    "OPTIMIZE TABLE default.kept FINAL",
    "DELETE FROM default.kept WHERE 1",
    "UPDATE default.kept SET n = 3 WHERE 1",
    "DETACH TABLE default.kept",
    "EXCHANGE TABLES default.kept AND default.kept",
    "SYSTEM STOP MERGES",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE 1",
    "GRANT SELECT ON *.* TO default",
    "SET readonly = 0",
    "USE system",
    "BACKUP TABLE default.kept TO Disk('default', 'x')",
    "EXPLAIN AST INSERT INTO default.kept VALUES (2); INSERT INTO default.kept VALUES (2)",
    "SELECT 1; DROP TABLE default.kept",
    "WITH 1 AS x INSERT INTO default.kept SELECT x",
    "SELECT * FROM default.kept INTO OUTFILE 'x'",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ClickHouse, ClickHouse, Path]]:
    """Starts an engine with both sockets: returns a client of the reader's, one of the flusher's, and the reader's path."""
    data = tmp_path_factory.mktemp("reader")
    reader, flusher = data / "reader.sock", data / "flusher.sock"
    process = EngineProcess(data, "--reader-socket", str(reader), "--flusher-socket", str(flusher))
    try:
        storing = ClickHouse(f"unix://{flusher}")
        storing.run("CREATE TABLE default.kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        storing.run("INSERT INTO default.kept VALUES (1)")
        yield ClickHouse(f"unix://{reader}"), storing, reader
    finally:
        process.close()


@pytest.mark.parametrize("sql", CHANGES)
def test_nothing_is_changed(engine: tuple[ClickHouse, ClickHouse, Path], sql: str) -> None:
    """It is refused although it comes by POST, and nothing of it happened."""
    reader, storing, _ = engine
    with pytest.raises(ClickHouseError) as refused:
        reader.run(sql)
    assert refused.value.code != 0, "the engine does not answer"
    assert storing.run("SELECT n FROM default.kept") == "1\n"
    assert (
        storing.run("SELECT count() FROM system.tables WHERE database IN ('default', 'more') AND name != 'kept'")
        == "0\n"
    )


@pytest.mark.parametrize("readonly", ["0", "1", "2"])
def test_a_setting_does_not_open_it(engine: tuple[ClickHouse, ClickHouse, Path], readonly: str) -> None:
    """A call may say that it is not one that only reads, in the request or in the statement; it is none the less."""
    reader, storing, _ = engine
    for sql, settings in (
        ("INSERT INTO default.kept VALUES (2)", {"readonly": readonly}),
        (f"INSERT INTO default.kept SELECT 2 SETTINGS readonly = {readonly}", {}),
        (f"INSERT INTO default.kept SETTINGS readonly = {readonly} VALUES (2)", {}),
    ):
        with pytest.raises(ClickHouseError):
            reader.run(sql, {}, **settings)
    assert storing.run("SELECT n FROM default.kept") == "1\n"


def test_it_reads_within_limits_that_a_question_may_lower(engine: tuple[ClickHouse, ClickHouse, Path]) -> None:
    """Settings and parameters work as on the port, and so do its limits."""
    reader, _, _ = engine
    assert reader.run("SELECT n + {more:UInt8} FROM default.kept", {"more": 4}, readonly="2") == "5\n"
    assert reader.run("SELECT getSetting('max_execution_time')", max_execution_time="7") == "7\n"
    assert reader.run("EXPLAIN SELECT 1").strip()
    assert reader.run("SELECT getSetting('readonly')") == "2\n", (
        "the engine's own rule, beside our judgement of the text"
    )
    assert reader.run("SHOW TABLES FROM default") == "kept\n"
    with pytest.raises(ClickHouseError, match=r"constraint|should"):
        reader.run("SELECT 1", max_execution_time="100000")
    with pytest.raises(ClickHouseError, match=r"at most|exceeded|limit"):
        reader.run("SELECT number FROM numbers(1000)", max_result_rows="10", max_block_size="5")


def test_it_keeps_no_session(engine: tuple[ClickHouse, ClickHouse, Path]) -> None:
    """A temporary table or a SET would outlive its call."""
    reader, _, _ = engine
    for sql in ("CREATE TEMPORARY TABLE mine (n UInt8)", "SET max_threads = 1", "SELECT 1"):
        with pytest.raises(ClickHouseError) as refused:
            reader.run(sql, session_id="mine")
        assert refused.value.code == 164


def test_only_this_user_reaches_it(engine: tuple[ClickHouse, ClickHouse, Path]) -> None:
    """The socket is as private as the flusher's."""
    _, _, path = engine
    found = path.stat()
    assert (found.st_uid, found.st_mode & 0o077) == (os.getuid(), 0)
