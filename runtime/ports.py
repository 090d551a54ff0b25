"""Ports: reserved before the child that will listen on them starts, and kept over its restarts.

A held port is a socket bound with SO_REUSEADDR that never listens. While it is open, the
kernel gives the port to nobody who asks for any free one, yet a server that sets
SO_REUSEADDR too (asyncio, Redis) may bind it and listen. Nothing arrives at the held socket.
So port 0 is settled once, without a race, and a port in use is found before anything starts.

Not promised: that a stranger who also sets SO_REUSEADDR cannot take a held port by its
number before our child listens on it. The child then fails, with its own message.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp
ANY_PORT_ATTEMPTS = 20  # a port free on one address of a name and taken on its next: rare once, never 20 times


class PortTaken(Exception):
    """Somebody listens there. Its text names the owner where /proc tells."""


def hold(host: str, port: int) -> tuple[list[socket.socket], int]:
    """Sockets reserving the port on every address of the host ("" is all), and the port. Raises PortTaken."""
    for attempt in range(ANY_PORT_ATTEMPTS):
        held: list[socket.socket] = []
        try:
            number = _bind_each(host, port, held)
        except OSError as error:
            for bound in held:
                bound.close()
            if error.errno != errno.EADDRINUSE:
                raise
            if port or attempt == ANY_PORT_ATTEMPTS - 1:
                raise PortTaken(
                    f"port {port} is in use by {owner(port) or 'a process this user may not see'}"
                ) from error
        else:
            return held, number
    raise AssertionError("the last attempt returns or raises")


def hold_first(host: str, port: int) -> tuple[list[socket.socket], int]:
    """Holds this port, or any free one where it is taken or held; the sockets, and the port.

    Two that start at once can both hold a port by its number; a name of its own in the kernel, which goes with its
    holder, tells them apart.
    """
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0forebay-port-{port}")
        held, number = hold(host, port)
    except (OSError, PortTaken):
        claim.close()
        return hold(host, 0)
    return [claim, *held], number


def _bind_each(host: str, port: int, held: list[socket.socket]) -> int:
    number = port
    for family, address in addresses(host):
        try:
            bound = socket.socket(family, socket.SOCK_STREAM)
        except OSError:  # a kernel without IPv6
            continue
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        try:
            bound.bind((address, number))
        except OSError as error:
            bound.close()
            if error.errno == errno.EADDRNOTAVAIL and held:  # ::1 in /etc/hosts, IPv6 switched off
                continue
            raise
        held.append(bound)
        number = bound.getsockname()[1]
    if not held:
        raise OSError(errno.EADDRNOTAVAIL, f"no address of {host!r} can be listened on")
    return number


def addresses(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Families and addresses of a host, IPv4 first; "" is one address that takes both versions."""
    if not host or host == "::":
        dual = socket.has_dualstack_ipv6()
        return [(socket.AF_INET6, "::") if dual else (socket.AF_INET, "0.0.0.0")]
    if host == "localhost":  # both by RFC 6761, whatever /etc/hosts says
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({(family, str(address[0])) for family, _, _, _, address in found})


def owner(port: int) -> str:
    """Who listens on the port, as `pid 12 (nginx -g ...)`; "" when /proc does not say."""
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in sorted(_pids()):
        if links & _links(pid):
            return described(pid)
    return ""


def holders(path: Path) -> list[int]:
    """Pids of the processes that have this file open, as far as this user may see."""
    return [pid for pid in sorted(_pids()) if str(path) in _links(pid)]


def described(pid: int) -> str:
    """`pid 12 (its command line)`."""
    with contextlib.suppress(OSError):
        if words := Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode("utf-8", "replace"):
            return f"pid {pid} ({words.replace(chr(0), ' ')[:200]})"
    return f"pid {pid}"


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _links(pid: int) -> set[str]:
    links: set[str] = set()
    with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.add(str(link.readlink()))
    return links
