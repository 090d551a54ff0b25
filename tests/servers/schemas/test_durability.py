"""What a Redis says of itself, on every redis-server that is there, each wrong in one way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from ingest.commit import durability as durability_module
from ingest.commit.answers import Refused, Unclear
from ingest.commit.durability import Durability, NotDurable
from ingest.commit.stream import RedisStream
from schemas.durability import Facts, Proof, Setting, summary
from schemas.segment import Commit
from tests.support.durable_facts import ALWAYS, GOOD
from tests.support.redis_programs import EVERY, running, socket_of
from tests.support.waiting import until

# A setting of redis.conf, the value that loses events, and the name under which it is a fault.
WRONG = [
    ("maxmemory-policy", "allkeys-lru", Setting.POLICY),
    ("maxmemory-policy", "allkeys-random", Setting.POLICY),
    ("maxmemory-policy", "volatile-lru", Setting.POLICY),
    ("maxmemory-policy", "volatile-ttl", Setting.POLICY),
    ("appendonly", "no", Setting.AOF),
    ("appendfsync", "everysec", Setting.FSYNC),
    ("appendfsync", "no", Setting.FSYNC),
    ("no-appendfsync-on-rewrite", "yes", Setting.REWRITE_FSYNC),
]

SECRETIVE = "reset on nopass ~* &* +@all -config"


@asynccontextmanager
async def listening(directory: Path, user: str = "", *, is_trusted: bool = False) -> AsyncIterator[RedisStream]:
    """Ingest's stream to the server of this directory."""
    login = f"?username={user}&password=x" if user else ""
    durability = Durability(is_trusted=is_trusted)
    stream = RedisStream(f"unix://{socket_of(directory)}{login}", timeout_ms=5_000, durability=durability)
    try:
        yield stream
    finally:
        await stream.close()


def heard(stream: RedisStream) -> Durability:
    assert stream._durability is not None
    return stream._durability


async def faults(stream: RedisStream) -> list[Setting]:
    """What is wrong, after a look; a new connection is refused for it."""
    try:
        await stream.look()
    except Refused:
        assert heard(stream).faults
    return [fault.setting for fault in heard(stream).faults]


async def has_no_fault(stream: RedisStream) -> bool:
    return not await faults(stream)


async def append(stream: RedisStream, number: int = 1) -> None:
    await stream.append(0, "p", Commit(number, b"d", 1, {"5 site": 1}))


async def send(stream: RedisStream, number: int = 1) -> None:
    """Does the same with a callback."""
    said: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    stream.send(0, "p", Commit(number, b"d", 1, {"5 site": 1}), said.set_result)
    error = await said
    if error is not None:
        raise error


Put = Callable[..., Awaitable[None]]


@pytest.mark.parametrize("name", EVERY)
async def test_a_durable_redis_has_no_fault(tmp_path: Path, name: str) -> None:
    """Whatever its version, and whoever made it."""
    with running(tmp_path, name):
        async with listening(tmp_path) as stream:
            assert await faults(stream) == []
            assert heard(stream).proof is Proof.CONFIG
            await append(stream)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("setting", "value", "fault"), WRONG)
async def test_what_is_wrong_is_named_and_its_advice_mends_it(
    tmp_path: Path, name: str, setting: str, value: str, fault: Setting
) -> None:
    """Nothing is appended until then; the command in the message is the one that helps."""
    with running(tmp_path, name, **{setting: value}) as client:
        async with listening(tmp_path) as stream:
            assert await faults(stream) == [fault]
            with pytest.raises(Refused, match=setting):
                await append(stream)
            assert client.dbsize() == 0
            with pytest.raises(NotDurable):
                heard(stream).require()
            [found] = heard(stream).faults
            advice = found.mend[0].partition("redis-cli ")[2]
            client.execute_command(*advice.split())
            await until(partial(has_no_fault, stream))  # an AOF just switched on is written first
            await append(stream)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("setting", "value", "fault"), WRONG)
