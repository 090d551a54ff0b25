"""Posts events from a thread while something is done to the system, with the clients of `tests.support.posting`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.posting import Client, Posted, keep_posting

CLIENTS = 4
PAUSE_SECONDS = 0.01


def post(posted: Posted, count: int) -> None:
    """Posts so many events, one after another on one connection."""

    async def run() -> None:
        client = Client(posted, is_kept=True)
        for _ in range(count):
            await client.post()
        await client.close()

    asyncio.run(run())


@contextmanager
def posting(posted: Posted) -> Iterator[None]:
    """Posts from four clients while the body runs; two of them open a new connection for each event."""
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    began = threading.Event()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        began.set()
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(keep_posting(posted, is_kept=number % 2 == 0, pause=PAUSE_SECONDS, until=stop))

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    began.wait()
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


def shortfall(posted: Posted, stored: list[str]) -> str:
    """Returns the difference between what was acknowledged and what is stored, or "" if each event is stored once."""
    ours = [name for name in stored if name.startswith(f"{posted.prefix}-")]
    lost = set(posted.acknowledged) - set(ours)
    invented = set(ours) - set(posted.acknowledged) - set(posted.unclear)
    doubled = len(ours) - len(set(ours))
    if not (lost or invented or doubled):
        return ""
    return f"lost {len(lost)} {sorted(lost)[:3]}, doubled {doubled}, never sent {len(invented)}"
