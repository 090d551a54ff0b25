"""`python -m loadtest` as a process: its signals, its files, its exit status."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from loadtest import acklog, config

ENOUGH = 300


class Server:
    """Accepts everything, remembers which ids, and tells when there are enough."""

    def __init__(self) -> None:
        self.url = ""
        self.answered: list[str] = []
        self.has_enough = asyncio.Event()

    async def accept(self, request: web.Request) -> web.Response:
        self.answered.append(json.loads(await request.read())["id"])
        if len(self.answered) >= ENOUGH:
            self.has_enough.set()
        return web.Response(status=202)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/f", server.accept)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def loadtest(checkout: Path, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest", *arguments, cwd=checkout, stdout=PIPE, stderr=PIPE
    )


async def finished(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_run_reports_and_exits_0(server: Server, checkout: Path, tmp_path: Path) -> None:
    """Log, result and summary say the same."""
    log, result = tmp_path / "log", tmp_path / "result.json"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "100", "--duration", "1", "--arrivals", "fixed", "--connections", "4",
        "--site", "a.example", "b.example", "--ack-log", str(log), "--fsync", "--json", str(result), "--no-verify",
    )  # fmt: skip
    status, out, err = await finished(process)
    assert (status, err) == (0, "")
    assert "100 in all" in out
    assert sorted(acklog.read(log)) == sorted(server.answered)
    written = json.loads(result.read_text())
    assert written["events"]["logged"] == written["events"]["acknowledged"] == 100
    assert written["plan"]["sites"] == ["a.example", "b.example"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_its_log_complete(
    server: Server, checkout: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """In mid-run: every answer the server gave is in the log, the result is written, the exit is normal."""
    log, result = tmp_path / "log", tmp_path / "result.json"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "1000", "--duration", "600", "--connections", "16",
        "--ack-log", str(log), "--json", str(result), "--no-verify",
    )  # fmt: skip
    async with asyncio.timeout(30):
        await server.has_enough.wait()
    process.send_signal(number)
    status, _, err = await finished(process)
    assert (status, err) == (0, "")
    assert sorted(acklog.read(log)) == sorted(server.answered)
    written = json.loads(result.read_text())
    assert written["stopped_early"]
    assert written["events"]["logged"] == len(server.answered)


async def test_killed_it_has_logged_nothing_that_was_not_acknowledged(
    server: Server, checkout: Path, tmp_path: Path
) -> None:
    """Kill -9 may cost the last batch of the log; a false debt it never makes."""
    log = tmp_path / "log"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "1000", "--duration", "600", "--connections", "16",
        "--ack-log", str(log), "--no-verify",
    )  # fmt: skip
    async with asyncio.timeout(30):
        await server.has_enough.wait()
    process.kill()
    await finished(process)
    logged = acklog.read(log)
    assert logged
    assert set(logged) <= set(server.answered)


async def test_without_a_server_it_exits_2(checkout: Path) -> None:
    """With the reason, and no traceback."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        status, _, err = await finished(await loadtest(checkout, "--url", url, "--no-verify"))
    assert status == 2
    assert "accepts no connection" in err


async def test_without_clickhouse_it_exits_2_and_keeps_the_result(
    server: Server, checkout: Path, tmp_path: Path
) -> None:
    """Not known is neither 0 nor 1."""
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "50", "--duration", "0.2", "--connections", "2",
        "--clickhouse-url", "http://127.0.0.1:9", "--verify-timeout", "0.2", "--json", str(tmp_path / "result.json"),
    )  # fmt: skip
    status, out, err = await finished(process)
    assert status == 2
    assert "not reconciled" in err
    assert "reconciled    no" in out
    assert json.loads((tmp_path / "result.json").read_text())["lost"] is None


@pytest.mark.parametrize(
    "argv",
    [["--rate", "0"], ["--duration", "-1"], ["--events-per-body", "501"], ["--connections", "0"], ["--arrivals", "x"]],
)
def test_arguments_without_sense_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By name, before anything is sent."""
    with pytest.raises(SystemExit) as exit_:
        config.parse(argv)
    assert exit_.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_sites_may_be_given_at_once_or_one_by_one() -> None:
    """And `demo` when none is."""
    assert config.parse(["--site", "a", "b", "--site", "c"]).site == ["a", "b", "c"]
    assert config.parse([]).site == ["demo"]
