"""Keeps the tier's worker processes: one listening socket each, bound once, inherited by every generation.

The tier binds the sockets (SO_REUSEPORT, so that the kernel spreads connections) and never serves. A worker that dies
is started again on the same socket, where connections wait meanwhile (runtime/children.py). On SIGHUP the workers are
replaced one by one, and the new one listens before the old one leaves. Sockets bound by the workers themselves reset
29 connections in 14 such restarts, inherited ones 0 of 221 641.

    worker → tier, on its stdout   b"1" would take an event durably now · b"0" would not

The first b"1" ends its start. Anything else is why it refuses to start, and it ends after that: the tier ends with it
if no worker was ever ready.

Each generation has a name, `slot-0` or `slot-1`, for its metrics files. A worker that is started after a death takes
over the name and the counters; two at once never share one. The gauges of a dead worker are removed, because a gauge
says what is, and a counter what was.

Not promised: that a worker which hangs without dying is noticed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runtime import listen as sockets
from runtime.children import DELAY_SECONDS_MAX, Child, Command

START_SECONDS_MAX = 30  # of a replacement; then the old worker stays
KILL_SECONDS = 2  # what a worker gets beyond its own drain time

log = logging.getLogger(__name__)

Listeners = list[socket.socket]


def listen(host: str, port: int, slots: int) -> tuple[list[Listeners], int]:
    """Returns listening sockets for each slot, one per address of the host, and the port. Raises OSError."""
    opened: list[Listeners] = []
    for _ in range(slots):
        listeners, port = sockets.listen(host, port, is_shared=True)
        opened.append(listeners)
    return opened, port


class Worker:
    """Keeps one generation of a slot: a child that is started again when it dies, and what the child says of itself."""

    def __init__(self, slot: int, parity: int) -> None:
        self.parity = parity
        self.name = f"{slot}-{parity}"
        self.refusal = ""  # why the process that lives now, or lived last, refuses to start
        self.child: Child  # made once the command is known, which tells this worker what the process says
        self._is_ready = False
        self._was_ready = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Returns whether it would take an event durably now, as it said last."""
        return self._is_ready and self.child.pid is not None

    @property
    def ready_pid(self) -> int | None:
        """Returns the pid of the process that lives now, once it was ready."""
        return self.child.pid if self.child.ready.is_set() else None

    def hear(self, said: bytes) -> None:
        """Notes what the process says."""
        if said.strip(b"01"):
            self.refusal += said.decode("utf-8", "replace")
            return
        self._is_ready = said.endswith(b"1")
        if b"1" in said:
            self._was_ready.set()

    def forget(self) -> None:
        """Notes that another process begins."""
        self.refusal, self._is_ready = "", False
        self._was_ready.clear()

    async def wait_ready(self) -> bool:
        """Waits until the process says that it is ready."""
        return await self._was_ready.wait()


class Slot:
    """Holds a place for a worker: its sockets, the worker that serves them, and during a replacement the other one."""

    def __init__(self, number: int, listeners: Listeners, worker: Worker) -> None:
        self.number = number
        self.listeners = listeners
        self.worker = worker
        self.successor: Worker | None = None  # starts, and is not ready yet
        self.leaving: Worker | None = None  # drains, and its successor serves
        self.is_due = False  # to be replaced


