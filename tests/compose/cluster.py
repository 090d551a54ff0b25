"""Walks through deploy/redis-cluster.yml over docker-compose.yml: three nodes in the place of one Redis.

One of them is killed while events come, all of them are started again at once, and everything is brought up a second time.
"""

from __future__ import annotations

import re
from functools import partial

from tests.compose.checks import Checks
from tests.compose.stack import Stack
from tests.compose.steps import comes_up, disturbed, ends_in_order, takes_events
from tests.support.waiting import wait_until

OVERLAY = "deploy/redis-cluster.yml"
NODES = ("redis", "redis-2", "redis-3")
# With half of the shards, the ids of clients and the sites.
KILLED = "redis-2"
SHARDS = 4
FLUSHER = "http://flusher:8002/metrics"
SECONDS = 60


def walk(checks: Checks, stack: Stack) -> None:
    """Brings it up, uses it, kills a node, stops it."""
    comes_up(checks, stack)
    with checks.check("cluster: the three nodes know each other, and share all slots"):
        for node in NODES:
            wait_until(partial(_is_whole, stack, node), SECONDS)
    takes_events(checks, stack)
    with checks.check("cluster: each node has shards with events") as figures:
        found = _nodes_of_shards(stack)
        figures.append(str(found))
        assert sorted(found) == list(range(SHARDS))
        assert len(set(found.values())) == len(NODES)
    _killed(checks, stack)
    with disturbed(checks, stack, "all nodes are restarted at once", "nodes"):
        stack.compose("restart", *NODES, seconds=180)
        stack.wait_healthy(*NODES, "ingest", "flusher", "dashboard")
    with disturbed(checks, stack, "everything is brought up again", "again"):
        stack.up()
        stack.wait_healthy()
    with checks.check("cluster: the ledger's gap is 0 for each shard"):
        wait_until(lambda: _gaps(stack) == dict.fromkeys(range(SHARDS), 0.0), SECONDS)
    ends_in_order(checks, stack)


def _killed(checks: Checks, stack: Stack) -> None:
    """Kills a node, and starts it again when the others have noticed and events came without it."""
    with disturbed(checks, stack, f"{KILLED} is killed and comes back", "killed") as more:
        before = _entries(stack)
        stack.kill(KILLED)
        wait_until(lambda: "cluster_slots_fail:0" not in _info(stack, NODES[0]), SECONDS)
        more()
        assert _entries(stack) > before, "the other nodes took no events"
        stack.compose("start", KILLED)
        stack.wait_healthy(*NODES, "ingest", "flusher", "dashboard")


def _info(stack: Stack, node: str) -> str:
    """Returns what a node says of the cluster."""
    return stack.inside(node, "redis-cli", "cluster", "info").replace("\r", "")


def _is_whole(stack: Stack, node: str) -> bool:
    wanted = {"cluster_state:ok", "cluster_slots_ok:16384", f"cluster_known_nodes:{len(NODES)}"}
    return wanted <= set(_info(stack, node).splitlines())


def _nodes_of_shards(stack: Stack) -> dict[int, str]:
    """Returns on which node the flusher finds each shard that has events."""
    said = re.findall(r'^forebay_redis_shard_node{node="(.+)",shard="(\d+)"} 1\.0$', stack.get(FLUSHER), re.MULTILINE)
    return {int(shard): node for node, shard in said}


def _entries(stack: Stack) -> int:
    """Returns how many entries were ever appended on the nodes that are not killed."""
    found = 0
    for node in set(NODES) - {KILLED}:
        for shard in range(SHARDS):
            asked = f"redis-cli xinfo stream 'forebay:{{{shard}}}:log' | grep --text --after-context 1 entries-added"
            said = stack.inside(node, "sh", "-c", f"{asked} || true")  # a shard of another node is MOVED
            found += sum(int(number) for number in re.findall(r"^\d+$", said, re.MULTILINE))
    return found


def _gaps(stack: Stack) -> dict[int, float]:
    """Returns by how many events the books of each shard are off."""
    said = re.findall(r'^forebay_ledger_gap_events{shard="(\d+)"} (\S+)$', stack.get(FLUSHER), re.MULTILINE)
    return {int(shard): float(value) for shard, value in said}