async def test_what_is_changed_while_it_runs_is_seen(
    tmp_path: Path, name: str, setting: str, value: str, fault: Setting
) -> None:
    """By the next look, on the same connection."""
    with running(tmp_path, name) as client:
        async with listening(tmp_path) as stream:
            await append(stream)
            client.config_set(setting, value)
            assert await faults(stream) == [fault]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("read_only", ["yes", "no"])
async def test_a_replica_is_refused(tmp_path: Path, name: str, read_only: str) -> None:
    """One that can be written to above all: it accepts, and forgets at its next sync. The message names the master."""
    with running(tmp_path, name, replica_read_only=read_only, replicaof="127.0.0.1 1") as client:
        async with listening(tmp_path) as stream:
            assert await faults(stream) == [Setting.ROLE]
            assert "127.0.0.1:1" in summary(heard(stream).faults)
            with pytest.raises(Refused, match="replica"):
                await append(stream)
            client.execute_command("REPLICAOF", "NO", "ONE")
            assert await faults(stream) == []


@pytest.mark.parametrize("name", EVERY)
async def test_an_aof_switched_on_holds_nothing_until_it_is_written(tmp_path: Path, name: str) -> None:
    """INFO says enabled from the first moment; a crash before the end of its first rewrite loses everything."""
    with running(tmp_path, name, appendonly="no") as client:
        client.mset({f"key {number}": "x" for number in range(200)})
        client.config_set("rdb-key-save-delay", 20_000)  # microseconds a key: the rewrite takes 4 s
        client.config_set("appendonly", "yes")
        async with listening(tmp_path) as stream:
            assert await faults(stream) == [Setting.FIRST_REWRITE]
            heard(stream).require()  # it passes by itself: no reason not to start
            with pytest.raises(Refused, match="rewritten"):
                await append(stream)
            client.config_set("rdb-key-save-delay", 0)
            await until(partial(has_no_fault, stream))
            client.bgrewriteaof()
            assert await faults(stream) == []  # one that was seen whole is rewritten as often as it likes


async def test_a_redis_that_is_started_otherwise_gets_nothing(tmp_path: Path) -> None:
    """Between two looks too: a new connection is asked before the first append on it."""
    async with listening(tmp_path) as stream:
        with running(tmp_path):
            await append(stream)
        socket_of(tmp_path).unlink(missing_ok=True)
        with running(tmp_path, appendonly="no") as client:
            for _ in range(2):
                with pytest.raises((Refused, Unclear)):
                    await append(stream, 2)
            with pytest.raises(Refused, match="appendonly"):
                await append(stream, 2)
            assert client.dbsize() == 0


@pytest.mark.parametrize("name", ["6.2", "debian", "valkey"])
async def test_a_redis_that_does_not_tell_is_trusted_or_refused(tmp_path: Path, name: str) -> None:
    """Valkey has a WAITAOF, and it answers before the fsync: it proves nothing."""
    with running(tmp_path, name) as client:
        client.execute_command("ACL", "SETUSER", "app", *SECRETIVE.split())
        async with listening(tmp_path, "app") as stream:
            assert await faults(stream) == [Setting.FSYNC]
            assert "redis_fsync" in summary(heard(stream).faults).lower()
        async with listening(tmp_path, "app", is_trusted=True) as stream:
            assert await faults(stream) == []
            assert heard(stream).proof is Proof.TRUSTED
            await append(stream)
        client.execute_command("ACL", "SETUSER", "app", "+config|get")
        async with listening(tmp_path, "app") as stream:
            assert await faults(stream) == []


@pytest.mark.parametrize("name", EVERY)
async def test_trust_is_for_what_is_not_told(tmp_path: Path, name: str) -> None:
    """A server that can be asked is asked, and what is known to lose events is refused."""
    with running(tmp_path, name, appendfsync="everysec") as client:
        async with listening(tmp_path, is_trusted=True) as stream:
            assert await faults(stream) == [Setting.FSYNC]
        client.execute_command("ACL", "SETUSER", "app", *SECRETIVE.split())
        client.config_set("maxmemory-policy", "allkeys-lfu")
        async with listening(tmp_path, "app", is_trusted=True) as stream:
            assert await faults(stream) == [Setting.POLICY]


