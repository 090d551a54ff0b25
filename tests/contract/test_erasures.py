"""The fake Redis and a real one keep the same contract for erasures, asked by the commands' own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from forebay.erase.register import Busy, Register
from forebay.stream import Streams
from runtime.redis import blocking_client, url_of
from schemas.erasure import Erasure, pack
from schemas.names import EntryId
from schemas.redis.keys import ERASURES_KEY, Keys
from schemas.row import MINUTE_MS
from tests.fakes.redis import Server
from tests.fakes.redis_blocking import Connection
from tests.support import redis_server
from tests.support.rows import plain

server = redis_server.each_server
redis = redis_server.redis

KEYS = Keys(0)


def real_letter(client: Any, row: bytes) -> None:
    client.xadd(KEYS.dead, {"row": row, "reason": "r", "text": "t", "first_seen": 1, "block": "b"}, "7-0")


def fake_letter(client: Any, row: bytes) -> None:
    state: Server = client._servers
    fields = {b"row": row, b"reason": b"r", b"text": b"t", b"first_seen": b"1", b"block": b"b"}
    log = state.log(KEYS.dead)
    log.last = EntryId(7, 0)
    log.entries[log.last] = log.history[log.last] = fields


@pytest.mark.parametrize("kind", ["fake", "real"])
def test_an_erasure_goes_its_way(kind: str, server: Path, redis: Any) -> None:
    """It is recorded, planned one at a time, counted once, settled and done; its letter goes once."""
    client: Any = blocking_client(url_of(server), seconds=10)
    if kind == "fake":
        client = Connection(Server(client_clock(client)))
    register, streams = Register(client), streams_of(client)
    minute = register.now_ms() // MINUTE_MS
    first, second = (Erasure(id=name, at_ms=1, ends={}, site="a") for name in ("one", "two"))
    register.record(first)
    register.record(second)
    register.record(second)
    assert register.unfinished() == [first, second]
    assert client.hget(ERASURES_KEY, ":version") == b"3"
    assert register.plan("two") is None
    assert [register.choose("two", plan) for plan in ("p", "q")] == ["p", "p"]
    with pytest.raises(Busy, match="two"):
        register.choose("one", "r")
    assert register.unfinished() == [second, first]
    for _ in range(2):
        register.count(0, "two", {(minute, "a"): 2, (minute - 1, "b"): 1, (1, "a"): 9})
    totals = {f"{minute} a".encode(): b"2", f"{minute - 1} b".encode(): b"1"}
    assert client.hgetall(KEYS.erased) == totals
    assert client.hgetall(KEYS.leaving) == totals | {b"erasure": b"two"}
    register.gone(0, "one")
    assert client.hgetall(KEYS.leaving)
    register.gone(0, "two")
    assert client.hgetall(KEYS.leaving) == {}
    assert not register.is_settled("two")
    register.settle("two")
    assert register.is_settled("two")
    assert register.choose("two", "s") == "p"
    assert register.choose("one", "r") == "r"
    (real_letter if kind == "real" else fake_letter)(
        client, msgspec.msgpack.encode(list(plain(site="a", received_at=minute * MINUTE_MS)))
    )
    [letter] = streams.letters(0)
    assert letter.id == EntryId(7, 0)
    assert [register.drop(letter) for _ in range(2)] == [True, False]
    assert list(streams.letters(0)) == []
    assert client.hgetall(KEYS.erased)[f"{minute} a".encode()] == b"3"
    register.done("two")
    assert register.unfinished() == [first]
    assert client.hget(ERASURES_KEY, "one") == pack(first)
    assert register.acknowledged(0, "one") is None
    state = streams.state(0)
    assert (state.dead, state.last, state.erased.counts[minute, "a"]) == (0, EntryId(0, 0), 3)
    client.close()


def client_clock(client: Any) -> Any:
    """Returns the clock of a real Redis."""
    return lambda: int(client.time()[0])


def streams_of(client: Any) -> Streams:
    """Returns what reads streams by this client."""
    streams = Streams("redis://127.0.0.1:1")
    streams.redis = cast(Any, client)
    return streams
