"""`forebay audit` on a real Redis and a real ClickHouse engine: what it says of events that are under way."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flusher.redis.lease import Leases
from flusher.redis.stream import RedisStream
from forebay.checks import ledger, spool, summary
from forebay.clickhouse import ClickHouse
from forebay.commands import audit
from forebay.stream import Streams
from schemas.deadletter import DeadLetter
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import SHARDS_KEY, Keys
from schemas.redis.records import Edge
from schemas.segment import Commit, pack, segment_name
from tests.support import redis_server

server = redis_server.server
redis = redis_server.redis

SHARD = 0
KEYS = Keys(SHARD)
MINUTE = 29_833_333
LETTER = DeadLetter(b"row", "clickhouse_27", "text", 5, "block")


@pytest.fixture
def streams(server: Path) -> Iterator[Streams]:
    streams = Streams(f"unix://{server}")
    yield streams
    streams.close()


async def accept(redis: Redis, entry_id: str, rows: int) -> None:
    """Appends events as the append script does."""
    await redis.set(SHARDS_KEY, 1)
    await redis.xadd(KEYS.log, {"d": b"", "n": rows, "p": "", "c": 0}, id=entry_id)
    await redis.hincrby(KEYS.accepted, f"{MINUTE} a.example", rows)


def insert(clickhouse: ClickHouse, block: str, rows: int) -> None:
    clickhouse.run(f"INSERT INTO forebay.events (site, block_id) SELECT 'a.example', '{block}' FROM numbers({rows})")


async def test_what_is_in_flight_makes_the_sum(redis: Redis, clickhouse: ClickHouse, streams: Streams) -> None:
    """Accepted is stored, copies, dead and in flight, also if ClickHouse has rows that `stored` has not passed."""
    await accept(redis, "5-1", 9)
    await accept(redis, "6-0", 1_200)
    await accept(redis, "7-0", 3)
    lease = await Leases(redis=redis, owner="a", ttl_ms=60_000).take(SHARD)
    assert lease
    log = RedisStream(redis)
    await log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 9, 1))
    await log.stored(lease, ORIGIN, EntryId(5, 1), [LETTER], {(MINUTE, "a.example"): 2})
    await log.cut(lease, EntryId(5, 1), Edge(EntryId(6, 0), 1_200, 1))
    insert(clickhouse, str(BlockName("former", SHARD, ORIGIN, EntryId(99, 0))), 4)
    insert(clickhouse, str(BlockName(lease.incarnation, SHARD, ORIGIN, EntryId(5, 1))), 6)
    insert(clickhouse, str(BlockName(lease.incarnation, SHARD, EntryId(5, 1), EntryId(6, 0))), 1_200)
    assert summary.sums(streams, clickhouse) == (
        "1212 accepted and 2 of them copies as far back as Redis remembers, 10 stored in all, 1 dead, 0 erased, 1203 in flight"
    )
    await log.stored(lease, EntryId(5, 1), EntryId(6, 0))
    assert summary.sums(streams, clickhouse).endswith("1210 stored in all, 1 dead, 0 erased, 3 in flight")


async def test_many_entries_in_flight_are_all_counted(redis: Redis, streams: Streams) -> None:
    """They need more than one read of the log. Entries that came after the shard was read are not counted."""
    await redis.set(SHARDS_KEY, 1)
    async with redis.pipeline() as pipe:
        for number in range(1_100):
            pipe.xadd(KEYS.log, {"d": b"", "n": 2}, id=f"9-{number}")
        await pipe.execute()
    state = streams.state(SHARD)
    await accept(redis, "10-0", 1)
    assert streams.in_flight(SHARD, state) == 2_200
    assert streams.in_flight(SHARD, state._replace(stored=EntryId(9, 1098))) == 2
    assert streams.in_flight(SHARD, state._replace(stored=EntryId(9, 1099))) == 0


async def test_what_stays_in_flight_is_said(
    redis: Redis,
    server: Path,
    clickhouse: ClickHouse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If nothing stores it, the books can't be checked, and the message says how much waits, and up to which entry."""
    monkeypatch.setattr(ledger, "WAIT_SECONDS", 0)
    await accept(redis, "5-1", 7)
    asked = argparse.Namespace(
        accept=False, forgive=False, data=None, redis_url=f"unix://{server}", clickhouse_url=clickhouse.address
    )
    assert audit.command(asked) == 2
    assert "shard 0: 7 events are in flight, those up to entry 5-1 not stored after 0 s" in capsys.readouterr().err


