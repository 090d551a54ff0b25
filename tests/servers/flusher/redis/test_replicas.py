"""What a flusher reads in front of a WAIT is what the server said that waited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flusher.redis.replicas
from flusher.redis.replicas import Replicas
from runtime.nodes.client import Routed
from runtime.nodes.routes import Unit
from runtime.replicas import TooFew
from schemas.redis.address import Node
from tests.support import redis_cluster
from tests.support.old_primaries import Following
from tests.support.waiting import wait_until


async def test_what_an_old_primary_said_is_not_believed_because_its_successor_confirms_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes a replica behind the read, refuses the write, and the write is led to its successor, which lacks what was read."""
    with redis_cluster.several(tmp_path, 3, repl_diskless_sync_delay="0") as (old, new, replica):
        replica.ask("REPLICAOF", "127.0.0.1", new.port)
        wait_until(lambda: replica.client.info("replication").get("master_link_status") == "up")
        monkeypatch.setattr(flusher.redis.replicas, "WAIT_MS", 30_000)
        old.client.hset("key", "field", "of the old one")

        class Demoted(Routed):
            async def _sent(self, node: Node, unit: Unit, *, is_asking: bool) -> list[Any]:
                """Lets the old primary be demoted between two commands that came in two packets."""
                if node.port != old.port:
                    return await super()._sent(node, unit, is_asking=is_asking)
                writes = next(at for at, (words, _) in enumerate(unit) if words[0] == "EVAL" and words[2])
                read, rest = unit[:writes], unit[writes:]
                said = await super()._sent(node, read, is_asking=is_asking)
                old.ask("REPLICAOF", "127.0.0.1", new.port)
                return said + await super()._sent(node, rest, is_asking=is_asking)

        client = Demoted(Following(old, new), socket_timeout=60)
        replicas = Replicas(client, 1)
        with pytest.raises(TooFew):
            await replicas.seen("key", lambda pipe: pipe.hgetall("key"))
        assert await replicas.seen("key", lambda pipe: pipe.hgetall("key")) == [{}]
        await client.aclose()
        old.kill()  # made a replica, it refuses to end in good order until it has written its first file
