"""Runs a process with a network, mounts and process numbers of its own: what it starts ends with it, and leaves
nothing.

A container engine makes bridges, packet filter rules, mounts and containers. Inside the namespaces they disturb nobody:
ports of the machine are free there, and the kernel removes all of it when its first process ends, however that ends.
The way out is slirp4netns, a process of ours that passes packets on, so no rule of the machine is changed.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.compose.checks import Failed

DEVICE = "tap0"
# slirp4netns's own: the address that it gives the device, and where it answers DNS.
NAMESERVER = "10.0.2.3"
START_SECONDS = 20
POLL_SECONDS = 0.05


def enclosed(words: Sequence[str], *, directory: Path, seconds: float) -> int:
    """Runs a program in namespaces of its own, for so long at most; returns its exit status.

    `directory` is empty and ours.
    """
    dying = ("setpriv", "--pdeathsig", "KILL")  # with us, however we end
    new = (*dying, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    inner = subprocess.Popen([*new, *words])
    outer: subprocess.Popen[bytes] | None = None
    try:
        first = _child_of(inner)
        with (directory / "slirp4netns.log").open("wb") as log:
            outer = subprocess.Popen(
                [*dying, "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", str(first), DEVICE],
                stdout=log,
                stderr=log,
            )
        return inner.wait(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not within {seconds:.0f} s") from error
    finally:
        for process in (inner, outer):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def settle(directory: Path) -> None:
    """Waits, inside, for the way out, and has names looked up through it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    deadline = time.monotonic() + START_SECONDS
    while not _has_device():
        if time.monotonic() > deadline:
            raise Failed(f"slirp4netns made no {DEVICE}: {(directory / 'slirp4netns.log').read_text('utf-8')}")
        time.sleep(POLL_SECONDS)
    resolver = directory / "resolv.conf"
    resolver.write_text(f"nameserver {NAMESERVER}\n", "ascii")
    subprocess.run(["mount", "--bind", str(resolver), "/etc/resolv.conf"], check=True)


def _has_device() -> bool:
    """Tells whether the device exists and has its address."""
    done = subprocess.run(["ip", "-brief", "address", "show", DEVICE], capture_output=True, text=True, check=False)
    return "10.0.2." in done.stdout


def _child_of(process: subprocess.Popen[bytes]) -> int:
    """Returns the first process in the new namespaces, which is unshare's only child."""
    deadline = time.monotonic() + START_SECONDS
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and time.monotonic() < deadline:
        if found := children.read_text("ascii").split():
            return int(found[0])
        time.sleep(POLL_SECONDS)
    raise Failed("unshare made no process: this machine gives no namespaces")


def remove_control_groups(name: str) -> None:
    """Removes the control groups of this name, innermost first: they outlive the namespaces. Nothing runs in them."""
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        group = hierarchy / name
        if group.is_dir():
            for inner, _, _ in os.walk(group, topdown=False):
                Path(inner).rmdir()
