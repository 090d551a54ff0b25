"""`forebay ingest` on a Redis that would lose events: refused at its start, and watched while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ingesting import START_SECONDS, Ingest, ingesting
from tests.support.redis_programs import running, socket_of
from tests.support.waiting import wait_until

LOG = "forebay:{0}:log"


@pytest.mark.parametrize(
    ("setting", "value", "command"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis-cli CONFIG SET maxmemory-policy noeviction"),
        ("appendonly", "no", "redis-cli CONFIG SET appendonly yes"),
        ("appendfsync", "everysec", "redis-cli CONFIG SET appendfsync always"),
        ("no-appendfsync-on-rewrite", "yes", "redis-cli CONFIG SET no-appendfsync-on-rewrite no"),
        ("replicaof", "127.0.0.1 1", "FOREBAY_REDIS_URL to its master, 127.0.0.1:1"),
    ],
)
def test_it_does_not_start_on_a_redis_that_loses_events(tmp_path: Path, setting: str, value: str, command: str) -> None:
    """It ends with a status of its own, says what is wrong and the command that mends it, once, and writes nothing."""
    with running(tmp_path, **{setting: value}) as client, ingesting(tmp_path, workers="2") as ingest:
        assert ingest.process.wait(START_SECONDS) == 4
        assert ingest.said.count(command) == 1, ingest.said
        assert setting.replace("replicaof", "role") in ingest.said
        assert "Traceback" not in ingest.said
        assert client.dbsize() == 0


def test_it_waits_for_a_redis_that_is_not_there_and_then_judges_it(tmp_path: Path) -> None:
    """Whoever starts first."""
    with ingesting(tmp_path) as ingest:
        wait_until(lambda: "waiting for Redis" in ingest.said, START_SECONDS)
        with running(tmp_path, appendfsync="no"):
            assert ingest.process.wait(START_SECONDS) == 4
            assert "CONFIG SET appendfsync always" in ingest.said


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Ingest]]:
    """Runs a tier with a spool, and gives the client of its Redis, for tests that mend what they break."""
    directory = tmp_path_factory.mktemp("serving")
    with running(directory) as client, ingesting(directory, spool_dir=str(directory / "spool")) as ingest:
        yield client, ingest


@pytest.mark.parametrize(
    ("setting", "wrong", "right"),
    [
        ("maxmemory-policy", "volatile-lru", "noeviction"),
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
    ],
)
def test_what_is_broken_while_it_runs_is_spooled_and_said(
    serving: tuple[Any, Ingest], setting: str, wrong: str, right: str
) -> None:
    """Nothing more goes to Redis, /readyz and metrics and the log name it; mended, all of it comes back in order."""
    client, ingest = serving
    wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
    before, said_before = client.xlen(LOG), len(ingest.said)
    assert ingest.post("first") == 202
    assert client.xlen(LOG) == before + 1
    assert f'forebay_redis_durable{{setting="{setting}"}} 1.0' in ingest.metrics()
    client.config_set(setting, wrong)
    wait_until(lambda: ingest.status("/readyz") == 503)
    assert ingest.post("second") == 202
    assert client.xlen(LOG) == before + 1
    assert f'forebay_redis_durable{{setting="{setting}"}} 0.0' in ingest.metrics()
    assert ingest.said[said_before:].count("nothing is appended to Redis") == 1
    assert f"CONFIG SET {setting} {right}" in ingest.said[said_before:]
    client.config_set(setting, right)
    wait_until(lambda: client.xlen(LOG) == before + 2)
    wait_until(lambda: ingest.status("/readyz") == 200)
    assert "appending to Redis resumes" in ingest.said[said_before:]


def test_a_broken_redis_does_not_end_a_tier_that_served(serving: tuple[Any, Ingest]) -> None:
    """A worker that dies meanwhile has its successor once Redis is mended."""
    client, ingest = serving
    wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
    client.config_set("appendfsync", "everysec")
    wait_until(lambda: ingest.status("/readyz") == 503)
    [pid] = ingest.pids()
    os.kill(pid, 9)
    wait_until(lambda: "does not start: this Redis" in ingest.said, START_SECONDS)
    assert ingest.process.poll() is None
    client.config_set("appendfsync", "always")
    wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
    assert ingest.post("again") == 202


def test_without_a_spool_it_is_answered_503(tmp_path: Path) -> None:
    """At once: the reason is Redis, and counted."""
    with running(tmp_path) as client, ingesting(tmp_path, answer_seconds_max="60") as ingest:
        wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
        client.config_set("maxmemory-policy", "allkeys-lru")
        wait_until(lambda: ingest.status("/readyz") == 503)
        began = time.monotonic()
        assert ingest.post("refused") == 503
        assert time.monotonic() - began < 30  # answer_seconds_max is 60
        wait_until(lambda: 'forebay_events_shed_total{reason="redis"} 1.0' in ingest.metrics())
        assert client.xlen(LOG) == 0


def test_a_redis_that_is_trusted_is_said_to_be(tmp_path: Path) -> None:
    """In the log and as a gauge; without the setting it is refused, with its name."""
    with running(tmp_path) as client:
        client.execute_command("ACL", "SETUSER", "app", *["reset", "on", "nopass", "~*", "&*", "+@all", "-config"])
        url = f"unix://{socket_of(tmp_path)}?username=app&password=x"
        with ingesting(tmp_path, redis_url=url) as ingest:
            assert ingest.process.wait(START_SECONDS) == 4
            assert "FOREBAY_REDIS_FSYNC=trusted" in ingest.said
        with ingesting(tmp_path, redis_url=url, redis_fsync="trusted") as ingest:
            wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
            wait_until(lambda: 'forebay_redis_fsync{proof="trusted"} 1.0' in ingest.metrics())
            assert "redis_fsync is `trusted`" in ingest.said
            assert ingest.post("trusted") == 202


def test_a_redis_that_was_emptied_is_said(tmp_path: Path) -> None:
    """Also when nothing arrives any more; a commit that Redis no longer knows counts too. Both are losses, with a counter."""
    with running(tmp_path) as client, ingesting(tmp_path) as ingest:
        wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
        assert ingest.post("lost") == 202
        assert "forebay_redis_lost_total 0.0" in ingest.metrics()
        client.flushall()
        wait_until(lambda: "Redis was emptied" in ingest.said)
        wait_until(lambda: "forebay_redis_lost_total 1.0" in ingest.metrics())
        assert ingest.post("after") == 202
        wait_until(lambda: "forebay_redis_lost_total 2.0" in ingest.metrics())
        assert client.xlen(LOG) == 1
