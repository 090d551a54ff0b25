"""Storing goes on whatever is asked on the embedded ClickHouse's port, and a stopped question is told why."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from forebay.clickhouse import ClickHouse, ClickHouseError
from tests.support.engine import EngineProcess
from tests.support.programs import program
from tests.support.waiting import wait_until

ENDLESS = (
    "SELECT count() FROM numbers(1000000000000)",
    "SELECT sleep(1) FROM numbers(1000) SETTINGS max_block_size = 1",
    "SELECT number FROM numbers(1000000000000)",
    "SELECT count() FROM numbers(300000) AS a CROSS JOIN numbers(3000000) AS b WHERE a.number * b.number % 7 = 3",
)

# One block of rows, and a function that looks at no clock and is told nothing: hours.
DEAF = "SELECT max(editDistance(repeat('a', 30000), repeat('b', 30000) || toString(number))) FROM numbers(300)"


class Engine(EngineProcess):
    """Runs an engine with the flusher's socket, which `storing` asks."""

    def __init__(self, data: Path, *options: str, **settings: str) -> None:
        self.socket = data / "flusher.sock"
        super().__init__(data, "--flusher-socket", str(self.socket), *options, settings=settings)
        self.storing = ClickHouse(f"unix://{self.socket}", timeout_seconds=60)

    def code(self, sql: str, **fields: str) -> tuple[int, str]:
        """Returns the code and text of the error that a question ends with, or 0 and the answer."""
        answer = self.sql(sql, **fields)
        return int(answer.headers.get("X-ClickHouse-Exception-Code", "0")), answer.text

    def running(self) -> int:
        """Counts the questions that run now, as the flusher's socket sees them."""
        return int(self.storing.run("SELECT count() FROM system.processes WHERE query_kind = 'Select'")) - 1

    def deaf(self) -> int:
        """Counts those within their block; before it they would still end when told."""
        return int(
            self.storing.run(
                "SELECT count() FROM system.processes WHERE elapsed > 1 AND read_rows > 0 AND query LIKE '%edit%'"
            )
        )


class Impatient(Engine):
    """Gives a question up that does not hear after seconds, not after half a minute in which it keeps a core busy."""

    command = program("impatient_engine")


def running(data: Path, *options: str, **settings: str) -> AbstractContextManager[Engine]:
    return with_a_table(Engine(data, *options, **settings))


@contextmanager
def with_a_table(engine: Engine) -> Iterator[Engine]:
    try:
        engine.storing.run("CREATE TABLE default.kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("questions"), query_seconds="2", query_seconds_max="6") as one:
        yield one


def asked(engine: Engine, sql: str) -> socket.socket:
    """Sends a question whose answer nobody reads."""
    connection = socket.create_connection(("127.0.0.1", engine.port))
    connection.sendall(f"GET /?query={quote(sql)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def took(engine: Engine, statement: str) -> float:
    began = time.monotonic()
    engine.storing.run(statement)
    return time.monotonic() - began


def test_storing_waits_for_no_question(tmp_path: Path) -> None:
    """Twenty questions would take 30 s each: the flusher's INSERT and its question are done in a moment."""
    with running(tmp_path) as engine, ExitStack() as held:
        for _ in range(5):
            for sql in ENDLESS:
                held.enter_context(asked(engine, sql))
        wait_until(lambda: engine.running() == 4)
        assert took(engine, "INSERT INTO kept VALUES (1)") < 20
        assert took(engine, "SELECT count() FROM kept") < 20
        assert engine.running() == 4


def test_a_question_whose_client_left_ends(tmp_path: Path) -> None:
    """Four questions have no end, and their clients leave: the threads are free at once, and not after query_seconds."""
    with running(tmp_path, query_seconds="600") as engine:
        with ExitStack() as held:
            for sql in ENDLESS:
                held.enter_context(asked(engine, sql))
            wait_until(lambda: engine.running() == 4)
        wait_until(lambda: engine.running() == 0)
        assert engine.code("SELECT 1") == (0, "1\n")


def test_a_question_is_killed_by_the_id_that_its_client_gave_it(engine: Engine) -> None:
    """Drivers cancel so: the question ends with QUERY_WAS_CANCELLED, and one of another id goes on."""
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(engine.code, ENDLESS[0], query_id=name) for name in ("mine", "another's")]
        wait_until(lambda: engine.running() == 2)
        assert engine.code("KILL QUERY WHERE query_id = 'mine'")[0] == 0
        assert asked[0].result()[0] == 394
        assert not asked[1].done()
        assert engine.code("KILL QUERY WHERE query_id = 'another''s' SYNC")[0] == 0
        assert asked[1].result()[0] == 394


def test_an_insert_whose_client_left_is_finished(engine: Engine) -> None:
    """No INSERT is left half done."""
    engine.sql("CREATE TABLE slow (n UInt32, s UInt8 DEFAULT sleep(1)) ENGINE = Memory")
    sql = "INSERT INTO slow (n) SELECT number FROM numbers(3) SETTINGS max_block_size = 1, max_threads = 1"
    with socket.create_connection(("127.0.0.1", engine.port)) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sql)}\r\n\r\n{sql}".encode())
        kinds = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'"
        wait_until(lambda: engine.storing.run(kinds) != "0\n")
    wait_until(lambda: engine.storing.run("SELECT count() FROM slow") == "3\n")


