"""One Redis becomes a cluster while events come, and every tool works there.

It is the story of docs/operations.md#one-redis-becomes-a-cluster, step by step, with real processes and under load. It is one
test, because each step begins where the one before has ended.
"""

from __future__ import annotations

from pathlib import Path

from forebay.clickhouse import ClickHouse
from runtime import redis
from runtime.nodes.layout import slot_of
from schemas.redis.keys import CLAIMS_KEY, FLUSHERS_KEY, SITES_KEY, Keys
from tests.support import redis_cluster
from tests.support.command import forebay
from tests.support.delivering import SHARDS, Delivering, delivering
from tests.support.engine import EngineProcess
from tests.support.redis_cluster import SECONDS, Nodes, Server
from tests.support.waiting import wait_until

CLUSTER = {"cluster_enabled": "yes", "cluster_node_timeout": "2000"}


def test_one_redis_becomes_a_cluster(tmp_path: Path, engine: EngineProcess, clickhouse: ClickHouse) -> None:
    """No acknowledged event is lost or stored twice on the way from one server to three, and the books balance."""
    url = f"http://127.0.0.1:{engine.port}"
    with (
        redis_cluster.several(tmp_path / "redis", 3) as servers,
        delivering(tmp_path / "forebay", clickhouse, url) as it,
    ):
        first, *others = servers
        it.start(f"redis://{first.address}/0")
        it.load.more(50)
        _becomes_a_cluster_of_one(first, it)
        nodes = _grows(first, others, it)
        it.load.more(50)
        _half_a_slot(nodes, it)
        assert it.load.refused == 0, it.said
        it.load.end()
        it.stored_once()
        assert _shards_on(nodes) == {server.address: SHARDS // 3 for server in servers}
        _metrics_say_where_shards_are(nodes, it)
        _tools_work(nodes, url, it)


def _becomes_a_cluster_of_one(server: Server, it: Delivering) -> None:
    """Restarts the server on the same files as a cluster's node, which takes all slots. Processes need not know it yet."""
    server.stop()
    server.start(**CLUSTER)
    taken = {slot for first, last, *_ in server.ask("CLUSTER", "SLOTS") for slot in range(first, last + 1)}
    server.ask("CLUSTER", "ADDSLOTS", *sorted(set(range(redis_cluster.SLOTS)) - taken))
    wait_until(lambda: b"cluster_state:ok" in server.ask("CLUSTER", "INFO"), seconds=SECONDS)
    it.load.more(50)
    it.restart(f"redis+cluster://{server.address}")
    it.load.more(20)


def _grows(first: Server, others: list[Server], it: Delivering) -> Nodes:
    """Adds two empty servers, and moves slots to them while events come: two shards each, and keys of all shards."""
    for server in others:
        server.stop()
        server.start(**CLUSTER)
    redis_cluster.join([first, *others])
    nodes = Nodes([first, *others], 3)
    wait_until(nodes.agree, seconds=SECONDS)
    for at, key in enumerate((CLAIMS_KEY, SITES_KEY, FLUSHERS_KEY, *(Keys(shard).log for shard in range(4)))):
        nodes.move(slot_of(key), others[at % 2])
        it.load.more(5)
    # The first odd shards are on one, the even ones on the other; the last two stay.
    return nodes


def _half_a_slot(nodes: Nodes, it: Delivering) -> None:
    """Stops in the middle of a move, with keys of a shard on two servers, which refuse its scripts until the move goes on."""
    slot, target = slot_of(Keys(0).log), nodes.servers[0]
    source = nodes.owner(slot)
    redis_cluster.begin_move(slot, source, target)
    redis_cluster.move_these(source, target, Keys(0).producers)
    wait_until(lambda: "TRYAGAIN" in it.said, seconds=SECONDS)
    it.load.more(30)
    redis_cluster.move_keys(slot, source, target)
    redis_cluster.end_move(slot, source, target, nodes.running)
    it.load.more(30)
    nodes.move(slot, source)


def _shards_on(nodes: Nodes) -> dict[str, int]:
    """Returns how many shards with events are on each server."""
    logs = [Keys(shard).log for shard in range(SHARDS)]
    return {
        server.address: sum(nodes.owner(slot_of(log)) is server and bool(server.client.exists(log)) for log in logs)
        for server in nodes.servers
    }


def _metrics_say_where_shards_are(nodes: Nodes, it: Delivering) -> None:
    metrics = it.ingest.metrics()
    for server in nodes.servers:
        assert f'forebay_redis_memory_bytes{{node="{server.address}"}}' in metrics
    wanted = {
        f'forebay_redis_shard_node{{node="{nodes.owner(slot_of(Keys(shard).log)).address}",shard="{shard}"}} 1.0'
        for shard in range(SHARDS)
    }
    wait_until(
        lambda: {line for line in it.flusher_metrics().splitlines() if "shard_node{" in line} == wanted, seconds=SECONDS
    )


def _tools_work(nodes: Nodes, clickhouse_url: str, it: Delivering) -> None:
    """Runs every command that asks Redis, each against any of the servers."""
    urls = [f"redis+cluster://{server.address}" for server in nodes.servers]

    def done(*words: str, status: int = 0, at: int = 0) -> str:
        found = forebay(*words, redis_url=urls[at], clickhouse_url=clickhouse_url)
        assert found.returncode == status, f"{words}: {found.stdout}{found.stderr}"
        return found.stdout

    done("site", "add", "example.org", "--timezone", "Europe/Berlin", at=1)
    assert "example.org" in done("site", "list", at=2)
    done("key", "add", "--site", "example.org", "--scope", "read")
    assert "example.org" in done("key", "list", at=1)
    assert "the books balance" in done("audit", at=1)
    done("dead", "list", at=2)
    done("replay", "--since", "1h")
    assert "the books balance" in done("audit", at=2)
    done("erase", "--site", "example.com", "--yes", "--reason", "a test", at=1)
    wait_until(lambda: not it.stored(), seconds=SECONDS)
    assert "the books balance" in done("audit")
    with redis.blocking_client(urls[0], seconds=5) as client:
        assert client.ping()
