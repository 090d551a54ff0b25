"""The embedded ClickHouse behaves as a server does: to clickhouse-connect, to curl, and under load."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import clickhouse_connect
import lz4.frame  # type: ignore[import-untyped]  # it publishes no annotations
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from flusher.delivery.table import INSERT_SETTINGS
from tests.support.engine import Answer, EngineProcess

EVENTS = """
CREATE TABLE {name} (
    ts DateTime64(3, 'UTC'), n UInt32,
    deadline UInt32 EPHEMERAL, late UInt8 DEFAULT throwIf(toUnixTimestamp(now()) > deadline),
    url String EPHEMERAL, path String DEFAULT path(url)
) ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY n SETTINGS non_replicated_deduplication_window = 1000
"""
COLUMNS = {"ts": "DateTime64(3, 'UTC')", "n": "UInt32", "deadline": "UInt32", "url": "String"}
JANUARY_MS = 1_704_067_200_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(tmp_path_factory.mktemp("data"))
    yield running
    running.close()


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[Client]:
    """Makes a client whose database is new."""
    ours = f"d{time.monotonic_ns()}"
    engine.sql(f"CREATE DATABASE {ours}")
    made = engine.client(database=ours, autogenerate_session_id=False)
    yield made
    made.close()


def insert(client: Client, *, rows: int = 3, seconds: int = 60, token: str = "", table: str = "events") -> Any:
    """Inserts `rows` rows a day apart, so that they span months, as Native columns."""
    columns: list[list[Any]] = [
        [JANUARY_MS + i * 86_400_000 for i in range(rows)],
        list(range(rows)),
        [int(time.time()) + seconds] * rows,
        [f"https://example.com/{i}" for i in range(rows)],
    ]
    settings = {**INSERT_SETTINGS, **({"insert_deduplication_token": token} if token else {})}
    return client.insert(
        table,
        columns,
        column_names=list(COLUMNS),
        column_type_names=list(COLUMNS.values()),
        column_oriented=True,
        settings=settings,
    )


def count(client: Client, table: str = "events") -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


def test_a_token_keeps_one_copy_in_the_table_and_in_the_views_target(client: Client) -> None:
    """The same block sent twice is stored once, in three partitions and behind a materialized view."""
    client.command(EVENTS.format(name="events"))
    client.command(
        "CREATE TABLE daily (day Date, events UInt64) ENGINE = SummingMergeTree ORDER BY day "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )
    client.command(
        "CREATE MATERIALIZED VIEW v TO daily AS SELECT toDate(ts) AS day, count() AS events FROM events GROUP BY day"
    )
    for _ in range(2):
        insert(client, rows=70, token="a")
        assert count(client) == 70
        assert client.query("SELECT sum(events) FROM daily").first_row == (70,)
    assert client.query(
        "SELECT uniq(partition), count() FROM system.parts WHERE database = currentDatabase() AND table = 'events'"
    ).first_row == (3, 3)
    insert(client, rows=70, token="b")
    assert count(client) == 140


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_ephemeral_columns_arrive_in_native_columns_under_every_compression(client: Client, compress: Any) -> None:
    """clickhouse-connect sends an ephemeral column by name and type, and defaults are computed from it."""
    client.command(EVENTS.format(name="events"))
    client.write_compression = compress or None
    insert(client, rows=5)
    assert client.query("SELECT n, late, path FROM events ORDER BY n LIMIT 2").result_rows == [
        (0, 0, "/0"),
        (1, 0, "/1"),
    ]


def test_ephemeral_columns_need_no_type_names(client: Client) -> None:
    """DESCRIBE gives their types."""
    client.command(EVENTS.format(name="events"))
    client.insert("events", [[1], [4_000_000_000]], column_names=["n", "deadline"], column_oriented=True)
    assert count(client) == 1


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ("n UInt32, late UInt8 DEFAULT throwIf(n > 0)", 395),
        ("n UInt32, CONSTRAINT c CHECK n = 0", 469),
        ("n UInt32, s FixedString(1) DEFAULT toString(n * 100)", 131),
    ],
)
@pytest.mark.parametrize("data_format", ["TSV", "JSONEachRow", "Values", "RowBinary"])
def test_an_insert_that_the_table_refuses_is_an_error(
    engine: EngineProcess, client: Client, definition: str, code: int, data_format: str
) -> None:
    """Rows that a default, a constraint or a type refuses are answered with an error, and nothing is stored."""
    data = {"TSV": b"1\n", "JSONEachRow": b'{"n":1}', "Values": b"(1)", "RowBinary": b"\1\0\0\0"}[data_format]
    client.command(f"CREATE TABLE u ({definition}) ENGINE = MergeTree ORDER BY n")
    sql = f"INSERT INTO {client.database}.u (n) FORMAT {data_format}\n".encode()
    answer = engine.request("POST", "/", sql + data)
    assert (answer.status >= 400, answer.headers["X-ClickHouse-Exception-Code"]) == (True, str(code))
    assert count(client, "u") == 0


def test_an_insert_that_a_view_or_a_limit_refuses_is_an_error(client: Client) -> None:
    """A view's error and too many partitions reach the client, and an INSERT after its deadline is refused."""
    client.command(EVENTS.format(name="events"))
    with pytest.raises(DatabaseError) as late:
        insert(client, seconds=-60)
    assert late.value.code == 395
    with pytest.raises(DatabaseError) as many:
        insert(client, rows=3700)
    assert many.value.code == 252
    client.command("CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT throwIf(n = 2) AS x FROM events")
    with pytest.raises(DatabaseError) as view:
        insert(client)
    assert view.value.code == 395


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC", 400, 62),
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT nothing", 404, 47),
        ("USE nowhere", 404, 81),
        ("SELECT 1 SETTINGS nothing = 1", 404, 115),
        ("SELECT 1 FORMAT Nothing", 404, 73),
        ("SELECT intDiv(1, 0)", 500, 153),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT sleep(2) SETTINGS max_execution_time = 1", 408, 159),
        ("SELECT groupArray(number) FROM numbers(1e9) SETTINGS max_memory_usage = 50000000", 500, 241),
        ("CREATE USER u", 403, 497),
        ("INSERT INTO system.one FORMAT TSV\n1", 403, 497),
        ("INSERT INTO", 400, 62),
    ],
)
def test_errors_have_clickhouses_status_and_code(engine: EngineProcess, sql: str, status: int, code: int) -> None:
    """The status is ClickHouse's, and the text is the engine's own with its version."""
    answer = engine.sql(sql)
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code)), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "(version 26." in answer.text


