"""A primary that was cut off and succeeded still answers: its clients leave it for its successor, and don't wait for its end.

Real servers and Sentinels, on both sides of a partition. Nobody fails over by himself here: each Sentinel is told what it
would know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from flusher.redis.replicas import Replicas
from ingest.commit.answers import Refused, Unclear
from ingest.commit.durability import Durability
from ingest.commit.stream import RedisStream
from runtime import redis as clients
from runtime.nodes.layout import Layout
from runtime.nodes.routes import Routes
from runtime.redis import Redis, Routed
from schemas.redis.address import Address, Node
from schemas.redis.keys import Keys
from schemas.segment import Commit
from tests.support import redis_cluster
from tests.support.failing_over import Relay, relayed
from tests.support.redis_cluster import Server
from tests.support.waiting import until

NAME = "mymaster"
SHARD = 1
WRITE = "return redis.call('SET', KEYS[1], ARGV[1])"


@dataclass
class Parted:
    """Holds the old primary, its successor with a replica of its own, and the URL by which clients found the old one."""

    old: Server
    new: Server
    url: str
    relay: Relay | None = None

    def begin(self, client: Redis) -> None:
        """Lets a client believe in the old primary, as it did before the partition."""
        if isinstance(client, Routed):
            client.routes.layout = Layout.of_master(Node("127.0.0.1", self.old.port), ())
            client.routes.is_old = False

    def part(self) -> None:
        """Lets the name lead to the new primary, where there is one name. Open connections stay."""
        if self.relay is not None:
            self.relay.target = self.new.port


@contextmanager
def sentinels(directory: Path, *views: tuple[Server, int]) -> Iterator[str]:
    """Yields the URL of Sentinels that know nothing of each other: each names a master, under its epoch."""
    servers = []
    try:
        for port, (master, epoch) in zip(redis_cluster.free_ports(len(views)), views, strict=True):
            home = directory / str(port)
            home.mkdir(parents=True)
            (home / "sentinel.conf").write_text(
                f"port {port}\nbind 127.0.0.1\ndir {home}\nprotected-mode no\n"
                f"sentinel monitor {NAME} 127.0.0.1 {master.port} 1\nsentinel config-epoch {NAME} {epoch}\n"
                f"sentinel down-after-milliseconds {NAME} 600000\n"
            )
            servers.append(Server(home, port, {}, words=[str(home / "sentinel.conf"), "--sentinel"]))
            servers[-1].start()
        yield f"redis+sentinel://{','.join(one.address for one in servers)}/{NAME}/0"
    finally:
        for server in servers:
            server.stop()


@pytest.fixture(params=["it refuses", "it takes what comes", "one name"])
async def parted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Parted]:
    """Yields a primary that knows that it has no replica, or not, behind Sentinels; or behind one name that leads elsewhere now."""
    with redis_cluster.several(tmp_path / "redis", 3, repl_diskless_sync_delay="0") as (old, new, replica):
        replica.ask("REPLICAOF", "127.0.0.1", new.port)
        await until(lambda: replica.client.info("replication").get("master_link_status") == "up")
        if request.param == "it refuses":
            old.client.config_set("min-replicas-to-write", 1)
        if request.param == "one name":
            async with relayed(old.port) as relay:
                yield Parted(old, new, f"redis://127.0.0.1:{relay.port}/0", relay)
                old.kill()
                return
        with sentinels(tmp_path / "sentinels", (old, 1), (new, 2)) as url:
            yield Parted(old, new, url)
            old.kill()  # made a replica, it refuses to end in good order until it has written its first file


async def test_the_newer_of_two_sentinels_is_believed(tmp_path: Path) -> None:
    """The one that is asked first is cut off with the old master, which still says that it is one."""
    with redis_cluster.several(tmp_path / "redis", 2) as (old, new):
        for views in [(old, 1), (new, 2)], [(new, 2), (old, 1)]:
            with sentinels(tmp_path / f"sentinels-{views[0][1]}", *views) as url:
                assert [node.port for node in Routes(Address.parse(url), seconds=30).find().primaries] == [new.port]
        new.ask("REPLICAOF", "127.0.0.1", old.port)
        with (
            sentinels(tmp_path / "sentinels", (old, 1), (new, 2)) as url,
            pytest.raises(RedisError, match="which is a slave"),
        ):
            Routes(Address.parse(url), seconds=30).find()


async def test_ingest_leaves_an_old_primary(parted: Parted) -> None:
    """Whether the old one refuses what is appended, or takes it and can't confirm it."""
    stream = RedisStream(parted.url, timeout_ms=300, replicas=1, durability=Durability(is_trusted=False))
    parted.begin(stream._redis)
    for pipe in (stream._pipe, stream._confirming):
        await pipe.command("GET", Keys(SHARD).lease)
    parted.part()

    async def is_appended() -> bool:
        with suppress(Unclear, Refused):
            await stream.append(SHARD, "producer", Commit(1, b"data", 1, {"1 site": 1}))
            return True
        return False

    await until(is_appended)
    assert parted.new.client.xlen(Keys(SHARD).log) == 1
    await stream.close()


async def test_ingest_leaves_a_primary_that_became_a_replica(parted: Parted) -> None:
    """It is asked once a second what it is, and nothing is appended there, so no answer to an append would tell."""
    stream = RedisStream(parted.url, timeout_ms=5_000, durability=Durability(is_trusted=False))
    parted.begin(stream._redis)
    await stream._pipe.command("GET", Keys(SHARD).lease)
    parted.part()
    parted.old.client.config_set("min-replicas-to-write", 0)
    parted.old.ask("REPLICAOF", "127.0.0.1", parted.new.port)

    async def is_at_the_new_one() -> bool:
        with suppress(Unclear, Refused):
            await stream.look()
        info = await stream._pipe.command("INFO", "server") if parted.relay else stream._pipe.name_of("a").encode()
        return (str(parted.new.port) if parted.relay is None else run_id(parted.new)).encode() in info

    await until(is_at_the_new_one)
    await stream.close()


async def test_a_flusher_leaves_an_old_primary(parted: Parted) -> None:
    """What it writes is not confirmed there, or refused."""
    client = clients.client(parted.url, seconds=5)
    parted.begin(client)
    await client.get("key")
    parted.part()
    replicas = Replicas(client, 1)
    replicas._wait = ("WAIT", 1, 200)

    async def is_written() -> bool:
        with suppress(RedisError):
            return bool(await replicas.run(WRITE, keys=["key"], args=["value"]))
        return False

    await until(is_written)
    assert parted.new.client.get("key") == b"value"
    await client.aclose()


async def test_a_connection_to_a_server_that_was_demoted_is_not_used_again(parted: Parted) -> None:
    """Its server keeps it open, and would refuse whatever comes on it."""
    client = clients.client(parted.url, seconds=5)
    parted.begin(client)
    await client.get("key")
    parted.part()
    parted.old.client.config_set("min-replicas-to-write", 0)
    parted.old.ask("REPLICAOF", "127.0.0.1", parted.new.port)

    async def is_written() -> bool:
        with suppress(RedisError):
            return bool(await client.set("key", "value"))
        return False

    await until(is_written)
    assert parted.new.client.get("key") == b"value"
    await client.aclose()


def run_id(server: Server) -> str:
    """Returns the run id of a server."""
    return str(server.client.info("server")["run_id"])