async def test_a_redis_that_can_lose_events_is_a_fault(
    redis: Redis, server: Path, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault comes with the command that mends it, also while the books balance."""
    asked = argparse.Namespace(
        accept=False, forgive=False, data=None, redis_url=f"unix://{server}", clickhouse_url=clickhouse.address
    )
    assert audit.command(asked) == 0
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert audit.command(asked) == 1
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
    said = capsys.readouterr().out
    assert "redis: maxmemory-policy: it is allkeys-lru" in said
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in said
    assert "1 faults: " in said


async def test_a_redis_that_is_trusted_is_said(
    redis: Redis, server: Path, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Redis that does not tell its settings is a fault, unless the operator chose to trust it."""
    await redis.execute_command("ACL", "SETUSER", "app", *["reset", "on", "nopass", "~*", "&*", "+@all", "-config"])  # type: ignore[no-untyped-call]  # the library's
    url = f"unix://{server}?username=app&password=x"
    try:
        for fsync, code in (("checked", 1), ("trusted", 0)):
            asked = argparse.Namespace(
                accept=False,
                forgive=False,
                data=None,
                redis_url=url,
                clickhouse_url=clickhouse.address,
                redis_fsync=fsync,
            )
            assert audit.command(asked) == code
    finally:
        await redis.execute_command("ACL", "DELUSER", "app")  # type: ignore[no-untyped-call]  # the library's
    refused, trusted = capsys.readouterr().out.strip().splitlines()[0::2][:2]
    assert "CONFIG GET is forbidden" in refused
    assert "redis_fsync is `trusted`" in trusted


async def test_what_is_acknowledged_and_lies_in_the_spool_is_part_of_the_sum(
    redis: Redis,
    streams: Streams,
    server: Path,
    clickhouse: ClickHouse,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """What was drained from it is left out. The books don't balance while some of it is not in Redis."""
    folder = tmp_path / "0123456789ab"
    folder.mkdir()
    commits = [Commit(number, b"data", rows, {}) for number, rows in ((4, 10), (5, 20), (6, 30))]
    (folder / segment_name(SHARD, "producer", 4)).write_bytes(b"".join(map(pack, commits)))
    (folder / "lock").touch()
    await redis.hset(KEYS.producers, "producer", "4")
    assert spool.events(streams, tmp_path) == {SHARD: 50}
    assert "50 accepted and" in summary.sums(streams, clickhouse, tmp_path)
    assert summary.sums(streams, clickhouse, tmp_path).endswith("0 in flight, 50 in the spool")
    monkeypatch.setattr(spool, "WAIT_SECONDS", 0)
    asked = argparse.Namespace(
        accept=False,
        forgive=False,
        data=None,
        redis_url=f"unix://{server}",
        clickhouse_url=clickhouse.address,
        spool_dir=str(tmp_path),
    )
    assert audit.command(asked) == 2
    assert f"50 events are in the spool {tmp_path} (shard 0: 50), and not in Redis" in capsys.readouterr().err
    await redis.hset(KEYS.producers, "producer", "6")
    assert spool.events(streams, tmp_path) == {}
    assert audit.command(asked) == 0


async def test_what_redis_forgot_is_forgiven_once(
    redis: Redis, server: Path, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of a lost end of Redis, which nobody accepted any more, are written down as accepted, and the books balance."""
    await accept(redis, "5-1", 3)
    lease = await Leases(redis=redis, owner="a", ttl_ms=60_000).take(SHARD)
    assert lease
    log = RedisStream(redis)
    await log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 3, 1))
    await log.stored(lease, ORIGIN, EntryId(5, 1))
    block = str(BlockName(lease.incarnation, SHARD, ORIGIN, EntryId(5, 1)))
    clickhouse.run(
        "INSERT INTO forebay.events (site, block_id, received_at) SELECT 'a.example', '"
        f"{block}', fromUnixTimestamp({MINUTE * 60}) FROM numbers(7)"
    )
    asked = argparse.Namespace(
        accept=False, forgive=False, data=None, redis_url=f"unix://{server}", clickhouse_url=clickhouse.address
    )
    assert audit.command(asked) == 1
    assert "accepted 3, accounted for 7" in capsys.readouterr().out
    asked.forgive, asked.reason = True, "failover"
    assert audit.command(asked) == 0
    assert "4 events that Redis no longer knew are taken for accepted" in capsys.readouterr().out
    assert audit.command(asked) == 0
    assert "nothing was found that nobody accepted" in capsys.readouterr().out
    [noted] = clickhouse.rows("SELECT kind, reason FROM forebay.erasures WHERE kind = 'forgive'")
    assert noted == {"kind": "forgive", "reason": "failover"}


async def test_what_is_stored_twice_is_not_forgiven(
    redis: Redis, server: Path, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two blocks hold the same event, each as many rows as were recorded for it. Another site's lost count is forgiven."""
    await accept(redis, "5-1", 2)
    lease = await Leases(redis=redis, owner="a", ttl_ms=60_000).take(SHARD)
    assert lease
    log = RedisStream(redis)
    before = ORIGIN
    blocks = []
    for edge in (EntryId(5, 0), EntryId(5, 1)):
        await log.cut(lease, before, Edge(edge, 1, 1))
        await log.stored(lease, before, edge)
        blocks.append(str(BlockName(lease.incarnation, SHARD, before, edge)))
        before = edge
    rows = [
        f"('{site}', '{block}', fromUnixTimestamp({MINUTE * 60}), '{title}', {session})"
        for site, block, title, session in (
            ("a.example", blocks[0], "once", 1), ("a.example", blocks[0], "twice", 2), ("a.example", blocks[1], "twice", 3),
            ("b.example", blocks[1], "lost", 4), ("b.example", blocks[1], "lost", 4),
        )
    ]  # fmt: skip
    clickhouse.run(
        f"INSERT INTO forebay.events (site, block_id, received_at, title, session_id) VALUES {', '.join(rows)}"
    )
    asked = argparse.Namespace(
        accept=False, forgive=True, reason="failover", data=None, redis_url=f"unix://{server}", clickhouse_url=clickhouse.address
    )  # fmt: skip
    assert audit.command(asked) == 1
    said = capsys.readouterr().out
    assert f"site a.example: 1 of the 1 events that nobody accepted are stored twice, in blocks {blocks[0]}" in said
    assert "2 events that Redis no longer knew are taken for accepted" in said
    assert "accepted 2, accounted for 3" in said
