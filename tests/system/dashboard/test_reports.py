"""Two dashboards of one installation, as processes: one report, also when one is killed between a mail and its note."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from forebay.clickhouse import ClickHouse
from runtime.redis import url_of
from schemas.redis.keys import REPORTER_KEY, REPORTS_KEY, SITES_KEY, TOLD_KEY
from schemas.reports import Wish, Wishes
from schemas.site import RegisteredSite
from tests.support import redis_server
from tests.support.engine import EngineProcess
from tests.support.notifying import MailServer, mail_server
from tests.support.system import ROOT
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis
ANN, BOB = "ann@example.org", "bob@example.com"


class Installation:
    """Starts dashboards on one Redis, one engine and one mail server."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.environment = os.environ | environment
        self._directory = directory
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> int:
        """Starts a dashboard, and returns its number."""
        number = len(self.processes)
        with self._log(number).open("w") as log:
            words = [sys.executable, "-m", "dashboard", "--die-with-parent"]
            self.processes.append(subprocess.Popen(words, cwd=ROOT, env=self.environment, stdout=log, stderr=log))
        return number

    def _log(self, number: int) -> Path:
        return self._directory / f"dashboard-{number}.log"

    def log(self, number: int) -> str:
        return self._log(number).read_text()

    def looks(self, number: int) -> int:
        """Returns how often a dashboard has looked for reports; 0 before it listens."""
        lines = [line for line in self.log(number).splitlines() if "the dashboard is at" in line]
        if not lines:
            return 0
        url = json.loads(lines[0])["text"].rpartition(" ")[2]
        with urllib.request.urlopen(f"{url}metrics", timeout=60) as answer:
            found = answer.read().decode()
        counted = [line for line in found.splitlines() if line.startswith("forebay_dashboard_report_looks_total{")]
        return sum(int(float(line.rpartition(" ")[2])) for line in counted)

    async def looked(self, number: int, times: int) -> None:
        """Waits until a dashboard has looked so often."""

        async def enough() -> bool:
            return await asyncio.to_thread(self.looks, number) >= times

        await until(enough, more=lambda: self.log(number))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs `forebay report`."""
        return subprocess.run(
            [sys.executable, "-m", "forebay", "report", *words],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
async def mails() -> AsyncIterator[MailServer]:
    async with mail_server() as one:
        yield one


@pytest.fixture
def installation(
    clickhouse: ClickHouse, engine: EngineProcess, server: Path, redis: Redis, mails: MailServer, tmp_path: Path
) -> Iterator[Installation]:
    """Gives an installation whose site nobody has visited yet, of which a report is due."""
    made = Installation(
        tmp_path,
        {
            "FOREBAY_DASHBOARD_PORT": "0",
            "FOREBAY_REDIS_URL": url_of(server),
            "FOREBAY_CLICKHOUSE_URL": f"http://127.0.0.1:{engine.port}",
            "FOREBAY_LOG_FORMAT": "json",
            "FOREBAY_NOTIFY_SMTP_URL": f"smtp+plain://127.0.0.1:{mails.port}",
            "FOREBAY_NOTIFY_FROM": "forebay@example.org",
        },
    )
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


async def wish(redis: Redis) -> None:
    await redis.hset(SITES_KEY, "shop.example", RegisteredSite().encode())
    wishes = tuple(Wish(to=to, what="weekly") for to in (ANN, BOB))
    await redis.hset(REPORTS_KEY, "shop.example", Wishes(wishes=wishes).encode())


async def test_a_dashboard_is_killed_between_a_mail_and_its_note(
    installation: Installation, redis: Redis, mails: MailServer
) -> None:
    """The other one sends that mail again under the same Message-ID, and everybody else's once. Later ones send nothing."""

    async def kill() -> None:
        mails.before_answer = None
        for process in installation.processes:  # whichever of them sends: the other one is not there yet
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait)

    mails.before_answer = kill
    await wish(redis)
    installation.start()
    await until(lambda: installation.processes[0].poll() is not None, more=lambda: installation.log(0))
    assert mails.to == [ANN]
    assert await redis.hlen(TOLD_KEY) == 0
    one, two = installation.start(), installation.start()
    await redis.pexpire(REPORTER_KEY, 1)  # what happens by itself a minute later
    await until(lambda: len(mails.to) >= 3, more=lambda: installation.log(one) + installation.log(two))
    for number in (one, two):
        await installation.looked(number, 2)
    assert sorted(mails.to) == [ANN, ANN, BOB]
    ids = [mail["Message-ID"] for mail, to in zip(mails.mails, mails.to, strict=True) if to == ANN]
    assert len(set(ids)) == 1
    assert await redis.hlen(TOLD_KEY) == 2


async def test_the_command_prints_and_sends_at_once(
    installation: Installation, redis: Redis, mails: MailServer
) -> None:
    """Without a dashboard that runs, and without taking away what is due."""
    await wish(redis)
    run = installation.command
    printed = await asyncio.to_thread(run, "send", "--site", "shop.example", "--print")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert "A week of shop.example" in printed.stdout
    assert (await asyncio.to_thread(run, "send", "--site", "shop.example", "--print", "html")).stdout.startswith(
        "<!doctype"
    )
    sent = await asyncio.to_thread(run, "send", "--now", "--site", "shop.example")
    assert (sent.returncode, sent.stdout) == (0, f"sent to {ANN}\nsent to {BOB}\n")
    assert mails.to == [ANN, BOB]
    assert await redis.hlen(TOLD_KEY) == 0
    mails.answers = ["554 no"]
    failed = await asyncio.to_thread(run, "send", "--site", "shop.example", "--to", ANN, "--every", "daily")
    assert (failed.returncode, failed.stderr) == (1, f"forebay report: not sent to {ANN}: refused: 554 no\n")
    unknown = await asyncio.to_thread(run, "send", "--site", "nobody.example", "--print")
    assert (unknown.returncode, "there is no site 'nobody.example'" in unknown.stderr) == (1, True)