@pytest.mark.parametrize("sql", [*ENDLESS[:2], ENDLESS[3]])
def test_a_question_over_its_time_is_told_what_raises_it(engine: Engine, sql: str) -> None:
    """The answer has TIMEOUT_EXCEEDED, the names of the settings, and the bound."""
    code, text = engine.code(sql)
    assert code == 159
    assert "query_seconds" in text
    assert "max_execution_time = N" in text
    assert "up to 6" in text


def test_a_streamed_answer_over_its_time_breaks_off_with_the_reason(engine: Engine) -> None:
    """Its status was sent already, so the reason is at the end of what arrived."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=60)
    connection.request("POST", "/?max_result_rows=0", b"SELECT number FROM numbers(1000000000000)")
    answer = connection.getresponse()
    last = b""
    while piece := _read(answer):
        last = last[-4000:] + piece
    connection.close()
    assert answer.status == 200
    assert b"TIMEOUT_EXCEEDED" in last
    assert b"max_execution_time = N" in last


def _read(answer: http.client.HTTPResponse) -> bytes:
    """Returns the next piece, also of an answer that breaks off; nothing at its end."""
    try:
        return answer.read1(1 << 16)
    except http.client.IncompleteRead as error:
        return error.partial


def test_one_question_may_have_more_time(engine: Engine) -> None:
    """It asks by the ordinary setting, in the URL or in the text, and gets up to the bound."""
    sleeps = "SELECT sleep(1) FROM numbers(3) SETTINGS max_block_size = 1"
    assert engine.code(sleeps)[0] == 159
    assert engine.code(sleeps, max_execution_time="5") == (0, "0\n0\n0\n")
    assert engine.code(f"{sleeps}, max_execution_time = 5") == (0, "0\n0\n0\n")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("max_execution_time", value) for value in ("0", "7", "0.0000000001", "-1", "1e9", "'0'", "'0.0'")),
        *(("max_memory_usage", value) for value in ("0", "1000000000000")),
    ],
)
def test_no_statement_lifts_the_limits(engine: Engine, setting: str, value: str) -> None:
    """Neither by accident nor on purpose."""
    for sql, fields in (
        (f"SELECT 1 SETTINGS {setting} = {value}", {}),
        (f"CREATE VIEW lifts AS SELECT 1 SETTINGS {setting} = {value}", {}),
        (f"SET {setting} = {value}", {}),
        ("SELECT 1", {setting: value}),
    ):
        code, text = engine.code(sql, **fields)
        assert code in {27, 36, 41, 53, 62, 70, 72, 452}, (sql, text)


@pytest.mark.parametrize(
    "sql",
    [
        *(f"SELECT * FROM ({ENDLESS[0]} SETTINGS {lifted})" for lifted in ("max_execution_time = 100", "readonly = 0")),
        f"WITH ({ENDLESS[0]} SETTINGS max_execution_time = 100) AS n SELECT n",
        f"SELECT 1 IN ({ENDLESS[2]} SETTINGS max_execution_time = 100)",
        f"{ENDLESS[0]} SETTINGS max_execution_time = 100 UNION ALL SELECT 1",
    ],
)
def test_no_part_of_a_question_lifts_them(engine: Engine, sql: str) -> None:
    """The engine does not judge the settings of a subquery, but the whole question's limits hold."""
    assert engine.code(sql)[0] in {159, 241, 452}


def test_a_profile_does_not_lift_them(engine: Engine) -> None:
    """The only profile has more memory, which is for the flusher."""
    assert engine.code("SELECT 1 SETTINGS profile = 'default'")[0] == 452


def test_an_answer_has_a_number_of_rows(tmp_path: Path) -> None:
    """A question that wants more has to say so itself."""
    with running(tmp_path, query_rows_max="1000") as engine:
        sql = "SELECT number FROM numbers(5000) FORMAT JSON"
        code, text = engine.code(sql)
        assert code == 396
        assert "query_rows_max" in text
        assert engine.code(sql, max_result_rows="5000")[0] == 0


def test_questions_leave_memory_to_storing(tmp_path: Path) -> None:
    """Four questions take all the memory they can get: each is refused, and INSERTs go on meanwhile."""
    sql = "SELECT length(groupArray(toString(number))) FROM numbers(1000000000)"
    with running(tmp_path, "--memory-max", str(1 << 30)) as engine, ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            answers = [pool.submit(engine.code, sql) for _ in range(4)]
            while not all(answer.done() for answer in answers):
                engine.storing.run("INSERT INTO kept SELECT number FROM numbers(200000)")
            for answer in answers:
                code, text = answer.result()
                assert code == 241, text
                assert "query_bytes_max" in text


