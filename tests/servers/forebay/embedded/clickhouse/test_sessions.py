"""A session of the embedded ClickHouse keeps what it promises, and lifts no limit: forebay/embedded/clickhouse/sessions.py."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from tests.support.engine import EngineProcess
from tests.support.waiting import wait_until


class Engine(EngineProcess):
    def code(self, sql: str, **fields: str) -> tuple[int, str]:
        """Returns the code of the error that a statement ends with, or 0, and its text or the answer."""
        answer = self.sql(sql, **fields)
        return int(answer.headers.get("X-ClickHouse-Exception-Code", "0")), answer.text


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = {"query_seconds": "20", "query_seconds_max": "60", "sessions_max": "4", "session_bytes_max": "1048576"}
    running = Engine(tmp_path_factory.mktemp("sessions"), settings=settings)
    yield running
    running.close()


@pytest.fixture
def session(engine: Engine, request: pytest.FixtureRequest) -> Iterator[str]:
    """Gives a session's name; what the session keeps is given back at the end."""
    yield request.node.name
    engine.sql("SELECT 1", session_id=request.node.name, close_session="1")


def test_temporary_tables_settings_and_the_database_last(engine: Engine, session: str) -> None:
    """They last within the session, and are unknown outside of it."""
    for sql in ("CREATE TEMPORARY TABLE kept (n UInt8)", "SET max_block_size = 77", "USE system"):
        assert engine.code(sql, session_id=session)[0] == 0
    assert engine.code("INSERT INTO kept VALUES (1), (2)", session_id=session)[0] == 0
    sql = "SELECT (SELECT sum(n) FROM kept), getSetting('max_block_size'), currentDatabase()"
    for _ in range(8):  # whichever thread it comes to
        assert engine.code(sql, session_id=session) == (0, "3\t77\tsystem\n")
    assert engine.code("SELECT getSetting('max_block_size') = 77, currentDatabase()")[1] == "0\tdefault\n"
    assert engine.code("SELECT * FROM kept", session_id="another")[0] == 60


def test_what_a_request_brings_ends_with_it(engine: Engine, session: str) -> None:
    """Its settings, parameters and database end with it, also if its statement fails."""
    engine.code("SET max_block_size = 77", session_id=session)
    for sql, expected in (
        ("SELECT {a:String}, getSetting('max_block_size'), currentDatabase()", 0),
        ("SELECT throwIf(1)", 395),
    ):
        fields = {"param_a": "x", "max_block_size": "55", "max_threads": "9", "database": "system"}
        code, text = engine.code(sql, session_id=session, **fields)
        assert (code, code or text) == (expected, expected or "x\t55\tsystem\n")
        after = "SELECT getSetting('max_block_size'), getSetting('max_threads') < 9, getSetting('log_comment') = 'mine', currentDatabase()"
        assert engine.code(after, session_id=session, query_id="mine") == (0, "77\t1\t1\tdefault\n")
        assert engine.code("SELECT {a:String}", session_id=session)[0] == 456
    assert engine.code("SELECT 1", session_id=session, nonsense="1", database="system")[0] == 115
    assert engine.code("SELECT 1", session_id=session, database="nowhere", max_block_size="5")[0] == 81
    assert (
        engine.code("SELECT getSetting('max_block_size'), currentDatabase()", session_id=session)[1] == "77\tdefault\n"
    )


def test_a_session_lifts_no_limit(engine: Engine, session: str) -> None:
    """Neither SET nor what the statement before left lifts one."""
    for sql in (
        "SET max_execution_time = 0",
        "SET max_execution_time = DEFAULT",
        "SET max_execution_time = 61",
        "SET max_memory_usage = 0",
    ):
        assert engine.code(sql, session_id=session)[0] == 452
    sql = "SELECT getSetting('max_execution_time')"
    assert engine.code(sql, session_id=session) == (0, "20\n")
    assert engine.code("SELECT 1", session_id=session, max_execution_time="59")[0] == 0
    assert engine.code(sql, session_id=session) == (0, "20\n")
    assert engine.code("SET max_execution_time = 1", session_id=session)[0] == 0
    assert engine.code("SELECT sleep(1) FROM numbers(5) SETTINGS max_block_size = 1", session_id=session)[0] == 159
    assert engine.code("CREATE TEMPORARY TABLE t (n UInt8)", session_id=session)[0] == 0
    assert engine.code(sql, session_id=session) == (0, "1\n")


def test_what_writes_in_a_session_has_its_own_time(engine: Engine, session: str) -> None:
    """As outside of a session it has the upper bound, and no limit of rows."""
    engine.code("CREATE TEMPORARY TABLE t (seconds Float64, n UInt64)", session_id=session)
    engine.code(
        "INSERT INTO t SELECT getSetting('max_execution_time'), getSetting('max_result_rows')", session_id=session
    )
    assert engine.code("SELECT * FROM t", session_id=session) == (0, "60\t0\n")
    assert engine.code("SELECT getSetting('max_execution_time')", session_id=session) == (0, "20\n")


def test_a_session_that_may_only_read_stays_one(engine: Engine, session: str) -> None:
    """SET readonly holds for the session, and a request's own setting only for the request."""
    engine.code("CREATE TEMPORARY TABLE t (n UInt8)", session_id=session)
    assert engine.code("INSERT INTO t VALUES (1)", session_id=session, readonly="1")[0] == 164
    assert engine.code("INSERT INTO t VALUES (1)", session_id=session)[0] == 0
    assert engine.code("SET readonly = 1", session_id=session)[0] == 0
    assert engine.code("SELECT * FROM t", session_id=session) == (0, "1\n")
    assert engine.code("SELECT 1", session_id=session, max_threads="7")[0] == 164
    assert engine.code("CREATE TABLE never (n UInt8) ENGINE = Memory", session_id=session)[0] == 164


