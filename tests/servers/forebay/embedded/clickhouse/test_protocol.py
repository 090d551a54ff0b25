"""The embedded ClickHouse's HTTP interface is ClickHouse's: users, zone, formats, compression, headers, other routes."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import lz4.frame  # type: ignore[import-untyped]  # it publishes no annotations
import pytest
import zstandard

from forebay.embedded.clickhouse import compression
from tests.support.engine import EngineProcess

CODE = "X-ClickHouse-Exception-Code"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(tmp_path_factory.mktemp("data"))
    yield running
    running.close()


def unpacked(data: bytes) -> bytes:
    unpacker = compression.Unpacker(lambda _: None)
    text = b"".join(unpacker.feed(data))
    unpacker.end()
    return text


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ("", {}),
        ("user=default&password=", {}),
        ("user=default", {"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""}),
        ("", basic("default:")),
        ("", basic(":")),
        ("", basic("default:null")),
    ],
)
def test_default_without_a_password_is_let_in(engine: EngineProcess, fields: str, headers: dict[str, str]) -> None:
    """There are many ways to say so; the last is that of clickhouse-java without a password."""
    assert engine.request("POST", f"/?{fields}", b"SELECT currentUser()", headers).text == "default\n"


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ("user=reporting", {}),
        ("password=secret", {}),
        ("user=default&password=secret", {}),
        ("", {"X-ClickHouse-User": "reporting"}),
        ("", {"X-ClickHouse-Key": "secret"}),
        ("", basic("default:secret")),
        ("", basic("reporting:null")),
        ("user=default", basic("reporting:")),
        ("", {"Authorization": "Bearer abc"}),
        ("", {"Authorization": "Basic !"}),
    ],
)
def test_everybody_else_is_told_what_to_set(engine: EngineProcess, fields: str, headers: dict[str, str]) -> None:
    """They get a 403 with ClickHouse's code, before the statement is read."""
    answer = engine.request("POST", f"/?{fields}", b"SELEC", headers)
    assert (answer.status, answer.headers[CODE]) == (403, "516")
    assert "one user, `default`, without a password" in answer.text
    assert "(AUTHENTICATION_FAILED)" in answer.text


def test_roles_are_refused(engine: EngineProcess) -> None:
    """There are none, and a question would otherwise run with more rights than were asked for."""
    assert engine.sql("SELECT 1", role="reader").headers[CODE] == "511"


@pytest.mark.parametrize("zone", ["CET-1CEST,M3.5.0,M10.5.0/3", "America/New_York", "", "Nowhere/At_All"])
def test_the_zone_is_utc_whatever_the_hosts_is(tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is, also if the engine does not know the host's zone; a question may set another."""
    monkeypatch.setenv("TZ", zone)
    engine = EngineProcess(tmp_path)
    try:
        sql = "SELECT timezone(), today() = toDate(now('UTC')), toString(now()) = toString(now('UTC'))"
        answer = engine.sql(sql)
        assert (answer.text, answer.headers["X-ClickHouse-Timezone"]) == ("UTC\t1\t1\n", "UTC")
        answer = engine.sql("SELECT toString(toDateTime(0))", session_timezone="Asia/Tokyo")
        assert (answer.text, answer.headers["X-ClickHouse-Timezone"]) == ("1970-01-01 09:00:00\n", "Asia/Tokyo")
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
        ("TSVWithNames", "text/tab-separated-values; charset=UTF-8"),
        ("CSV", "text/csv; charset=UTF-8; header=absent"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONCompact", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("XML", "application/xml; charset=UTF-8"),
        ("PrettyCompact", "text/plain; charset=UTF-8"),
        ("Parquet", "application/octet-stream"),
        ("ArrowStream", "application/octet-stream"),
        ("Native", "application/octet-stream"),
        ("RowBinaryWithNamesAndTypes", "application/octet-stream"),
    ],
)
def test_each_format_has_its_content_type(engine: EngineProcess, name: str, content_type: str) -> None:
    """It is the engine's own, whether the text, the URL or a header asks for the format."""
    for answer in (
        engine.sql(f"SELECT 1 AS a FORMAT {name}"),
        engine.sql("SELECT 1 AS a", default_format=name),
        engine.request("POST", "/", b"SELECT 1 AS a", {"X-ClickHouse-Format": name}),
    ):
        assert (answer.headers["Content-Type"], answer.headers["X-ClickHouse-Format"]) == (content_type, name)
        assert answer.status == 200


