"""Runs `make chaos N=1000 SEED=7 SECONDS=3600`: rounds of faults until so many were done, with exact reconciliation."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.campaign import Campaign, Wrong
from tests.chaos.installation import Installation, own_disk


def say(text: str) -> None:
    """Prints a line at once, with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


async def run(options: argparse.Namespace, directory: Path, seed: int) -> bool:
    """Runs rounds and tells whether the promise held. Seeds count up from round to round, so each round is replayed by
    its own.
    """
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _current_task().cancel)
    until = time.monotonic() + options.seconds
    campaign: Campaign | None = None
    is_kept = True
    try:
        async with Installation(directory, random.Random(seed), own_disk(directory, say=say)) as installation:
            campaign = Campaign(installation, say=say)
            if not installation.clock.is_settable:
                say("libfaketime is not installed, so no clock is set")
            while campaign.figures.faults < options.faults and time.monotonic() < until:
                count = min(options.round, options.faults - campaign.figures.faults)
                say(f"round of seed {seed}, {count} faults")
                await campaign.round(seed, count, until=until)
                say(campaign.line())
                seed += 1
    except (Wrong, AssertionError, TimeoutError) as error:
        is_kept = False
        say(f"FAILED: {type(error).__name__} {error}")
        say(
            f'replay: make chaos SEED={seed} N={options.round} ARGS="--round {options.round}"; the data is kept in {directory}'
        )
    if campaign is not None:
        print(campaign.figures.text())
    return is_kept


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=100, help="stop after so many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="0: a random one (default)")
    parser.add_argument("--seconds", type=float, default=86_400, help="begin nothing after so many (default: a day)")
    parser.add_argument("--round", type=int, default=10, help="faults a round (default: 10)")
    parser.add_argument("--directory", type=Path, help="must not exist; kept (default: a temporary one)")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1_000_000)
    directory = options.directory or Path(tempfile.mkdtemp(prefix="forebay-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    is_kept = asyncio.run(run(options, directory, seed))
    if is_kept and options.directory is None:
        shutil.rmtree(directory)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
