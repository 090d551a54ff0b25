"""Runs the nginx of the baseline: one worker on one core that answers 202 to everything."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.bench import children
from loadtest.bench.ask import until_answers
from loadtest.bench.config import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(__file__).with_name("nginx.conf")


def program() -> str | None:
    """Returns the path of nginx, which Debian keeps out of the PATH of users, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/sbin")


def configuration(port: int) -> str:
    return TEMPLATE.read_text("utf-8").replace("@PORT@", str(port))


@contextlib.contextmanager
def running(directory: Path, core: int) -> Iterator[str]:
    """Runs nginx on that core, and gives its URL."""
    home = directory / "nginx"
    home.mkdir()
    port = free_port()
    path = home / "nginx.conf"
    path.write_text(configuration(port), "utf-8")
    words = [program() or "nginx", "-p", str(home), "-c", str(path), "-e", "stderr", "-g", "daemon off;"]
    with children.on(core):
        server = children.start(words, directory=home, log=home / "log", environment=environment())
    try:
        url = f"http://127.0.0.1:{port}/f"
        until_answers(url, 202, seconds=10, alive=lambda: server.poll() is None)
        yield url
    finally:
        children.end(server, signal.SIGTERM)


def free_port() -> int:
    """Returns a port that is free at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
