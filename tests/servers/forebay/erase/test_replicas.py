"""An erasure goes on only with what all replicas of Redis know, where they are waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.erase import replicated
from forebay.erase.register import Register
from forebay.erase.replicated import Replicated
from runtime.nodes.client import BlockingRouted
from runtime.nodes.layout import Layout
from runtime.nodes.routes import Routes, Unit
from runtime.replicas import TooFew
from schemas.erasure import Erasure
from schemas.redis.address import Address, Node
from schemas.redis.keys import REPLICAS_KEY, CheckpointField, Keys
from tests.support import redis_cluster
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
    "secure": lambda register: register.secure(0),
    "accept": lambda register: register.accept(0, "a", {(29_833_333, "a"): 1}),
    "forgive": lambda register: register.forgive(0, "f", {(29_833_333, "a"): 1}),
}


def test_no_step_goes_on_without_the_replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is refused while a replica is missing, and can be repeated when it is there."""
    monkeypatch.setattr(replicated, "WAIT_MS", 50)
    with redis_cluster.several(tmp_path, 2, repl_diskless_sync_delay="0") as (primary, replica):
        primary.client.set(REPLICAS_KEY, 1)
        primary.client.hset(Keys(0).checkpoint, CheckpointField.ERASURE.of("e"), "1-0")
        register = Register(f"redis://{primary.address}/0")
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
        register.close()


def test_what_an_old_primary_said_is_not_believed_because_its_successor_confirms_a_write(tmp_path: Path) -> None:
    """It becomes a replica behind the read, refuses the write, and the write is led to its successor, which lacks what was read."""
    with redis_cluster.several(tmp_path, 2, repl_diskless_sync_delay="0") as (old, new):
        old.client.hset("key", "field", "of the old one")
        for server in old, new:
            server.client.set(REPLICAS_KEY, 1)

        class Following(Routes):
            def _ask(self) -> Layout:
                return Layout.of_master(Node("127.0.0.1", new.port), ())

        class Demoted(BlockingRouted):
            def _sent(self, node: Node, unit: Unit, *, is_asking: bool) -> list[Any]:
                said = super()._sent(node, unit, is_asking=is_asking)
                if unit[0][0][0] == "HGET" and node.port == old.port:
                    old.ask("REPLICAOF", "127.0.0.1", new.port)
                return said

        routes = Following(Address.parse("redis+sentinel://127.0.0.1:1/mymaster"), seconds=5)
        routes.layout, routes.is_old = Layout.of_master(Node("127.0.0.1", old.port), ()), False
        client = Demoted(routes, socket_timeout=10)
        with pytest.raises(TooFew):
            Replicated(client).assured("key", lambda pipe: pipe.hget("key", "field"))
        assert Replicated(client).assured("key", lambda pipe: pipe.hget("key", "field")) == [None]
        client.close()
        old.kill()  # made a replica, it refuses to end in good order until it has written its first file
