"""Opens sockets on every address of a host, all of them on one port.

A name such as `localhost` has an address of each IP version, and `bind` takes the same port on all of them. An address
that the kernel does not have (::1 where IPv6 is switched off) is left out.
"""

from __future__ import annotations

import errno
import os
import socket

BACKLOG = 1024  # connections that wait while a worker starts; the kernel caps it at somaxconn, usually 4096
ANY_PORT_ATTEMPTS = 20  # a port free on one address of a name and taken on its next: rare once, never 20 times


def addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Returns families and addresses of a host, IPv4 first; "" is one address that takes both versions."""
    if not host or host == "::":
        dual = socket.has_dualstack_ipv6()
        return [(socket.AF_INET6, "::") if dual else (socket.AF_INET, "0.0.0.0")]
    if host == "localhost":  # both by RFC 6761, whatever /etc/hosts says: browsers try ::1 first
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({(family, str(address[0])) for family, _, _, _, address in found})


def bind(host: str, port: int, *, is_shared: bool = False) -> tuple[list[socket.socket], int]:
    """Returns sockets bound on each address of the host, not yet listening, and their port; port 0 takes any free one.

    `is_shared` lets several sockets listen on the port, and the kernel spread connections over them (SO_REUSEPORT).
    Raises OSError: EADDRINUSE where somebody listens there, EADDRNOTAVAIL where no address is this machine's.
    """
    for attempt in range(1, ANY_PORT_ATTEMPTS + 1):
        try:
            return _bind_each(host, port, is_shared)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or attempt == ANY_PORT_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def listen(host: str, port: int, *, is_shared: bool = False) -> tuple[list[socket.socket], int]:
    """Does what `bind` does, and lets the sockets listen. Raises OSError as it does."""
    bound, port = bind(host, port, is_shared=is_shared)
    for one in bound:
        one.listen(BACKLOG)
    return bound, port


def _bind_each(host: str, port: int, is_shared: bool) -> tuple[list[socket.socket], int]:
    bound: list[socket.socket] = []
    try:
        for family, address in addresses(host):
            one = _bound(family, address, port, is_shared)
            if one is not None:
                bound.append(one)
                port = one.getsockname()[1]
    except OSError:
        for one in bound:
            one.close()
        raise
    if not bound:
        reason = os.strerror(errno.EADDRNOTAVAIL)
        raise OSError(errno.EADDRNOTAVAIL, f"{reason}: no address of {host!r} can be listened on")
    return bound, port


def _bound(family: socket.AddressFamily, address: str, port: int, is_shared: bool) -> socket.socket | None:
    """Returns a bound socket, or None where the kernel does not have the address."""
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # a kernel without IPv6
        return None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return bound
