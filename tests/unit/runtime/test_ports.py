"""Held ports: kept from others, open to our own children, and owners named."""

import os
import socket
import sys
from pathlib import Path

import pytest

from runtime import ports


def test_a_held_port_is_not_handed_out_and_may_be_listened_on() -> None:
    """Our child, which sets SO_REUSEADDR, listens on a port that we hold."""
    held, port = ports.hold("127.0.0.1", 0)
    with held[0], socket.create_server(("127.0.0.1", port)) as listener:
        assert listener.getsockname()[1] == port
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            pass


def test_many_workers_may_listen_on_a_held_port() -> None:
    """Sockets with SO_REUSEPORT, one for each worker, fit beside the held one."""
    held, port = ports.hold("", 0)
    listeners = [socket.create_server(("", port), family=held[0].family, reuse_port=True) for _ in range(3)]
    for one in (*held, *listeners):
        one.close()
    assert len(listeners) == 3


def test_a_taken_port_names_its_owner() -> None:
    """Who listens is said with pid and command line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ports.PortTaken) as raised:
            ports.hold("127.0.0.1", port)
    assert f"port {port} is in use by pid {os.getpid()} ({sys.orig_argv[0]} " in str(raised.value)


def test_localhost_is_held_in_both_ip_versions() -> None:
    """Where the machine has both, one number is held on both."""
    held, port = ports.hold("localhost", 0)
    assert {one.getsockname()[1] for one in held} == {port}
    assert {str(one.getsockname()[0]) for one in held} >= {"127.0.0.1"}
    for one in held:
        one.close()


def test_holders_of_a_file_are_found(tmp_path: Path) -> None:
    """The pids of those who have it open."""
    path = tmp_path / "file"
    with path.open("w"):
        assert ports.holders(path) == [os.getpid()]
    assert ports.holders(path) == []


def test_an_address_that_is_not_ours_is_an_error() -> None:
    """An address of another machine is not taken for one that is in use."""
    with pytest.raises(OSError, match="assign requested address"):
        ports.hold("192.0.2.1", 0)
