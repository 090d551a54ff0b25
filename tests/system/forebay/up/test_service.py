"""`forebay up` as a service manager sees it: its lines, its signals, its exit codes, its ports."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from runtime import ports
from tests.support.command import forebay
from tests.support.system import System, is_alive, running
from tests.system.forebay.up.test_up import OTHER_PORTS, post


def lines(system: System) -> list[Any]:
    """Returns each line that it or a child wrote, as JSON."""
    return [json.loads(line) for line in system.log.read_text().splitlines()]


async def test_where_lines_are_json_every_line_is(tmp_path: Path) -> None:
    """So are the banner, the engine's greeting, a traceback, and what each child writes before and after it was killed."""
    async with running(tmp_path, FOREBAY_LOG_FORMAT="json") as system:
        url = system.facts()["url"]
        for name in ("clickhouse", "redis", "flusher 0"):
            key, pid = name.split()[0], system.pids()[name]
            before = system.facts()["pids"][key]
            os.kill(pid, signal.SIGKILL)
            await system.until(lambda key=key, before=before: system.facts()["pids"][key] != before)  # type: ignore[misc]  # mypy knows no default of a lambda
        assert await system.stop() == 0
        said = lines(system)
    assert any("Forebay is ready after" in line["text"] and url in line["text"] for line in said)
    assert any(line["logger"] == "clickhouse" and "listens on" in line["text"] for line in said)
    assert any("everything accepted is stored" in line["text"] for line in said)
    assert all({"ts", "level", "logger", "text"} <= set(line) for line in said)


@pytest.mark.parametrize(
    ("setting", "named"), [("FOREBAY_BLOCK_ROWS_MAX", "block_rows_max"), ("FOREBAY_TRUSTED_PROXIES", "trusted_proxies")]
)
async def test_a_childs_wrong_setting_is_one_of_the_settings(tmp_path: Path, setting: str, named: str) -> None:
    """The exit status is 2 as for its own settings, because a restart would not help. The fault is a line of JSON."""
    system = System(tmp_path, **{setting: "none"})
    system.start()
    try:
        assert await system.ended() == 2
    finally:
        system.close()
    assert any(f"docs/configuration.md#{named}" in line["text"] for line in lines(system))


def test_what_nobody_mends_by_waiting_exits_2_and_what_may_pass_1(tmp_path: Path) -> None:
    """A wrong setting and a missing redis-server exit with 2; a port that is taken exits with 1."""
    data = str(tmp_path / "data")
    assert forebay("up", "--data", data, "--port", "none", *OTHER_PORTS).returncode == 2
    missing = {"redis_server": "/nowhere/redis-server", "log_format": "json"}
    done = forebay("up", "--data", data, "--port", "0", *OTHER_PORTS, **missing)
    assert (done.returncode, "FOREBAY_REDIS_SERVER" in json.loads(done.stderr)["text"]) == (2, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert forebay("up", "--data", data, "--port", port, *OTHER_PORTS).returncode == 1


async def test_a_hangup_reloads(tmp_path: Path) -> None:
    """Without a terminal SIGHUP stops nothing, and replaces ingest's workers, which read the settings' file again."""
    file = tmp_path / "forebay.toml"
    file.write_text("[ingest]\nbody_bytes_max = 1000000\n")
    async with running(tmp_path, "--site", "example.com", FOREBAY_CONFIG=str(file)) as system:
        url, before = system.facts()["url"], system.pids()
        assert post(url) == 202
        file.write_text("[ingest]\nbody_bytes_max = 10\n")
        system.signal(signal.SIGHUP)
        await system.until(lambda: system.facts()["pids"]["ingest"] != [before["ingest 0"]])
        await system.until(lambda: not is_alive(before["ingest 0"]))
        assert post(url) == 413
        assert {name: pid for name, pid in system.pids().items() if name != "ingest 0"} == {
            name: pid for name, pid in before.items() if name != "ingest 0"
        }
        assert await system.stop() == 0


async def test_systemd_is_told_when_it_is_ready(tmp_path: Path) -> None:
    """It is told once, and not before everything answers, because `systemctl start` waits for it."""
    name = f"forebay-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        systemd.settimeout(180)
        system = System(tmp_path, NOTIFY_SOCKET=f"@{name}")
        system.start()
        try:
            assert await asyncio.to_thread(systemd.recv, 100) == b"READY=1"
            assert system.is_ready()
            assert await system.stop() == 0
        finally:
            system.close()
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


@pytest.fixture
def somebody() -> int:
    """Returns a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def test_a_port_by_default_is_taken_by_the_first_alone(somebody: int) -> None:
    """Of two that start at once one gets it, though neither listens yet; once both are gone the next one gets it."""
    first, number = ports.hold_first("127.0.0.1", somebody)
    second, other = ports.hold_first("127.0.0.1", somebody)
    assert (number == somebody, other != somebody) == (True, True)
    for one in (*first, *second):
        one.close()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", somebody))
        listening.listen()
        third, number = ports.hold_first("127.0.0.1", somebody)
        assert number != somebody
        for one in third:
            one.close()
    last, number = ports.hold_first("127.0.0.1", somebody)
    assert number == somebody
    for one in last:
        one.close()
