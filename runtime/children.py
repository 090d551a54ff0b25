"""One child process, kept alive: started, found ready, started again when it dies, stopped.

The child leads a session of its own, so that a terminal's ctrl-C reaches the supervisor
alone, and the kernel kills it when we die, also by SIGKILL (PR_SET_PDEATHSIG; Linux).
Its exit is seen through a pidfd: no thread, no SIGCHLD handler.

A child that dies is started again after 0.1 s, 0.2 s ... 5 s; ten quiet seconds reset that.
A child that was never ready is given up after five deaths, or at once when it says that its
settings are wrong (exit code 2): nobody watches a start-up that can't succeed.

Not promised: that a child which stops answering without dying is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0
QUIET_SECONDS = 10.0
DEATHS_BEFORE_READY_MAX = 5
POLL_SECONDS = 0.01  # 100 connects a second cost 3 % of a core, and a start is 1 s long
EXIT_SETTINGS = 2
LAST_WORDS_SECONDS = 0.5
LINE_BYTES_MAX = 1 << 20
GROUP_SECONDS = 0.11
GROUP_TRIES = 50

# Loaded before any fork: the child must not load libraries between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_log = logging.getLogger("runtime.children")


def die_with(parent: int, niceness: int = 0) -> None:
    """Runs in the child before exec: the kernel kills it when `parent` dies, and lets others go first."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if niceness:
        with contextlib.suppress(OSError):  # a sandbox may forbid it, and it is no reason not to start
            os.nice(niceness)
    if os.getppid() != parent:  # it died before the call above: no signal will come
        os._exit(1)


async def stand_back(pid: int, niceness: int) -> None:
    """The same for the child's session: where the kernel groups by session, nice means nothing between groups (sched(7)).

    Not before exec: who has no privileges may say so once in 100 ms on the whole machine, and waits for the next turn.
    """
    for _ in range(GROUP_TRIES):
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(niceness), "ascii")  # noqa: ASYNC240  no disk is behind it
        except BlockingIOError:
            await asyncio.sleep(GROUP_SECONDS)
        except OSError:  # a kernel without groups, or the child is gone
            return
        else:
            return
    _log.warning("process %d: its session's group could not be told to stand back", pid)


async def exit_code(process: subprocess.Popen[bytes]) -> int:
    """Waits for the process and reaps it. Cancelling leaves it running."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


def cause(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to start, and how to see that it is ready.

    `before` runs before each start, when no former process of it lives; `on_line` gets each line of its stdout,
    `on_error_line` of its stderr: without them it has ours.
    `niceness` is 0 to 19: how far it stands back when processors are short.
    """

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]]
    fds: Sequence[int] = ()
    before: Callable[[], Awaitable[None]] | None = None
    on_line: Callable[[bytes], None] | None = None
    on_error_line: Callable[[bytes], None] | None = None
    niceness: int = 0


@dataclass(kw_only=True)
class Child:
    """Keeps one Command running. `keep` is its life; the others may be called at any time."""

    command: Command
    on_ready: Callable[[], None]
    on_given_up: Callable[[str], None]
    pid: int | None = None
    is_misconfigured: bool = False  # given up, because it said that its settings are wrong
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep(self) -> None:
        """Starts the process again and again, until `stop` or until it is given up."""
        deaths, was_ready = 0, False
        try:
            while not self._stopping.is_set():
                if self.command.before is not None:
                    await self.command.before()
                began = time.monotonic()
                code = await self._live()
                was_ready = was_ready or self.ready.is_set()
                self.ready.clear()
                if self._stopping.is_set():
                    break
                deaths = 0 if time.monotonic() - began > QUIET_SECONDS else deaths + 1
                if not was_ready and (code == EXIT_SETTINGS or deaths == DEATHS_BEFORE_READY_MAX):
                    self.is_misconfigured = code == EXIT_SETTINGS
                    self.on_given_up(f"{self.command.name} does not start ({cause(code)})")
                    break
                delay = min(DELAY_SECONDS_FIRST * 2 ** max(deaths - 1, 0), DELAY_SECONDS_MAX)
                _log.warning("%s died (%s); starting it again in %.1f s", self.command.name, cause(code), delay)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Asks the process to end (SIGTERM), starts it no more, and waits until it has ended."""
        self._stopping.set()
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)
        await self._ended.wait()

    def kill(self) -> None:
        """Ends the process and all it started, at once."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _live(self) -> int:
        """One life of the process, from start to exit code."""
        command = self.command
        try:
            process = _started(command)
        except OSError as error:
            _log.error("%s cannot be started: %s", command.name, error)
            return EXIT_SETTINGS
        self.pid = process.pid
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(self._await_ready())]
                if command.niceness:
                    watching.append(tasks.create_task(stand_back(process.pid, command.niceness)))
                pipes = ((process.stdout, command.on_line), (process.stderr, command.on_error_line))
                reading = [tasks.create_task(_read_lines(pipe, to)) for pipe, to in pipes if pipe and to]
                code = await exit_code(process)
                self.pid = None  # at once: the number may be another's from now on
                if reading:  # its last words are why it ended; what it started may hold the pipe for longer
                    await asyncio.wait(reading, timeout=LAST_WORDS_SECONDS)
                for task in (*watching, *reading):
                    task.cancel()
        except asyncio.CancelledError:
            self.kill()
            if self.pid is not None:
                process.wait()
            raise
        return code

    async def _await_ready(self) -> None:
        while True:
            if await self.command.is_ready():
                break
            await asyncio.sleep(POLL_SECONDS)
        self.ready.set()
        self.on_ready()


def _started(command: Command) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.words,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if command.on_line else None,
        stderr=subprocess.PIPE if command.on_error_line else None,
        pass_fds=command.fds,
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid(), command.niceness),  # noqa: PLW1509 - forked from the loop's thread, which stays
    )


async def _read_lines(pipe: object, on_line: Callable[[bytes], None]) -> None:
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # longer than LINE_BYTES_MAX: the rest of it comes as lines of its own
                continue
            if not line:
                return
            on_line(line)
    finally:
        transport.close()


async def answers(host: str, port: int, path: str) -> bool:
    """Whether an HTTP GET is answered with 200 within a second."""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode()
    return (await first_line(asyncio.open_connection(host, port), request)).split()[1:2] == [b"200"]


async def first_line(connecting: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]], request: bytes) -> bytes:
    """The first line of the answer to a request; b"" when there is none within a second."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await connecting
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""
