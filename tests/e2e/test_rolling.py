"""Many rolling restarts of the ingest tier under load, and restarts of the flusher: nothing is lost or cut off."""

import asyncio
import os
import signal
import time
from pathlib import Path

from tests.support.posting import Posted, assert_once, keep_posting
from tests.support.system import System, is_alive, parent_of, running
from tests.support.volume import volume

RESTARTS = volume(6, 20)
# Clients, whether their connections are kept, and the pause between their requests: 250 requests/s in all at most,
# which leaves a two-core machine time for starting workers.
CLIENTS = ((6, True, 0.05), (6, False, 0.05), (10, True, 1.0))
REPLACE_SECONDS = 120  # a replacement takes 1.5; a busy machine


def worker(system: System) -> int:
    """Returns the pid of the one ingest worker."""
    (pid,) = system.facts()["pids"]["ingest"]
    return int(pid)


async def replace(system: System) -> None:
    """Does one rolling restart, from SIGHUP until the old worker has exited."""
    old = worker(system)
    os.kill(parent_of(old), signal.SIGHUP)
    await system.until(lambda: worker(system) != old, REPLACE_SECONDS)
    await system.until(lambda: not is_alive(old), REPLACE_SECONDS)


async def restart_flusher(system: System, number: signal.Signals) -> None:
    (old,) = system.facts()["pids"]["flusher"]
    os.kill(old, number)
    await system.until(lambda: system.facts()["pids"]["flusher"] != [old], REPLACE_SECONDS)


async def test_many_rolling_restarts_under_load(tmp_path: Path) -> None:
    """No event is lost or doubled, and no request is refused, reset or cut, on a new connection or a busy one."""
    async with running(tmp_path) as system:
        posted = Posted(system.facts()["url"], "rolling")
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for count, is_kept, pause in CLIENTS:
                for _ in range(count):
                    tasks.create_task(keep_posting(posted, is_kept=is_kept, pause=pause, until=ended))
            try:
                await system.until(lambda: len(posted.acknowledged) > 100)
                began = time.monotonic()
                for _ in range(RESTARTS):
                    await replace(system)
                took = time.monotonic() - began
                for number in (signal.SIGTERM, signal.SIGKILL):
                    before = len(posted.acknowledged)
                    await restart_flusher(system, number)
                    await system.until(lambda before=before: len(posted.acknowledged) > before + 50)  # type: ignore[misc]  # of a default mypy infers no type
            finally:
                ended.set()
        print(
            f"{RESTARTS} restarts in {took:.1f} s: {posted.sent} requests sent, at fault {posted.at_fault()}, "
            f"on idle connections {posted.faults.total() - sum(posted.at_fault().values())}, "
            f"answers {dict(posted.statuses)}, longest {posted.longest:.2f} s"
        )
        assert posted.at_fault() == {}, system.tail()
        assert set(posted.statuses) == {202}
        await assert_once(system, posted)
        assert await system.stop() == 0
