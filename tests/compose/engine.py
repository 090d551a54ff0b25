"""Runs a container engine of our own inside the namespaces: dockerd on a directory, and the programs that ask it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import orjson

from tests.compose.checks import Failed, run
from tests.support.waiting import wait_until

# Those of Debian's docker.io: another docker on PATH may speak a version that its engine does not know.
DOCKER = "/usr/bin/docker"
DOCKERD = "/usr/sbin/dockerd"
START_SECONDS = 60
STOP_SECONDS = 60


class Engine:
    """Runs dockerd. Call `close`, whatever happened."""

    def __init__(self, directory: Path, *, control_group: str) -> None:
        self._socket = directory / "docker.sock"
        self.environment = {
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_BUILDKIT": "0",  # Debian's docker.io comes without it
            "HOME": str(directory),
            "PATH": f"/usr/bin:/usr/sbin:/bin:/sbin:{os.environ.get('PATH', '')}",  # DOCKER first, for docker-compose
        }
        self._log = directory / "dockerd.log"
        words = [DOCKERD, "--data-root", directory / "data", "--exec-root", directory / "exec"]
        words += ["--pidfile", directory / "dockerd.pid", "--host", self.environment["DOCKER_HOST"]]
        words += ["--cgroup-parent", f"/{control_group}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(list(map(str, words)), env=self.environment, stdout=log, stderr=log)
        wait_until(self._answers, START_SECONDS)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise Failed("dockerd has ended:\n" + "\n".join(self._log.read_text("utf-8").splitlines()[-5:]))
        try:
            self.docker("version", seconds=10)
        except Failed:
            return False
        return True

    def docker(self, *words: str | Path, seconds: float = 60, given: str | None = None) -> str:
        """Returns what `docker` prints. Raises Failed."""
        return run(DOCKER, *words, seconds=seconds, environment=self.environment, given=given)

    def copy(self, archive: bytes, target: str) -> None:
        """Unpacks a tar archive into a container's directory, CONTAINER:PATH."""
        words = (DOCKER, "cp", "-", target)
        done = subprocess.run(words, input=archive, env=self.environment, capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise Failed(done.stderr.decode().strip())

    def inspect(self, name: str) -> dict[str, Any]:
        """Returns what the engine knows of a container, an image or a network."""
        found: list[dict[str, Any]] = orjson.loads(self.docker("inspect", name))
        return found[0]

    def has_image(self, name: str) -> bool:
        return bool(self.docker("images", "--quiet", name).strip())

    def close(self) -> None:
        """Ends dockerd, and with it every container."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