def test_clients_see_codes_and_names(client: Client) -> None:
    """clickhouse-connect finds the code and the name of an error."""
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nowhere")
    assert (caught.value.code, caught.value.name) == (60, "UNKNOWN_TABLE")


def test_answers_carry_the_headers(engine: EngineProcess) -> None:
    """They have query id, format, time zone and summary.

    The format is the query's, the URL's, a header's, or TabSeparated.
    """
    answer = engine.sql("SELECT 1 AS a FORMAT JSONEachRow", query_id="mine", default_format="CSV")
    assert answer.text == '{"a":1}\n'
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert '"result_rows": "1"' in answer.headers["X-ClickHouse-Summary"]
    assert engine.sql("SELECT 'a'", default_format="CSV").text == '"a"\n'
    assert engine.request("POST", "/", b"SELECT 'a'", {"X-ClickHouse-Format": "JSONCompactEachRow"}).text == '["a"]\n'
    assert engine.sql("SELECT 7 AS k, count() GROUP BY k WITH TOTALS").text == "7\t1\n\n7\t1\n"
    assert engine.request("GET", "/").text == "Ok.\n"


def test_parameters_and_settings_reach_one_statement_only(engine: EngineProcess, client: Client) -> None:
    """Values of every kind arrive, and the next statement on any thread has none of them."""
    text = "it's \\ a\n\tline é"
    rows = client.query("SELECT {a:String}, {b:Array(UInt8)}", parameters={"a": text, "b": [1, 2]}).result_rows
    assert rows == [(text, [1, 2])]
    for _ in range(8):  # more than there are threads
        assert (
            engine.sql("SELECT getSetting('max_threads')", max_threads="7", param_a="1", database="system").text
            == "7\n"
        )
        assert engine.sql("SET max_threads = 9").status == 200
        assert engine.sql("USE system").status == 200
        assert engine.sql("SELECT getSetting('max_threads') IN (7, 9), currentDatabase()").text == "0\tdefault\n"
        assert engine.sql("SELECT {a:UInt8}").headers["X-ClickHouse-Exception-Code"] == "456"


def test_large_answers_stream_and_break_off_at_an_error(client: Client) -> None:
    """Three million rows arrive in blocks; an error after the first megabytes reaches the client as an error."""
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(3000000)") as blocks:
        assert sum(len(block) for block in blocks) == 3_000_000
    with pytest.raises(ClickHouseError, match="395"):
        assert client.query("SELECT throwIf(number = 2900000), toString(number) FROM numbers(3000000)").result_rows


def test_an_answer_that_must_be_built_whole_is_limited(engine: EngineProcess) -> None:
    """JSON beyond 128 MB of values is refused; the same rows stream."""
    sql = "SELECT repeat(toString(number % 10), 1000000) FROM numbers({})"
    answer = engine.sql(sql.format(150), default_format="JSON")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "396"
    assert engine.sql(sql.format(1), default_format="JSON").status == 200
    assert len(engine.sql(sql.format(150), default_format="TSV").body) == 150_000_150


async def test_the_asynchronous_client_works_too(engine: EngineProcess) -> None:
    """Queries, inserts and streams of the aiohttp client."""
    client = await clickhouse_connect.get_async_client(host="localhost", port=engine.port)
    await client.command("CREATE TABLE a (n UInt32) ENGINE = Memory")
    await client.insert(
        "a", [list(range(1000))], column_names=["n"], column_type_names=["UInt32"], column_oriented=True
    )
    assert (await client.query("SELECT sum(n) FROM a")).first_row == (499_500,)
    async with await client.query_row_block_stream("SELECT n FROM a") as stream:
        assert sum([len(block) async for block in stream]) == 1000
    await client.close()


