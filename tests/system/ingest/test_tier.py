"""The ingest tier: sockets that outlive workers, counters that outlive deaths, restarts without a refusal."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, multiprocess

from ingest.tier import Listeners, Tier, listen
from schemas.redis.keys import Keys
from schemas.segment import Commit
from tests.support.programs import program
from tests.support.redis_server import started
from tests.support.spooling import opened
from tests.support.system import ROOT, is_alive
from tests.support.waiting import until, wait_until


class Running:
    """A tier on a free loopback port, and what it reported."""

    def __init__(self, directory: Path, slots: int, worker: str, drain_seconds: float) -> None:
        self.directory = directory
        self.worker = worker  # the kind that is started next
        self.reports: list[list[int]] = []
        self.listeners: list[Listeners]
        self.listeners, self.port = listen("127.0.0.1", 0, slots)
        self.tier = Tier(
            self.listeners,
            words=self._words,
            environment={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
            metrics_dir=directory,
            drain_seconds=drain_seconds,
            on_ready=self.reports.append,
            delay_seconds_max=0.02,
            kill_seconds=0.1,
        )

    def _words(self, name: str, descriptors: Sequence[int]) -> list[str]:
        return program(f"{self.worker}_worker", name, *descriptors)

    async def connect(self) -> int:
        """The pid of the worker that answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(said)

    def metric(self, name: str) -> float | None:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=str(self.directory))  # type: ignore[no-untyped-call]  # its own
        return registry.get_sample_value(name)


@asynccontextmanager
async def running(
    directory: Path, slots: int = 2, worker: str = "counting", drain_seconds: float = 60
) -> AsyncIterator[Running]:
    one = Running(directory, slots, worker, drain_seconds)
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.tier.run())
        yield one
        one.tier.stop()


async def test_counters_are_exact_and_gauges_right_after_ten_deaths(tmp_path: Path) -> None:
    """SIGKILL of whoever answered, ten times: no connection is lost or counted twice, no gauge is left behind."""
    async with running(tmp_path) as one:
        await until(lambda: one.tier.is_ready)
        for _ in range(10):
            answered = [await one.connect() for _ in range(5)]
            os.kill(answered[-1], signal.SIGKILL)
            await until(partial(_has_gone, one.tier, answered[-1]))
        await until(lambda: len(one.reports) == 12)
        await until(lambda: one.metric("open") == 200)
        assert one.metric("seen_total") == 50
        assert len(list(tmp_path.glob("counter_*.db"))) == 2


async def test_a_replacement_refuses_no_connection(tmp_path: Path) -> None:
    """SIGHUP under steady connections: every one is answered, all workers are new, every count is kept."""
    async with running(tmp_path) as one:
        await until(lambda: one.reports and len(one.reports[-1]) == 2)
        before = set(one.reports[-1])
        answered: Counter[int] = Counter()
        one.tier.replace()
        while before & set(one.tier.pids) or len(one.tier.pids) < 2:
            answered[await one.connect()] += 1
        await until(lambda: not any(is_alive(pid) for pid in before))
        await until(lambda: one.metric("open") == 200)
        assert one.metric("seen_total") == answered.total()
        assert one.tier.is_ready


