"""Runs compositions as deploy/README.md brings them up: docker-compose.yml, alone or with an overlay, on the stand-ins.

Every service runs except Grafana.
"""

from __future__ import annotations

import resource
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.compose.checks import Failed, run
from tests.compose.engine import Engine
from tests.compose.load import shortfall
from tests.support.posting import Posted
from tests.support.waiting import wait_until

PROJECT = "forebay"
LEFT_OUT = "grafana"  # nothing here could stand in for it
SITE = "posting.example"  # of tests.support.posting
HEALTHY_SECONDS = 180
STORED_SECONDS = 60


class Stack:
    """Holds a composition, brought up by the words of deploy/README.md. `name` is what checks of it are called by."""

    def __init__(
        self, engine: Engine, checkout: Path, directory: Path, *, name: str, overlays: Iterable[str] = ()
    ) -> None:
        self._engine = engine
        self.checkout = checkout
        self.directory = directory
        self.name = name
        self._files: list[str | Path] = [checkout / file for file in ("docker-compose.yml", *overlays)]
        services = _services_of(self._files)
        self.services = sorted(set(services) - {LEFT_OUT})
        secret = [f"{name}=" + secrets.token_hex(24) for name in _SECRETS]
        (directory / "env").write_text("\n".join(secret) + "\n", "ascii")
        self.lowered = lowered_limits(services)
        if self.lowered:
            self._files.append(directory / "limits.yml")
            (directory / "limits.yml").write_text(yaml.safe_dump({"services": self.lowered}), "utf-8")
        self._words: list[str | Path] = ["docker-compose", "--project-name", PROJECT]
        self._words += ["--project-directory", checkout, "--env-file", directory / "env"]

    def give_key(self, text: str) -> None:
        """Writes down a key that Prometheus shows to the dashboard, for the overlay."""
        file = self.directory / "prometheus.key"
        file.write_text(text, "ascii")
        with (self.directory / "env").open("a", encoding="ascii") as env:
            env.write(f"PROMETHEUS_KEY_FILE={file}\n")

    def lay_over(self, overlay: str) -> None:
        """Adds a file to those that each command names from now on."""
        self._files.append(self.checkout / overlay)

    def compose(self, *words: str, seconds: float = 120) -> str:
        """Returns what `docker compose WORDS` prints. Raises Failed."""
        files = [word for file in self._files for word in ("--file", file)]
        return run(*self._words, *files, *words, seconds=seconds, environment=self._engine.environment)

    def up(self) -> None:
        """Brings every service up, or what of it changed. Raises Failed with the last lines that they logged."""
        try:
            self.compose("up", "--detach", *self.services, seconds=HEALTHY_SECONDS)
        except Failed as error:
            raise Failed(f"{error}\n{self.compose('logs', '--no-color', '--tail', '8')}") from error

    def inside(self, service: str, *words: str, seconds: float = 60) -> str:
        """Returns what a command in a service's container prints. Raises Failed."""
        return self.compose("exec", "-T", service, *words, seconds=seconds)

    def state(self, service: str) -> dict[str, Any]:
        """Returns what the engine knows of the service's container."""
        return self._engine.inspect(self.compose("ps", "--quiet", service).strip())

    def kill(self, service: str) -> None:
        """Kills a service's container with `docker kill`, after which nothing starts it by itself."""
        self._engine.docker("kill", self.compose("ps", "--quiet", service).strip())

    def is_healthy(self, service: str) -> bool:
        state = self.state(service)["State"]
        if "Health" not in state:
            return bool(state["Status"] == "exited" and state["ExitCode"] == 0)
        return bool(state["Health"]["Status"] == "healthy")

    def wait_healthy(self, *services: str) -> None:
        """Waits until these services are healthy. Raises with the last lines of the first that is not."""
        for service in services or self.services:
            try:
                wait_until(partial(self.is_healthy, service), HEALTHY_SECONDS)
            except AssertionError as error:
                raise Failed(f"{service} is not healthy: {self.compose('logs', '--tail', '8', service)}") from error

    def stored(self) -> list[str]:
        """Returns the ids of all stored events."""
        answer = self.inside("flusher", "forebay", "query", "--format", "TabSeparated", _IDS)
        return answer.split()

    def assert_stored(self, posted: Posted) -> None:
        """Checks that every acknowledged event is stored once, soon."""
        said = [""]

        def is_whole() -> bool:
            said[0] = shortfall(posted, self.stored())
            return not said[0]

        try:
            wait_until(is_whole, STORED_SECONDS)
        except AssertionError as error:
            raise AssertionError(said[0]) from error

    def get(self, url: str, *, host: str = "") -> str:
        """Returns what Prometheus's container reads at a URL."""
        header = ("--header", f"Host: {host}") if host else ()
        return self.inside("prometheus", "wget", "--quiet", "--output-document=-", *header, url)


_IDS = f"SELECT event_id FROM forebay.events WHERE site = '{SITE}'"
_SECRETS = (
    "CLICKHOUSE_MIGRATE_PASSWORD",
    "CLICKHOUSE_FLUSHER_PASSWORD",
    "CLICKHOUSE_DASHBOARD_PASSWORD",
    "GRAFANA_PASSWORD",
)


def _services_of(files: Iterable[str | Path]) -> dict[str, Any]:
    """Returns what files say of each service, the later ones over the earlier."""
    found: dict[str, Any] = {}
    for file in files:
        for name, service in yaml.safe_load(Path(file).read_text("utf-8"))["services"].items():
            found[name] = found.get(name, {}) | service
    return found


def lowered_limits(services: dict[str, Any]) -> dict[str, Any]:
    """Returns the services whose limits are above what this machine may give, with limits that it may give.

    Nothing else of the files is overridden.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = {}
    for name, service in services.items():
        wanted = service.get("ulimits", {}).get("nofile", {})
        if most != resource.RLIM_INFINITY and max(wanted.values(), default=0) > most:
            found[name] = {"ulimits": {"nofile": {kind: min(value, most) for kind, value in wanted.items()}}}
    return found