@pytest.mark.parametrize("method", ["LZ4", "ZSTD", "NONE"])
def test_blocks_go_both_ways(engine: EngineProcess, method: str) -> None:
    """compress=1 and decompress=1 apply to the statement, rows, a large answer and an error."""
    packed = b"".join(compression.packed(b"SELECT number FROM numbers(500000)", compression.METHODS[method]))
    answer = engine.request("POST", f"/?compress=1&decompress=1&network_compression_method={method}", packed)
    assert unpacked(answer.body) == b"".join(b"%d\n" % number for number in range(500_000))
    assert answer.body[16] == compression.METHODS[method]
    engine.sql("CREATE TABLE blocks (n UInt32) ENGINE = Memory")
    rows = b"".join(compression.packed(b"1\n2\n3\n", compression.METHODS[method]))
    assert engine.request("POST", "/?decompress=1&query=INSERT+INTO+blocks+FORMAT+TSV", rows).status == 200
    assert engine.sql("SELECT sum(n) FROM blocks").text == "6\n"
    engine.sql("DROP TABLE blocks")
    answer = engine.sql("SELECT * FROM nowhere", compress="1")
    assert (answer.status, answer.headers[CODE]) == (404, "60")
    assert unpacked(answer.body).startswith(b"Code: 60. DB::Exception: ")


def good_block() -> bytes:
    return b"".join(compression.packed(b"SELECT 1"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"SELECT 1" * 10, 89),
        (good_block()[:-1], 271),
        (good_block()[:10], 271),
        (b"\0" + good_block()[1:], 40),
        (good_block()[:17] + b"\xff\xff\xff\x7f" + good_block()[21:], 271),
        (good_block()[:21] + b"\xff\xff\xff\x7f" + good_block()[25:], 307),
    ],
)
def test_what_is_no_block_is_an_error_of_its_sender(engine: EngineProcess, body: bytes, code: int) -> None:
    """No memory is taken for the size that it claims."""
    answer = engine.request("POST", "/?decompress=1", body)
    assert answer.headers[CODE] == str(code), answer.text
    assert 400 <= answer.status < 501


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "lz4"])
@pytest.mark.parametrize("rows", [3, 2_000_000])
def test_http_codings(engine: EngineProcess, coding: str, rows: int) -> None:
    """They are used if the client asks twice, as ClickHouse needs it, for small answers and streams."""
    unpack = {
        "gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": lz4.frame.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }[coding]  # fmt: skip
    path = f"/?enable_http_compression=1&query=SELECT+number+FROM+numbers({rows})"
    answer = engine.request("GET", path, headers={"Accept-Encoding": f"{coding};q=1.0, br"})
    assert answer.headers["Content-Encoding"] == coding
    assert unpack(answer.body).count(b"\n") == rows
    assert (
        "Content-Encoding"
        not in engine.request("GET", path.replace("=1", "=0", 1), headers={"Accept-Encoding": coding}).headers
    )


def test_the_first_question_of_clickhouse_go(engine: EngineProcess) -> None:
    """The answer has the form of the revision that was sent, and names this port's own revision."""
    sql = "SELECT displayName(), version(), revision(), timezone()"
    answer = engine.sql(sql, default_format="Native", client_protocol_version="54460")
    assert answer.body.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01\rdisplayName()\x06String\x00")
    assert b"\nrevision()\x06UInt32\x00" + bytes(4) in answer.body
    assert (
        engine.sql("SELECT 1 AS a", default_format="Native", client_protocol_version="54460").body
        == b"\1\1\1a\5UInt8\1"
    )
    assert engine.sql(sql, default_format="Native").body.startswith(b"\x04\x01\rdisplayName()")
    assert engine.sql("SELECT revision(), [1]", default_format="Native", client_protocol_version="54460").status == 200
    assert (
        engine.sql("SELECT revision(), 1", default_format="Native", client_protocol_version="54460").headers[CODE]
        == "48"
    )