async def test_a_full_memory_does_not_end_the_tier(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose counters have no directory is tried again until that can be made."""
    (tmp_path / "file").touch()
    async with running(tmp_path / "file" / "counters", slots=1) as one:
        await until(lambda: "cannot be started" in caplog.text)
        (tmp_path / "file").unlink()
        await until(lambda: one.tier.is_ready)


async def test_a_replacement_that_fails_leaves_the_old_worker(tmp_path: Path) -> None:
    """A broken new version does not take the tier down."""
    async with running(tmp_path, slots=1) as one:
        await until(lambda: one.tier.is_ready)
        (old,) = one.tier.pids
        one.worker = "failing"
        one.tier.replace()
        await until(lambda: not one.tier._slots[0].is_due)
        assert await one.connect() == old
        one.worker = "counting"
        os.kill(old, signal.SIGKILL)
        assert await one.connect() != old


async def test_a_replacement_before_anybody_was_ready_ends_nothing(tmp_path: Path) -> None:
    """A successor that does not start is given up, while the first worker is tried again and the tier goes on."""
    async with running(tmp_path, slots=1, worker="failing") as one:
        one.tier.replace()
        await until(lambda: not one.tier._slots[0].is_due and one.tier._slots[0].successor is None)
        assert not one.tier.refusal
        assert not one.tier._stopping.is_set()


async def test_a_worker_that_says_why_it_does_not_start_ends_the_tier(tmp_path: Path) -> None:
    """One of the first workers ends the tier with it, and what it said is there for the tier's last words."""
    async with running(tmp_path, worker="refusing") as one:
        await until(lambda: one.tier.refusal)
        assert one.tier.refusal == "this Redis can lose what it acknowledged"
        await until(lambda: not one.tier.pids)


async def test_one_that_says_so_later_does_not_end_the_tier(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that refuses after others have served is tried again, and what it says is a line of the log."""
    async with running(tmp_path, slots=1) as one:
        await until(lambda: one.tier.is_ready)
        one.worker = "refusing"
        one.tier.replace()
        await until(lambda: any("does not start: this Redis" in record.getMessage() for record in caplog.records))
        assert one.tier.is_ready
        assert not one.tier.refusal


async def test_stop_ends_all_and_refuses_connections(tmp_path: Path) -> None:
    """When `run` has returned no worker lives and nobody listens."""
    async with running(tmp_path) as one:
        await until(lambda: one.tier.is_ready)
        pids = one.tier.pids
    assert not any(is_alive(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        await one.connect()


async def test_a_worker_that_does_not_leave_is_killed(tmp_path: Path) -> None:
    """Its drain time and a little more, then SIGKILL."""
    async with running(tmp_path, slots=1, worker="deaf", drain_seconds=0.1) as one:
        await until(lambda: one.tier.is_ready)


async def test_a_worker_says_whether_it_is_ready(tmp_path: Path) -> None:
    """The tier is as ready as the last thing its workers said."""
    async with running(tmp_path, slots=1, worker="moody") as one:
        await until(lambda: one.tier.is_ready)
        os.kill(one.tier.pids[0], signal.SIGUSR1)
        await until(lambda: not one.tier.is_ready)


def test_all_addresses_of_a_host_are_listened_on() -> None:
    """Each slot has one dual-stack socket, or one for each address of a name, all on one port."""
    for host in ("", "localhost"):
        bound, port = listen(host, 0, 3)
        listeners = [one for own in bound for one in own]
        assert len(bound) == 3
        assert {one.getsockname()[1] for one in listeners} == {port}
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            pass
        if socket.has_dualstack_ipv6():
            with socket.create_connection(("::1", port), timeout=2):
                pass
        for one in listeners:
            one.close()


def _has_gone(tier: Tier, pid: int) -> bool:
    return pid not in tier.pids


@contextmanager
def ingest(redis_url: str, *options: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The real tier on free ports."""
    settings = {
        "REDIS_URL": redis_url,
        "PORT": "0",
        "INTERNAL_PORT": "0",
        "WORKERS": "1",
        "SITES": "*",
        "HOST": "localhost",
        **more,
    }
    environment = {**os.environ, **{f"FOREBAY_{name}": value for name, value in settings.items()}}
    words = (sys.executable, "-m", "ingest", "--report-workers", *options)
    with subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def _spool_of_a_dead_worker(folder: Path) -> None:
    spool, _ = opened(folder)
    await spool.open("producer", 1).write(Commit(1, b"data", 7, {"1 example.com": 7}))
    spool.close()


def test_a_worker_brings_back_what_a_dead_one_spooled(tmp_path: Path) -> None:
    """The commits of its folder reach Redis, and the folder is gone."""
    folder = tmp_path / "spool"
    asyncio.run(_spool_of_a_dead_worker(folder))
    (left,) = folder.iterdir()
    with started(tmp_path) as (client, _), ingest(f"unix://{tmp_path}/redis.sock", SPOOL_DIR=str(folder)):
        wait_until(lambda: not left.exists())
        entries: Any = client.xrange(Keys(1).log)
        assert [(fields[b"d"], fields[b"n"]) for _, fields in entries] == [(b"data", b"7")]


def test_the_real_tier_drains_and_exits_0_and_dies_whole(tmp_path: Path) -> None:
    """SIGTERM ends tier and worker with exit code 0; SIGKILL of the tier leaves no worker."""
    with started(tmp_path):
        url = f"unix://{tmp_path}/redis.sock"
        with ingest(url) as process:
            pids = _pids(process)
            process.terminate()
            assert process.wait(15) == 0
            assert not any(is_alive(pid) for pid in pids)
        with ingest(url, "--run-dir", str(tmp_path / "run")) as process:
            pids = _pids(process)
            process.kill()
            wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_the_internal_port_may_be_one_of_ipv6(tmp_path: Path) -> None:
    """The internal port listens on any address of this machine that `internal_host` says."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with started(tmp_path), ingest(f"unix://{tmp_path}/redis.sock", INTERNAL_HOST="::1") as process:
        assert _pids(process)
        process.terminate()
        assert process.wait(15) == 0


def _pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    found: list[int] = json.loads(process.stdout.readline())["workers"]
    return found
