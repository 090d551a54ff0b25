"""ingest/commit/salt_wire.py: which of several servers a salt comes from."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from ingest.commit.salt_wire import SaltWire
from runtime.nodes.layout import Layout
from runtime.nodes.routes import Routes
from schemas.redis.address import Address, Node
from schemas.redis.keys import salt_key
from tests.support import redis_cluster
from tests.support.waiting import until

END = 4_102_444_800  # 2100
KEY = salt_key(END - 86_400)


class Following(Routes):
    """Finds the server that the test names, as Sentinels would."""

    target: Node

    def _ask(self) -> Layout:
        return Layout.of_master(self.target, ())


async def _is_answered(wire: SaltWire) -> bool:
    try:
        await wire.salt(KEY)
    except RedisError:
        return False
    return True


async def test_salts_come_from_the_successor_of_a_server_that_is_gone(tmp_path: Path) -> None:
    """Whoever gets no answer asks again which server has the key; or no event of a new day would be taken until a restart."""
    with redis_cluster.several(tmp_path, 2) as (old, new):
        routes = Following(Address.parse("redis+sentinel://127.0.0.1:1/mymaster"), seconds=5)
        routes.target = Node("127.0.0.1", old.port)
        wire = SaltWire("", seconds=5, routes=routes)
        assert await wire.agreed(KEY, bytearray(b"o" * 32), END) == bytearray(b"o" * 32)
        old.stop()
        routes.target = Node("127.0.0.1", new.port)
        with pytest.raises(RedisError):
            await wire.salt(KEY)
        await until(partial(_is_answered, wire))  # who has the key is not asked for twice within a moment
        assert await wire.salt(KEY) is None
        assert await wire.agreed(KEY, bytearray(b"n" * 32), END) == bytearray(b"n" * 32)
        assert await wire.agreed(KEY, bytearray(b"x" * 32), END) == bytearray(b"n" * 32)