def test_who_waits_too_long_is_told(tmp_path: Path) -> None:
    """The answer has code 202, status 503, and when to come again."""
    settings = {"queries_max": "1", "query_wait_seconds": "1", "queries_waiting_max": "1"}
    with running(tmp_path, **settings) as engine, asked(engine, ENDLESS[0]):
        wait_until(lambda: engine.running() == 1)
        answer = engine.sql("SELECT 1")
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (503, "202")
        assert answer.headers["Retry-After"] == "1"
        assert "query_wait_seconds" in answer.text


def test_a_question_that_hears_nothing_takes_no_thread_for_good(tmp_path: Path) -> None:
    """Its client left and its thread is lost: another thread takes its place, and storing goes on."""
    with with_a_table(Impatient(tmp_path, queries_max="1", query_wait_seconds="60")) as engine:
        with asked(engine, DEAF):
            wait_until(lambda: engine.deaf() == 1)
        assert engine.code("SELECT 1") == (0, "1\n")
        engine.storing.run("INSERT INTO kept VALUES (1)")
        assert engine.deaf() == 1


def test_many_that_hear_nothing_end_the_process(tmp_path: Path) -> None:
    """It exits as after a kill, and its supervisor starts it again: what was stored is there."""
    with with_a_table(Impatient(tmp_path, queries_max="4")) as engine:
        engine.storing.run("INSERT INTO kept VALUES (7)")
        with ExitStack() as held:
            for _ in range(3):
                held.enter_context(asked(engine, DEAF))
            wait_until(lambda: engine.deaf() == 3)
        assert engine.process.wait(90) == 70
        again = Engine(tmp_path)
        try:
            assert again.storing.run("SELECT n FROM kept") == "7\n"
        finally:
            again.close()


def test_idle_connections_leave_room_for_the_flusher(engine: Engine) -> None:
    """The port has a bounded number of them; the socket is reached all the same, and the port again once they close."""
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(socket.create_connection(("127.0.0.1", engine.port)))
        assert engine.storing.run("SELECT 1") == "1\n"
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            engine.sql("SELECT 1")
    wait_until(lambda: is_answered(engine))


def is_answered(engine: Engine) -> bool:
    try:
        return engine.sql("SELECT 1").status == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_bodies_of_others_leave_room_for_the_flusher(engine: Engine) -> None:
    """Two clients fill the port's memory for bodies and stop before the end: an INSERT has memory of its own."""
    megabyte = bytes(1 << 20)
    head = f"POST /?query=INSERT+INTO+kept+FORMAT+RowBinary HTTP/1.1\r\nHost: localhost\r\nContent-Length: {256 << 20}\r\n\r\n"
    with ExitStack() as held:
        for _ in range(2):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", engine.port)))
            connection.sendall(head.encode())
            for _ in range(255):
                connection.sendall(megabyte)
        engine.storing.run("INSERT INTO kept VALUES " + ", ".join("(1)" for _ in range(20_000)))


def test_the_socket_is_its_owners(engine: Engine) -> None:
    """No other user of the machine can store events."""
    assert engine.socket.stat().st_mode & 0o077 == 0


def test_a_short_question_does_not_wait_for_long_ones(engine: Engine) -> None:
    """The later of two questions computes, and storing goes before both."""
    sql = "SELECT getSetting('priority')"
    first, second = (int(engine.sql(sql).text) for _ in range(2))
    assert first > second > int(engine.storing.run(sql)) == 1


def test_questions_take_turns(tmp_path: Path) -> None:
    """Three questions would keep a core busy each: about one thread wants a core, and all of them advance."""
    numbers = ("1000000000000", "1000000000001", "1000000000002")
    read = "SELECT read_rows FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers(1000%' ORDER BY query"
    with running(tmp_path, query_threads_max="1") as engine, ExitStack() as held:
        for upto in numbers:
            held.enter_context(asked(engine, f"SELECT count() FROM numbers({upto})"))
        wait_until(lambda: engine.running() == 3)
        before = [int(rows) for rows in engine.storing.run(read).split()]
        looks = [wanting_a_core(engine.process.pid) for _ in range(1_000)]
        wait_until(
            lambda: all(int(rows) > old for rows, old in zip(engine.storing.run(read).split(), before, strict=True))
        )
    assert sum(looks) / len(looks) < 2


def wanting_a_core(pid: int) -> int:
    """Counts the threads of a process that run, or could."""
    found = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            found += thread.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "R"
    return found


def test_tools_take_the_time_they_may_have(engine: Engine) -> None:
    """`forebay audit` reads all events, and a person waits for it."""
    url = f"http://127.0.0.1:{engine.port}"
    sleeps = "SELECT sleep(1) FROM numbers(3) SETTINGS max_block_size = 1"
    with pytest.raises(ClickHouseError, match="query_seconds"):
        ClickHouse(url).run(sleeps)
    assert ClickHouse(url, is_patient=True).run(sleeps) == "0\n0\n0\n"
    asking = ClickHouse(f"unix://{engine.socket}", is_patient=True)
    assert asking.run("SELECT getSetting('max_execution_time')") == "0\n", "where there is no limit none is set"
