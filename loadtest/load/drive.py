"""Sends requests on a clock over keep-alive connections: an open loop.

Every request has a moment at which it is due, which is set beforehand and does not depend on the server. A timer wakes
each millisecond and sends what is due over free connections; an answer frees its connection, which takes the next due
request at once. When all connections are busy the schedule falls behind: a request is drawn from the iterator only when
it can be sent, so a slow server costs no memory here, and the wait is part of the latency. A request that found no
connection within the timeout is unsent, because its user would be gone.

States of a request: due → in flight → acknowledged | refused | unclear, or due → unsent. With resends, a shed (429,
503) or unclear one goes back to due, with the same bytes and ids, as an SDK does; its latency still counts from the
first moment at which it was due, and only its last outcome is its fate.

Not promised: a resolution finer than the timer's millisecond; that lag is measured and reported. The event loop is
`__main__`'s choice (uvloop); any loop will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from loadtest.load.account import Account, Flight
from loadtest.load.connection import Answer, Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from loadtest.load.generate import Request
    from loadtest.load.target import Target

TICK_S = 0.001  # the resolution of the timers of asyncio and uvloop
IDLE_TICK_S = 0.05  # at low rates; bounds how late a timeout or a second's end is noticed
STOP_GRACE_S = 5.0  # for answers that are on their way when the run is told to stop
LOG_INTERVAL_S = 0.05
RECONNECT_S = (0.05, 0.5)
RESEND_AFTER_S = 1.0  # if the answer has no Retry-After
DRAIN_S = 30.0  # for resends after the end of the schedule


class ServerUnreachableError(Exception):
    """Reports that not one connection could be opened."""


class Driver:
    """Sends the requests of one run. Times are `time.perf_counter` seconds."""

    def __init__(
        self,
        target: Target,
        account: Account,
        *,
        connections: int = 64,
        timeout_s: float = 10.0,
        resends: int = 0,
        opening_s: float = 3.0,
    ) -> None:
        self.elapsed_s = 0.0  # from the first moment of the schedule to the last outcome
        self.was_stopped = False
        self.reconnects = 0
        self._target = target
        self._head = target.head()
        self._account = account
        self._connections = connections
        self._timeout_s = timeout_s
        self._resends = resends
        self._opening_s = opening_s
        self._requests: Iterator[Request] = iter(())
        self._next: Request | None = None
        self._start = 0.0
        self._end = float("inf")
        self._swept = 0.0
        self._idle: deque[Connection] = deque()  # oldest first, so that every worker of a server gets its share
        self._opened = 0
        self._all_open = asyncio.Event()
        self._flights: dict[Connection, Flight] = {}
        self._again: list[Flight] = []  # a heap
        self._remembered: dict[bytes, Answer] = {}
        self._finished = asyncio.Event()
        self._fault: BaseException | None = None

    async def run(self, requests: Iterator[Request], starts: Callable[[], Awaitable[float]] | None = None) -> None:
        """Sends all requests at their offsets and waits for their outcomes; `stop` ends it early.

        `starts` is awaited once the connections are open, and returns the moment of offset 0; without it that is at
        once. Raises ServerUnreachableError.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_fault)
        self._requests = requests
        self._next = next(requests, None)
        is_reachable = False
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep_connected()) for _ in range(self._connections)]
            try:
                is_reachable = await self._wait_open()
                if is_reachable:
                    start = time.perf_counter() if starts is None else await starts()
                    log_keeper = group.create_task(self._keep_log())
                    self._start = self._swept = self._account.last_outcome = start
                    self._tick()
                    await self._finished.wait()
                    await log_keeper
            finally:
                for keeper in keepers:
                    keeper.cancel()
        loop.set_exception_handler(None)
        if self._fault is not None:
            raise self._fault
        if not is_reachable:
            raise ServerUnreachableError(
                f"{self._target.host}:{self._target.port} accepts no connection: --url or --data say where the server is"
            )
        self.elapsed_s = self._account.last_outcome - self._start

    def stop(self) -> None:
        """Sends no more requests; those in flight get a few seconds for their answers."""
        if self.was_stopped:
            return
        self.was_stopped = True
        self._next, self._requests = None, iter(())
        now = time.perf_counter()
        for connection in self._flights:
            connection.deadline = min(connection.deadline, now + STOP_GRACE_S)
        self._abandon_resends(now)

    def answered(self, connection: Connection, answer: Answer, now: float) -> None:
        flight = self._flights.pop(connection)
        if not connection.is_closing:
            self._idle.append(connection)
        self._account.answered(flight, now)
        if 200 <= answer.status < 300:
            self._account.acknowledged(flight, answer.body, now)
        elif answer.status not in {429, 503} or not self._send_again(flight, now, answer.retry_after_s):
            self._account.refused(flight, answer.status, now)
        self._dispatch()

    def cut(self, connection: Connection, now: float) -> None:
        flight = self._flights.pop(connection, None)
        if flight is None:
            with contextlib.suppress(ValueError):  # a connection that answered "Connection: close" is not in it
                self._idle.remove(connection)
        elif not self._send_again(flight, now, None):
            self._account.unclear(flight, "timeout" if now >= connection.deadline else "cut", now)

    def _send_again(self, flight: Flight, now: float, after_s: float | None) -> bool:
        if flight.attempt >= self._resends or self.was_stopped:
            return False
        wait_s = RESEND_AFTER_S if after_s is None else after_s
        heapq.heappush(self._again, flight._replace(send_at=now + wait_s, attempt=flight.attempt + 1))
        return True

    def _abandon_resends(self, now: float) -> None:
        # Nobody knows whether an earlier attempt, shed or cut, left its events behind.
        for flight in self._again:
            self._account.unclear(flight, "abandoned", now)
        self._again.clear()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._skip_late(now)
        self._dispatch()
        if now - self._swept >= IDLE_TICK_S:
            self._swept = now
            for connection in [one for one in self._flights if now >= one.deadline]:
                connection.abort()
            if now - self._end > DRAIN_S:
                self._abandon_resends(now)
        while now - self._start >= self._account.seconds + 1:
            self._account.close_second()
        if self._next is None:
            self._end = min(self._end, now)
            if not self._flights and not self._again:
                self._account.close_second()
                self._finished.set()
        if not self._finished.is_set():
            asyncio.get_running_loop().call_later(self._until_due(now), self._tick)

    def _until_due(self, now: float) -> float:
        wait_s = IDLE_TICK_S
        if self._next is not None:
            wait_s = min(wait_s, self._start + self._next.at - now)
        if self._again:
            wait_s = min(wait_s, self._again[0].send_at - now)
        return max(wait_s, TICK_S)

    def _skip_late(self, now: float) -> None:
        while self._next is not None and now - self._start - self._next.at > self._timeout_s:
            self._account.unsent(self._next, self._start + self._next.at, now)
            self._next = next(self._requests, None)

    def _dispatch(self) -> None:
        """Sends what is due over the connections that are free."""
        idle = self._idle
        while idle:
            if idle[0].is_closing:  # it ended a moment ago, and `cut` will be called
                idle.popleft()
                continue
            now = time.perf_counter()
            if self._again and self._again[0].send_at <= now:
                flight = heapq.heappop(self._again)._replace(send_at=now)
            elif self._next is not None and self._start + self._next.at <= now:
                flight = Flight(now, self._start + self._next.at, 0, self._next)
                self._next = next(self._requests, None)
            else:
                return
            self._send(idle.popleft(), flight)

    def _send(self, connection: Connection, flight: Flight) -> None:
        self._account.sent(flight, connection.free_since)
        self._flights[connection] = flight
        request = flight.request
        length = b"Content-Length: %d\r\n\r\n" % len(request.body)
        connection.send(
            b"".join((self._head, request.headers, length, request.body)),
            flight.send_at + self._timeout_s,
        )

    async def _wait_open(self) -> bool:
        """Waits until all connections are open, so that no latency includes connecting; tells whether one is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._opening_s):
                await self._all_open.wait()
        return bool(self._idle)

    async def _keep_connected(self) -> None:
        """Keeps one connection open: opens it again when it ends, after a pause that grows to a limit."""
        loop = asyncio.get_running_loop()
        first_s, most_s = RECONNECT_S
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(max(pause_s * 2, first_s), most_s)
            try:
                async with asyncio.timeout(self._timeout_s):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self, self._remembered),
                        self._target.host,
                        self._target.port,
                        ssl=self._target.tls,
                    )
            except (OSError, TimeoutError):
                continue
            self._opened += 1
            if self._opened >= self._connections:
                self._all_open.set()
            if not connection.is_closing:
                self._idle.append(connection)
            try:
                await connection.closed.wait()
            finally:
                connection.abort()
            self.reconnects += 1
            if connection.has_answered:
                pause_s = 0.0

    async def _keep_log(self) -> None:
        log = self._account.log
        while not self._finished.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOG_INTERVAL_S):
                    await self._finished.wait()
            # On a thread, because an fsync of some milliseconds would delay requests.
            await asyncio.to_thread(log.write, log.take())
        log.write(log.take())  # what was settled while the thread wrote

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Ends the run when a callback raises: that is a bug here, and the account could be wrong."""
        self._fault = context.get("exception") or RuntimeError(context["message"])
        self._finished.set()
