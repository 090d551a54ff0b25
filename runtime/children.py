"""Keeps a child process alive: starts it, notices that it is ready, starts it again when it dies, stops it.

The child leads a session of its own, so that a terminal's ctrl-C reaches the supervisor alone, and the kernel kills it
when we die (runtime/parent.py). Its exit is seen through a pidfd, which needs neither a thread nor a SIGCHLD handler.

A child that dies is started again after 0.1 s, 0.2 s ... 5 s; a life of ten seconds resets that. A child that was
never ready is given up after five deaths, or at once when it says that its settings are wrong (exit code 2), because a
start-up that can't succeed would otherwise go on unseen. `Command.is_hopeless` replaces that rule.

Not promised: that a child which stops answering without dying is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from runtime.parent import die_with
from runtime.settings import EXIT_SETTINGS

DELAY_SECONDS_FIRST = 0.1
DELAY_SECONDS_MAX = 5.0
QUIET_SECONDS = 10.0  # a child that lived so long has not failed to start
DEATHS_BEFORE_READY_MAX = 5
POLL_SECONDS = 0.03  # 100 connects a second cost 3 % of a core, and a start is 1 s long, on a busy machine 8 s
LAST_WORDS_SECONDS = 0.5
LINE_BYTES_MAX = 1 << 20
PIECE_BYTES_MAX = 4096
GROUP_SECONDS = 0.11
GROUP_TRIES = 50

_log = logging.getLogger("runtime.children")


def stops_trying(code: int, deaths: int) -> bool:
    """Returns whether a child that was never ready is given up, after this exit code and so many deaths in a row."""
    return code == EXIT_SETTINGS or deaths >= DEATHS_BEFORE_READY_MAX


@dataclass(frozen=True, kw_only=True)
class Command:
    """Says what to start, and how to see that it is ready.

    `is_ready` is asked until it says yes; it may wait itself. `before` runs before each start, when no former process
    of the child lives, and `after` when one has ended. `on_line` gets each line of the child's stdout, or `on_output`
    its bytes as they come, and `on_error_line` each line of its stderr; without them the child has ours.
    `is_hopeless` is asked about each death of a child that was never ready, by exit code and number of deaths.
    `niceness` is 0 to 19: how far the child stands back when processors are short.
    """

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]]
    fds: Sequence[int] = ()
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], None] | None = None
    on_line: Callable[[bytes], None] | None = None
    on_output: Callable[[bytes], None] | None = None
    on_error_line: Callable[[bytes], None] | None = None
    is_hopeless: Callable[[int, int], bool] = stops_trying
    niceness: int = 0


@dataclass(kw_only=True)
class Child:
    """Keeps one Command running. `keep` is its life; the others may be called at any time."""

    command: Command
    on_ready: Callable[[], None]
    on_given_up: Callable[[str], None]
    delay_seconds_max: float = DELAY_SECONDS_MAX  # between a death and the next start
    pid: int | None = None
    is_misconfigured: bool = False  # given up, because it said that its settings are wrong
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep(self) -> None:
        """Starts the process again and again, until `stop` or until it is given up."""
        name, deaths, was_ready = self.command.name, 0, False
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                pid, code = await self._live()
                was_ready = was_ready or self.ready.is_set()
                self.ready.clear()
                if self.command.after is not None:
                    self.command.after()
                if self._stopping.is_set():
                    break
                deaths = 1 if time.monotonic() - began > QUIET_SECONDS else deaths + 1
                if not was_ready and self.command.is_hopeless(code, deaths):
                    self.is_misconfigured = code == EXIT_SETTINGS
                    self.on_given_up(f"{name} does not start ({cause(code)})")
                    break
                delay = min(DELAY_SECONDS_FIRST * 2 ** (deaths - 1), self.delay_seconds_max)
                _log.warning("%s (pid %d) died (%s); starting it again in %.1f s", name, pid, cause(code), delay)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
        finally:
            self._ended.set()

    @property
    def has_ended(self) -> bool:
        """Tells whether the process is started no more: it was stopped, or given up."""
        return self._ended.is_set()

    async def ready_or_ended(self) -> None:
        """Waits until the process is ready, or until it was given up."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.ready, self._ended)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def terminate(self) -> None:
        """Asks the process to end (SIGTERM), once, and starts it no more."""
        if self.pid is not None and not self._stopping.is_set():
            os.kill(self.pid, signal.SIGTERM)
        self._stopping.set()

    async def stop(self, seconds: float | None = None) -> None:
        """Asks the process to end and waits for that; kills it after so many seconds."""
        self.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            _log.error("%s (pid %s) does not end: killed", self.command.name, self.pid)
            self.kill()
            await self._ended.wait()

    def kill(self) -> None:
        """Ends the process and all it started, at once."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _live(self) -> tuple[int, int]:
        """Goes through one life of the process, from start to exit; returns its pid and its exit code."""
        command = self.command
        try:
            if command.before is not None:
                await command.before()
            if self._stopping.is_set():  # while `before` ran
                return 0, 0
            process = _started(command)
        except OSError as error:
            _log.error("%s cannot be started: %s", command.name, error)
            return 0, EXIT_SETTINGS
        self.pid = process.pid
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(self._await_ready())]
                if command.niceness:
                    watching.append(tasks.create_task(stand_back(process.pid, command.niceness)))
                reading = [tasks.create_task(one) for one in _readers(process, command)]
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
        return process.pid, code

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
        stdout=subprocess.PIPE if command.on_line or command.on_output else None,
        stderr=subprocess.PIPE if command.on_error_line else None,
        pass_fds=command.fds,
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid(), command.niceness),  # noqa: PLW1509 - forked from the loop's thread, which stays
    )


def _readers(process: subprocess.Popen[bytes], command: Command) -> list[Coroutine[Any, Any, None]]:
    """Returns what reads the child's pipes, to be run until it has ended."""
    readers = []
    if process.stdout is not None and command.on_output is not None:
        readers.append(_read(process.stdout, _pieces, command.on_output))
    if process.stdout is not None and command.on_line is not None:
        readers.append(_read(process.stdout, _lines, command.on_line))
    if process.stderr is not None and command.on_error_line is not None:
        readers.append(_read(process.stderr, _lines, command.on_error_line))
    return readers


async def _read(
    pipe: IO[bytes], cut: Callable[[asyncio.StreamReader], AsyncIterator[bytes]], on_part: Callable[[bytes], None]
) -> None:
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        async for part in cut(reader):
            on_part(part)
    finally:
        transport.close()


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(PIECE_BYTES_MAX):
        yield piece


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await reader.readline()
        except ValueError:  # longer than LINE_BYTES_MAX: the rest of it comes as lines of its own
            continue
        if not line:
            return
        yield line


async def exit_code(process: subprocess.Popen[bytes]) -> int:
    """Waits for the process, reaps it and returns its exit code. Cancelling leaves it running."""
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
    """Returns how a process ended, for people: `exit code 1` or `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


async def stand_back(pid: int, niceness: int) -> None:
    """Makes the child's session stand back too: where the kernel groups by session, nice means nothing between groups.

    That is not done before exec, because a process without privileges may say so once in 100 ms on the whole machine,
    and has to wait for its turn (sched(7)).
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


async def answers(host: str, port: int, path: str) -> bool:
    """Returns whether an HTTP GET is answered with 200 within a second. It is no HTTP/1.0, which the dashboard takes for a proxy's."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
    return (await first_line(asyncio.open_connection(host, port), request)).split()[1:2] == [b"200"]


async def first_line(connecting: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]], request: bytes) -> bytes:
    """Returns the first line of the answer to a request; b"" when there is none within a second."""
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
