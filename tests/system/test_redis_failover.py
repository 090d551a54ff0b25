"""A primary of a cluster is killed under load, its replica is elected, and the cluster goes on: nothing is lost or stored twice."""

from __future__ import annotations

from pathlib import Path

from forebay.clickhouse import ClickHouse
from runtime.nodes.layout import slot_of
from schemas.redis.keys import CLAIMS_KEY, Keys
from tests.support import redis_cluster
from tests.support.command import forebay
from tests.support.delivering import delivering
from tests.support.engine import EngineProcess
from tests.support.redis_cluster import SECONDS, Nodes
from tests.support.waiting import wait_until

REPLICATED = {"min_replicas_to_write": "1", "min_replicas_max_lag": "2", "cluster_allow_replica_migration": "no"}


def test_a_killed_primary_is_succeeded(tmp_path: Path, engine: EngineProcess, clickhouse: ClickHouse) -> None:
    """Twice: first the primary of a shard, then that of the claims. Ingest spools for their shards meanwhile, and refuses nothing."""
    url = f"http://127.0.0.1:{engine.port}"
    with (
        redis_cluster.cluster(tmp_path / "redis", primaries=3, replicas=1, **REPLICATED) as nodes,
        delivering(tmp_path / "forebay", clickhouse, url, redis_replicas="1") as it,
    ):
        it.start(nodes.url)
        it.load.more(60)
        for key in (Keys(0).log, CLAIMS_KEY):
            _kill_the_primary_of(key, nodes)
            it.load.more(60)
        assert it.load.refused == 0, it.said
        it.load.end()
        it.stored_once()
        audited = forebay("audit", redis_url=nodes.url, clickhouse_url=url)
        assert audited.returncode == 0, audited.stdout + audited.stderr


def _kill_the_primary_of(key: str, nodes: Nodes) -> None:
    """Kills it, waits until another has its slots, and starts it again, as a replica of that."""
    slot = slot_of(key)
    dead = nodes.owner(slot)
    dead.kill()
    wait_until(lambda: all(redis_cluster.owner(one, slot) != dead.address for one in nodes.running), seconds=SECONDS)
    dead.start()
    wait_until(lambda: dead.client.info("replication").get("master_link_status") == "up", seconds=SECONDS)
    wait_until(nodes.agree, seconds=SECONDS)
