"""Runs the embedded ClickHouse as a real process on a free port, and makes ordinary clients for it."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlencode

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from forebay.clickhouse import ClickHouse

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 120.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class EngineProcess:
    """Runs `python -m forebay.embedded.clickhouse` once. It is ready when it is constructed."""

    command: Sequence[str] = (sys.executable, "-m", "forebay.embedded.clickhouse")

    def __init__(
        self,
        data: Path,
        *options: str,
        settings: Mapping[str, str] | None = None,
        errors: IO[str] | int = subprocess.PIPE,
    ) -> None:
        started = time.monotonic()
        self.process = subprocess.Popen(
            [*self.command, "--data", str(data), "--port", "0", *options],
            cwd=Path(__file__).parents[2],
            env=os.environ | {f"FOREBAY_{name.upper()}": value for name, value in (settings or {}).items()},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r":(\d+)$", line.strip())
        if match is None:
            _, said = self.process.communicate(timeout=START_SECONDS_MAX)
            raise RuntimeError(f"no start: {line!r} {said}")
        self.port = int(match.group(1))
        assert self.request("GET", "/ping").body == b"Ok.\n"
        self.start_seconds = time.monotonic() - started
        self.made = ""  # how our tables look when a migration just made them (fresh.py)

    @property
    def tools(self) -> ClickHouse:
        """Returns the client that our own commands use."""
        return ClickHouse(f"http://127.0.0.1:{self.port}")

    def client(self, **options: object) -> Client:
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)  # type: ignore[arg-type]  # passed on as given

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """Sends one request as curl would, with nothing added but Host."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def sql(self, sql: str, **fields: str) -> Answer:
        """Posts a statement, with fields in the URL."""
        return self.request("POST", f"/?{urlencode(fields)}", sql.encode())

    def stop(self) -> int:
        """Stops the process by SIGTERM. Returns its exit code."""
        self.process.terminate()
        return self._ended()

    def kill(self) -> None:
        """Kills the process by SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self._ended()

    def close(self) -> None:
        """Ends the process, whatever its state."""
        if self.process.poll() is None:
            self.kill()
        self._ended()

    def _ended(self) -> int:
        code = self.process.wait(STOP_SECONDS_MAX)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code
