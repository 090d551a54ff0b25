"""Builds and runs clickhouse-bulk, the peer of P14, in front of an embedded ClickHouse of its own.

clickhouse-bulk takes INSERTs over HTTP, answers when it has read the body, and sends what it gathered on after 10,000
rows or a second; until then the rows are in its memory only. It is built from source by Go, at a pinned version, into a
temporary folder. It is a tool of this bench alone: nothing else uses it, and no package of Forebay has it.

Not promised: that it can be built. Where Go or the module is missing, NotThere says so, and P14 is not run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from loadtest.bench import children, wrk
from loadtest.bench.ask import POLL_S, BenchError, ask, number, until_answers
from loadtest.bench.config import environment
from loadtest.bench.nginx import free_port
from loadtest.bench.stand import DRAIN_POLL_S, DRAIN_SECONDS, START_SECONDS
from loadtest.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.bench.bodies import Fixed

NAME = "clickhouse-bulk"
MODULE = "github.com/nikepan/clickhouse-bulk"
VERSION = "v1.3.9"
BUILD_SECONDS = 300
# A plain table of what P1's event says: no views, no sessions, no ids.
TABLE = """
CREATE TABLE events (ts DateTime64(3) DEFAULT now64(3), name LowCardinality(String), site LowCardinality(String),
url String, referrer String, title String, language LowCardinality(String), screen Array(UInt16))
ENGINE = MergeTree ORDER BY (site, ts)
"""
COUNT = "SELECT count() FROM events"
INSERT = "INSERT INTO events FORMAT JSONEachRow"


class NotThere(Exception):
    """Reports that there is no clickhouse-bulk to run. Its text says why."""


def built(directory: Path) -> Path:
    """Builds the program into a directory, and returns its path. Raises NotThere."""
    go = shutil.which("go")
    if go is None:
        raise NotThere("Go is not installed, and no --program was named")
    words = [go, "install", f"{MODULE}@{VERSION}"]
    # A toolchain that the module asks for, and that is not there, is a reason not to run; Go would download it.
    settings = environment() | {"GOBIN": str(directory), "GOTOOLCHAIN": "local"}
    try:
        said = subprocess.run(
            words, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, env=settings, cwd=directory
        )
    except subprocess.TimeoutExpired:
        raise NotThere(f"`{' '.join(words[1:])}` was not over after {BUILD_SECONDS} s") from None
    if said.returncode:
        raise NotThere(f"`go {' '.join(words[1:])}` failed: {' '.join(said.stderr.split())[-300:]}")
    return directory / NAME


class Bulk(NamedTuple):
    """Holds a clickhouse-bulk that answers, and the engine behind it."""

    url: str  # where an INSERT of one event goes
    engine_url: str
    pids: dict[str, list[int]]

    def round(self, body: Fixed, seconds: int, core: int) -> tuple[wrk.Run, Processes]:
        """Does a round of wrk, until all that it counted is stored; returns the CPU of both processes until then.

        Raises BenchError if not all is stored in time, or more than was in flight besides.
        """
        before = number(self.engine_url, COUNT)
        usage = Processes(lambda: self.pids)
        usage.look(is_first=True)
        run = wrk.post(self.url, seconds=seconds, core=core, script="fixed.lua", arguments=body.arguments)
        wanted = before + run.requests * body.events
        deadline = time.monotonic() + DRAIN_SECONDS
        while (found := number(self.engine_url, COUNT)) < wanted:
            if time.monotonic() > deadline:
                raise BenchError(f"{NAME} acknowledged {wanted - before:,} events and stored {found - before:,}")
            time.sleep(DRAIN_POLL_S)
        usage.look()
        if found > wanted + wrk.CONNECTIONS * body.events:
            raise BenchError(f"{NAME} acknowledged {wanted - before:,} events and stored {found - before:,}")
        return run, usage


@contextlib.contextmanager
def running(directory: Path, program: Path, *, first: int, second: int) -> Iterator[Bulk]:
    """Runs the program on the first core, and its engine on the second, as Forebay's round has ingest and the rest."""
    home = Path(tempfile.mkdtemp(prefix="bulk-", dir=directory))
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, home, ignore_errors=True)
        held.enter_context(children.on(second))
        engine_port, port = free_port(), free_port()
        engine = [sys.executable, "-m", "forebay.embedded.clickhouse", "--data", str(home / "data")]
        engine += ["--host", "127.0.0.1", "--port", str(engine_port)]
        store = children.start(engine, directory=children.ROOT, log=home / "engine.log", environment=environment())
        held.callback(children.end, store, signal.SIGTERM)
        engine_url = f"http://127.0.0.1:{engine_port}"
        until_answers(f"{engine_url}/ping", 200, seconds=START_SECONDS, alive=lambda: store.poll() is None)
        status, said = ask(engine_url, TABLE.encode())
        if status != 200:
            raise BenchError(f"ClickHouse: {said.decode('utf-8', 'replace')[:300]}")
        path = home / "config.json"
        path.write_text(json.dumps(configuration(port, engine_url, home)), "utf-8")
        with children.on(first):
            words = [str(program), "-config", str(path)]
            server = children.start(words, directory=home, log=home / "log", environment=environment())
        held.callback(children.end, server, signal.SIGTERM)
        url = f"http://127.0.0.1:{port}/?{urlencode({'query': INSERT})}"
        _until_it_listens(port, server)
        yield Bulk(url, engine_url, {NAME: [server.pid], "clickhouse": [store.pid]})


def configuration(port: int, engine_url: str, home: Path) -> dict[str, object]:
    """Returns its sample configuration, on loopback, with our engine and a folder of its own for failed blocks."""
    engine = {"servers": [engine_url], "down_timeout": 60, "connect_timeout": 10}
    gathered = {"flush_count": 10_000, "flush_interval": 1_000, "dump_check_interval": 300, "debug": False}
    return {"listen": f"127.0.0.1:{port}", "dump_dir": str(home / "dumps"), **gathered, "clickhouse": engine}


def _until_it_listens(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(BenchError):  # any answer will do
            ask(f"http://127.0.0.1:{port}/status", timeout_s=2)
            return
        time.sleep(POLL_S)
    raise BenchError(f"{NAME} does not listen")
