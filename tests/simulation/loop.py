"""Runs asyncio on virtual time: one thread, no sockets, the same steps every time.

When nothing is ready the clock jumps to the next timer. Callbacks are queued here and not by asyncio, whose loops ask each
time who calls and whether it is debugged: a simulation is little else than callbacks. Every callback belongs to the process in whose context it was
made: a paused process's callbacks are withheld, a dead one's are dropped. Tasks hash by a serial number, because a
TaskGroup cancels its children in the order of a set. Work for threads runs inline, after a moment of virtual time.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVarTuple

Given = TypeVarTuple("Given")
WORLD = contextvars.Context()  # of what no process does: servers, clients, the fates


class Process(Protocol):
    """Owns callbacks, and decides whether they run."""

    @property
    def is_running(self) -> bool: ...
    def withhold(self, handle: asyncio.Handle) -> None: ...
    def adopt(self, task: asyncio.Task[Any]) -> None: ...
    def thread(self, future: asyncio.Future[Any], work: Callable[[], Any]) -> None: ...


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Stuck(Exception):
    """Says that nothing is ready and no timer is left, or that time ran out."""


class _Task(asyncio.Task[Any]):
    _serials = itertools.count()

    def __init__(self, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._serial = next(self._serials)
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class Loop(asyncio.BaseEventLoop):
    """Is an event loop on virtual time, from 0 on."""

    _ready: Any  # asyncio's own: a deque of handles

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 0.0
        self._timers: list[tuple[float, asyncio.TimerHandle]] = []  # a heap
        _Task._serials = itertools.count()
        self.set_task_factory(self._make)

    def time(self) -> float:
        return self._now

    def _make(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = _Task(coroutine, loop=loop, **options)
        context = options.get("context")
        process = context.get(PROCESS) if context is not None else PROCESS.get()
        if process is not None:
            process.adopt(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # typeshed's is generic
        future: asyncio.Future[Any] = self.create_future()
        process = PROCESS.get()
        assert process is not None
        process.thread(future, lambda: func(*args))
        return future

    def _process_events(self, event_list: Any) -> None:
        """Does nothing, because there are no sockets."""

    def _write_to_self(self) -> None:
        """Does nothing, because no other thread calls."""

    def call_soon(
        self, callback: Callable[[*Given], object], *args: *Given, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            while timers and timers[0][1]._cancelled:
                heapq.heappop(timers)
            if not timers:
                raise Stuck("nothing is left to happen")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[1])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is None or process.is_running:
                handle._run()
            else:
                process.withhold(handle)

    def requeue(self, handle: asyncio.Handle) -> None:
        """Runs a handle that was withheld."""
        self._ready.append(handle)

    def in_world(self, delay: float, callback: Callable[[*Given], object], *args: *Given) -> asyncio.TimerHandle:
        """Calls back after a delay, on behalf of no process."""
        return self.call_at(self._now + delay, callback, *args, context=WORLD)

    def finish(self) -> None:
        """Forgets everything that has not happened yet."""
        self._ready.clear()
        self._timers.clear()
        self.close()


def run(loop: Loop, main: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end. Raises what it raised, or Stuck."""
    events.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        events.set_event_loop(None)
