"""One supervised child: restarted, given up, stopped, and gone when its supervisor is killed."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forebay.embedded.redis import pongs
from runtime import children
from runtime.children import Child, Command, answers, cause
from tests.support.programs import program
from tests.support.system import is_alive
from tests.support.waiting import until, wait_until

NICENESS_MAX = 19  # the kernel goes no further
SLEEP = ("sleep", "60")
DEAF = program("deaf")


async def at_once() -> bool:
    return True


async def never() -> bool:
    return False


class Kept:
    """A child that is being kept, and what it called back."""

    def __init__(self, words: Sequence[str], *, is_ready: bool) -> None:
        self.ready = 0
        self.given_up: list[str] = []
        self.lines: list[bytes] = []
        command = Command(
            name="child",
            words=words,
            environment=dict(os.environ),
            is_ready=at_once if is_ready else never,
            on_line=self.lines.append,
        )
        self.child = Child(
            command=command, on_ready=self._on_ready, on_given_up=self.given_up.append, delay_seconds_max=0.01
        )

    def _on_ready(self) -> None:
        self.ready += 1


@asynccontextmanager
async def kept(*words: str, is_ready: bool = True) -> AsyncIterator[Kept]:
    one = Kept(words, is_ready=is_ready)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(one.child.keep())
        yield one
        one.child.kill()


async def test_a_child_that_dies_is_started_again() -> None:
    """A killed child has a successor with another pid, and `on_ready` hears of each."""
    async with kept(*SLEEP) as one:
        await until(lambda: one.ready == 1)
        first = one.child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.ready == 2)
        assert one.child.pid not in {None, first}


async def test_a_child_is_given_up_at_once_for_wrong_settings() -> None:
    """Exit code 2 before it was ever ready ends the attempts: nobody can repair settings meanwhile."""
    async with kept("sh", "-c", "exit 2", is_ready=False) as one:
        await until(lambda: one.given_up)
        assert one.given_up == ["child does not start (exit code 2)"]


async def test_a_child_that_never_starts_is_given_up() -> None:
    """Five deaths without having been ready are enough."""
    async with kept("sh", "-c", "echo started; exit 3", is_ready=False) as one:
        await until(lambda: one.given_up)
        assert len(one.lines) == children.DEATHS_BEFORE_READY_MAX


async def test_a_program_that_is_not_there_is_given_up() -> None:
    """What can't be executed is no reason for a traceback."""
    async with kept("/nowhere/redis-server", is_ready=False) as one:
        await until(lambda: one.given_up)
        assert one.child.pid is None


async def test_a_child_that_was_ready_is_never_given_up() -> None:
    """Once it ran, it is worth trying for ever: the cause may pass."""
    async with kept("sh", "-c", "echo started; sleep 0.05") as one:
        await until(lambda: len(one.lines) > children.DEATHS_BEFORE_READY_MAX + 1)
        assert not one.given_up


async def test_stop_asks_and_waits() -> None:
    """SIGTERM ends it, no other is started, and `stop` returns when it is gone."""
    async with kept(*SLEEP) as one:
        await until(lambda: one.ready)
        pid = one.child.pid
        assert pid is not None
        await one.child.stop()
        assert not is_alive(pid)
        assert one.ready == 1


async def test_stop_during_a_pause_ends_it() -> None:
    """A child between two lives is stopped without starting again."""
    async with kept("sh", "-c", "exit 1", is_ready=False) as one:
        await until(lambda: one.child.pid is not None)
        await until(lambda: one.child.pid is None)
        async with asyncio.timeout(60):
            await one.child.stop()
        assert one.child.pid is None


async def test_stop_while_a_start_is_prepared_starts_nothing() -> None:
    """A child that is stopped while its start is prepared starts no process: nobody would tell that one to end."""
    prepared = asyncio.Event()

    async def before() -> None:
        prepared.set()
        await asyncio.sleep(0.05)

    command = Command(name="child", words=SLEEP, environment=dict(os.environ), is_ready=at_once, before=before)
    child = Child(command=command, on_ready=lambda: None, on_given_up=lambda _: None)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(child.keep())
        await prepared.wait()
        await child.stop()
    assert child.pid is None


async def test_stop_kills_what_does_not_end_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """A child that does not end within the seconds of `stop` is killed, and a line of the log says so."""
    async with kept(*DEAF) as one:
        await until(lambda: one.lines)  # it no longer hears
        pid = one.child.pid
        assert pid is not None
        await one.child.stop(0.1)
        assert not is_alive(pid)
    assert "does not end: killed" in caplog.text


async def test_kill_ends_what_does_not_listen() -> None:
    """A child that ignores SIGTERM is ended by `kill`."""
    async with kept(*DEAF) as one:
        await until(lambda: one.lines)  # it no longer hears
        pid = one.child.pid
        assert pid is not None
        one.child.kill()
        await until(lambda: not is_alive(pid))


def test_a_child_dies_with_its_supervisor() -> None:
    """SIGKILL of the supervisor leaves no child behind."""
    with subprocess.Popen(program("supervisor"), stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert is_alive(pid)
        supervisor.kill()
        wait_until(lambda: not is_alive(pid))


async def test_what_a_child_says_is_heard_before_its_line_ends() -> None:
    """`on_output` gets the bytes as they come, without waiting for the end of a line."""
    said: list[bytes] = []
    words = ("sh", "-c", "printf 1; exec sleep 60")
    command = Command(name="child", words=words, environment=dict(os.environ), is_ready=never, on_output=said.append)
    child = Child(command=command, on_ready=lambda: None, on_given_up=lambda _: None)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(child.keep())
        await until(lambda: said == [b"1"])
        child.kill()


async def test_the_lines_of_a_child_are_read() -> None:
    """Each line of its stdout reaches `on_line`, whole."""
    async with kept("sh", "-c", "echo one; echo two; exec sleep 60") as one:
        await until(lambda: len(one.lines) == 2)
        assert one.lines == [b"one\n", b"two\n"]


@pytest.mark.parametrize(("code", "said"), [(0, "exit code 0"), (1, "exit code 1"), (-9, "SIGKILL"), (-64, "SIGRTMAX")])
def test_a_cause_is_said_in_words(code: int, said: str) -> None:
    """Signals have their names."""
    assert cause(code) == said


async def test_nobody_there_is_not_ready(tmp_path: Path, unused_port: int) -> None:
    """A closed port and a missing socket are no answers, and no errors."""
    assert not await answers("127.0.0.1", unused_port, "/")
    assert not await pongs(tmp_path / "redis.sock")


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on: it was free a moment ago, and is one of 28 000."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not group by session")
def test_children_stand_back_without_privileges() -> None:
    """The kernel takes one such word in 100 ms on the whole machine; children that start at once all have theirs taken."""
    without = ("setpriv", "--bounding-set", "-sys_admin") if os.geteuid() == 0 else ()
    words = [*without, *program("standing_back")]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    expected = min(NICENESS_MAX, os.getpriority(os.PRIO_PROCESS, 0) + 5)
    assert said.stdout == f"{[expected] * 3}\n", said.stderr
