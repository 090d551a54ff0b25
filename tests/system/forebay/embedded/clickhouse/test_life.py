"""The embedded ClickHouse owns its directory, stops clean, and keeps its word after a kill."""

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.engine import EngineProcess
from tests.support.programs import program
from tests.support.system import is_alive
from tests.support.waiting import wait_until

TABLE = "ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 9"


def start_fails(data: Path, *options: str) -> tuple[int, str]:
    """Starts an engine that must not start; returns its exit code and stderr."""
    command = [sys.executable, "-m", "forebay.embedded.clickhouse", "--data", str(data), "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


def test_a_second_process_on_the_directory_is_told_who_owns_it(tmp_path: Path) -> None:
    """The message names the pid, and the first process is not disturbed."""
    first = EngineProcess(tmp_path)
    try:
        code, said = start_fails(tmp_path)
        assert code == 1
        assert str(tmp_path) in said
        assert str(first.process.pid) in said
        assert first.sql("SELECT 1").text == "1\n"
    finally:
        first.close()


def test_only_loopback_is_listened_on(tmp_path: Path) -> None:
    """The port has no password."""
    code, said = start_fails(tmp_path, "--host", "0.0.0.0")
    assert code == 2
    assert "no password" in said


def test_a_taken_port_is_named_and_leaves_no_trace(tmp_path: Path) -> None:
    """The engine is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = start_fails(tmp_path, "--port", port)
    assert code == 1
    assert f"127.0.0.1:{port}" in said
    assert not (tmp_path / "unclean").exists()


def test_a_stop_lets_running_queries_finish_and_closes(tmp_path: Path) -> None:
    """An INSERT during SIGTERM is answered and stored, the exit code is 0, and the next start needs no repair."""
    engine = EngineProcess(tmp_path)
    try:
        engine.sql("CREATE TABLE t (n UInt8, s UInt8 DEFAULT sleep(1)) ENGINE = MergeTree ORDER BY n")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(engine.sql, "INSERT INTO t (n) VALUES (1)")
            while engine.sql("SELECT count() FROM system.processes WHERE query_kind = 'Insert'").text == "0\n":
                assert not answer.done()
            assert (tmp_path / "unclean").exists()
            assert engine.stop() == 0
            assert answer.result().status == 200
        assert not (tmp_path / "unclean").exists()
        engine = EngineProcess(tmp_path)
        assert engine.sql("SELECT count() FROM t").text == "1\n"
    finally:
        engine.close()


def test_what_was_stored_survives_a_kill(tmp_path: Path) -> None:
    """After SIGKILL there are the tables of `default` and of other databases, the views between them, and the tokens."""
    engine = EngineProcess(tmp_path)
    try:
        engine.sql("CREATE DATABASE f")
        engine.sql(
            "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 9"
        )
        engine.sql(f"CREATE MATERIALIZED VIEW f.v {TABLE} AS SELECT n FROM default.t")
        for _ in range(3):
            assert engine.sql("INSERT INTO t VALUES (1)", insert_deduplication_token="a").status == 200
            engine.kill()
            engine = EngineProcess(tmp_path)
            assert engine.sql("SELECT (SELECT count() FROM t), (SELECT count() FROM f.v)").text == "1\t1\n"
        assert engine.stop() == 0
    finally:
        engine.close()


@pytest.mark.parametrize("is_repaired", [True, False], ids=["repaired", "as the engine alone would do"])
def test_a_part_lost_by_a_kill_is_inserted_by_its_retry(tmp_path: Path, is_repaired: bool) -> None:
    """A token is remembered without its part: after the repair the retry stores the rows, and without it they are lost."""
    engine = EngineProcess(tmp_path)
    try:
        engine.sql(
            "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 9"
        )
        for token in ("a", "b"):
            engine.sql("INSERT INTO t VALUES (1), (2)", insert_deduplication_token=token)
        assert engine.stop() == 0
        (part,) = (tmp_path / "engine" / "store").glob("*/*/all_2_2_0")
        subprocess.run(["rm", "-r", str(part)], check=True)
        if is_repaired:
            (tmp_path / "unclean").touch()
        engine = EngineProcess(tmp_path)
        for token in ("a", "b", "b"):
            assert engine.sql("INSERT INTO t VALUES (1), (2)", insert_deduplication_token=token).status == 200
        assert engine.sql("SELECT count() FROM t").text == ("4\n" if is_repaired else "2\n")
    finally:
        engine.close()


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """With --die-with-parent a killed supervisor leaves no engine behind."""
    options = ["--data", str(tmp_path), "--port", "0", "--die-with-parent"]
    engine = [sys.executable, "-m", "forebay.embedded.clickhouse", *options]
    parent = subprocess.Popen(program("starting_parent", *engine), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert "listens" in parent.stdout.readline()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_alive(pid))
