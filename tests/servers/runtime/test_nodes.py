"""runtime/nodes and ingest/commit/pipes.py on a real cluster of six servers: who is asked, and what is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.exceptions import RedisError, ResponseError

from flusher.redis.stream import RedisStream as FlusherStream
from ingest.commit.answers import Refused
from ingest.commit.durability import Durability
from ingest.commit.pipe import Script
from ingest.commit.pipes import Pipes
from ingest.commit.pressure import Pressure
from ingest.commit.stream import RedisStream
from runtime import redis as clients
from runtime.nodes.layout import slot_of
from runtime.nodes.routes import Routes
from runtime.redis import Redis
from schemas.durability import Fault
from schemas.redis.address import Address
from schemas.redis.keys import Keys, limit_key
from schemas.segment import Commit
from tests.support import redis_cluster
from tests.support.redis_cluster import Nodes, Server
from tests.support.waiting import until

TAG = "{moving}"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Yields three primaries with a replica each."""
    with redis_cluster.cluster(tmp_path_factory.mktemp("cluster") / "servers", primaries=3, replicas=1) as found:
        yield found


@pytest.fixture
async def client(nodes: Nodes) -> AsyncIterator[Redis]:
    """Yields the client of the event loop."""
    made = clients.client(nodes.url, seconds=30)
    yield made
    await made.aclose()


@pytest.fixture
async def pipes(nodes: Nodes) -> AsyncIterator[Pipes]:
    """Yields ingest's client."""
    made = Pipes(Routes(Address.parse(nodes.url), seconds=30), timeout_seconds=30)
    yield made
    await made.close()


@pytest.fixture
async def stream(nodes: Nodes) -> AsyncIterator[RedisStream]:
    """Yields ingest's stream."""
    made = RedisStream(nodes.url, timeout_ms=30_000)
    yield made
    await made.close()


def opened(nodes: Nodes) -> tuple[int, Server, Server]:
    """Opens the slot of TAG for moving, with ten keys of which four are gone already, and two of one script's."""
    slot = slot_of(TAG)
    source = nodes.owner(slot)
    target = next(server for server in nodes.servers[:3] if server is not source)
    for number in range(10):
        source.client.set(f"{TAG}{number}", f"value {number}")
    redis_cluster.begin_move(slot, source, target)
    redis_cluster.move_these(source, target, *(f"{TAG}{number}" for number in range(4)))
    return slot, source, target


async def test_keys_are_reached_while_their_slot_moves(nodes: Nodes, client: Redis, pipes: Pipes) -> None:
    """By every kind of client, wherever a key is, without an error; and after the move, by those that still know the old place."""
    wanted = [f"value {number}".encode() for number in range(10)]
    keys = [f"{TAG}{number}" for number in range(10)]
    await client.get(keys[0])
    with clients.blocking_client(nodes.url, seconds=30) as blocking:
        blocking.get(keys[0])
        slot, source, target = opened(nodes)
        for is_over in (False, True):
            assert [await client.get(key) for key in keys] == wanted
            assert [await pipes.command("GET", key) for key in keys] == wanted
            assert [blocking.get(key) for key in keys] == wanted
            several = client.pipeline(transaction=False)
            for key in keys:
                several.get(key)
                several.time()
            assert (await several.execute())[::2] == wanted
            assert sorted(await _called(pipes, keys)) == sorted(wanted)
            if not is_over:
                redis_cluster.move_keys(slot, source, target)
                redis_cluster.end_move(slot, source, target, nodes.running)
    nodes.move(slot, source)


async def _called(pipes: Pipes, keys: list[str]) -> list[Any]:
    """Returns what callbacks hear of a GET of each key."""
    heard: list[Any] = []
    for key in keys:
        while not pipes.reaches(key):
            await pipes.routes.now()
        pipes.call(("GET", key), heard.append)
    await until(lambda: len(heard) == len(keys))
    return heard


async def test_keys_of_two_servers_are_refused_in_the_end(nodes: Nodes, client: Redis, pipes: Pipes) -> None:
    """A script whose keys are half-way is tried again for a moment, then its caller hears that it did not run."""
    slot, source, target = opened(nodes)
    both = [f"{TAG}0", f"{TAG}9"]
    with pytest.raises(ResponseError):
        await client.eval("return redis.call('DEL', KEYS[1], KEYS[2])", 2, *both)
    with pytest.raises(ResponseError, match="TRYAGAIN"):
        await Script(pipes, "return redis.call('DEL', KEYS[1], KEYS[2])")(keys=both, args=[])
    assert [await client.exists(key) for key in both] == [1, 1]
    redis_cluster.move_keys(slot, source, target)
    redis_cluster.end_move(slot, source, target, nodes.running)
    assert await Script(pipes, "return redis.call('DEL', KEYS[1], KEYS[2])")(keys=both, args=[]) == 2
    nodes.move(slot, source)


