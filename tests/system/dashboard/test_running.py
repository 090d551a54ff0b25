"""The dashboard beside all that `forebay up` starts: numbers of real events, one query for many screens, and ClickHouse away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from forebay.up import plan
from runtime.ports import PortTaken
from schemas.settings import UpSettings
from tests.support.system import BROWSER, System, running

SITE = "example.com"
SCREENS = 10
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Said(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


def ask(url: str, body: Any = None) -> Said:
    """Returns what the dashboard says, whatever its status."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Said(answer.status, json.loads(answer.read()), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Said(error.code, json.loads(error.read()), dict(error.headers))


def panel(system: System, name: str, **more: Any) -> Said:
    """Returns what a panel of the last days says."""
    question = {"site": SITE, "panel": name, "period": "7d", **more}
    return ask(f"{system.facts()['dashboard_url']}/api/panel", question)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Runs one `forebay up` with three pageviews of a site."""
    async with running(tmp_path_factory.mktemp("dashboard"), "--site", SITE) as one:
        for page in ("/", "/pricing", "/"):
            event = json.dumps({"url": f"https://{SITE}{page}", "site": SITE}).encode()
            request = urllib.request.Request(f"{one.facts()['url']}/f", event, BROWSER)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 202
        await one.stored("1", 3)
        yield one


async def test_an_event_is_a_number_on_the_page(system: System) -> None:
    """The page is there, its API has the site, and the site its pageviews."""
    url = system.facts()["dashboard_url"]
    with urllib.request.urlopen(f"{url}/", timeout=60) as answer:
        assert b"<title>" in answer.read()
    (found,) = [site for site in ask(f"{url}/api/sites").body if site["name"] == SITE]
    assert sum(found["days"]) == 3
    said = panel(system, "totals")
    assert said.body["rows"][0][said.body["columns"].index("pageviews")] == 3
    assert ask(f"{url}/api/health").body["parts"] == [
        {"name": name, "is_well": True, "says": says}
        for name, says in (
            ("ingest", "It says: ready."),
            ("buffer", "Redis answers."),
            ("flusher", "It says: ready."),
            ("ClickHouse", "It answers questions."),
        )
    ]
    assert (
        ask(f"{url}/api/sites/{SITE}").body["snippet"].startswith(f'<script defer src="{system.facts()["url"]}/f.js"')
    )


async def test_it_can_only_read(system: System) -> None:
    """Its way to ClickHouse is the reader's socket."""
    environment = Path(f"/proc/{system.pids()['dashboard']}/environ").read_text().split("\0")
    assert f"FOREBAY_CLICKHOUSE_URL=unix://{system.data}/clickhouse/reader.sock" in environment


async def test_ten_screens_are_one_query(system: System) -> None:
    """Ten that ask at once, and ten that ask a moment later, as ClickHouse itself counts them."""
    for _ in range(2):
        with ThreadPoolExecutor(SCREENS) as screens:
            answers = list(
                screens.map(lambda _: panel(system, "durations", period="2026-01-01,2026-01-31"), range(SCREENS))
            )
        assert {said.status for said in answers} == {200}
        assert len({json.dumps(said.body) for said in answers}) == 1
    sql = "SELECT countIf(type = 'QueryStart') FROM system.query_log WHERE log_comment = 'dashboard:durations'"

    async def counted() -> int:
        return int((await system.ask(sql))[0][0])

    async def is_logged() -> bool:
        return await counted() > 0

    await system.until(is_logged)
    assert await counted() == 1


def is_well(system: System, part: str) -> bool:
    """Tells what the page of health says of a part."""
    report = ask(f"{system.facts()['dashboard_url']}/api/health").body
    return any(one["is_well"] for one in report["parts"] if one["name"] == part)


async def test_clickhouse_goes_and_comes_back(system: System) -> None:
    """The page is told within seconds, and is answered again by itself; nothing of the dashboard was started anew."""
    before = system.pids()
    os.kill(before["up"], signal.SIGSTOP)  # or it would start the engine at once
    try:
        os.kill(before["clickhouse"], signal.SIGKILL)
        began = time.monotonic()
        for name in ("sources", "goals"):
            said = panel(system, name)
            assert (said.status, said.body) == (503, {"error": "ClickHouse does not answer; try again."})
            assert said.headers["Retry-After"] == "2"
        # A report is remembered for two seconds, and one may have been made before.
        await system.until(lambda: not is_well(system, "ClickHouse"))
        assert time.monotonic() - began < 60
    finally:
        os.kill(before["up"], signal.SIGCONT)
    await system.until(lambda: panel(system, "sources").status == 200)
    assert system.pids()["dashboard"] == before["dashboard"]


async def test_a_second_one_gets_a_port_of_its_own() -> None:
    """Nobody chose 8003 for it; whoever asks for a port that is taken is told who has it."""
    settings = UpSettings(host="127.0.0.1", port=0, internal_port=0, clickhouse_port=0)
    with ExitStack() as held:
        ports = []
        for _ in range(2):
            sockets, numbers = await asyncio.to_thread(plan.hold_ports, settings)
            for one in sockets:
                held.enter_context(one)
            ports.append(numbers["dashboard-port"])
        assert len(set(ports)) == 2
        with socket.create_server(("127.0.0.1", 0)) as taken:
            chosen = UpSettings(port=0, internal_port=0, clickhouse_port=0, dashboard_port=taken.getsockname()[1])
            with pytest.raises(PortTaken, match="choose another with --dashboard-port"):
                plan.hold_ports(chosen)
