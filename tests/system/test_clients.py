"""What people ask ClickHouse with works on the embedded engine at its defaults: Go, JDBC, JavaScript, pandas, SQLAlchemy.

The programs in tests/clients/ use the real clients. A test is left out where its toolchain is not, and fails where CI is set
and its toolchain is there but does not bring the client.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
import sqlalchemy

from tests.support.engine import EngineProcess

CLIENTS = Path(__file__).parents[1] / "clients"
BUILD_SECONDS_MAX = 900  # on an empty cache, on a busy machine
RUN_SECONDS_MAX = 120
# Programs that run for a second: what would make them fast costs more than they take. Half of the CPU of Java, a sixth of Go's.
ENVIRONMENT = {
    "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "CGO_ENABLED": "0",
    "GOGC": "400",  # of the compiler: it collects its garbage more seldom
}
WAY_OUT = "has one user, `default`, without a password"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(tmp_path_factory.mktemp("data"))
    yield running
    running.close()


def need(*programs: str) -> None:
    """Skips where one of them is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def run(words: list[str], directory: Path | None, seconds: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ENVIRONMENT
    return subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


def built(words: list[str], directory: Path) -> None:
    """Runs a build, which may fetch what it needs; where it fails the test is left out, or fails in CI."""
    done = run(words, directory, BUILD_SECONDS_MAX)
    if done.returncode:
        said = f"{' '.join(words)} failed: {(done.stdout + done.stderr)[-2000:]}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)


def ran(words: list[str], directory: Path | None = None) -> str:
    done = run(words, directory, RUN_SECONDS_MAX)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("go")
    directory = tmp_path_factory.mktemp("go")
    # Neither optimized nor with what a debugger needs: half of the CPU of a build on an empty cache, which is 80 s.
    cheap = ["-gcflags=all=-N -l -dwarf=false", "-ldflags=-s -w"]
    built(["go", "build", *cheap, "-o", str(directory / "ask"), "."], CLIENTS / "go")
    return directory / "ask"


@pytest.fixture(scope="module")
def java_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("javac", "java", "mvn")
    directory = tmp_path_factory.mktemp("java")
    copied = f"-DoutputDirectory={directory}"
    built(["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", copied], CLIENTS / "java")
    built(["javac", "-cp", f"{directory}/*", "-d", str(directory), "Ask.java"], CLIENTS / "java")
    return directory


@pytest.fixture(scope="module")
def js_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("node", "npm")
    directory = tmp_path_factory.mktemp("js")
    for name in ("main.mjs", "package.json"):
        shutil.copy(CLIENTS / "js" / name, directory)
    built(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], directory)
    return directory


@pytest.mark.parametrize("compression", ["PLAIN", "LZ4", "ZSTD", "GZIP"])
def test_clickhouse_go_over_http(engine: EngineProcess, go_program: Path, compression: str) -> None:
    """As in Grafana's plugin: the first question, a batch, parameters, a stream, nothing, errors, a stranger."""
    found = json.loads(ran([str(go_program), f"127.0.0.1:{engine.port}", compression]))
    assert (found["major"], found["zone"]) == (26, "UTC")
    assert found["row"] == ["2026-01-02T03:04:05.678Z", 7, "name 7", "low 1", -7, ["a", "b"], {"plan": "pro"}]
    assert (found["streamed"], found["sum"], found["empty"]) == (100_000, 4_999_950_000, True)
    assert "code: 60" in found["refused"]
    assert "code: 395" in found["refused_query"]
    assert WAY_OUT in found["stranger"]