async def test_each_server_is_asked_for_itself(nodes: Nodes, client: Redis, stream: RedisStream) -> None:
    """Run ids, clocks and memory by server; what names no key and no server is refused; a rewrite is of replicas too."""
    for shard in range(6):
        log = Keys(shard).log
        told = await (await clients.server_of(client, log)).info("server")
        assert told["run_id"] == nodes.owner(slot_of(log)).client.info("server")["run_id"]
    with pytest.raises(RedisError, match="TIME names no key"):
        await client.time()
    primaries = {server.address for server in nodes.servers[:3]}
    assert set(await stream.clocks_ms()) == set(await stream.memory_shares()) == primaries
    assert set(await FlusherStream(client).facts()) == primaries

    async def are_known() -> bool:
        return len(await clients.servers(client, with_replicas=True)) == len(nodes.servers)

    await until(are_known)  # nodes tell each other of their replicas in time
    before = [_rewrites(server) for server in nodes.servers]
    assert await FlusherStream(client).rewrite()
    await until(lambda: all(_rewrites(one) > early for one, early in zip(nodes.servers, before, strict=True)))


async def test_commits_of_all_shards_are_appended_once(nodes: Nodes, stream: RedisStream) -> None:
    """Through callbacks and coroutines; a repeated number is answered `done` by the server that has the shard."""
    done: list[BaseException | None] = []
    wanted = 0
    for number in (1, 2, 2):
        for shard in range(6):
            stream.send(shard, "producer", Commit(number, b"data", 1, {"1 site": 1}), done.append)
        wanted += 6
        while len(done) < wanted:
            await asyncio.sleep(0.01)
    assert done == [None] * 18
    await asyncio.gather(*(stream.append(shard, "producer", Commit(3, b"data", 1, {})) for shard in range(6)))
    for shard in range(6):
        log = Keys(shard).log
        assert nodes.owner(slot_of(log)).client.xlen(log) == 3
        assert stream.server_of(shard) == nodes.owner(slot_of(log)).address


def _rewrites(server: Server) -> int:
    """Returns how often the server's file was written anew, and counts one that runs as half."""
    told = server.client.info("persistence")
    return int(told.get("aof_rewrites", told["aof_last_rewrite_time_sec"])) * 2 + int(told["aof_rewrite_in_progress"])


async def test_a_server_s_faults_are_its_own_shards(nodes: Nodes) -> None:
    """One that does not fsync is named, and new connections to it alone are refused. One that is full is alone too."""
    durability = Durability(is_trusted=False)
    stream = RedisStream(nodes.url, timeout_ms=30_000, durability=durability)
    try:
        await _faults_of_one(nodes, stream, durability)
    finally:
        await stream.close()


async def _faults_of_one(nodes: Nodes, stream: RedisStream, durability: Durability) -> None:
    pressure = Pressure(memory=stream, memory_share_max=0.85, disk="", free_bytes_min=1)
    await stream.look()
    assert durability.faults == ()
    bad = nodes.owner(slot_of(Keys(0).log))
    shards = {shard: nodes.owner(slot_of(Keys(shard).log)) is bad for shard in range(6)}
    assert set(shards.values()) == {True, False}
    bad.client.config_set("appendfsync", "everysec")
    await stream.look()
    faults: tuple[Fault, ...] = durability.faults
    assert [fault.text.partition(": ")[0] for fault in faults] == [bad.address]
    assert not durability.is_shut
    assert {shard: bool(durability.faults_of(stream.server_of(shard))) for shard in shards} == shards
    new = RedisStream(nodes.url, timeout_ms=30_000, durability=Durability(is_trusted=False))
    appends = (new.append(shard, "another", Commit(1, b"data", 1, {})) for shard in shards)
    said = await asyncio.gather(*appends, return_exceptions=True)
    await new.close()
    assert {shard: isinstance(one, Refused) for shard, one in zip(shards, said, strict=True)} == shards
    assert [one for one in said if one is not None and "appendfsync" not in str(one)] == []
    bad.client.config_set("appendfsync", "always")
    await stream.look()
    assert durability.faults == ()
    await pressure.look()
    assert not any(pressure.is_on_at(stream.server_of(shard)) for shard in shards)
    bad.client.config_set("maxmemory", "1mb")
    await pressure.look()
    assert not pressure.is_on
    assert bad.address in pressure.why
    assert {shard: pressure.is_on_at(stream.server_of(shard)) for shard in shards} == shards
    bad.client.config_set("maxmemory", "256mb")


async def test_limits_are_shared_by_the_server_that_has_the_bucket(stream: RedisStream) -> None:
    """Buckets are spread over the servers, and each is one; where no connection is open, nobody waits for one."""
    buckets = dict.fromkeys(range(30), (0.001, 10, 3, 10.0))
    assert await stream.take(buckets) == [None] * 30
    for shard in range(16):  # which open the connections
        await stream.append(shard, "limits", Commit(1, b"x", 1, {"29833333 a": 1}))
    said = [await stream.take(buckets) for _ in range(2)]
    assert [{round(level or 0) for level in levels} for levels in said] == [{7}, {4}]
    assert len({slot_of(limit_key(number)) * 3 // 16_384 for number in buckets}) == 3
