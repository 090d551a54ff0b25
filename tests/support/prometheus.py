"""Finds Prometheus and promtool, which the machine has or `make test` has unpacked, and runs a Prometheus on a configuration."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.redis_cluster import free_ports
from tests.support.unpacked import unpacked
from tests.support.waiting import wait_until

START_SECONDS_MAX = 120.0


def program(name: str) -> str:
    """Returns the path of `prometheus` or `promtool`."""
    return unpacked(name, "prometheus-debian", "prometheus-debian/usr/bin")


class Prometheus:
    """Asks a Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **asked: str) -> Any:
        """Returns the data of an answer of its API."""
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urlencode(asked)}", timeout=60) as answer:
            said = json.loads(answer.read())
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Returns the labels and the value of each series of an expression now. Fails with its error for one that is none."""
        try:
            found = self.get("query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            with error:
                pytest.fail(f"{expression}: {error.read().decode()}")
        return [(one["metric"], float(one["value"][1])) for one in found]

    def is_ready(self) -> bool:
        """Tells whether it answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def running(configuration: Path, directory: Path) -> Iterator[Prometheus]:
    """Runs a Prometheus with this configuration inside the block."""
    (port,) = free_ports(1)
    words = [
        program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory.parent / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        server = Prometheus(port)
        wait_until(server.is_ready, seconds=START_SECONDS_MAX)
        yield server
    finally:
        process.terminate()
        process.wait()
