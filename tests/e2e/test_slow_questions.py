"""A whole `forebay up` with slow questions on its ClickHouse port: events are stored all the while."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio

from tests.support.system import ROOT, System, running
from tests.support.waiting import until

ENDLESS = "SELECT count() FROM numbers(1000000000000)"
SLEEPS = "SELECT sleep(3) FROM numbers(1000) SETTINGS max_block_size = 1"
# A block is cut when it is 1 s old, 5 s while blocks are tiny; the rest is a busy machine's. Questions last for an hour.
FRESH_SECONDS = 60.0


def asked(system: System, sql: str) -> socket.socket:
    """Sends a question to the public port, whose answer nobody reads."""
    at = urlsplit(system.facts()["clickhouse_url"])
    connection = socket.create_connection((at.hostname, at.port))
    connection.sendall(f"GET /?query={quote(sql)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def post(system: System, path: str) -> None:
    body = json.dumps({"url": f"https://example.com/{path}"}).encode()
    request = urllib.request.Request(
        f"{system.facts()['url']}/f", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


def told(url: str) -> tuple[int, str]:
    """Returns the status and the text of an answer, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def stored(system: System) -> float:
    """Returns the stored events as the flusher counts them, because the public port may be full."""
    return system.metric("forebay_events_stored_total")


async def storing_goes_on(system: System, rounds: int) -> float:
    """Posts an event and waits until it is stored, several times; returns the longest wait in seconds."""
    longest = 0.0
    for number in range(rounds):
        before, began = stored(system), time.monotonic()
        post(system, f"{number}")
        await until(lambda before=before: stored(system) > before)  # type: ignore[misc]  # bound at once
        longest = max(longest, time.monotonic() - began)
    return longest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Runs a system for tests whose questions have ended when they are over."""
    async with running(tmp_path_factory.mktemp("questions"), "--site", "*") as up:
        yield up


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("sql", [SLEEPS, ENDLESS])
async def test_ctrl_c_ends_a_question(system: System, sql: str) -> None:
    """`forebay query` exits with 130, and ClickHouse works on nothing of it."""
    words = [sys.executable, "-m", "forebay", "query", "--data", str(system.data), sql]
    asking = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    asked_for = f"SELECT count() FROM system.processes WHERE query = '{sql}'"

    async def runs() -> bool:
        return await system.ask(asked_for) != [(0,)]

    async def has_ended() -> bool:
        return not await runs()

    await until(runs)
    assert asking.poll() is None
    asking.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(asking.wait, 60) == 130
    assert asking.stderr is not None
    assert b"Traceback" not in asking.stderr.read()
    asking.stderr.close()
    await until(has_ended)


@pytest.mark.asyncio(loop_scope="module")
async def test_slow_questions_do_not_keep_events_from_being_stored(system: System) -> None:
    """Six questions sleep and two count without end, all connected: each event is stored as soon as without them.

    It is the last that uses the system of this file: some of its questions may still run when it is over.
    """
    assert await storing_goes_on(system, 1) < FRESH_SECONDS
    with ExitStack() as held:
        for sql in [SLEEPS] * 6 + [ENDLESS] * 2:
            held.enter_context(asked(system, sql))
        assert await storing_goes_on(system, 4) < FRESH_SECONDS


async def test_questions_whose_clients_left_hold_nothing(tmp_path: Path) -> None:
    """Eight questions have no end, and their clients leave: others are answered soon, long before `query_seconds_max`."""
    settings = {"FOREBAY_QUERY_SECONDS": "500"}
    async with running(tmp_path, "--site", "*", **settings) as system:
        with ExitStack() as held:
            for sql in [SLEEPS, ENDLESS] * 4:
                held.enter_context(asked(system, sql))
            assert await storing_goes_on(system, 1) < FRESH_SECONDS
        async with asyncio.timeout(60):
            assert await system.ask("SELECT 1") == [(1,)]
        assert await storing_goes_on(system, 1) < FRESH_SECONDS


async def test_a_lag_without_end_is_no_readiness(tmp_path: Path) -> None:
    """ClickHouse is paused: /readyz names the shard, and since when it waits, until something is stored again."""
    async with running(tmp_path, "--site", "*", FOREBAY_READY_STALLED_SECONDS_MAX="3") as system:
        await storing_goes_on(system, 1)
        url = f"{system.facts()['flusher_internal_url']}/readyz"
        await until(lambda: told(url) == (200, "ready\n"))
        engine = system.pids()["clickhouse"]
        os.kill(engine, signal.SIGSTOP)
        try:
            post(system, "waits")
            await until(lambda: told(url)[0] == 503)
            assert told(url)[1].startswith("nothing is stored, and something waits: shard 0 for ")
        finally:
            os.kill(engine, signal.SIGCONT)
        await until(lambda: told(url)[0] == 200)
