"""The tier's worker processes: one listening socket each, bound once, inherited by every generation.

The tier binds the sockets (SO_REUSEPORT, so that the kernel spreads connections) and never
serves. A worker that dies is started again on the same socket: connections wait in its queue
meanwhile. On SIGHUP the workers are replaced one by one; the new one listens before the old
one leaves. Sockets bound by the workers themselves reset 29 connections in 14 such restarts,
inherited ones 0 of 221 641.

    worker → tier, on its stdout   b"1" would take an event durably now · b"0" would not

The first b"1" ends its start. Workers die with the tier (PR_SET_PDEATHSIG), and lead sessions
of their own, so that a terminal's ctrl-C reaches the tier alone.

Each generation has a name, `slot-0` or `slot-1`, for its metrics files. Started after a death
it takes over the name and the counters; two at once never share one. Gauges of the dead are
removed: a gauge says what is, and counters what was.

Not promised: that a worker which hangs without dying is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
BACKLOG = 1024  # connections that wait while a worker starts; the kernel caps it at somaxconn, usually 4096
DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0
QUIET_SECONDS = 10.0  # a worker that lived so long has not failed to start
START_SECONDS_MAX = 30  # of a replacement; then the old worker stays
KILL_SECONDS = 2  # what a worker gets beyond its own drain time

# Loaded before any fork: the child must not load libraries between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl
log = logging.getLogger(__name__)

Listeners = list[socket.socket]


def listen(host: str, port: int, slots: int) -> tuple[list[Listeners], int]:
    """Listening sockets for each slot, one per address of the host, and the port. Raises OSError."""
    bound: list[Listeners] = []
    for _ in range(slots):
        listeners: Listeners = []
        for family, address in _addresses(host):
            listener = _listener(family, address, port)
            if listener is not None:
                port = listener.getsockname()[1]
                listeners.append(listener)
        if not listeners:
            raise OSError(errno.EADDRNOTAVAIL, f"no address of {host!r} can be listened on")
        bound.append(listeners)
    return bound, port


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    if not host or host == "::":  # one socket for both IP versions, where the kernel has both
        dual = socket.has_dualstack_ipv6()
        return [(socket.AF_INET6, "::") if dual else (socket.AF_INET, "0.0.0.0")]
    if host == "localhost":  # both by RFC 6761, whatever /etc/hosts says: browsers try ::1 first
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({(family, str(address[0])) for family, _, _, _, address in found})


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    """None where the kernel does not have the address: ::1 with IPv6 switched off."""
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return listener


class Worker:
    """One generation: a process, whether it is ready, and its exit code once it has one.

    It says 1 and 0 for ready and not; anything else is its refusal to start, before it ends.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], on_change: Callable[[], None]) -> None:
        assert process.stdout is not None
        self.name = name
        self.pid = process.pid
        self.began = time.monotonic()
        self.is_ready = False
        self.was_ready = False
        self.refusal = ""
        self.code: int | None = None
        self._process = process
        self._on_change = on_change
        self._said = process.stdout.fileno()
        self._exit = os.pidfd_open(process.pid)
        os.set_blocking(self._said, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._said, self._read)
        loop.add_reader(self._exit, self._reap)

    def _read(self) -> None:
        said = os.read(self._said, 4096)
        if said.strip(b"01"):
            self.refusal += said.decode("utf-8", "replace")
        elif said:
            self.is_ready = said.endswith(b"1")
            self.was_ready = self.was_ready or b"1" in said
            self._on_change()
        else:
            asyncio.get_running_loop().remove_reader(self._said)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._exit)
        loop.remove_reader(self._said)
        with contextlib.suppress(BlockingIOError):  # a child of its own may hold the pipe open
            self._read()
        os.close(self._exit)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.is_ready = False
        self.code = self._process.wait()
        self._on_change()

    def signal(self, number: signal.Signals) -> None:
        """Sends the signal, if it still lives."""
        if self.code is None:
            self._process.send_signal(number)


