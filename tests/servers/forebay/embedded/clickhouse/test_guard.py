"""No request to the embedded ClickHouse's port gets to a file, to the network, or in from a web page."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import EngineProcess

SECRET = "kept-from-sql"


class Bait:
    """Holds a file and a listener that no statement may reach."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "bait.csv"
        self.file.write_text(f"{SECRET}\n")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                visitor, _ = self.socket.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    made = Bait(tmp_path_factory.mktemp("bait"))
    yield made
    made.socket.shutdown(socket.SHUT_RDWR)
    made.socket.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(tmp_path_factory.mktemp("data"))
    running.sql("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
    yield running
    running.close()


SOURCE = "CREATE DICTIONARY d (a String) PRIMARY KEY a LAYOUT(flat()) LIFETIME(1) SOURCE"

DENIED = [
    "SELECT * FROM file('{file}', 'CSV', 'a String')",
    "SELECT * FROM file('{file}')",
    "select * from FILE /* a */ -- b\n ('{file}')",
    "SELECT * FROM `file`('{file}', 'CSV')",
    "SELECT * FROM \"f\\x69le\"('{file}', 'CSV')",
    "SELECT * FROM view(SELECT * FROM file('{file}', 'CSV'))",
    "SELECT * FROM loop(file('{file}', 'CSV'))",
    "DESCRIBE TABLE file('{file}')",
    "EXPLAIN SELECT * FROM file('{file}')",
    "CREATE VIEW v AS SELECT * FROM file('{file}', 'CSV', 'a String')",
    "CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT a FROM t WHERE a IN (SELECT a FROM file('{file}', 'CSV', 'a String'))",
    "CREATE TABLE u AS file('{file}', 'CSV', 'a String')",
    "INSERT INTO FUNCTION file('{directory}/written.csv', 'CSV', 'a String') VALUES ('x')",
    "INSERT INTO FUNCTION file('{directory}/written.csv', 'CSV', 'a String') SELECT 'x'",
    "INSERT INTO t SELECT a FROM file('{file}', 'CSV', 'a String')",
    "INSERT INTO t FROM INFILE '{file}' FORMAT CSV",
    "insert into t from /* */\ninfile '{file}' settings max_threads = 1 format CSV\n",
    "SELECT 1 INTO OUTFILE '{directory}/written.csv'",
    "select 1 into/**/outfile '{directory}/written.csv' truncate format CSV",
    "EXPLAIN SELECT 1 INTO OUTFILE '{directory}/written.csv'",
    "SELECT file('{file}')",
    "SELECT `f\\x69le`(/* a */ '{file}')",
    "SELECT \"file\"('{file}')",
    "SELECT x.* APPLY(file) FROM (SELECT '{file}' AS p) AS x",
    "SELECT arrayMap(file, ['{file}'])",
    "INSERT INTO t VALUES (file('{file}'))",
    "CREATE MATERIALIZED VIEW v REFRESH EVERY 1 SECOND ENGINE = Memory AS SELECT file('{file}') AS a",
    "CREATE TABLE u (a String, b String DEFAULT file(a)) ENGINE = MergeTree ORDER BY a AS SELECT '{file}' AS a, file(a) AS b",
    "SELECT * FROM url('http://{address}/x', 'CSV', 'a String')",
    "SELECT * FROM s3('http://{address}/bucket/x.csv', 'CSV', 'a String')",
    "SELECT * FROM gcs('http://{address}/bucket/x.csv', 'CSV', 'a String')",
    "SELECT * FROM hdfs('hdfs://{address}/x', 'CSV', 'a String')",
    "SELECT * FROM azureBlobStorage('http://{address}/a', 'c', 'b', 'n', 'YWJj', 'CSV', 'none', 'a String')",
    "SELECT * FROM remote('{address}', 'system.one')",
    "SELECT * FROM remoteSecure('{address}', 'system.one')",
    "SELECT * FROM mysql('{address}', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('{address}', 'd', 't', 'u', 'p')",
    "SELECT * FROM mongodb('{address}', 'd', 't', 'u', 'p', 'a String')",
    "SELECT * FROM redis('{address}', 'k', 'k String, v String')",
    "SELECT * FROM sqlite('{file}', 't')",
    "SELECT * FROM odbc('DSN=x', 't')",
    "SELECT * FROM jdbc('x', 't')",
    "SELECT * FROM iceberg('http://{address}/bucket/x')",
    "SELECT * FROM deltaLake('http://{address}/bucket/x')",
    "SELECT * FROM deltaLakeLocal('{directory}')",
    "SELECT * FROM icebergLocal('{directory}')",
    "SELECT * FROM filesystem('{directory}')",
    "SELECT * FROM executable('cat {file}', 'CSV', 'a String')",
    "SELECT * FROM executable('../../../../../../../../bin/cat', 'CSV', 'a String', (SELECT 1))",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function = 1",
    "SELECT * FROM `{file}`",
    "SELECT * FROM default.`{file}`",
    "CREATE TABLE u (a String) ENGINE = File(CSV, '{file}')",
    "CREATE TABLE u (a String) ENGINE = URL('http://{address}/', 'CSV')",
    "CREATE TABLE u (a String) ENGINE = S3('http://{address}/bucket/x.csv', 'CSV')",
    "CREATE TABLE u (a String) ENGINE = FileLog('{directory}', 'CSV')",
    "CREATE TABLE u (a String) /* */ engine `FileLog` ('{directory}', 'CSV')",
    "CREATE TABLE u (a String) ENGINE = \"F\\x69leLog\"('{directory}', 'CSV')",
    "CREATE TABLE u (a String) ENGINE = Executable('cat', 'CSV')",
    "CREATE TABLE u (a String) ENGINE = EmbeddedRocksDB(0, '{directory}/rocks') PRIMARY KEY a",
    "CREATE TABLE u (a String) ENGINE = Distributed('c', 'd', 't')",
    "CREATE MATERIALIZED VIEW v ENGINE = FileLog('{directory}', 'CSV') AS SELECT a FROM t",
    "CREATE TEMPORARY TABLE u (a String) ENGINE = FileLog('{directory}', 'CSV')",
    "ATTACH TABLE u (a String) ENGINE = File(CSV, '{file}')",
    "ATTACH TABLE u FROM '{directory}' (a String) ENGINE = MergeTree ORDER BY a",
    "CREATE TABLE u (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = '{directory}/disk/')",
    "CREATE TABLE u (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = `d\\x69sk`(type = 'web', endpoint = 'http://{address}/')",
    "ALTER TABLE t MODIFY SETTING disk = disk(type = 'web', endpoint = 'http://{address}/')",
    "CREATE DATABASE u ENGINE = Atomic SETTINGS disk = disk(type = 'web', endpoint = 'http://{address}/')",
    "CREATE DATABASE u ENGINE = Filesystem('{directory}')",
    "CREATE DATABASE u ENGINE = MySQL('{address}', 'd', 'u', 'p')",
    "CREATE DATABASE u ENGINE = Overlay('default')",
    SOURCE + "(file(path '{file}' format 'CSV'))",
    SOURCE + "(http(url 'http://{address}/' format 'CSV'))",
    SOURCE + "(executable(command 'cat {file}' format 'CSV'))",
    SOURCE + "(clickhouse(query $$SELECT * FROM file('{file}')$$))",
    "SELECT * FROM dictionary('d')",
    "BACKUP TABLE t TO File('{directory}/backup')",
    "RESTORE TABLE t FROM S3('http://{address}/bucket/x')",
    "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{file}'",
    "SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = '{directory}/written.proto'",
    "SELECT * FROM format(CSV, 'a Int8', 'x') SETTINGS input_format_allow_errors_num = 1, input_format_record_errors_file_path = '{directory}/written.err'",
    "SELECT * FROM format(AvroConfluent, 'a Int8', 'x') SETTINGS format_avro_schema_registry_url = 'http://{address}/'",
    "SELECT 1 SETTINGS dialect = 'prql'",
    "SELECT aiGenerate('x', map('credentials', 'c'))",
    "SELECT addressToLine(1)",
    "CREATE FUNCTION f AS x -> x",
    "CREATE USER u",
    "CREATE NAMED COLLECTION c AS a = 1",
    "DROP DATABASE system",
    "DROP DATABASE default",
    "detach database if exists `default`",
    "DROP TABLE system.one",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
    "SELECT 1; SELECT 2",
    "SELECT 1; nonsense",
    "CREATE TABLE u (a String) ENGINE = FileLog('{directory}', 'CSV'); nonsense",
    "INSERT INTO t SELECT * FROM input('a String') FORMAT CSV\nx",
    "1 + 1",
]  # fmt: skip


@pytest.mark.parametrize("template", DENIED)
def test_no_statement_reaches_files_or_the_network(engine: EngineProcess, bait: Bait, template: str) -> None:
    """It is an error, no byte of the file is read, no connection is made, nothing is written, and the engine lives."""
    before = sorted(bait.directory.rglob("*"))
    sql = template.replace("{", "{{").replace("}", "}}") if "->" in template else template
    answer = engine.sql(sql.format(file=bait.file, directory=bait.directory, address=bait.address))
    assert answer.status >= 400, answer.text
    assert answer.headers["X-ClickHouse-Exception-Code"]
    assert SECRET not in answer.text
    assert bait.visits == 0
    assert sorted(bait.directory.rglob("*")) == before
    assert engine.sql("SELECT count() FROM t").text == "0\n"


def test_the_same_settings_are_refused_as_url_parameters(engine: EngineProcess) -> None:
    """A setting is refused wherever it is given."""
    for name in ("dialect", "format_schema", "format_template_row", "output_format_schema"):
        answer = engine.sql("SELECT 1", **{name: "prql"})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "452", name
    assert engine.sql("SELECT 1", max_memory_usage="0").headers["X-ClickHouse-Exception-Code"] == "452"
    assert engine.sql("SELECT 1", **{"a=1, b": "x"}).headers["X-ClickHouse-Exception-Code"] == "115"
    value = "x', max_threads = '1"
    assert engine.sql("SELECT {a:String}", param_a=value, default_format="TSVRaw").text == f"{value}\n"


def test_no_table_function_opens_what_it_is_given(engine: EngineProcess, bait: Bait) -> None:
    """Every function of this engine is tried with a file's path and with an address, so a new one would show here."""
    names = engine.sql("SELECT name FROM system.table_functions ORDER BY name").text.split()
    assert "file" in names
    for name in names:
        for argument in (str(bait.file), f"http://{bait.address}/bucket/x.csv", bait.address):
            for more in ("", ", 'CSV'", ", 'CSV', 'a String'", ", 'd', 't', 'u', 'p'"):
                answer = engine.sql(f"SELECT * FROM {name}('{argument}'{more}) LIMIT 1", max_execution_time="2")
                assert SECRET not in answer.text, (name, argument, more)
                assert bait.visits == 0, (name, argument, more)
    assert engine.request("GET", "/ping").text == "Ok.\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "LocalHost:8123"}, 200),
        ({"Host": "127.1.2.3:1"}, 200),
        ({"Host": "[::1]:8123"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"sec-fetch-site": "same-origin"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "evil.example:8123"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Host": ""}, 403),
    ],
)
def test_browsers_and_rebound_names_are_refused(engine: EngineProcess, headers: dict[str, str], status: int) -> None:
    """They get a 403 and a sentence before anything else is checked; programs on this machine are served."""
    for path in ("/ping", "/?query=SELECT+1", "/nothing-here"):
        answer = engine.request("GET", path, headers=headers)
        assert answer.status == (404 if status == 200 and path == "/nothing-here" else status)
        assert (status == 200) or answer.text.startswith("The embedded ClickHouse ")
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_changes_nothing(engine: EngineProcess, method: str) -> None:
    """In old browsers a page can cause a GET or HEAD without a telling header, so these may only read."""
    for sql in ("DROP+TABLE+t", "INSERT+INTO+t+VALUES+('x')", "KILL+QUERY+WHERE+1"):
        answer = engine.request(method, f"/?query={sql}")
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert engine.request("GET", "/?query=SELECT+count()+FROM+t").text == "0\n"