def test_an_answer_that_is_waited_for_has_the_status_of_its_end(engine: EngineProcess) -> None:
    """With wait_end_of_query an error after ten megabytes is answered as an error, and nothing else arrives."""
    sql = "SELECT throwIf(number = 2900000), toString(number) FROM numbers(3000000)"
    answer = engine.sql(sql, wait_end_of_query="1")
    assert (answer.status, answer.headers[CODE]) == (500, "395")
    answer = engine.sql("SELECT number FROM numbers(3000000)", wait_end_of_query="1", send_progress_in_http_headers="1")
    assert answer.body.count(b"\n") == 3_000_000
    assert int(json.loads(answer.headers["X-ClickHouse-Progress"])["read_rows"]) > 0
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"] == "3000000"


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("JSON", b'{"exception": "Code: 395'),
        ("JSONEachRow", b'{"exception": "Code: 395'),
        ("XML", b"<?xml"),
        ("CSV", b"Code: 395"),
    ],
)
def test_errors_in_the_format(engine: EngineProcess, name: str, begins: bytes) -> None:
    """If the client asks for them, a reader of the format can read them."""
    answer = engine.sql("SELECT throwIf(1)", default_format=name, http_write_exception_in_output_format="1")
    assert answer.body.startswith(begins)
    assert answer.status == 500
    assert engine.sql("SELECT throwIf(1)", default_format=name).body.startswith(b"Code: 395")


def test_other_routes_and_methods(engine: EngineProcess) -> None:
    """They are answered as by ClickHouse, except its pages for browsers, which this port refuses."""
    assert engine.request("GET", "/replicas_status").text == "Ok.\n"
    for path in ("/play", "/dashboard", "/nothing"):
        answer = engine.request("GET", path)
        assert answer.status == 404
        assert answer.text.startswith(f"There is no handle {path}\n")
    answer = engine.request("HEAD", "/?query=SELECT+1")
    assert (answer.status, answer.body, answer.headers["X-ClickHouse-Format"]) == (200, b"", "TabSeparated")
    assert engine.request("HEAD", "/ping").status == 200
    assert engine.request("OPTIONS", "/").status == 204
    assert engine.request("PUT", "/").status == 405
    assert engine.request("POST", "/any/path?database=system", b"SELECT currentDatabase()").text == "system\n"
    assert engine.sql("SELECT 1", quota_key="k", buffer_size="1", stacktrace="0").text == "1\n"


@pytest.mark.parametrize("expects", [False, True])
def test_chunked_bodies(engine: EngineProcess, expects: bool) -> None:
    """Curl sends them when it reads from a pipe, with Expect or without."""
    head = f"POST /?query={quote('SELECT 1+')} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", engine.port), timeout=120) as connection:
        connection.sendall(
            f"{head}{'Expect: 100-continue' * expects}{chr(13) + chr(10) if expects else ''}\r\n".encode()
        )
        answer = connection.makefile("rb")
        if expects:
            assert answer.readline().startswith(b"HTTP/1.1 100")
            assert answer.readline() == b"\r\n"
        connection.sendall(b"1\r\n4\r\n1\r\n1\r\n0\r\n\r\n")
        assert answer.read().endswith(b"\r\n\r\n42\n")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name, value FROM system.settings WHERE name = 'max_threads'",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.tables LIMIT 1",
        "SELECT * FROM system.columns LIMIT 1",
        "SELECT * FROM system.databases",
        "SELECT * FROM system.functions LIMIT 1",
        "SELECT * FROM system.data_type_families LIMIT 1",
        "SELECT * FROM system.clusters",
        "SELECT * FROM system.dictionaries",
        "SELECT * FROM system.users",
        "SELECT * FROM system.query_log",
        "SELECT * FROM information_schema.tables LIMIT 1",
        "SELECT * FROM INFORMATION_SCHEMA.COLUMNS LIMIT 1",
        "SHOW DATABASES",
        "SHOW TABLES FROM system",
        "SHOW GRANTS",
        "SHOW PROCESSLIST",
    ],
)
def test_what_tools_ask_at_connect_is_answered(engine: EngineProcess, sql: str) -> None:
    """A question that would tell of users is refused with a reason that names a right."""
    answer = engine.sql(sql)
    assert answer.status == (403 if "system.users" in sql else 200), answer.text
