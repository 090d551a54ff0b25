"""Runs one simulation from its first step to its verdict."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.simulation import check
from tests.simulation.fates import Fate, by_chance, planned
from tests.simulation.installation import Flusher, Ingest, client, replaced
from tests.simulation.loop import WORLD, Stuck
from tests.simulation.loop import run as run_loop
from tests.simulation.storms import storms
from tests.simulation.world import World

CALM_SECONDS_MAX = 90.0
GRACE_SECONDS = 1.0  # for whoever woke last


@dataclass(frozen=True)
class Verdict:
    """Holds what a simulation found."""

    seed: int
    broken: list[str]
    calls: list[str] = field(default_factory=list)
    acknowledged: int = 0
    seconds: float = 0.0


def unchanged(_: World) -> None:
    """Leaves the product as it is."""


def small(seed: int, plan: Mapping[int, Fate], *, crash_step: int | None = None, is_traced: bool = False) -> Verdict:
    """Runs a small simulation, in which exactly the planned calls fail.

    It has one shard (two for even seeds), two flushers, six requests and copies of some. Every third seed has bad rows.
    """

    def set_up(world: World) -> float:
        world.fates = planned(dict(plan))
        world.crash_step = crash_step
        world.tail_ms = world.redis.tail_ms = 200
        world.has_pressure = False
        world.bad_share = 0.0 if seed % 3 else 0.3
        return 1.0

    return _simulate(World(seed, shards=1 if seed % 2 else 2, is_traced=is_traced), set_up, flushers=2, requests=2)


def large(seed: int, *, change: Callable[[World], None] = unchanged, is_traced: bool = False) -> Verdict:
    """Runs two shards, three flushers and three clients under any number of faults, until the storms are over."""

    def set_up(world: World) -> float:
        world.fates = by_chance(world.rng, world.rng.choice((0.0, 0.01, 0.03, 0.1)))
        change(world)
        return storms(world)

    return _simulate(World(seed, is_traced=is_traced), set_up, flushers=3, requests=8)


def _simulate(world: World, set_up: Callable[[World], float], *, flushers: int, requests: int) -> Verdict:
    logging.disable(logging.NOTSET if world.is_traced else logging.CRITICAL)
    random.seed(world.seed)
    world.makers = {"ingest-1": Ingest, "ingest-2": Ingest} | {f"flusher-{n + 1}": Flusher for n in range(flushers)}
    try:
        with replaced(world):
            run_loop(world.loop, _life(world, set_up(world), requests))
        return Verdict(world.seed, check.broken(world), world.calls, len(world.acknowledged), world.loop.time())
    except Stuck as error:
        return Verdict(world.seed, [f"stuck: {error}", *check.broken(world)], world.calls)
    finally:
        logging.disable(logging.NOTSET)
        world.close()


async def _life(world: World, storm_seconds: float, requests: int) -> None:
    loop = world.loop
    for name in world.makers:
        loop.in_world(world.rng.random() * 0.1, world.begin, name)
    await asyncio.sleep(0.11)
    async with asyncio.TaskGroup() as clients:
        for name in ("a", "b", "c"):
            clients.create_task(client(world, name, requests, storm_seconds * 0.7), context=WORLD.copy())
    await asyncio.sleep(max(0, storm_seconds - loop.time()))
    world.calm()
    until = loop.time() + CALM_SECONDS_MAX
    while (why := check.busy(world)) and not world.faults:
        if loop.time() > until:
            world.faults.append(f"stuck: {why}")
            break
        await asyncio.sleep(0.2)
    await asyncio.sleep(GRACE_SECONDS)
    world.is_over = True
    for process in world.processes.values():
        process.kill()
    await asyncio.sleep(0)
    while any(process.state == "dying" for process in world.processes.values()):
        await asyncio.sleep(0)
