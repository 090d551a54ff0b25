"""Runs a whole `forebay up` in a directory of its own, on free ports, for tests from outside."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from forebay.embedded import redis, sockets
from tests.support.fresh import ready_tables
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
# A busy machine with two cores: a start takes 3 s there, and a deadline costs nothing where it isn't reached.
SECONDS = 120.0
SOCKETS = ("flusher.sock", "reader.sock")  # of the engine
# The headers with which a person's Chrome sends an event of a page.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept": "*/*",
    "Accept-Language": "de",
    "Content-Type": "application/json",
    "Sec-Fetch-Site": "cross-site",
}


class System:
    """Holds one data directory, and the `forebay up` that runs on it, if one does.

    A new directory has its tables already, unless `has_tables` is false: making them takes 1.3 s of CPU.
    """

    has_tables = True

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        self.data = directory / "data"
        self.log = directory / "up.log"
        self._ready = directory / "ready.json"
        self._options = options
        self._environment = environment
        self._ports = {"port": "0", "internal-port": "0", "clickhouse-port": "0", "dashboard-port": "0"}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: tuple[int, Client] | None = None  # behind the pid of the engine that it asks
        self._connecting = threading.Lock()

    def start(self) -> None:
        """Starts `forebay up`. `ready` tells when it answers."""
        if self.has_tables and not self.data.exists():
            shutil.copytree(ready_tables(), self.data, symlinks=True)
        self._ready.unlink(missing_ok=True)
        words = [word for name, port in self._ports.items() for word in (f"--{name}", port)]
        words += ["--data", str(self.data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "forebay", "up", *words, "--ready-file", str(self._ready), *self._options],
                cwd=ROOT,
                env={**os.environ, "FOREBAY_LOG_FORMAT": "json", **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def ready(self) -> dict[str, Any]:
        """Waits until everything answers, and returns the run file. From now on a start takes the same ports."""
        await self.until(self._ready.exists)
        facts = self.facts()
        for name, key in (
            ("port", "url"),
            ("internal-port", "internal_url"),
            ("clickhouse-port", "clickhouse_url"),
            ("dashboard-port", "dashboard_url"),
        ):
            self._ports[name] = facts[key].rpartition(":")[2]
        return facts

    def facts(self) -> dict[str, Any]:
        """Returns URLs and pids as they are now."""
        found: dict[str, Any] = json.loads(self._ready.read_text())
        return found

    def pids(self) -> dict[str, int]:
        """Returns every process by a name: redis, clickhouse, dashboard, ingest 0, ingest tier, flusher 0, up."""
        assert self._process is not None
        named = {"up": self._process.pid}
        for tier, found in self.facts()["pids"].items():
            if isinstance(found, list):
                named |= {f"{tier} {at}": pid for at, pid in enumerate(found)}
            else:
                named[tier] = found
        named["ingest tier"] = parent_of(named["ingest 0"])
        return named

    def pid(self) -> int | None:
        """Returns the pid of `forebay up`; None before its first start."""
        return self._process.pid if self._process is not None else None

    def is_running(self) -> bool:
        """Tells whether `forebay up` runs. It is reaped if it doesn't."""
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        """Tells whether everything has answered since the last start."""
        return self.is_running() and self._ready.exists()

    def has_ready_file(self) -> bool:
        """Tells whether the ready file is there, which goes with `forebay up` that ends in order."""
        return self._ready.exists()

    def signal(self, number: signal.Signals) -> None:
        """Sends `forebay up` itself a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Waits until `forebay up` ends. Returns its exit status."""
        process = self._process
        assert process is not None
        await self.until(lambda: process.poll() is not None)
        self._process = None
        return process.wait()

    async def stop(self) -> int:
        """Stops `forebay up` in order. Returns its exit status."""
        self.signal(signal.SIGINT)
        return await self.ended()

    def kill(self) -> None:
        """Kills `forebay up` if it runs."""
        self._forget_client()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Kills `forebay up` if it runs, and removes the sockets that a killed one leaves outside its directory."""
        self.kill()
        for name in SOCKETS:
            sockets.forget(sockets.private_path(self.data / "clickhouse", name))
        sockets.forget(redis.socket_path(self.data / "redis"))

    def metric(self, name: str) -> float:
        """Returns a metric of the flusher, summed over its labels."""
        with urllib.request.urlopen(f"{self.facts()['flusher_internal_url']}/metrics", timeout=60) as said:
            lines = said.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    async def checked_off(self, count: int) -> None:
        """Returns as soon as the flusher that runs has checked off so many events since it was started.

        An event can be asked for a moment earlier: its block is then stored, but not yet noted as stored.
        """
        await self.until(lambda: self.metric("forebay_events_stored_total") >= count)

    async def until(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        """Returns as soon as the condition holds; a failure ends with what the system logged last."""
        await until(condition, seconds, more=lambda: f"; the log ends:\n{self.tail()}")

    def tail(self) -> str:
        """Returns the last lines of the log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-30:])

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a SELECT through clickhouse-connect."""
        return await asyncio.to_thread(self._ask, sql)

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._connected().query(sql).result_rows]

    def _connected(self) -> Client:
        """Returns a client of the engine that runs now: making one costs three times as much CPU as asking a question."""
        facts = self.facts()
        engine = facts["pids"]["clickhouse"]
        with self._connecting:
            if self._client is None or self._client[0] != engine:
                self._forget_client()
                port = int(facts["clickhouse_url"].rpartition(":")[2])
                client = clickhouse_connect.get_client(host="127.0.0.1", port=port, autogenerate_session_id=False)
                self._client = engine, client
            return self._client[1]

    def _forget_client(self) -> None:
        if self._client is not None:
            self._client[1].close()
            self._client = None

    def send(self, sql: str) -> None:
        """Sends a statement that has no answer. Raises what clickhouse-connect raises, and OSError."""
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=int(self.facts()["clickhouse_url"].rpartition(":")[2]), send_receive_timeout=10
        )
        try:
            client.command(sql)
        finally:
            client.close()

    async def stored(self, where: str, count: int) -> None:
        """Returns as soon as so many events match."""
        found = 0

        async def are_stored() -> bool:
            nonlocal found
            ((found,),) = await self.ask(f"SELECT count() FROM forebay.events WHERE {where}")
            return int(found) >= count

        def so_far() -> str:
            return f": {found} of {count} events are stored; the log ends:\n{self.tail()}"

        await until(are_stored, SECONDS, more=so_far)


class NewSystem(System):
    """Begins with nothing, as a first `forebay up` does."""

    has_tables = False


@asynccontextmanager
async def running(directory: Path, *options: str, **environment: str) -> AsyncIterator[System]:
    """Runs a system inside the block. It is ended whatever happens."""
    async with started(System(directory, *options, **environment)) as system:
        yield system


@asynccontextmanager
async def started(system: System) -> AsyncIterator[System]:
    """Runs this system inside the block. It is ended whatever happens."""
    system.start()
    try:
        await system.ready()
        yield system
    finally:
        system.close()


def parent_of(pid: int) -> int:
    """Returns the pid of the process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    """Tells whether a process runs. A zombie does not."""
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False
