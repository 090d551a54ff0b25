"""Walks through docker-compose.yml as deploy/README.md brings it up: every service except Grafana, on the stand-ins."""

from __future__ import annotations

import resource
import secrets
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.compose.checks import Checks, Failed, failing, run
from tests.compose.engine import Engine
from tests.compose.images import outside
from tests.compose.load import post, posting, shortfall
from tests.compose.looking import watched
from tests.support.posting import Posted
from tests.support.waiting import wait_until

PROJECT = "forebay"
LEFT_OUT = "grafana"  # nothing here could stand in for it
SITE = "posting.example"  # of tests.support.posting
INGEST = "http://127.0.0.1:8000"
EVENTS = 50
HEALTHY_SECONDS = 180
STORED_SECONDS = 60
SCRAPED_SECONDS = 90  # intervals of 15 s, for the names and for the figures


class Stack:
    """Holds the composition, brought up by the words of deploy/README.md."""

    def __init__(self, engine: Engine, checkout: Path, directory: Path) -> None:
        self._engine = engine
        self.checkout = checkout
        self.file: dict[str, Any] = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))
        self.services = sorted(set(self.file["services"]) - {LEFT_OUT})
        secret = [f"{name}=" + secrets.token_hex(24) for name in _SECRETS]
        (directory / "env").write_text("\n".join(secret) + "\n", "ascii")
        self.lowered = lowered_limits(self.file)
        (directory / "limits.yml").write_text(yaml.safe_dump({"services": self.lowered}), "utf-8")
        self._words: list[str | Path] = ["docker-compose", "--project-name", PROJECT]
        self._words += ["--project-directory", checkout, "--env-file", directory / "env"]
        self._words += ["--file", checkout / "docker-compose.yml"]
        self._words += ["--file", directory / "limits.yml"] if self.lowered else []

    def compose(self, *words: str, seconds: float = 120) -> str:
        """Returns what `docker compose WORDS` prints. Raises Failed."""
        return run(*self._words, *words, seconds=seconds, environment=self._engine.environment)

    def up(self) -> None:
        """Brings every service up. Raises Failed with the last lines that they logged."""
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


