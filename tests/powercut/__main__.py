"""Runs `make powercut N=20 SEED=7`: so many power cuts on each kind of disk, with exact reconciliation."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.powercut.cut import cuts
from tests.powercut.disk import DISKS, Unavailable


def say(text: str) -> None:
    """Prints a line at once, with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def main() -> int:
    """Runs the command. Returns 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.powercut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=20, help="on each disk (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="0: a random one (default)")
    parser.add_argument("--disk", choices=sorted(DISKS), action="append", help="repeatable (default: all)")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1_000_000)
    faults = 0
    for name in options.disk or sorted(DISKS):
        directory = Path(tempfile.mkdtemp(prefix="forebay-powercut-"))
        say(f"{name}: seed {seed}, in {directory}")
        try:
            disk = DISKS[name](directory)
        except Unavailable as error:
            say(f"{name}: not here: {error}")
            shutil.rmtree(directory)
            continue
        outcomes = asyncio.run(cuts(directory, disk, count=options.cuts, seed=seed, say=say))
        found = sum(bool(one.faults) for one in outcomes)
        faults += found
        lost, doubled = (sum(getattr(one, what) for one in outcomes) for what in ("lost", "doubled"))
        say(f"{name}: {len(outcomes)} cuts, {found} with faults; lost {lost}, doubled {doubled}")
        if found:
            say(f"the log is kept in {directory}")
        else:
            shutil.rmtree(directory)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
