"""flusher/__main__.py: what the internal port answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from flusher.__main__ import routes
from flusher.fleet import Fleet
from flusher.metrics import Metrics
from flusher.shards.standstill import Standstills
from runtime.hosts import Hosts
from runtime.internal import serving
from runtime.listen import listen
from tests.support.waiting import until


class Port:
    """Holds an internal port, and the fleet that it answers for."""

    def __init__(self, fleet: Any, standstills: Standstills, session: ClientSession, url: str) -> None:
        self.fleet = fleet
        self.standstills = standstills
        self._session = session
        self._url = url

    async def ask(self, path: str, host: str = "localhost") -> tuple[int, str]:
        async with self._session.get(self._url + path, headers={"Host": host}) as response:
            return response.status, await response.text()


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    fleet: Any = SimpleNamespace(is_connected=True, stopped=[])
    metrics = Metrics(CollectorRegistry())
    standstills = Standstills(metrics)
    answers = routes(metrics, cast(Fleet, fleet), standstills, stalled_seconds_max=1)
    sockets, number = listen("127.0.0.1", 0)
    async with serving(sockets, answers, hosts=Hosts("127.0.0.1", ())), ClientSession() as session:
        yield Port(fleet, standstills, session, f"http://127.0.0.1:{number}")


async def test_a_flusher_that_serves_is_ready(port: Port) -> None:
    """A flusher is ready when nothing is wrong."""
    assert await port.ask("/readyz") == (200, "ready\n")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/none"])
async def test_a_web_page_does_not_read_it(port: Port, path: str) -> None:
    """A request is refused whose host name was pointed at this machine, whatever it asks for."""
    status, said = await port.ask(path, "evil.example")
    assert status == 403
    assert "internal_hosts" in said


async def test_a_stopped_shard_is_named(port: Port) -> None:
    """A stopped shard makes the process not ready and is named, but the process lives and must not be restarted."""
    port.fleet.stopped = [1, 3]
    assert await port.ask("/readyz") == (503, "stopped, and needs a person: shard 1, 3\n")
    assert (await port.ask("/healthz"))[0] == 200


async def test_a_shard_that_stores_nothing_is_named(port: Port) -> None:
    """A standing shard is named by its number and since when, until something is stored or nothing waits; a
    metric too.
    """
    one, other = port.standstills.begin(1), port.standstills.begin(2)
    one.waits()
    other.nothing_waits()
    assert await port.ask("/readyz") == (200, "ready\n")
    await until(lambda: one.seconds() > 1)
    status, text = await port.ask("/readyz")
    assert status == 503
    assert re.fullmatch(
        r"nothing is stored, and something waits: shard 1 for \d+ s, since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", text
    )
    assert (await port.ask("/healthz"))[0] == 200
    exposed = (await port.ask("/metrics"))[1]
    assert re.search(r'^forebay_flush_stalled_seconds\{shard="1"\} [1-9]', exposed, re.MULTILINE)
    assert 'forebay_flush_stalled_seconds{shard="2"} 0.0' in exposed
    one.stored()
    assert await port.ask("/readyz") == (200, "ready\n")


async def test_a_silent_redis_is_named(port: Port) -> None:
    """A flusher whose Redis is silent is not ready, because it can take no leases."""
    port.fleet.is_connected = False
    assert await port.ask("/readyz") == (503, "Redis does not answer\n")
