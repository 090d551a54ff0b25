"""flusher/__main__.py: what the internal port says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from flusher.__main__ import internal_port
from flusher.config import FlusherSettings
from flusher.fleet import Fleet
from flusher.metrics import Metrics


class Port:
    """An internal port, and the fleet it speaks of."""

    def __init__(self, fleet: Any, session: ClientSession, url: str) -> None:
        self.fleet = fleet
        self._session = session
        self._url = url

    async def ask(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._url + path) as response:
            return response.status, await response.text()


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    fleet: Any = SimpleNamespace(is_connected=True, stopped=[])
    runner = await internal_port(
        FlusherSettings(flusher_internal_port=0), Metrics(CollectorRegistry()), cast(Fleet, fleet)
    )
    async with ClientSession() as session:
        yield Port(fleet, session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_a_flusher_that_serves_is_ready(port: Port) -> None:
    """Nothing is wrong."""
    assert await port.ask("/readyz") == (200, "ready\n")


async def test_a_stopped_shard_is_named(port: Port) -> None:
    """The process lives, and must not be restarted for it; but nobody may think that all is stored."""
    port.fleet.stopped = [1, 3]
    assert await port.ask("/readyz") == (503, "stopped, and needs a person: shard 1, 3\n")
    assert (await port.ask("/healthz"))[0] == 200


async def test_a_silent_redis_is_named(port: Port) -> None:
    """Leases can't be taken."""
    port.fleet.is_connected = False
    assert await port.ask("/readyz") == (503, "Redis does not answer\n")
