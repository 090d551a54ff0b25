"""Reserves ports before the children that will listen on them start, and keeps them over their restarts.

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

from runtime.listen import bind

LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


class PortTaken(Exception):
    """Is raised where somebody listens on a port. Its text names the owner where /proc tells."""


def hold(host: str, port: int) -> tuple[list[socket.socket], int]:
    """Returns sockets that reserve the port on every address of the host ("" is all), and the port.

    Port 0 takes any free one. Raises PortTaken where somebody listens on it.
    """
    try:
        return bind(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(f"port {port} is in use by {owner(port) or 'a process this user may not see'}") from error


def hold_first(host: str, port: int) -> tuple[list[socket.socket], int]:
    """Holds this port, or any free one where it is taken or held; returns the sockets and the port.

    Two processes that start at once can both hold a port by its number. So the holder also binds a unix socket of that
    name, which the kernel gives to one of them alone and takes back when it ends.
    """
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0forebay-port-{port}")
        held, number = hold(host, port)
    except (OSError, PortTaken):
        claim.close()
        return hold(host, 0)
    return [claim, *held], number


def owner(port: int) -> str:
    """Returns who listens on the port, as `pid 12 (nginx -g ...)`; "" when /proc does not say."""
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in sorted(_pids()):
        if links & _links(pid):
            return described(pid)
    return ""


def holders(path: Path) -> list[int]:
    """Returns the pids of the processes that have this file open, as far as this user may see."""
    return [pid for pid in sorted(_pids()) if str(path) in _links(pid)]


def described(pid: int) -> str:
    """Returns `pid 12 (its command line)`."""
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
