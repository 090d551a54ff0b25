"""An erasure goes on only with what all replicas of Redis know, where they are waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from forebay.erase import replicated
from forebay.erase.finish import Finish
from forebay.erase.register import Register
from forebay.erase.replicated import Replicated
from forebay.erase.rows import Bound, Rows
from forebay.stream import Streams
from runtime.nodes.client import BlockingRouted
from runtime.nodes.routes import Unit
from runtime.redis import blocking_client
from runtime.replicas import TooFew
from schemas.erasure import Erasure
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.address import Node
from schemas.redis.keys import REPLICAS_KEY, SHARDS_KEY, CheckpointField, Keys
from tests.support import redis_cluster
from tests.support.committing import AT_MS
from tests.support.old_primaries import SENTINEL, Following
from tests.support.rows import plain
from tests.support.waiting import wait_until

STEPS: dict[str, Callable[[Register], object]] = {
    "record": lambda register: register.record(Erasure(id="e", at_ms=1, ends={})),
    "acknowledged": lambda register: register.acknowledged(0, "e"),
    "plan": lambda register: register.plan("e"),
    "choose": lambda register: register.choose("e", "p"),
    "count": lambda register: register.count(0, "e", {(29_833_333, "a"): 1}),
    "gone": lambda register: register.gone(0, "e"),
    "settle": lambda register: register.settle("e"),
    "done": lambda register: register.done("e"),
    "is_settled": lambda register: register.is_settled("e"),
    "accept": lambda register: register.accept(0, "a", {(29_833_333, "a"): 1}),
    "forgive": lambda register: register.forgive(0, "f", {(29_833_333, "a"): 1}),
}


def test_no_step_goes_on_without_the_replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is refused while a replica is missing, and can be repeated when it is there."""
    monkeypatch.setattr(replicated, "WAIT_MS", 50)
    with redis_cluster.several(tmp_path, 2, repl_diskless_sync_delay="0") as (primary, replica):
        primary.client.set(REPLICAS_KEY, 1)
        primary.client.hset(Keys(0).checkpoint, CheckpointField.ERASURE.of("e"), "1-0")
        client = blocking_client(f"redis://{primary.address}/0", seconds=10)
        register = Register(client)
        for step in STEPS.values():
            with pytest.raises(TooFew, match="0 of 1 replicas"):
                step(register)
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: replica.client.info("replication").get("master_link_status") == "up")
        monkeypatch.setattr(replicated, "WAIT_MS", 5_000)
        for step in STEPS.values():
            step(register)
        assert str(register.acknowledged(0, "e")) == "1-0"
        assert replica.client.hgetall("forebay:erasures") == primary.client.hgetall("forebay:erasures")
        client.close()


def test_what_an_old_primary_said_is_not_believed_because_its_successor_confirms_a_write(tmp_path: Path) -> None:
    """It becomes a replica behind the read, refuses the write, and the write is led to its successor, which lacks what was read."""
    with redis_cluster.several(tmp_path, 2, repl_diskless_sync_delay="0") as (old, new):
        old.client.hset("key", "field", "of the old one")
        for server in old, new:
            server.client.set(REPLICAS_KEY, 1)

        class Demoted(BlockingRouted):
            def _sent(self, node: Node, unit: Unit, *, is_asking: bool) -> list[Any]:
                said = super()._sent(node, unit, is_asking=is_asking)
                if unit[0][0][0] == "HGET" and node.port == old.port:
                    old.ask("REPLICAOF", "127.0.0.1", new.port)
                return said

        client = Demoted(Following(old, new), socket_timeout=10)
        with pytest.raises(TooFew), Replicated(client).assuring("key"):
            assert client.hget("key", "field") == b"of the old one"
        with Replicated(client).assuring("key"):
            assert client.hget("key", "field") is None
        client.close()
        old.kill()  # made a replica, it refuses to end in good order until it has written its first file


def test_a_letter_is_dropped_on_the_successor_of_an_old_primary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one, which is cut off, has lost the letter already when the erasure is tried again; and one it never had.

    A letter of an event that came later stays, also where its id is of a clock that was set back.
    """
    monkeypatch.setattr(replicated, "WAIT_MS", 50)
    dead, erasure = Keys(0).dead, Erasure(id="e", at_ms=AT_MS + 1, ends={}, site="a")
    with redis_cluster.several(tmp_path, 3, repl_diskless_sync_delay="0") as (old, new, replica):
        replica.ask("REPLICAOF", "127.0.0.1", new.port)
        wait_until(lambda: replica.client.info("replication").get("master_link_status") == "up")
        row = msgspec.msgpack.encode(list(plain(site="a", received_at=AT_MS)))
        letter: dict[Any, Any] = {"row": row, "reason": "refused", "text": "", "first_seen": 1, "block": ""}
        bound = Bound("incarnation", ORIGIN)
        for server in old, new:
            server.client.set(REPLICAS_KEY, 1)
            server.client.set(SHARDS_KEY, 1)
            server.client.xadd(dead, letter, "1-0")
        new.client.xadd(dead, letter, "2-0")
        later = msgspec.msgpack.encode(list(plain(site="a", received_at=AT_MS + 5_000)))
        new.client.xadd(
            dead, letter | {"row": later, "block": str(BlockName("incarnation", 0, ORIGIN, EntryId(9, 0)))}, "3-0"
        )
        streams = Streams(SENTINEL)
        assert isinstance(streams.redis, BlockingRouted)
        streams.redis.routes = Following(old, new)
        finish = Finish(streams, Register(streams.redis), cast(Rows, None), say=print)
        with pytest.raises(TooFew):
            finish._drop_letters(0, erasure, bound)
        assert old.client.xlen(dead) == 0
        monkeypatch.setattr(replicated, "WAIT_MS", 5_000)
        finish._drop_letters(0, erasure, bound)
        assert [letter.id for letter in streams.letters(0)] == [EntryId(3, 0)]
        assert replica.client.xlen(dead) == 1
        streams.close()


def test_an_erasure_waits_for_no_entry_that_a_failover_took(tmp_path: Path) -> None:
    """The last entry that a shard had is perhaps one that nobody had acknowledged, and no event comes behind it."""
    with redis_cluster.several(tmp_path, 1) as [server]:
        streams = Streams(f"redis://{server.address}/0")
        finish = Finish(streams, Register(streams.redis), cast(Rows, None), say=print)
        erasure = Erasure(id="e", at_ms=AT_MS, ends={0: "9-0"}, site="a")
        server.client.xadd(Keys(0).log, {"d": "of a stranger"}, "5-0")
        assert finish._is_waiting(0, erasure)
        server.client.hset(Keys(0).checkpoint, CheckpointField.STORED, "5-0")
        assert not finish._is_waiting(0, erasure)
        streams.close()