def test_bodies_beyond_the_limits_are_refused(engine: EngineProcess) -> None:
    """257 MB that arrive compressed as 1 MB are answered 413, and the memory is given back."""
    zeros = lz4.frame.compress(bytes(257 << 20))
    answer = engine.request("POST", "/?query=INSERT+INTO+t+FORMAT+RowBinary", zeros, {"Content-Encoding": "lz4"})
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (413, "307")
    answer = engine.request("POST", "/", b"no frame", {"Content-Encoding": "lz4"})
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


def test_a_running_insert_is_found_by_its_token(engine: EngineProcess, client: Client) -> None:
    """system.processes shows its settings: the token, and log_comment, which is the query id unless it is set."""
    client.command("CREATE TABLE slow (n UInt32, s UInt8 DEFAULT sleep(2)) ENGINE = Memory")
    fields = {"query_id": "q1", "insert_deduplication_token": "block:7", "database": str(client.database)}
    running = threading.Thread(target=engine.sql, args=("INSERT INTO slow (n) VALUES (1)",), kwargs=fields)
    running.start()
    asked = "SELECT count() FROM system.processes WHERE startsWith(Settings['{}'], '{}')"
    deadline = time.monotonic() + 60
    while engine.sql(asked.format("insert_deduplication_token", "block:")).text == "0\n":
        assert time.monotonic() < deadline
    assert engine.sql(asked.format("log_comment", "q1")).text == "1\n"
    again = engine.sql("SELECT 1", query_id="q1")
    assert again.headers["X-ClickHouse-Exception-Code"] == "216"
    running.join()
    assert engine.sql(asked.format("insert_deduplication_token", "block:")).text == "0\n"
    assert engine.sql("SELECT 1", query_id="q1").text == "1\n"


def test_selects_and_inserts_run_side_by_side(client: Client, engine: EngineProcess) -> None:
    """With eight clients at once every row arrives once, and every count is a whole number of blocks."""
    client.command("CREATE TABLE many (n UInt32) ENGINE = MergeTree ORDER BY n")

    def work(number: int) -> None:
        mine = engine.client(database=client.database, autogenerate_session_id=False)
        for i in range(10):
            if number % 2:
                mine.insert("many", [[i] * 100], column_names=["n"], column_type_names=["UInt32"], column_oriented=True)
            else:
                assert count(mine, "many") % 100 == 0
        mine.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert count(client, "many") == 4000


def test_a_full_queue_is_told_at_once(engine: EngineProcess) -> None:
    """Four statements run and 64 wait; others get 503 and Retry-After. /ping still answers, and nothing is left behind."""
    with ThreadPoolExecutor(80) as pool:
        answers = [pool.submit(engine.sql, "SELECT sleep(0.1)") for _ in range(80)]
        assert engine.request("GET", "/ping").text == "Ok.\n"
        statuses = [answer.result().status for answer in answers]
    assert set(statuses) == {200, 503}
    assert 0 < statuses.count(503) <= 80 - 4 - 64  # one that ended meanwhile made room


def test_a_client_that_leaves_the_queue_starts_nothing(engine: EngineProcess, client: Client) -> None:
    """An INSERT that was given up while it waited for a thread never begins."""
    client.command("CREATE TABLE given_up (n UInt8) ENGINE = Memory")
    sql = f"INSERT INTO {client.database}.given_up VALUES (1)"
    insert = f"POST /?query_id=left HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sql)}\r\n\r\n{sql}".encode()
    deadline = time.monotonic() + 60
    with ThreadPoolExecutor(4) as pool, ExitStack() as held:
        busy = [pool.submit(keep_busy, engine, f"busy-{i}", deadline) for i in range(4)]
        while not all(is_claimed(engine, f"busy-{i}") for i in range(4)):
            assert time.monotonic() < deadline
        leaving = held.enter_context(sent(engine, insert))
        while not is_claimed(engine, "left"):
            assert time.monotonic() < deadline
            if select.select([leaving], [], [], 0)[0]:  # our look came first, and took its id
                leaving = held.enter_context(sent(engine, insert))
        leaving.close()
        assert not any(answer.done() for answer in busy)
        assert {answer.result().status for answer in busy} == {200}
    assert count(client, "given_up") == 0


def keep_busy(engine: EngineProcess, query_id: str, deadline: float) -> Answer:
    """Keeps a thread of the engine busy for three seconds; asks again if `is_claimed` had taken the id."""
    while (answer := engine.sql("SELECT sleep(3)", query_id=query_id)).status != 200:
        assert time.monotonic() < deadline, answer.text
    return answer


def sent(engine: EngineProcess, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", engine.port))
    connection.sendall(request)
    return connection


def is_claimed(engine: EngineProcess, query_id: str) -> bool:
    """Tells whether a request with this id runs or waits, because a second one is refused at once. It only reads."""
    answer = engine.request("GET", f"/?query_id={query_id}&query=INSERT+INTO+nowhere+VALUES")
    return answer.headers["X-ClickHouse-Exception-Code"] == "216"
