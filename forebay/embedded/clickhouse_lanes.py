"""Threads for the embedded engine, lent to one request at a time in the order of arrival, and a budget for bodies.

A connection of the engine is used by one thread, and a request keeps its thread until it has ended, also when its
client left: an INSERT is never left half done by a broken connection. A request whose client leaves while it still
waits never starts, so no INSERT begins after its sender has given it up.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from forebay.embedded.clickhouse_sql import failure

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """One thread. What it is given runs in the order given."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def do(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the work on the thread. Cancelled, it waits for the work's end first."""
        running = asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))
        running.add_done_callback(_heard)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    def close(self) -> None:
        """Waits for the thread's last work."""
        self._thread.shutdown()


def _heard(running: asyncio.Future[T]) -> None:
    """Of work whose client is gone nobody asks how it ended; asyncio would log its error as never retrieved."""
    if not running.cancelled():
        running.exception()


class Lanes:
    """`count` lanes; at most `waiting_max` requests wait for one, the next is refused (code 202)."""

    def __init__(self, count: int, waiting_max: int) -> None:
        self._lanes = [Lane() for _ in range(count)]
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in self._lanes:
            self._free.put_nowait(lane)
        self._waiting_max = waiting_max
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def lane(self) -> AsyncIterator[Lane]:
        if self._free.empty() and self._waiting >= self._waiting_max:
            raise failure(202, f"Too many simultaneous queries: {len(self._lanes)} run and {self._waiting} wait")
        self._waiting += 1
        try:
            lane = await self._free.get()
        finally:
            self._waiting -= 1
        try:
            yield lane
        finally:
            self._free.put_nowait(lane)

    def close(self) -> None:
        """Waits for all running work; called from another thread than the loop's."""
        for lane in self._lanes:
            lane.close()


class BodyBudget:
    """Decompressed bodies of all requests together, and of each one, have a limit."""

    def __init__(self, *, body_bytes_max: int, bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._bytes_max = bytes_max
        self._used = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes bytes for one request, given back when the request ends; raises QueryFailed."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if taken + count > self._body_bytes_max:
                raise failure(307, f"The body is larger than {self._body_bytes_max} bytes")
            if self._used + count > self._bytes_max:
                raise failure(202, f"Requests being served already hold {self._used} of {self._bytes_max} bytes")
            taken += count
            self._used += count

        try:
            yield take
        finally:
            self._used -= taken
