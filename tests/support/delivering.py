"""Runs an ingest tier and a flusher as processes on any Redis, under a load that remembers which events were acknowledged.

with delivering(directory, url, engine) as it:
...
it.restart(other_url)
it.stored_once()
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from forebay.clickhouse import ClickHouse
from runtime.listen import listen
from runtime.parent import die_with
from tests.support.ingesting import START_SECONDS, Ingest, asked
from tests.support.waiting import wait_until

SHARDS = 6
CLIENTS = 40  # enough for every shard to have some
PAUSE_SECONDS = 0.02  # between two events of the load
SECONDS = 120.0  # for everything to be stored, on a loaded machine


class Load:
    """Posts events one after the other until it is ended. An event is its path."""

    def __init__(self, port: Path) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0  # answered by a status that is no success
        self.longest = 0.0  # seconds without an acknowledgement, while it posted
        self.with_ids = False
        self._port = port
        self._ending = threading.Event()
        self._posting = threading.Lock()
        self._thread = threading.Thread(target=self._post)
        self._thread.start()

    def _post(self) -> None:
        number = 0
        last = time.monotonic()
        while not self._ending.wait(PAUSE_SECONDS):
            number += 1
            path = f"/{number}"
            event = {"url": f"https://example.com{path}"} | ({"id": path} if self.with_ids else {})
            body = json.dumps(event).encode()
            with self._posting:
                port = self._port.read_text() if self._port.exists() else "1"
                status, _ = asked(f"http://127.0.0.1:{port}/f", body, f"192.0.2.{number % CLIENTS}")
            if status // 100 == 2:
                self.acknowledged.append(path)
                self.longest, last = max(self.longest, time.monotonic() - last), time.monotonic()
            elif status:
                self.refused += 1

    def more(self, events: int) -> None:
        """Returns when so many more were acknowledged."""
        enough = len(self.acknowledged) + events
        wait_until(lambda: len(self.acknowledged) >= enough, SECONDS)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Posts nothing inside the block, and waits for what is on its way before it."""
        with self._posting:
            yield

    def end(self) -> None:
        self._ending.set()
        self._thread.join()


class Delivering:
    """Holds the processes, and the load."""

    def __init__(self, directory: Path, clickhouse: ClickHouse, clickhouse_url: str, settings: dict[str, str]) -> None:
        self.clickhouse = clickhouse
        self._directory = directory
        self._port = directory / "port"
        sockets, self._flusher_port = listen("127.0.0.1", 0)
        for one in sockets:
            one.close()
        self._settings = {
            "host": "127.0.0.1", "port": "0", "internal_port": "0", "flusher_internal_port": str(self._flusher_port), "shards": str(SHARDS),
            "sites": "*", "trusted_proxies": "127.0.0.1", "spool_dir": str(directory / "spool"), "lease_ttl_ms": "3000",
            "clickhouse_url": clickhouse_url, **settings,
        }  # fmt: skip
        self._processes: list[subprocess.Popen[bytes]] = []
        self.load = Load(self._port)

    @property
    def said(self) -> str:
        """Returns what all processes logged."""
        return "".join(file.read_text() for file in sorted(self._directory.glob("*.log")))

    def start(self, redis_url: str) -> None:
        """Starts both processes on this Redis, and returns once events are taken."""
        self._settings["redis_url"] = redis_url
        environment = {f"FOREBAY_{name.upper()}": value for name, value in self._settings.items()}
        generation = len(list(self._directory.glob("*.log")))
        for tier in ("ingest", "flusher"):
            with (self._directory / f"{generation}-{tier}.log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", tier], env={**os.environ, **environment}, stdout=log, stderr=log,
                    preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  no thread forks
                )  # fmt: skip
            self._processes.append(process)
        (self._directory / "ingest.log").unlink(missing_ok=True)
        (self._directory / "ingest.log").symlink_to(self._directory / f"{generation}-ingest.log")
        ingest = Ingest(self._directory, self._processes[0])
        port = ingest.port("port")
        wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
        self._port.write_text(port)
        self.ingest = ingest

    def stop(self) -> None:
        """Ends both processes in good order."""
        self._port.unlink(missing_ok=True)
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(60)
        self._processes.clear()

    def restart(self, redis_url: str) -> None:
        """Ends both, and starts them on this Redis."""
        self.stop()
        self.start(redis_url)

    def flusher_metrics(self) -> str:
        return asked(f"http://127.0.0.1:{self._flusher_port}/metrics")[1]

    def stored(self) -> Counter[str]:
        """Returns how often ClickHouse holds each event."""
        return Counter(self.clickhouse.run("SELECT path FROM forebay.events").split())

    def twice(self) -> dict[str, int]:
        """Returns the events that ClickHouse holds more than once."""
        return {path: count for path, count in self.stored().items() if count > 1}

    def stored_once(self) -> None:
        """Waits until every acknowledged event is stored, and fails if one is stored twice."""
        wanted = set(self.load.acknowledged)
        try:
            wait_until(lambda: wanted <= self.stored().keys(), SECONDS)
        except AssertionError:
            missing = sorted(wanted - self.stored().keys())
            raise AssertionError(f"{len(missing)} of {len(wanted)} lost: {missing[:5]}\n{self.said[-4000:]}") from None
        twice = self.twice()
        assert not twice, f"{len(twice)} of {len(wanted)} stored twice: {twice}\n{self.said[-4000:]}"


@contextmanager
def delivering(directory: Path, clickhouse: ClickHouse, clickhouse_url: str, **settings: str) -> Iterator[Delivering]:
    """Yields an installation that is not started yet, and ends what of it runs. Its load waits for its start."""
    directory.mkdir()
    it = Delivering(directory, clickhouse, clickhouse_url, settings)
    try:
        yield it
    finally:
        it.load.end()
        it.stop()