def lowered_limits(file: dict[str, Any]) -> dict[str, Any]:
    """Returns the services whose limits are above what this machine may give, with limits that it may give.

    Nothing else of docker-compose.yml is overridden.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = {}
    for name, service in file["services"].items():
        wanted = service.get("ulimits", {}).get("nofile", {})
        if most != resource.RLIM_INFINITY and max(wanted.values(), default=0) > most:
            found[name] = {"ulimits": {"nofile": {kind: min(value, most) for kind, value in wanted.items()}}}
    return found


def walk(checks: Checks, stack: Stack) -> None:
    """Brings it up, uses it, disturbs it, takes it down."""
    with checks.check("compose: every service comes up healthy, migrate ends with 0", is_needed=True) as figures:
        stack.up()
        stack.wait_healthy()
        figures.append(", ".join(stack.services))
    _closed_in(checks, stack)
    _events(checks, stack)
    watched(checks, stack, SITE)
    _metrics(checks, stack)
    _disturbed(checks, stack)
    with checks.check("compose: the books balance after all that: forebay audit"):
        stack.inside("flusher", "forebay", "audit")
    with checks.check("compose: ingest and flusher stop in order, within their time"):
        stack.compose("stop", seconds=180)
        codes = {name: stack.state(name)["State"]["ExitCode"] for name in ("ingest", "flusher")}
        assert codes == {"ingest": 0, "flusher": 0}, codes


def _closed_in(checks: Checks, stack: Stack) -> None:
    with checks.check("compose: ingest and the dashboard are published on loopback, and nothing else is"):
        published = {
            (name, port["HostIp"], port["HostPort"])
            for name in stack.services
            if name != "migrate"
            for ports in stack.state(name)["NetworkSettings"]["Ports"].values()
            for port in ports or []
        }
        assert published == {("ingest", "127.0.0.1", "8000"), ("dashboard", "127.0.0.1", "8003")}, published
    with checks.check("compose: nobody but ingest and the dashboard reaches the outside"):
        host, port = outside()
        connect = f"import socket; socket.create_connection(('{host}', {port}), 4)"  # the stand-ins all have Python
        for service in ("ingest", "dashboard"):
            stack.inside(service, "python3", "-c", connect)
        for service in sorted(set(stack.services) - {"ingest", "dashboard", "migrate"}):
            with failing(r"TimeoutError|unreachable"):
                stack.inside(service, "python3", "-c", connect)
    with checks.check("compose: the processes are user 10001 without capabilities, on a file system that is read-only"):
        for service in ("ingest", "flusher", "dashboard"):
            status = stack.inside(service, "cat", "/proc/1/status")
            assert "CapEff:\t0000000000000000" in status
            assert stack.inside(service, "id", "-u").strip() == "10001"
            assert stack.state(service)["HostConfig"]["ReadonlyRootfs"]


def _events(checks: Checks, stack: Stack) -> None:
    with checks.check("compose: forebay site add, and its snippet", is_needed=True):
        said = stack.inside("ingest", "forebay", "site", "add", SITE)
        assert f"{INGEST}/f.js" in said, said
        assert SITE in stack.inside("ingest", "forebay", "site", "list")
    posted = Posted(INGEST, "first")
    with checks.check(
        f"compose: {EVENTS} events through the published port are stored once", is_needed=True
    ) as figures:
        wait_until(lambda: _is_taken(posted), 30)  # workers look for new sites every few seconds
        post(posted, EVENTS)
        assert len(posted.acknowledged) >= EVENTS, posted.statuses
        stack.assert_stored(posted)
        figures.append(f"{len(posted.acknowledged)} of {len(posted.acknowledged)}")
    with checks.check("compose: the books balance: forebay audit"):
        stack.inside("flusher", "forebay", "audit")


def _is_taken(posted: Posted) -> bool:
    post(posted, 1)
    return bool(posted.acknowledged)


def _has_taken(posted: Posted, count: int) -> bool:
    return len(posted.acknowledged) > count


def _metrics(checks: Checks, stack: Stack) -> None:
    def active() -> list[dict[str, Any]]:
        answer = orjson.loads(stack.get("http://127.0.0.1:9090/api/v1/targets"))
        found: list[dict[str, Any]] = answer["data"]["activeTargets"]
        return found

    def up() -> dict[str, str]:
        return {one["labels"]["job"]: one["health"] for one in active()}

    with checks.check("compose: both of Prometheus's targets are up, by address"):
        wait_until(lambda: up() == {"forebay-ingest": "up", "forebay-flusher": "up"}, SCRAPED_SECONDS)
    with checks.check("compose: Prometheus has every rule, and each can be evaluated"):
        text = (stack.checkout / "deploy/prometheus/alerts.yml").read_text("utf-8")
        written = {rule["alert"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}

        def rules() -> dict[str, str]:
            groups = orjson.loads(stack.get("http://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
            return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

        wait_until(lambda: rules() == dict.fromkeys(written, "ok"), SCRAPED_SECONDS)
    with checks.check("compose: Prometheus counts the events as stored"):
        query = "http://127.0.0.1:9090/api/v1/query?query=sum(forebay_events_stored_total)"

        def stored() -> float:
            result = orjson.loads(stack.get(query))["data"]["result"]
            return float(result[0]["value"][1]) if result else 0

        wait_until(lambda: stored() >= EVENTS, SCRAPED_SECONDS)
    with checks.check("compose: the image has Debian's ranges of countries"):
        assert 'forebay_country_source{source="tor-geoipdb"} 1.0' in stack.get("http://ingest:8001/metrics")
    with checks.check("compose: internal ports answer to their service's name, and to no other"):
        for service, port in (("ingest", 8001), ("flusher", 8002)):
            assert "forebay_build_info" in stack.get(f"http://{service}:{port}/metrics")
            with failing("exit status 8"):  # wget's, for the answer 403
                stack.get(f"http://{service}:{port}/metrics", host="evil.example")


def _disturbed(checks: Checks, stack: Stack) -> None:
    for name, what in (
        ("redis is restarted", ("restart", "redis")),
        ("ingest is recreated", ("up", "--detach", "--force-recreate", "--no-deps", "ingest")),
        ("the flusher is recreated", ("up", "--detach", "--force-recreate", "--no-deps", "flusher")),
        ("clickhouse is restarted", ("restart", "clickhouse")),
    ):
        with checks.check(f"compose: {name} under load, and every acknowledged event is stored once") as figures:
            posted = Posted(INGEST, what[-1])
            with posting(posted):
                wait_until(partial(_has_taken, posted, EVENTS), 60)
                stack.compose(*what, seconds=180)
                stack.wait_healthy("redis", "clickhouse", "ingest", "flusher")
                wait_until(partial(_has_taken, posted, len(posted.acknowledged) + EVENTS), 60)
            stack.assert_stored(posted)
            figures.append(f"{len(posted.acknowledged)} acknowledged, {len(posted.unclear)} not")
