"""Fails a primary over to its one replica, which lags mostly, again and again.

The primary is killed, or cut off from its replica while its clients still reach it on the connections that they have.
ClickHouse is the fake, which the contract tests hold to the real one, because what counts here is how many failovers there are.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.test_failovers import Installation, installed
from tests.failovers.result import Result
from tests.support.waiting import until

ROUND = 10  # failovers of one installation


def rounds(failovers: int, rng: random.Random) -> Iterator[Result]:
    """Yields the result of each round, half of them with client ids."""
    done = 0
    while done < failovers:
        count, with_ids = min(ROUND, failovers - done), (done // ROUND) % 2 == 1
        scene = asyncio.run(_round(count, rng, with_ids=with_ids))
        done += count
        yield Result(
            count, 0, len(scene.acknowledged), len(scene.lost), len(scene.doubled), scene.refused, scene.longest
        )


async def _round(count: int, rng: random.Random, *, with_ids: bool) -> Installation:
    """Runs an installation through so many failovers. Returns what it counted."""
    with tempfile.TemporaryDirectory() as directory:
        async with installed(Path(directory), replicas=1) as scene:
            scene.with_ids = with_ids
            for _ in range(count):
                await scene.send(rng.randrange(40))
                scene.pair.link.is_holding = rng.random() < 0.8
                await scene.send(rng.randrange(1, 120))
                change = scene.pair.fail_over() if rng.random() < 0.5 else scene.pair.part(2 * rng.random())
                await asyncio.gather(change, scene.send(20))
            await scene.send(20)
            await until(lambda: not scene.lost and not any(one.held for one in scene.appender._committers))
            return scene
