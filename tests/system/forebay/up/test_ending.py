"""How `forebay up` ends: in order, at once, or killed; whatever was accepted is there at the next start.

The tests share a data directory. Each begins with a `forebay up` that runs on it, and looks at the events of its own site.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from forebay.embedded import redis
from tests.support.command import forebay
from tests.support.system import System, is_alive
from tests.support.waiting import until
from tests.system.forebay.up.test_up import post

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Holds the data directory, and ends what runs on it after the last test."""
    one = System(tmp_path_factory.mktemp("ending"))
    yield one
    one.close()


@pytest_asyncio.fixture(loop_scope="module")
async def system(kept: System) -> AsyncIterator[System]:
    """Gives a `forebay up` that runs and has stored everything, started if a test before ended it."""
    if not kept.is_running():
        kept.start()
    await kept.ready()
    await kept.until(lambda: not redis.rest(redis.socket_path(kept.data / "redis")))
    yield kept


def of(site: str) -> str:
    return f"site = '{site}'"


def last_words(system: System) -> str:
    return system.tail().splitlines()[-1]


async def test_ctrl_c_stores_everything(system: System) -> None:
    """After SIGINT all is stored and the exit code is 0; the next start has the data, and no process stays."""
    for _ in range(20):
        post(system.facts()["url"], "orderly.example")
    pids = system.pids()
    assert await system.stop() == 0
    assert not any(is_alive(pid) for pid in pids.values())
    assert "everything accepted is stored" in last_words(system)
    assert not system.has_ready_file()
    system.start()
    await system.ready()
    assert await system.ask(f"SELECT count() FROM forebay.events WHERE {of('orderly.example')}") == [(20,)]


@pytest.mark.parametrize("what", ["replay", "kill"])
async def test_ctrl_c_stores_what_a_flusher_without_lease_would_leave(system: System, what: str) -> None:
    """It does so right after a replay took the lease away, and right after the flusher was killed."""
    facts, site = system.facts(), f"{what}.example"
    for _ in range(3):
        post(facts["url"], site)
    await system.stored(of(site), 3)
    post(facts["url"], site)
    await system.stored(of(site), 4)
    if what == "replay":
        assert "delivering again" in forebay("replay", "--data", str(system.data), "--since", "1h", "--no-wait").stdout
    else:
        os.kill(facts["pids"]["flusher"][0], signal.SIGKILL)
        post(facts["url"], site)
    assert await system.stop() == 0, system.tail()
    assert "everything accepted is stored" in last_words(system)


async def test_sigkill_leaves_nothing_behind(system: System) -> None:
    """SIGKILL of `forebay up` ends every process; a start right after it works, and has what was accepted."""
    post(system.facts()["url"], "killed.example")
    pids = system.pids()
    system.kill()
    system.start()
    await system.ready()
    assert not any(is_alive(pid) for pid in pids.values())
    await system.stored(of("killed.example"), 1)


async def test_a_second_ctrl_c_says_what_stays(system: System) -> None:
    """If ClickHouse is paused nothing can be flushed: it ends at once, and says how much Redis keeps."""
    facts = system.facts()
    os.kill(facts["pids"]["clickhouse"], signal.SIGSTOP)
    for _ in range(3):
        post(facts["url"], "waiting.example")
    pids = system.pids()
    system.signal(signal.SIGINT)
    await until(lambda: not is_alive(pids["ingest tier"]))
    system.signal(signal.SIGINT)
    async with asyncio.timeout(60):
        assert await system.ended() == 1
    assert "3 events wait in Redis for the next start (shard " in last_words(system)
    assert not any(is_alive(pid) for pid in pids.values())
    system.start()
    await system.ready()
    await system.stored(of("waiting.example"), 3)
