"""Runs the nginx of the baselines: one worker that answers 202 to everything, with its CPU from /proc."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loadtest.bench import children
from loadtest.bench.ask import until_answers
from loadtest.bench.config import environment
from loadtest.processes import Processes, parent_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(__file__).with_name("nginx.conf")


def program() -> str | None:
    """Returns the path of nginx, which Debian keeps out of the PATH of users, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/sbin")


def configuration(port: int) -> str:
    return TEMPLATE.read_text("utf-8").replace("@PORT@", str(port))


class Nginx(NamedTuple):
    """Holds an nginx that answers: its URL, and the process ids of the master and its worker."""

    url: str
    pids: list[int]

    def usage(self) -> Processes:
        """Counts its CPU, from now on, by the name `nginx`."""
        found = Processes(lambda: {"nginx": self.pids})
        found.look(is_first=True)
        return found


@contextlib.contextmanager
def running(directory: Path, *cores: int) -> Iterator[Nginx]:
    """Runs nginx on these cores."""
    home = Path(tempfile.mkdtemp(prefix="nginx-", dir=directory))
    port = free_port()
    path = home / "nginx.conf"
    path.write_text(configuration(port), "utf-8")
    words = [program() or "nginx", "-p", str(home), "-c", str(path), "-e", "stderr", "-g", "daemon off;"]
    with children.on(*cores):
        server = children.start(words, directory=home, log=home / "log", environment=environment())
    try:
        url = f"http://127.0.0.1:{port}/f"
        until_answers(url, 202, seconds=10, alive=lambda: server.poll() is None)
        everybody = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        yield Nginx(url, [server.pid, *(pid for pid in everybody if parent_of(pid) == server.pid)])
    finally:
        children.end(server, signal.SIGTERM)


def free_port() -> int:
    """Returns a port that is free at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