class Slot:
    """A place for a worker: its sockets, and who serves them now."""

    def __init__(self, number: int, listeners: Listeners) -> None:
        self.number = number
        self.listeners = listeners
        self.worker: Worker | None = None
        self.parity = 0
        self.deaths = 0
        self.is_due = False  # to be replaced
        self.changed = asyncio.Event()

    @property
    def current(self) -> Worker:
        """Who serves the slot; there is somebody once the tier runs, maybe dead."""
        assert self.worker is not None
        return self.worker

    async def until(self, holds: Callable[[], bool], seconds: float | None = None) -> bool:
        """Waits until it holds; False when the time went by first. Looked at on each change."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return False
        return True


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
    ) -> None:
        """`words`: the command line of a worker of this name on these descriptors; `on_ready` gets the pids of all that were ready."""
        self._slots = [Slot(number, own) for number, own in enumerate(listeners)]
        self._words = words
        self._environment = environment
        self._metrics_dir = metrics_dir
        self._drain_seconds = drain_seconds
        self._on_ready = on_ready
        self._reported: set[int] = set()
        self._is_stopping = False
        self.refusal = ""  # why the first workers did not start; the tier ends then
        self._one_at_a_time = asyncio.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether some worker would take an event durably now."""
        return any(slot.worker is not None and slot.worker.is_ready for slot in self._slots)

    def start(self) -> None:
        """Starts the workers; `run` must follow."""
        for slot in self._slots:
            slot.worker = self._start(slot)

    async def run(self) -> None:
        """Keeps the workers until `stop`; returns when all have ended."""
        async with asyncio.TaskGroup() as tasks:
            for slot in self._slots:
                tasks.create_task(self._keep(slot), name=f"slot {slot.number}")

    @property
    def pids(self) -> list[int]:
        """Of the workers that live, by slot."""
        return list(self.workers.values())

    @property
    def workers(self) -> dict[str, int]:
        """Pids of the workers that live, by the number of their slot."""
        return {
            str(slot.number): slot.worker.pid
            for slot in self._slots
            if slot.worker is not None and slot.worker.code is None
        }

    def stop(self) -> None:
        """Takes no more connections, and lets the workers drain."""
        self._is_stopping = True
        for slot in self._slots:  # our copies first: with the workers' own the last are gone, and clients are refused
            for listener in slot.listeners:
                listener.close()
            slot.changed.set()

    def replace(self) -> None:
        """Replaces the workers one by one, each by a new one that is ready first."""
        for slot in self._slots:
            slot.is_due = True
            slot.changed.set()

    async def _keep(self, slot: Slot) -> None:
        while True:
            await slot.until(lambda: self._is_stopping or slot.is_due or slot.current.code is not None)
            if self._is_stopping:
                break
            if slot.current.code is not None:
                await self._restart(slot, slot.current)
            else:
                async with self._one_at_a_time:
                    await self._replace(slot, slot.current)
        await self._end(slot, slot.current)

    async def _restart(self, slot: Slot, dead: Worker) -> None:
        if dead.refusal and not self._reported:
            self.refusal = self.refusal or dead.refusal
            self.stop()
            return
        if dead.refusal:
            log.critical("worker %s does not start: %s", dead.name, dead.refusal)
        slot.deaths = 1 if time.monotonic() - dead.began > QUIET_SECONDS else slot.deaths + 1
        delay = min(DELAY_SECONDS_FIRST * 2 ** (slot.deaths - 1), DELAY_SECONDS_MAX)
        log.warning("worker %s (pid %d) died (%s); another starts in %.1f s", dead.name, dead.pid, _cause(dead), delay)
        self._forget_gauges(dead)
        await slot.until(lambda: self._is_stopping, delay)
        if not self._is_stopping:  # asked again: time and stop may come together, and the sockets are closed then
            slot.worker = self._start(slot)

    async def _replace(self, slot: Slot, old: Worker) -> None:
        slot.is_due = False
        if self._is_stopping:
            return
        slot.parity ^= 1
        new = self._start(slot)
        await slot.until(lambda: self._is_stopping or new.was_ready or new.code is not None, START_SECONDS_MAX)
        if new.was_ready and new.code is None:
            slot.worker, leaving = new, old
            self._report()
        else:
            slot.parity ^= 1
            leaving = new
            log.error("the replacement of worker %s is not ready: it stays", old.name)
        await self._end(slot, leaving)
        self._forget_gauges(leaving)

    async def _end(self, slot: Slot, worker: Worker) -> None:
        worker.signal(signal.SIGTERM)
        if not await slot.until(lambda: worker.code is not None, self._drain_seconds + KILL_SECONDS):
            log.error("worker %s (pid %d) does not end: killed", worker.name, worker.pid)
            worker.signal(signal.SIGKILL)
            await slot.until(lambda: worker.code is not None)

    def _start(self, slot: Slot) -> Worker:
        name = f"{slot.number}-{slot.parity}"
        self._metrics_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # /dev/shm is emptied when its user logs out
        descriptors = [listener.fileno() for listener in slot.listeners]
        process = subprocess.Popen(
            self._words(name, descriptors),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - this process has one thread
        )

        def changed() -> None:
            slot.changed.set()
            self._report()

        return Worker(name, process, changed)

    def _report(self) -> None:
        """Tells the pids when one is new: a death alone is followed by another start."""
        slots = self._slots
        pids = [slot.worker.pid for slot in slots if slot.worker and slot.worker.was_ready and slot.worker.code is None]
        if set(pids) - self._reported:
            self._reported = set(pids)
            self._on_ready(pids)

    def _forget_gauges(self, worker: Worker) -> None:
        for left in self._metrics_dir.glob(f"gauge_*_{worker.name}.db"):
            left.unlink()


def _die_with(parent: int) -> None:
    """Runs in the child before exec: the kernel kills it when the tier dies."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above: no signal will come
        os._exit(1)


def _cause(worker: Worker) -> str:
    code = worker.code or 0
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
