"""Runs a real ingest tier on the Redis of a directory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

from runtime.parent import die_with
from tests.support.redis_programs import socket_of
from tests.support.waiting import wait_until

START_SECONDS = 60  # a busy machine; a start takes one


class Ingest:
    """Holds a tier of one shard on free ports."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._log = directory / "ingest.log"

    @property
    def said(self) -> str:
        return self._log.read_text()

    def port(self, name: str) -> str:
        """Returns the number behind `port` or `internal port`, once it is said."""
        wait_until(lambda: "listening on port" in self.said or self.process.poll() is not None, START_SECONDS)
        found = re.search(r"listening on port (\d+), internal port (\d+)", self.said)
        assert found, self.said
        return found[1 if name == "port" else 2]

    def status(self, path: str) -> int:
        """Returns the status of the internal port's answer."""
        return asked(f"http://127.0.0.1:{self.port('internal port')}{path}")[0]

    def metrics(self) -> str:
        return asked(f"http://127.0.0.1:{self.port('internal port')}/metrics")[1]

    def pids(self) -> list[int]:
        """Returns the pids of the workers that run now."""
        text = asked(f"http://127.0.0.1:{self.port('internal port')}/workers")[1]
        return json.loads(text)["workers"] if text else []

    def post(self, name: str, client: str = "") -> int:
        """Returns the status of an event's answer. The event comes from that client, if it has a trusted proxy."""
        body = json.dumps({"url": "https://example.com/", "name": name}).encode()
        return asked(f"http://127.0.0.1:{self.port('port')}/f", body, client)[0]


def killed_worker_is_replaced(ingest: Ingest) -> None:
    """Kills the only worker, and waits until another one takes events."""
    [dead] = ingest.pids()
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: ingest.pids() not in ([], [dead]) and ingest.status("/readyz") == 200, START_SECONDS)


def asked(url: str, body: bytes | None = None, client: str = "") -> tuple[int, str]:
    """Returns status and body; 0 when nobody answers."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    if client:
        request.add_header("x-forwarded-for", client)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@contextmanager
def ingesting(directory: Path, under: Mapping[str, str] = MappingProxyType({}), /, **settings: str) -> Iterator[Ingest]:
    """Yields a tier on the Redis of this directory, and ends it. `under` are variables of its environment."""
    wanted = {
        "redis_url": f"unix://{socket_of(directory)}",
        "host": "127.0.0.1",
        "port": "0",
        "internal_port": "0",
        "shards": "1",
        "sites": "*",
    }
    environment = {f"FOREBAY_{name.upper()}": value for name, value in (wanted | settings).items()}
    with (directory / "ingest.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest"],
            env={**os.environ, **under, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  no threads yet
        )
    try:
        yield Ingest(directory, process)
    finally:
        process.terminate()
        process.wait(30)
