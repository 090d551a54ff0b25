"""`make failovers N=200`: kills a Redis's primary under load again and again, while its replica lags, and counts what came of it.

Half of the failovers are of events with client ids and half without, so nothing hides a copy. It prints a line for each round of
ten, and exits with 1 if an acknowledged event is lost or stored twice. ClickHouse is the fake, which the contract tests hold
to the real one; Redis, its replica and their ends are real processes.

Not done here: moves of slots, which tests/servers/runtime and docs/operations.md do on a cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.e2e.test_failovers import Installation, installed
from tests.support.waiting import until

ROUND = 10  # failovers of one installation


async def failovers(count: int, rng: random.Random, *, with_ids: bool) -> Installation:
    """Runs an installation through so many failovers. Returns what it counted."""
    with tempfile.TemporaryDirectory() as directory:
        async with installed(Path(directory), replicas=1) as scene:
            scene.with_ids = with_ids
            for _ in range(count):
                await scene.send(rng.randrange(40))
                scene.pair.link.is_holding = rng.random() < 0.8
                await scene.send(rng.randrange(1, 120))
                await asyncio.gather(scene.pair.fail_over(), scene.send(20))
            await scene.send(20)
            await until(lambda: not scene.lost and not any(one.held for one in scene.appender._committers))
            return scene


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.failovers", description=__doc__)
    parser.add_argument("--failovers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    done = lost = doubled = refused = acknowledged = 0
    longest = 0.0
    while done < options.failovers:
        count, with_ids = min(ROUND, options.failovers - done), (done // ROUND) % 2 == 1
        scene = asyncio.run(failovers(count, rng, with_ids=with_ids))
        done += count
        lost, doubled = lost + len(scene.lost), doubled + len(scene.doubled)
        refused, acknowledged = refused + scene.refused, acknowledged + len(scene.acknowledged)
        longest = max(longest, scene.longest)
        kind = "with" if with_ids else "without"
        sys.stdout.write(
            f"{done} failovers ({kind} ids): {acknowledged} acknowledged, {lost} lost, {doubled} doubled\n"
        )
        sys.stdout.flush()
    sys.stdout.write(
        f"{done} failovers: {acknowledged} acknowledged, {lost} lost, {doubled} doubled, {refused} refused,"
        f" {longest:.1f} s at most without an acknowledgement\n"
    )
    return int(bool(lost or doubled))


if __name__ == "__main__":
    sys.exit(main())
