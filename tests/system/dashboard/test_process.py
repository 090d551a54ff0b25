"""The dashboard as a process: where it listens, what it says when it does not start, and that nothing else depends on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from dashboard.__main__ import main
from tests.support.system import ROOT, System, is_alive
from tests.support.waiting import wait_until


def run(**settings: str) -> subprocess.CompletedProcess[str]:
    """Runs the process to its end."""
    environment = os.environ | {f"FOREBAY_{name.upper()}": value for name, value in settings.items()}
    words = [sys.executable, "-m", "forebay", "dashboard"]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "stats.example.com", "localhost.example.com"])
def test_it_refuses_to_listen_elsewhere_without_a_public_url(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit status is 2, and it says which setting is missing. It is asked here, because a process of its own takes 0.5 s of CPU."""
    monkeypatch.setenv("FOREBAY_DASHBOARD_HOST", host)
    monkeypatch.setenv("FOREBAY_DASHBOARD_PORT", "0")
    monkeypatch.setattr(sys, "argv", ["dashboard"])
    assert main() == 2
    sentence = f"FOREBAY_DASHBOARD_HOST: {host!r} is not loopback: say in FOREBAY_DASHBOARD_URL"
    assert sentence in capsys.readouterr().err


def test_it_says_all_that_is_wrong_with_its_settings() -> None:
    """A time zone and a URL that are none, each with its place in the documentation."""
    done = run(
        timezone="Europe/Berln",
        clickhouse_url="127.0.0.1:8123",
        dashboard_url="https://numbers.example.com/below",
        trusted_proxies="10.0.0.0/8,nonsense",
    )
    assert done.returncode == 2
    assert "FOREBAY_TIMEZONE: 'Europe/Berln' is not a known time zone: did you mean Europe/Berlin" in done.stderr
    assert "(see docs/configuration.md#timezone)" in done.stderr
    assert "FOREBAY_DASHBOARD_URL: 'https://numbers.example.com/below' is no address of a host alone" in done.stderr
    assert "FOREBAY_TRUSTED_PROXIES: 'nonsense'" in done.stderr
    assert "FOREBAY_CLICKHOUSE_URL: '127.0.0.1:8123' is not an http" in done.stderr


def test_it_says_that_its_port_is_taken() -> None:
    """It exits 1, because another start may find it free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(dashboard_port=str(port))
    assert done.returncode == 1
    assert f"cannot listen on port {port}" in done.stderr


def test_it_lives_without_clickhouse_and_ends_when_told(tmp_path: Path) -> None:
    """It starts before ClickHouse does, says that it does not answer, and ends in order."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        nowhere = held.getsockname()[1]
    environment = os.environ | {
        "FOREBAY_DASHBOARD_PORT": "0",
        "FOREBAY_CLICKHOUSE_URL": f"http://127.0.0.1:{nowhere}",
        "FOREBAY_LOG_FORMAT": "json",
    }
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard"], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: "the dashboard is at" in log.read_text())
        url = json.loads(log.read_text().splitlines()[0])["text"].rpartition(" ")[2]
        with urllib.request.urlopen(f"{url}healthz", timeout=60) as answer:
            assert answer.status == 200
        for path in ("readyz", "healthz?clickhouse"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{url}{path}", timeout=60)
            with refused.value:
                assert (refused.value.code, refused.value.read()) == (503, b"ClickHouse does not answer; try again.\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


async def test_without_the_dashboard_everything_else_goes_on(tmp_path: Path) -> None:
    """If it can't be started, an error says so; events are taken and stored, and the end is in order with status 0."""
    system = System(tmp_path, FOREBAY_QUESTION_SECONDS="0")
    system.start()
    try:
        facts = await system.ready()
        assert facts["pids"]["dashboard"] is None
        event = json.dumps({"url": "https://example.com/", "site": "example.com"}).encode()
        request = urllib.request.Request(f"{facts['url']}/f", event, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 202
        await system.stored("1", 1)
        assert "dashboard does not start (exit code 2)" in system.log.read_text()
        assert "FOREBAY_QUESTION_SECONDS" in system.log.read_text()
        pids = [pid for pid in system.pids().values() if pid]
        assert await system.stop() == 0
        assert not any(map(is_alive, pids))
    finally:
        system.close()
