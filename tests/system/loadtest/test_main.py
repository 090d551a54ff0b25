"""`python -m loadtest` as a process: its signals, its files, its exit status."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from loadtest.load import acklog
from tests.support.waiting import SECONDS, until

ENOUGH = 300


class Server:
    """Accepts everything, remembers the ids, and tells when there are enough."""

    def __init__(self) -> None:
        self.url = ""
        self.answered: list[str] = []
        self.status = 202
        self.has_enough = asyncio.Event()

    async def accept(self, request: web.Request) -> web.Response:
        name = json.loads(await request.read())["id"]
        if self.status != 202:
            return web.Response(status=self.status)
        self.answered.append(name)
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


def state_of(pid: int) -> str:
    """Returns a process's state. S: it sleeps and can be woken. T: it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def loadtest(checkout: Path, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest", *arguments, cwd=checkout, stdout=PIPE, stderr=PIPE
    )


async def finished(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_run_reports_and_exits_0(server: Server, checkout: Path, tmp_path: Path) -> None:
    """Log, result and summary agree."""
    log, result = tmp_path / "log", tmp_path / "result.json"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "100", "--duration", "1", "--arrivals", "fixed", "--connections", "4",
        "--site", "a.example", "b.example", "--ack-log", str(log), "--fsync", "--json", str(result), "--no-verify",
    )  # fmt: skip
    status, out, err = await finished(process)
    assert status == 0, err
    assert "Traceback" not in err
    assert "100 in all" in out
    assert sorted(acklog.read(log)) == sorted(server.answered)
    written = json.loads(result.read_text())
    assert written["events"]["logged"] == written["events"]["acknowledged"] == 100
    assert written["plan"]["sites"] == ["a.example", "b.example"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_its_log_complete(
    server: Server, checkout: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Every answer of the server's is in the log, the result is written, and the exit is normal."""
    log, result = tmp_path / "log", tmp_path / "result.json"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "1000", "--duration", "600", "--connections", "16",
        "--ack-log", str(log), "--json", str(result), "--no-verify",
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        await server.has_enough.wait()
    process.send_signal(number)
    status, _, err = await finished(process)
    assert status == 0, err
    assert "Traceback" not in err
    assert sorted(acklog.read(log)) == sorted(server.answered)
    written = json.loads(result.read_text())
    assert written["stopped_early"]
    assert written["events"]["logged"] == len(server.answered)


async def test_killed_it_has_logged_nothing_that_was_not_acknowledged(
    server: Server, checkout: Path, tmp_path: Path
) -> None:
    """SIGKILL may lose the last batch of the log, but the log never claims an id that is not owed."""
    log = tmp_path / "log"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "1000", "--duration", "600", "--connections", "16",
        "--ack-log", str(log), "--no-verify",
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        await server.has_enough.wait()
    process.kill()
    await finished(process)
    logged = acklog.read(log)
    assert logged
    assert set(logged) <= set(server.answered)


@pytest.mark.parametrize("options", [["--no-verify"], [], ["--sweep"]], ids=["alone", "verified", "sweep"])
@pytest.mark.parametrize("is_named", [True, False], ids=["by URL", "by what a killed one left"])
async def test_without_a_server_it_exits_2(checkout: Path, tmp_path: Path, options: list[str], is_named: bool) -> None:
    """One sentence says where nothing answers, why, and how to start a server. ClickHouse is not asked before."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        facts = {"url": url, "clickhouse_url": "http://127.0.0.1:9", "redis_url": "", "pids": {}}
        (tmp_path / "run.json").write_text(json.dumps(facts))
        place = ["--url", url] if is_named else ["--data", str(tmp_path)]
        status, _, err = await finished(await loadtest(checkout, *place, *options))
    assert status == 2
    assert err == (
        f"loadtest: nothing answers at {url} (Connection refused): start a server here with `forebay up` (in a checkout"
        " `make up`), or say with --url or --data where one runs\n"
    )


async def test_without_clickhouse_it_exits_2_before_anything_is_sent(server: Server, checkout: Path) -> None:
    """The result would be unknown, and it is better to say so before the load than after it."""
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "50", "--duration", "0.2", "--clickhouse-url", "http://127.0.0.1:9"
    )
    status, _, err = await finished(process)
    assert status == 2
    assert "ClickHouse at http://127.0.0.1:9" in err
    assert "--no-verify" in err
    assert "Traceback" not in err
    assert not server.answered


async def test_several_generators_share_a_run(server: Server, checkout: Path, tmp_path: Path) -> None:
    """Each has a log of its own, and the result is of all of them."""
    log, result = tmp_path / "log", tmp_path / "result.json"
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "300", "--duration", "1", "--arrivals", "fixed", "--generators", "3",
        "--connections", "6", "--ack-log", str(log), "--json", str(result), "--no-verify",
    )  # fmt: skip
    status, _, err = await finished(process)
    assert status == 0, err
    logged = [name for number in (1, 2, 3) for name in acklog.read(tmp_path / f"log-{number}")]
    assert sorted(logged) == sorted(server.answered)
    assert len(set(logged)) == 300
    written = json.loads(result.read_text())
    assert written["events"]["acknowledged"] == written["events"]["logged"] == 300
    assert sum(row["acknowledged"] for row in written["seconds"]) == 300
    assert sum(count for _, count in written["latency_histogram_us"]) == 300
    assert len(written["generators"]) == 3


async def test_an_unknown_site_is_said_at_once(server: Server, checkout: Path) -> None:
    """Minutes of 403 would help nobody."""
    server.status = 403
    process = await loadtest(checkout, "--url", server.url, "--rate", "100", "--duration", "600", "--no-verify")
    status, _, err = await finished(process)
    assert status == 2
    assert "site demo" in err
    assert "forebay site add" in err


async def test_killed_it_leaves_no_generator_behind(server: Server, checkout: Path, tmp_path: Path) -> None:
    """A generator ends with the process that started it, so the requests end."""
    process = await loadtest(
        checkout, "--url", server.url, "--rate", "1000", "--duration", "600", "--no-verify", "--quiet"
    )
    async with asyncio.timeout(SECONDS):
        await server.has_enough.wait()
    process.kill()
    await finished(process)  # its stderr is the generators' too: it ends with the last of them
    count = len(server.answered)
    await asyncio.sleep(0)
    assert len(server.answered) == count


async def test_an_outage_needs_to_know_its_victim(server: Server, checkout: Path, tmp_path: Path) -> None:
    """Nothing of a remote deployment is stopped, and the message says what is missing."""
    words = ("--url", server.url, "--profile", "outage", "--no-verify", "--duration", "1")
    status, _, err = await finished(await loadtest(checkout, *words))
    assert status == 2
    assert "--pid-clickhouse" in err
    assert not server.answered
    status, _, err = await finished(await loadtest(checkout, *words, "--data", str(tmp_path)))
    assert status == 2
    assert "no `forebay up` runs on" in err


async def test_what_is_taken_away_is_given_back(server: Server, checkout: Path, tmp_path: Path) -> None:
    """A process is stopped for its share of the time, the result has both markers, and the process runs in the end."""
    victim = await asyncio.create_subprocess_exec("/bin/sleep", "60")
    try:
        process = await loadtest(
            checkout, "--url", server.url, "--profile", "redis-outage", "--rate", "100", "--duration", "1.2",
            "--pid-redis", str(victim.pid), "--json", str(tmp_path / "result.json"), "--no-verify",
        )  # fmt: skip
        status, _, err = await finished(process)
        assert status == 0, err
        assert state_of(victim.pid) == "S"
        written = json.loads((tmp_path / "result.json").read_text())
        assert [one["what"] for one in written["markers"]] == ["redis paused", "redis resumed"]
        assert written["seconds"][0]["markers"] == ["redis paused", "redis resumed"]
    finally:
        victim.kill()
        await victim.wait()


async def test_killed_in_an_outage_it_gives_its_victim_back(server: Server, checkout: Path) -> None:
    """A load test that is killed while ClickHouse is paused must not leave it paused."""
    victim = await asyncio.create_subprocess_exec("/bin/sleep", "60")
    try:
        process = await loadtest(
            checkout, "--url", server.url, "--profile", "redis-outage", "--rate", "100", "--duration", "4",
            "--pid-redis", str(victim.pid), "--no-verify",
        )  # fmt: skip
        await until(lambda: state_of(victim.pid) == "T")
        process.kill()
        await process.wait()
        await until(lambda: state_of(victim.pid) == "S")
        await finished(process)
    finally:
        victim.kill()
        await victim.wait()


@pytest.mark.parametrize("name", ["FOREBAY_CLICKHOUSE_PASSWORD_FILE", "FOREBAY_CONFIG"])
async def test_a_file_of_settings_that_is_not_there_is_said(checkout: Path, name: str) -> None:
    """The message names the variable and where it is described, as every other process's does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest", cwd=checkout, env={**os.environ, name: "/nowhere"}, stdout=PIPE, stderr=PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().startswith(f"loadtest: {name.removesuffix('_FILE')}: ")
    assert b"docs/configuration.md" in said