@pytest.mark.parametrize("name", EVERY)
async def test_a_redis_that_says_nothing_at_all(tmp_path: Path, name: str) -> None:
    """INFO is refused too."""
    with running(tmp_path, name) as client:
        client.execute_command("ACL", "SETUSER", "app", *SECRETIVE.split(), "-info")
        async with listening(tmp_path, "app") as stream:
            assert await faults(stream) == [Setting.INFO]
        async with listening(tmp_path, "app", is_trusted=True) as stream:
            assert await faults(stream) == []
            assert heard(stream).proof is Proof.TRUSTED


@pytest.mark.parametrize("put", [append, send])
async def test_where_config_is_forbidden_every_append_waits_for_its_fsync(tmp_path: Path, put: Put) -> None:
    """Redis 8's WAITAOF: under `everysec` an append is answered once it is fsynced, and without fsync never."""
    with running(tmp_path, "8", appendfsync="everysec") as client:
        client.execute_command("ACL", "SETUSER", "app", *SECRETIVE.split())
        async with listening(tmp_path, "app") as stream:
            assert await faults(stream) == []
            assert heard(stream).proof is Proof.WAITAOF
            await put(stream)
            client.config_set("appendfsync", "no")
            with pytest.raises(Unclear, match="not fsynced"):
                await put(stream, 2)
        # Its answer was lost, for all that is known. On another connection `done` alone would prove nothing.
        async with listening(tmp_path, "app") as stream:
            for _ in range(2):  # before it was ever asked, and after
                with pytest.raises(Unclear, match="not fsynced"):
                    await put(stream, 2)
            client.config_set("appendfsync", "everysec")
            await put(stream, 2)
            assert client.xlen("forebay:{0}:log") == 2


@pytest.mark.parametrize("put", [append, send])
async def test_waiting_does_not_outlive_its_reason(tmp_path: Path, put: Put) -> None:
    """Once CONFIG GET is allowed it is CONFIG that counts."""
    with running(tmp_path, "8") as client:
        client.execute_command("ACL", "SETUSER", "app", *SECRETIVE.split())
        async with listening(tmp_path, "app") as stream:
            await stream.look()
            assert heard(stream).proof is Proof.WAITAOF
            await put(stream)
            client.execute_command("ACL", "SETUSER", "app", "+config|get")
            await stream.look()
            assert heard(stream).proof is Proof.CONFIG
            await put(stream, 2)


class Gauges:
    def __init__(self) -> None:
        self.shown: list[tuple[frozenset[Setting], Proof]] = []

    def durability(self, settings: frozenset[Setting], proof: Proof) -> None:
        self.shown.append((settings, proof))

    def redis_lost(self, times: int, commits: int) -> None: ...


async def test_each_change_is_said_once_and_trust_again_and_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault is critical, its end is not; nobody forgets that a Redis is trusted."""
    monkeypatch.setattr(durability_module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(durability_module, "REMIND_SECONDS", 0.1)
    caplog.set_level(logging.INFO)
    gauges, durability = Gauges(), Durability(is_trusted=True)
    facts = [Facts.of(GOOD | {"maxmemory_policy": "allkeys-lru"}, ALWAYS)]

    async def look() -> None:
        durability.hear(facts[0])

    running = asyncio.ensure_future(durability.run(look, gauges))
    await until(lambda: len(gauges.shown) > 3)
    facts[0] = Facts.of(GOOD, ALWAYS)
    await until(lambda: gauges.shown[-1] == (frozenset(), Proof.CONFIG))
    said = [(record.levelname, record.getMessage()[:24]) for record in caplog.records]
    assert said == [("CRITICAL", "nothing is appended to R"), ("INFO", "appending to Redis resum")]
    facts[0] = Facts.of(GOOD, None)
    await until(lambda: sum("trusted" in record.getMessage() for record in caplog.records) >= 2)
    assert gauges.shown[-1] == (frozenset(), Proof.TRUSTED)
    running.cancel()
    await asyncio.wait([running])
