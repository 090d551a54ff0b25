"""Lends the embedded engine's threads to one request at a time, in order of arrival, and limits the memory of bodies.

A connection of the engine is used by one thread, and a request keeps its thread until its work has ended. Work that
writes is awaited even if its client left, so that no broken connection leaves an INSERT half done; work that only reads
is told to end then. A request whose client leaves while it waits for a thread never starts, so no INSERT begins after
its sender has given it up.

The engine checks between two blocks of rows whether it was told to end, and a function may take hours over one block
(editDistance of long texts). A thread that does not come back is lost: another takes its place, up to a number.

Not promised: that the work of a lost thread ends before the process does.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from forebay.embedded.clickhouse.sql import failure

P = ParamSpec("P")
T = TypeVar("T")
Stop = Callable[[int], Awaitable[None]]  # tells the work of the thread of this id to end

STOP_AGAIN_SECONDS = 0.5  # work is told again, because it does not hear of it if it had not begun yet
LOST_SECONDS = 30.0  # enough for a sleep() of 3 s, and for the end of a sort or of a JOIN


class Lane:
    """Runs work on one thread, in the order given."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine", initializer=self._begin)
        self._thread_id = 0
        self._running: asyncio.Future[object] | None = None
        self.is_lost = False

    def _begin(self) -> None:
        self._thread_id = threading.get_native_id()

    @property
    def is_busy(self) -> bool:
        """Tells whether the last work that it was given still runs."""
        return self._running is not None and not self._running.done()

    async def do(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the work on the thread and returns its result. If it is cancelled, it waits for the work's end first."""
        running = self._submit(work, *args, **kwargs)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    async def do_until_told(self, stop: Stop, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs work as `do` does, but tells it to end if the waiting is cancelled.

        If the work does not end, the lane is lost.
        """
        running = self._submit(work, *args, **kwargs)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.is_lost = True  # until the work is seen to end, because the waiting below may be cancelled too
            until = asyncio.get_running_loop().time() + LOST_SECONDS
            while not running.done() and asyncio.get_running_loop().time() < until:
                await stop(self._thread_id)
                await asyncio.wait([running], timeout=STOP_AGAIN_SECONDS)
            self.is_lost = not running.done()
            raise

    def finish(self, work: Callable[[], None]) -> None:
        """Runs the work after what runs now, without anybody who waits for it."""
        self._submit(work)

    def _submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        running = asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))
        running.add_done_callback(_heard)
        self._running = running  # type: ignore[assignment]  # the result's type does not matter here
        return running

    def close(self) -> None:
        """Waits for the thread's last work."""
        self._thread.shutdown()


def _heard(running: asyncio.Future[T]) -> None:
    """Takes note of an error whose client is gone; otherwise asyncio would log that it was never retrieved."""
    if not running.cancelled():
        running.exception()


class Lanes:
    """Holds `count` lanes.

    At most `waiting_max` requests wait for one, each at most `wait_seconds`; others are refused (202).

    `on_lost` is told how many lanes are lost, whenever one more is.
    """

    def __init__(
        self,
        count: int,
        waiting_max: int,
        *,
        wait_seconds: float | None = None,
        on_lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._count = count
        self._all = [Lane() for _ in range(count)]
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in self._all:
            self._free.put_nowait(lane)
        self._waiting_max = waiting_max
        self._wait_seconds = wait_seconds
        self._on_lost = on_lost
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def lane(self) -> AsyncIterator[Lane]:
        """Lends a free lane, for the length of the block.

        Raises QueryFailed if too many wait, or one has waited too long.
        """
        if self._free.empty() and self._waiting >= self._waiting_max:
            raise failure(202, f"Too many simultaneous queries: {self._count} run and {self._waiting} wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                lane = await self._free.get()
        except TimeoutError as error:
            sentence = f"{self._count} run, and none of them ended within {self._wait_seconds:g} s"
            raise failure(202, f"Too many simultaneous queries: {sentence}") from error
        finally:
            self._waiting -= 1
        try:
            yield lane
        finally:
            self._free.put_nowait(self._replaced(lane) if lane.is_lost else lane)

    def _replaced(self, lost: Lane) -> Lane:
        self._all = [lane for lane in self._all if not lane.is_lost or lane.is_busy]
        fresh = Lane()
        self._all.append(fresh)
        self._on_lost(sum(lane.is_lost for lane in self._all))
        return fresh

    def close(self) -> None:
        """Waits for all running work. It is called from another thread than the loop's."""
        for lane in self._all:
            lane.close()


class BodyBudget:
    """Limits the decompressed bodies of all requests together, and of each one."""

    def __init__(self, *, body_bytes_max: int, bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._bytes_max = bytes_max
        self._used = 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that takes bytes for one request, which are returned at the end.

        The function raises QueryFailed.
        """
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
