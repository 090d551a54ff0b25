"""Kills primaries of a cluster and moves slots between them, under the load of a whole installation of real processes.

Ingest and a flusher run as in production, ClickHouse is the embedded engine. Slots that move have keys of ours: of shards,
the claims, the sites and the flushers. A move and a failover follow each other at once, but don't overlap: a target
that is lost before its replica has the keys loses them (docs/operations.md).
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime.nodes.layout import slot_of
from schemas.redis.keys import CLAIMS_KEY, ERASURES_KEY, FLUSHERS_KEY, SITES_KEY, Keys
from tests.failovers.result import Result
from tests.support import redis_cluster
from tests.support.delivering import SHARDS, Delivering, delivering
from tests.support.engine import EngineProcess
from tests.support.fresh import fresh_tables
from tests.support.redis_cluster import SECONDS, Nodes, Server
from tests.support.waiting import wait_until

PRIMARIES = 3
ROUND_FAILOVERS, ROUND_MOVES = 10, 20
REPLICATED = {"min_replicas_max_lag": "2", "cluster_allow_replica_migration": "no"}
KEYS = (CLAIMS_KEY, ERASURES_KEY, FLUSHERS_KEY, SITES_KEY, *(Keys(shard).log for shard in range(SHARDS)))


def rounds(failovers: int, moves: int, rng: random.Random, *, replicas: int = 1) -> Iterator[Result]:
    """Yields the result of each round, half of them with client ids."""
    number = 0
    while failovers > 0 or moves > 0:
        some = min(failovers, ROUND_FAILOVERS), min(moves, ROUND_MOVES)
        yield _round(*some, rng, replicas=replicas, with_ids=number % 2 == 1)
        number, failovers, moves = number + 1, failovers - some[0], moves - some[1]


def _round(failovers: int, moves: int, rng: random.Random, *, replicas: int, with_ids: bool) -> Result:
    settings = REPLICATED | {"min_replicas_to_write": str(replicas)}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        engine = EngineProcess(folder / "engine")
        try:
            with (
                redis_cluster.cluster(folder / "redis", primaries=PRIMARIES, replicas=replicas, **settings) as nodes,
                delivering(
                    folder / "forebay",
                    fresh_tables(engine),
                    f"http://127.0.0.1:{engine.port}",
                    redis_replicas=str(replicas),
                ) as it,
            ):
                it.load.with_ids = with_ids
                it.start(nodes.url)
                it.load.more(20)
                steps = [_move] * moves + [_fail_over] * failovers
                rng.shuffle(steps)
                for step in steps:
                    step(nodes, rng.choice(KEYS), rng)
                    it.load.more(rng.randrange(30))
                return _counted(it, failovers, moves)
        finally:
            engine.close()


def _counted(it: Delivering, failovers: int, moves: int) -> Result:
    """Ends the load, waits until what it sent is stored, and returns what was lost and doubled."""
    it.load.end()
    wanted = set(it.load.acknowledged)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: wanted <= it.stored().keys(), SECONDS)
    lost = wanted - it.stored().keys()
    return Result(failovers, moves, len(wanted), len(lost), len(it.twice()), it.load.refused, it.load.longest)


def _primaries(nodes: Nodes) -> list[Server]:
    return [one for one in nodes.running if one.client.info("replication")["role"] == "master"]


def _move(nodes: Nodes, key: str, rng: random.Random) -> None:
    """Moves the slot of a key to another primary."""
    slot = slot_of(key)
    source = nodes.owner(slot)
    nodes.move(slot, rng.choice([one for one in _primaries(nodes) if one is not source]), rng.randrange(1, 12))
    wait_until(nodes.agree, seconds=SECONDS)
    wait_until(lambda: all(map(_is_in_step, nodes.running)), seconds=SECONDS)


def _fail_over(nodes: Nodes, key: str, _: random.Random) -> None:
    """Kills the primary of a key, waits until another has its slots, and starts it again, as a replica of that."""
    slot = slot_of(key)
    dead = nodes.owner(slot)
    dead.kill()
    wait_until(lambda: all(redis_cluster.owner(one, slot) != dead.address for one in nodes.running), seconds=SECONDS)
    dead.start()
    wait_until(lambda: all(map(_is_in_step, nodes.running)) and nodes.agree(), seconds=SECONDS)


def _is_in_step(server: Server) -> bool:
    """Says whether a server is a primary, or a replica with a link to its primary."""
    replication = server.client.info("replication")
    return replication["role"] == "master" or replication.get("master_link_status") == "up"
