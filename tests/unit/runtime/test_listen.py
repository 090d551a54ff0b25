"""runtime/listen.py: one port on every address of a host, and sockets that share it."""

from __future__ import annotations

import contextlib
import errno
import random
import socket

import pytest

from runtime.listen import bind, listen

HAS_IPV6 = socket.has_dualstack_ipv6()


def connects(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=2):
        return True


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("", ["127.0.0.1", "::1"]),
        ("::", ["127.0.0.1", "::1"]),
        ("::1", ["::1"]),
    ],
)
def test_each_address_of_a_host_is_listened_on(host: str, reached: list[str]) -> None:
    """A name and "everywhere" listen in both IP versions, where the machine has both."""
    if host == "::1" and not HAS_IPV6:
        pytest.skip("no IPv6 here")
    sockets, port = listen(host, 0)
    for address in reached:
        if HAS_IPV6 or ":" not in address:
            assert connects(address, port)
    for one in sockets:
        one.close()


def test_shared_sockets_listen_on_one_port() -> None:
    """Sockets that share a port listen on it together, and others can't bind it beside them."""
    first, port = listen("127.0.0.1", 0, is_shared=True)
    second, same = listen("127.0.0.1", port, is_shared=True)
    assert same == port
    with pytest.raises(OSError, match="in use") as raised:
        bind("127.0.0.1", port)
    assert raised.value.errno == errno.EADDRINUSE
    for one in (*first, *second):
        one.close()


def _quiet_port() -> int:
    """Returns a free port of those that the kernel gives to nobody who asks for any: tests beside this one ask for many."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port), reuse_port=False).close()
            return port
    raise AssertionError("no port is free")


def test_a_port_that_is_taken_on_one_address_leaves_none_bound() -> None:
    """The address that was bound before the taken one is given back."""
    if not HAS_IPV6:
        pytest.skip("no IPv6 here")
    port = _quiet_port()
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        with pytest.raises(OSError, match="in use") as raised:
            bind("localhost", port)
        assert raised.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            pass


def test_a_host_that_is_not_ours_is_named() -> None:
    """The address of another machine is not taken for one that is in use."""
    with pytest.raises(OSError, match=r"no address of '192\.0\.2\.1'") as raised:
        bind("192.0.2.1", 0)
    assert raised.value.errno == errno.EADDRNOTAVAIL