@pytest.mark.parametrize("is_v1", [False, True], ids=["v2", "v1"])
def test_jdbc(engine: EngineProcess, java_classes: Path, is_v1: bool) -> None:
    """As in DBeaver and Metabase: what they ask to draw a tree, rows, errors, a cancelled query, a session, a stranger."""
    version = [f"-Dclickhouse.jdbc.v1={str(is_v1).lower()}"]
    url = f"jdbc:clickhouse:http://127.0.0.1:{engine.port}"
    found = defaultdict(list)
    for line in ran(["java", *version, "-cp", f"{java_classes}:{java_classes}/*", "Ask", url]).splitlines():
        name, _, value = line.partition("\t")
        found[name].append(value)
    expected = {
        "product": "ClickHouse", "major": "26", "types": "true", "schemas": "true", "tables": "1", "columns": "1",
        "keys": "0", "functions": "true", "inserted": "5000", "row": "7,it's name 7,low 1,-7", "sum": "44999850000",
        "schema": "default", "valid": "true", "kept": "3", "cancelled": "394",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == {name: [value] for name, value in expected.items()}
    assert found["ts"][0].startswith("2026-01-02 03:04:05.678")
    assert [text.partition(" ")[0] for text in found["refused"]] == ["60", "395", "497", "159", "62"]
    assert WAY_OUT in found["stranger"][0]


def test_the_javascript_client(engine: EngineProcess, js_directory: Path) -> None:
    """Rows both ways, a stream, formats, errors, a session with compression, a stranger."""
    found = json.loads(ran(["node", "main.mjs", f"http://127.0.0.1:{engine.port}"], js_directory).splitlines()[-1])
    assert (found["ping"], found["streamed"]) == (True, 20_000)
    assert found["row"] == {"n": 7, "name": "name 7", "props": {"plan": "pro"}}
    assert found["json"]["data"] == [{"one": 1}]
    assert found["csv"] == '"a","b"\n1,2\n'
    assert found["kept"] == [{"s": 3}]
    assert found["refused"].startswith("60 UNKNOWN_TABLE")
    assert found["elsewhere"].startswith("60 UNKNOWN_TABLE")
    assert found["stranger"].startswith("516 AUTHENTICATION_FAILED")
    assert WAY_OUT in found["stranger"]


def test_pandas(engine: EngineProcess) -> None:
    """A frame goes in and comes back, with moments and texts; a temporary table lasts in the client's session."""
    client = engine.client()
    frame = pd.DataFrame({
        "ts": pd.to_datetime(["2026-01-02T03:04:05Z", "2026-01-03T00:00:00Z"]), "n": [1, 2], "name": ["a", "b"],
    })  # fmt: skip
    client.command("CREATE TEMPORARY TABLE frame (ts DateTime('UTC'), n UInt64, name String)")
    client.insert_df("frame", frame)
    found = client.query_df("SELECT * FROM frame ORDER BY n")
    assert list(found["name"]) == ["a", "b"]
    assert list(found["ts"]) == list(frame["ts"].dt.tz_localize(None))  # which is how the client gives UTC
    assert client.query_df("SELECT sum(n) AS s FROM frame")["s"][0] == 3
    client.close()


def test_sqlalchemy(engine: EngineProcess) -> None:
    """As in Superset: a table is made, filled, found by inspection and asked with bound values."""
    source = sqlalchemy.create_engine(f"clickhousedb://default:@127.0.0.1:{engine.port}/default")
    with source.connect() as connection:
        connection.execute(
            sqlalchemy.text("CREATE TABLE alchemy (n UInt32, name String) ENGINE = MergeTree ORDER BY n")
        )
        connection.execute(sqlalchemy.text("INSERT INTO alchemy VALUES (1, 'a'), (2, 'b')"))
        rows = connection.execute(sqlalchemy.text("SELECT name FROM alchemy WHERE n = :n"), {"n": 2}).fetchall()
        assert [tuple(row) for row in rows] == [("b",)]
        inspector = sqlalchemy.inspect(connection)
        assert "alchemy" in inspector.get_table_names(schema="default")
        assert [column["name"] for column in inspector.get_columns("alchemy", schema="default")] == ["n", "name"]
        connection.execute(sqlalchemy.text("DROP TABLE alchemy"))
    source.dispose()
