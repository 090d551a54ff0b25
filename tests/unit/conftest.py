"""Holds this folder to its word: a test of tests/unit starts no process, and talks to no server but its own.

It listens to Python's audit events while a test runs: a process is refused, and so is a connection to anything that
another process listens on. So the folder needs no marker, and `make quick` needs nothing installed.

Not promised: what C code does without telling Python, as uvloop's connections.
"""

from __future__ import annotations

import os
import socket
import sys
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

STARTS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
}
OF_PYTHON = "uname"  # what the platform module asks once in a process
LISTENS = "0A"  # of /proc/net/tcp


class Watch:
    """Listens to what a test does; `broken` lists what it must not do, and must be empty at its end."""

    def __init__(self) -> None:
        self.is_on = False
        self.broken: list[str] = []
        self._bound: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def hear(self, event: str, values: tuple[object, ...]) -> None:
        if event == "socket.bind" and isinstance(values[0], socket.socket):
            self._bound.add(values[0])
        elif self.is_on and event in STARTS and values[:1] != (OF_PYTHON,):
            self._refuse(f"{event} {' '.join(map(str, values[:1]))}")
        elif self.is_on and event == "socket.connect" and not self._is_own(values[1]):
            self._refuse(f"{event} {values[1]}")

    def _is_own(self, address: object) -> bool:
        place = _place(address)
        return any(_place(one.getsockname()) == place for one in self._bound if one.fileno() >= 0) or is_free(place)

    def _refuse(self, what: str) -> None:
        self.broken.append(what)
        pytest.fail(f"tests/unit starts nothing and talks to nobody: {what}. Such a test belongs to another folder.")


def is_free(place: object) -> bool:
    """Returns whether nobody listens there at all, which is a case worth testing."""
    if not isinstance(place, int):
        return not Path(os.fsdecode(str(place))).exists()
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text("ascii").splitlines()[1:]]
    return not any(line[3] == LISTENS and int(line[1].rpartition(":")[2], 16) == place for line in lines)


def _place(address: object) -> object:
    """Returns the port of an internet address, which is loopback's here, or the path of a unix socket."""
    return address[1] if isinstance(address, tuple) else address


FOLDER = Path(__file__).parent
WATCH = Watch()
sys.addaudithook(WATCH.hear)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Watches a test of this folder with its fixtures, of whichever scope. Pytest asks for every test, of any folder."""
    WATCH.is_on = FOLDER in item.path.parents
    try:
        return (yield)
    finally:
        WATCH.is_on = False


@pytest.fixture(autouse=True)
def watch() -> Iterator[Watch]:
    """Fails a test that was refused something and swallowed it."""
    WATCH.broken.clear()
    yield WATCH
    assert WATCH.broken == []