def test_one_query_runs_in_a_session_at_a_time(engine: Engine, session: str) -> None:
    """The second one gets ClickHouse's code; no other session is disturbed, and no thread is kept."""
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(engine.code, "SELECT sleep(3)", session_id=session)
        wait_until(
            lambda: engine.code("SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(3)%'")[1] == "1\n"
        )
        code, text = engine.code("SELECT 1", session_id=session)
        assert (code, session in text) == (373, True)
        assert engine.code("SELECT 1", session_id="another")[0] == 0
        assert slow.result() == (0, "0\n")
    assert engine.code("SELECT 1", session_id=session)[0] == 0


def test_a_session_ends_when_nobody_asks(engine: Engine, session: str) -> None:
    """It ends after its timeout: session_check says so, and a new session of that name is empty."""
    engine.code("CREATE TEMPORARY TABLE t (n UInt8)", session_id=session, session_timeout="1")
    assert engine.code("SELECT count() FROM t", session_id=session, session_check="1", session_timeout="1")[0] == 0
    wait_until(lambda: engine.code("SELECT 1", session_id=session, session_check="1", session_timeout="0")[0] == 372)
    assert engine.code("SELECT count() FROM t", session_id=session)[0] == 60
    assert engine.code("SELECT 1", session_id=session, session_timeout="x")[0] == 374
    assert engine.code("SELECT 1", session_id=session, session_timeout="3601")[0] == 374
    assert engine.code("SELECT 1", session_id="x" * 300)[0] == 36


def test_sessions_that_hold_something_are_bounded_in_number(engine: Engine) -> None:
    """A session that only asks does not count. One too many that would hold something is told the setting."""
    for number in range(4):
        assert engine.code("SET max_threads = 1", session_id=f"many {number}")[0] == 0
    code, text = engine.code("SET max_threads = 1", session_id="many")
    assert (code, "sessions_max" in text) == (202, True)
    for number in range(20):
        assert engine.code("SELECT 1", session_id=f"asks {number}")[0] == 0
    for number in range(4):
        engine.code("SELECT 1", session_id=f"many {number}", close_session="1")
    wait_until(lambda: engine.code("SET max_threads = 1", session_id="many", close_session="1")[0] == 0)


@pytest.mark.parametrize("table", ["(s String)", "(s String) ENGINE = MergeTree ORDER BY s"])
def test_temporary_tables_are_bounded_in_memory(engine: Engine, session: str, table: str) -> None:
    """A session that exceeds the bound is given up, and says so until it is forgotten; others go on."""
    engine.code(f"CREATE TEMPORARY TABLE t {table}", session_id=session)
    sql = "INSERT INTO t SELECT randomPrintableASCII(1000) FROM numbers({})"
    assert engine.code(sql.format(100), session_id=session)[0] == 0
    code, text = engine.code(sql.format(4000), session_id=session)
    assert (code, "session_bytes_max" in text) == (241, True)
    code, text = engine.code("SELECT count() FROM t", session_id=session)
    assert (code, "session_bytes_max" in text) == (372, True)
    other = f"{session} other"
    assert engine.code(f"CREATE TEMPORARY TABLE t {table}", session_id=other)[0] == 0
    assert engine.code(sql.format(100), session_id=other, close_session="1")[0] == 0


def test_a_stream_that_is_left_leaves_the_session_whole(engine: Engine, session: str) -> None:
    """A client that closes its connection in the middle of an answer finds its session again."""
    engine.code("CREATE TEMPORARY TABLE t (n UInt8)", session_id=session)
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=120)
    fields = {
        "session_id": session,
        "query": "SELECT number FROM numbers(1000000000)",
        "max_result_rows": "0",
        "max_block_size": "33",
    }
    connection.request("GET", f"/?{urlencode(fields)}")
    connection.getresponse().read(1 << 16)
    connection.close()
    wait_until(lambda: engine.code("SELECT 1", session_id=session)[0] != 373)
    assert engine.code("SELECT count() FROM t", session_id=session) == (0, "0\n")
    assert engine.code("SELECT getSetting('max_block_size') = 33", session_id=session) == (0, "0\n")


def test_a_session_that_hides_its_settings_is_told(engine: Engine, session: str) -> None:
    """SET limit would cut off what is read for the session itself, so the statement is refused, and no answer is wrong."""
    engine.code("SET limit = 1, offset = 1", session_id=session)
    code, text = engine.code("SELECT number FROM numbers(10)", session_id=session)
    assert (code, text) == (0, "1\n") or code == 48


def test_the_log_tells_what_was_asked(engine: Engine, session: str) -> None:
    """system.query_log has the questions, with their query_id as log_comment, and none of our own; it is bounded."""
    engine.code("SET max_threads = 1", session_id=session)
    engine.code("SELECT 'a question'", query_id="logged")
    engine.code("SELECT 'another'", session_id=session, query_id="logged")
    engine.code("SYSTEM FLUSH LOGS query_log")
    asked = "SELECT query FROM system.query_log WHERE log_comment = 'logged' AND type = 'QueryFinish' AND query LIKE 'SELECT%'"
    wait_until(lambda: engine.code(asked)[1] == "SELECT \\'a question\\'\nSELECT \\'another\\'\n")
    ours = "SELECT count() FROM system.query_log WHERE position(query, 'getSetting') AND position(query, 'readonly')"
    assert engine.code(f"{ours} AND log_comment NOT IN ('us')", query_id="us") == (0, "0\n")
    bounded = "SELECT create_table_query FROM system.tables WHERE database = 'system' AND name = 'query_log'"
    assert "max_rows_to_keep = 20000" in engine.code(bounded)[1]