class Tier:
    """Keeps one worker in each slot."""

    def __init__(
        self,
        listeners: Sequence[Listeners],
        *,
        words: Callable[[str, Sequence[int]], Sequence[str]],
        environment: Mapping[str, str],
        metrics_dir: Path,
        drain_seconds: float,
        on_ready: Callable[[list[int]], None],
        delay_seconds_max: float = DELAY_SECONDS_MAX,
        kill_seconds: float = KILL_SECONDS,
    ) -> None:
        """Takes the sockets of each slot.

        `words` gives the command line of a worker of this name on these descriptors; `on_ready` gets the pids of all
        that were ready.
        """
        self._words = words
        self._environment = environment
        self._metrics_dir = metrics_dir
        self._drain_seconds = drain_seconds
        self._on_ready = on_ready
        self._delay_seconds_max = delay_seconds_max
        self._kill_seconds = kill_seconds
        self._reported: set[int] = set()
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self.refusal = ""  # why the first workers did not start; the tier ends then
        self._slots = [Slot(number, own, self._worker(number, 0, own)) for number, own in enumerate(listeners)]

    @property
    def is_ready(self) -> bool:
        """Returns whether some worker would take an event durably now."""
        return any(slot.worker.is_ready for slot in self._slots)

    @property
    def pids(self) -> list[int]:
        """Returns the pids of the workers that live, in the order of their slots."""
        return list(self.workers.values())

    @property
    def workers(self) -> dict[str, int]:
        """Returns the pids of the workers that live, by the number of their slot."""
        return {str(slot.number): pid for slot in self._slots if (pid := slot.worker.child.pid) is not None}

    def stop(self) -> None:
        """Takes no more connections, and lets the workers drain."""
        self._stopping.set()
        for slot in self._slots:  # our copies first: with the workers' own the last are gone, and clients are refused
            for listener in slot.listeners:
                listener.close()
        for worker in self._living():
            worker.child.terminate()

    def replace(self) -> None:
        """Replaces the workers one by one, each by a new one that is ready first."""
        for slot in self._slots:
            slot.is_due = True
        self._due.set()

    async def run(self) -> None:
        """Starts the workers, and keeps them until `stop`; returns when all have ended."""
        async with asyncio.TaskGroup() as tasks:
            for slot in self._slots:
                tasks.create_task(slot.worker.child.keep(), name=f"worker {slot.worker.name}")
            replacing = tasks.create_task(self._replace_when_due(tasks), name="replacements")
            await self._stopping.wait()
            replacing.cancel()
            for worker in self._living():
                tasks.create_task(self._end(worker))

    def _living(self) -> list[Worker]:
        return [one for slot in self._slots for one in (slot.worker, slot.successor, slot.leaving) if one is not None]

    def _worker(self, number: int, parity: int, listeners: Listeners) -> Worker:
        worker = Worker(number, parity)
        descriptors = [listener.fileno() for listener in listeners]
        command = Command(
            name=f"worker {worker.name}",
            words=self._words(worker.name, descriptors),
            environment=self._environment,
            is_ready=worker.wait_ready,
            fds=descriptors,
            before=lambda: self._prepare(worker),
            after=lambda: self._bury(worker),
            on_output=worker.hear,
            is_hopeless=lambda _code, _deaths: self._is_hopeless(worker),
        )
        worker.child = Child(
            command=command,
            on_ready=self._report,
            on_given_up=lambda _: self._give_up(worker),
            delay_seconds_max=self._delay_seconds_max,
        )
        return worker

    async def _prepare(self, worker: Worker) -> None:
        worker.forget()
        self._metrics_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # /dev/shm is emptied when its user logs out

    def _bury(self, worker: Worker) -> None:
        if worker.refusal and self._reported:
            log.critical("worker %s does not start: %s", worker.name, worker.refusal)
        for left in self._metrics_dir.glob(f"gauge_*_{worker.name}.db"):
            left.unlink(missing_ok=True)

    def _is_hopeless(self, worker: Worker) -> bool:
        """Returns whether a worker that was never ready is not started again.

        A successor has one try. One of the first workers that says why it does not start ends the tier; after any
        other death it is tried again for ever, because the cause may pass.
        """
        return self._is_successor(worker) or bool(worker.refusal and not self._reported)

    def _is_successor(self, worker: Worker) -> bool:
        return any(worker is slot.successor for slot in self._slots)

    def _give_up(self, worker: Worker) -> None:
        if not self._is_successor(worker):
            self.refusal = self.refusal or worker.refusal
            self.stop()

    def _report(self) -> None:
        """Tells the pids when one is new: a death alone is followed by another start."""
        pids = [pid for slot in self._slots if (pid := slot.worker.ready_pid) is not None]
        if set(pids) - self._reported:
            self._reported = set(pids)
            self._on_ready(pids)

    async def _replace_when_due(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            for slot in self._slots:
                if slot.is_due and not self._stopping.is_set():  # the sockets are closed then
                    slot.is_due = False
                    await self._replace(slot, tasks)

    async def _replace(self, slot: Slot, tasks: asyncio.TaskGroup) -> None:
        old, new = slot.worker, self._worker(slot.number, slot.worker.parity ^ 1, slot.listeners)
        slot.successor = new
        keeping = tasks.create_task(new.child.keep(), name=f"worker {new.name}")
        starting = asyncio.ensure_future(new.child.ready.wait())
        try:
            await asyncio.wait([starting, keeping], timeout=START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
        if new.ready_pid is None:
            log.error("the replacement of worker %s is not ready: it stays", old.name)
            await self._end(new)
            slot.successor = None
        else:
            slot.worker, slot.successor, slot.leaving = new, None, old
            self._report()
            await self._end(old)
            slot.leaving = None

    async def _end(self, worker: Worker) -> None:
        await worker.child.stop(self._drain_seconds + self._kill_seconds)
