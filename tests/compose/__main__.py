"""Runs what deploy/ holds for containers and for systemd (`make compose-test`).

For root on Debian 12; it takes minutes.

It has an engine, a network, mounts and process numbers of its own, and leaves none of them behind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.compose.checks import Failed
from tests.compose.namespaces import enclosed, remove_control_groups

WHAT = ("compose", "cluster", "systemd")
SECONDS = 3000
TOOLS = ("dockerd", "docker-compose", "debootstrap", "iptables", "slirp4netns", "setpriv", "unshare", "ip")


def main() -> int:
    """Runs the command; returns 0 if every check passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=WHAT, action="append", help="repeatable (default: all)")
    parser.add_argument("--keep", type=Path, help="keep the images in this directory, for the next time (6 GB)")
    options = parser.parse_args()
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if os.geteuid() != 0 or missing:
        print(
            f"compose-test is for root on Debian 12{'; missing: ' if missing else ''}{' '.join(missing)}",
            file=sys.stderr,
        )
        return 1
    os.environ["PATH"] = path
    # Not /tmp, which may be in memory.
    directory = options.keep or Path(tempfile.mkdtemp(prefix="forebay-compose-", dir="/var/tmp"))
    directory.mkdir(parents=True, exist_ok=True)
    group = f"forebay-compose-{os.getpid()}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of what is removed below
    words = [sys.executable, "-m", "tests.compose.inside", str(directory.resolve()), group, *(options.only or WHAT)]
    try:
        return enclosed(words, directory=directory, seconds=SECONDS)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        remove_control_groups(group)
        if not options.keep:
            shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
