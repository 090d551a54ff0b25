"""tests/unit/conftest.py: what a test of this folder must not do is refused."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Protocol

import pytest


class Watch(Protocol):
    """The fixture's."""

    broken: list[str]


def elsewhere() -> None:
    """Connects to a server that is not known to be this process's, as one that the C library was told of is not."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        address = listener.getsockname()
        theirs = listener.detach()
        try:
            client.connect(address)
        finally:
            os.close(theirs)


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "--version"], check=False),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: os.system("true"),  # noqa: S605  it must not even begin
        os.fork,
        elsewhere,
    ],
)
def test_a_process_or_a_foreign_server_is_refused(watch: Watch, start: Callable[[], object]) -> None:
    """At once, and once more at the end, for a test that swallows it."""
    with pytest.raises(pytest.fail.Exception, match="starts nothing"):
        start()
    assert len(watch.broken) == 1
    watch.broken.clear()


def test_a_server_of_its_own_is_none_of_them() -> None:
    """Most tests of HTTP have one."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
