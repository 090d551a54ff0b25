"""Starts child processes that die with us, pins them to cores, and makes sure that they end. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.parent import die_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENCE_S = 10.0
ROOT = Path(__file__).resolve().parent.parent.parent
LOAD = Path("/proc/loadavg")


def cores() -> list[int]:
    """Returns the two cores that the bench uses, of those that it may use. Raises ValueError if there are no two."""
    found = sorted(os.sched_getaffinity(0))[:2]
    if len(found) < 2:
        raise ValueError("the bench needs two cores: one for what is measured, one for the rest")
    return found


@contextlib.contextmanager
def on(*wanted: int) -> Iterator[None]:
    """Runs this process, and every process that it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, *wanted: int) -> None:
    """Moves a running process to these cores, with all its threads."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it ended since
            os.sched_setaffinity(int(thread.name), wanted)


def start(
    words: Sequence[str], *, directory: Path, log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Starts a child that dies when we do. It has a session of its own, so that we pass a terminal's ctrl-C on."""
    with log.open("ab") as file:
        return subprocess.Popen(
            words,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - there is one thread
        )


def end(process: subprocess.Popen[bytes], *numbers: signal.Signals) -> None:
    """Sends these signals, a moment apart, waits for a bounded time, then kills."""
    for number in numbers:
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
