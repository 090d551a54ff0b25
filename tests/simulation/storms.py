"""Lets storms befall whole processes and servers, at moments that the seed chooses."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.erasing import erase
from tests.simulation.fates import Fate
from tests.simulation.installation import Flusher, Ingest
from tests.simulation.world import World

SECONDS = 5.0


def storms(world: World) -> float:
    """Schedules storms. Returns the second at which they are over."""
    kinds = tuple(kind for kind in STORMS if kind not in world.spared)
    if world.rng.random() < 0.15:
        kinds += (World.lose_power,) * 4
    elif world.insert_seconds_may_be_short:
        # An INSERT that was given up may come while its lease lasts: its token alone tells it from its retry.
        world.insert_seconds = world.rng.choice((world.insert_seconds, 0.3))
    world.spool_bytes_max = world.rng.choice((1 << 20,) * 6 + (6_000, 0))
    world.bad_share = 0.03 if world.rng.random() < 0.1 else 0.0
    for _ in range(world.rng.choice((0, 1, 1, 2, 3, 5)) if kinds else 0):
        world.loop.in_world(world.rng.uniform(0.2, SECONDS), world.rng.choice(kinds), world)
    return SECONDS


def kill(world: World) -> None:
    world.processes[world.rng.choice(list(world.processes))].kill()


def kill_flushers(world: World) -> None:
    for process in list(world.processes.values()):
        if isinstance(process, Flusher):
            process.kill()


def lose_power(world: World) -> None:
    """Ends an ingest process together with its machine."""
    world.processes[world.rng.choice(("ingest-1", "ingest-2"))].lose_power()


def stop_flusher(world: World) -> None:
    """Tells a flusher to drain and leave, as SIGTERM does."""
    process = world.processes[world.rng.choice([name for name in world.processes if name.startswith("flusher")])]
    assert isinstance(process, Flusher)
    if process.state == "running":
        world.note(f"{process} is told to leave")
        process.stopping.set()


def stop_ingest(world: World) -> None:
    """Tells an ingest process to answer what waits and leave, as SIGTERM does."""
    process = world.processes[world.rng.choice(("ingest-1", "ingest-2"))]
    assert isinstance(process, Ingest)
    if process.state == "running":
        world.note(f"{process} is told to leave")
        process.spawn(process.stop())


def pause(world: World) -> None:
    world.pause(world.processes[world.rng.choice(list(world.processes))])


def crash_redis(world: World) -> None:
    world.crash("redis")


def crash_clickhouse(world: World) -> None:
    world.crash("clickhouse")


def fill_redis(world: World) -> None:
    """Fills Redis's memory for a while."""
    world.redis.is_full = True
    world.redis.memory_share = 1.0
    world.loop.in_world(world.rng.random() * 2, _empty, world)


def _empty(world: World) -> None:
    world.redis.is_full = False
    world.redis.memory_share = 0.1


def part(world: World) -> None:
    """Cuts the connection of one process and one server for a while: requests are lost, or only their answers."""
    name = world.rng.choice(list(world.processes))
    server = "redis" if name.startswith("ingest") else world.rng.choice(("redis", "clickhouse"))
    fate = world.rng.choice((Fate.BEFORE, Fate.AFTER))
    world.note(f"{name} and {server} are parted: {fate.value}")
    world.cuts[name, server] = fate
    world.loop.in_world(world.rng.uniform(0.2, 5), world.cuts.pop, (name, server), None)


def jump_redis(world: World) -> None:
    """Sets Redis's clock, so that leases end early, or entries come from the past or from tomorrow."""
    seconds = world.rng.choice((-90_000.0, -20.0, -2.0, 2.0, 10.0, 90_000.0))
    world.note(f"redis's clock jumps by {seconds} s")
    world.clock_skew["redis"] += seconds
    world.redis.tail_ms = -1 << 40  # an entry's age is nobody's to tell any more


def jump_clickhouse(world: World) -> None:
    """Sets ClickHouse's clock, by which deadlines are judged. It stays so."""
    seconds = world.rng.choice((-300.0, -2.0, 2.0, 30.0))
    world.note(f"clickhouse's clock jumps by {seconds} s")
    world.clock_skew["clickhouse"] = seconds


def jump_process(world: World) -> None:
    """Sets the wall clock of a process. It stays so, and must not matter to any lease or deadline."""
    process = world.processes[world.rng.choice(list(world.processes))]
    seconds = world.rng.choice((-300.0, -30.0, -1.0, 1.0, 30.0, 300.0))
    world.note(f"{process}'s clock jumps by {seconds} s")
    process.skew = seconds


def replay(world: World) -> None:
    """Has a shard deliver again from a recorded edge, as a person does (docs/delivery.md, rule 7)."""
    world.redis.rewind(world.rng.randrange(world.shards), world.rng)


STORMS: tuple[Callable[[World], None], ...] = (
    kill, kill, lose_power, lose_power, kill_flushers, stop_flusher, stop_ingest, pause, pause, crash_redis, crash_clickhouse, crash_clickhouse,
    fill_redis, part, part, jump_redis, jump_clickhouse, jump_process, replay, replay, erase, erase,
)  # fmt: skip
