"""Walks through docker-compose.yml: who reaches what, events, the dashboard, metrics and alerts, restarts under load."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import yaml

from tests.compose.checks import Checks, failing
from tests.compose.images import outside
from tests.compose.looking import guessing, watched
from tests.compose.stack import SITE, Stack
from tests.compose.steps import EVENTS, comes_up, disturbed, ends_in_order, takes_events
from tests.support.waiting import wait_until

PROMETHEUS = "http://127.0.0.1:9090/api/v1"
SCRAPED_SECONDS = 90  # intervals of 15 s, for the names and for the figures
KEY = ("forebay", "key", "add", "--site", "*", "--scope", "read", "--name", "Prometheus")


def walk(checks: Checks, stack: Stack) -> None:
    """Brings it up, uses it, disturbs it, stops it."""
    comes_up(checks, stack)
    _closed_in(checks, stack)
    takes_events(checks, stack)
    watched(checks, stack, SITE)
    _metrics(checks, stack)
    _metrics_of_the_dashboard(checks, stack)
    _disturbed(checks, stack)
    ends_in_order(checks, stack)


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


def _metrics(checks: Checks, stack: Stack) -> None:
    with checks.check("compose: both of Prometheus's targets are up, by address"):
        wanted = {"forebay-ingest": "up", "forebay-flusher": "up"}
        wait_until(lambda: _targets(stack) == wanted, SCRAPED_SECONDS)
    with checks.check("compose: Prometheus has every rule, and each can be evaluated"):
        text = (stack.checkout / "deploy/prometheus/alerts.yml").read_text("utf-8")
        written = {rule["alert"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}

        def rules() -> dict[str, str]:
            groups = _asked(stack, "rules")["groups"]
            return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

        wait_until(lambda: rules() == dict.fromkeys(written, "ok"), SCRAPED_SECONDS)
    with checks.check("compose: Prometheus counts the events as stored"):
        wait_until(lambda: _counted(stack, "sum(forebay_events_stored_total)") >= EVENTS, SCRAPED_SECONDS)
    with checks.check("compose: the image has Debian's ranges of countries"):
        assert 'forebay_country_source{source="tor-geoipdb"} 1.0' in stack.get("http://ingest:8001/metrics")
    with checks.check("compose: internal ports answer to their service's name, and to no other"):
        for service, port in (("ingest", 8001), ("flusher", 8002)):
            assert "forebay_build_info" in stack.get(f"http://{service}:{port}/metrics")
            with failing("exit status 8"):  # wget's, for the answer 403
                stack.get(f"http://{service}:{port}/metrics", host="evil.example")


def _metrics_of_the_dashboard(checks: Checks, stack: Stack) -> None:
    """Lays the overlay over the composition that runs, as deploy/README.md says."""
    with checks.check("compose: with a key and its overlay, Prometheus scrapes the dashboard"):
        stack.give_key(stack.inside("dashboard", *KEY))
        stack.lay_over("deploy/dashboard-metrics.yml")
        stack.up()
        stack.wait_healthy()
        wait_until(lambda: _targets(stack).get("forebay-dashboard") == "up", SCRAPED_SECONDS)
        assert _counted(stack, 'sum(forebay_dashboard_logins_total{fate="in"})') == 1
    with checks.check("compose: that somebody guesses a password raises an alert") as figures:
        figures.append(f"{guessing()} attempts")
        alert = 'count(ALERTS{alertname="ForebayPasswordsGuessed", alertstate="firing"})'
        wait_until(lambda: _counted(stack, alert) == 1, SCRAPED_SECONDS)


def _asked(stack: Stack, path: str) -> Any:
    """Returns the data of an answer of Prometheus."""
    return orjson.loads(stack.get(f"{PROMETHEUS}/{path}"))["data"]


def _targets(stack: Stack) -> dict[str, str]:
    """Returns how the target of each job is."""
    return {one["labels"]["job"]: one["health"] for one in _asked(stack, "targets")["activeTargets"]}


def _counted(stack: Stack, expression: str) -> float:
    """Returns the value of an expression that has one series, or 0."""
    result = _asked(stack, f"query?query={quote(expression)}")["result"]
    return float(result[0]["value"][1]) if result else 0


def _disturbed(checks: Checks, stack: Stack) -> None:
    for what, words in (
        ("redis is restarted", ("restart", "redis")),
        ("ingest is recreated", ("up", "--detach", "--force-recreate", "--no-deps", "ingest")),
        ("the flusher is recreated", ("up", "--detach", "--force-recreate", "--no-deps", "flusher")),
        ("clickhouse is restarted", ("restart", "clickhouse")),
    ):
        with disturbed(checks, stack, what, words[-1]):
            stack.compose(*words, seconds=180)
            stack.wait_healthy("redis", "clickhouse", "ingest", "flusher")
