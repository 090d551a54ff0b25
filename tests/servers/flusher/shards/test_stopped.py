"""Every state in which a shard waits for a person, and the way out of it that docs/operations.md names, on real
parts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from forebay.__main__ import main
from forebay.clickhouse import ClickHouse
from schemas import entry
from schemas.ledger import field_of
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import CLAIMS_KEY, Keys
from schemas.redis.records import Edge
from schemas.row import MINUTE_MS
from tests.support import redis_server
from tests.support.engine import EngineProcess
from tests.support.entries import NEWER, of_version, record, row, strange
from tests.support.flushing import Flushing, flushing
from tests.support.waiting import until

server = redis_server.server

redis = redis_server.redis

KEYS = Keys(0)

LATELY = int(time.time()) // 60 * MINUTE_MS - 5 * MINUTE_MS


@pytest.fixture
async def scene(redis: Redis, engine: EngineProcess, clickhouse: ClickHouse) -> AsyncIterator[Flushing]:
    async with flushing(redis, engine) as scene:
        yield scene


@pytest.fixture
def forebay(server: Path, capsys: pytest.CaptureFixture[str]) -> Forebay:
    return Forebay(server, capsys)


class Forebay:
    """Runs the command as a person does."""

    def __init__(self, server: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = f"unix://{server}"
        self._capsys = capsys

    async def __call__(self, *words: str, code: int = 0) -> str:
        said = await asyncio.to_thread(main, [*words, "--redis-url", self._url])
        output = self._capsys.readouterr()
        assert said == code, output
        return output.out + output.err


async def cut(scene: Flushing, *ids: str) -> list[EntryId]:
    """Records a block with an entry for each id, as a flusher that then died before its INSERT."""
    entries = [await scene.append(record(row(one, LATELY))) for one in ids]
    lease = await scene.leases.take(0)
    assert lease
    await scene.stream.cut(lease, ORIGIN, Edge(entries[-1], len(ids), 100))
    await scene.leases.release(lease)
    return entries


async def test_what_is_no_entry_stops_nothing(scene: Flushing, forebay: Forebay) -> None:
    """An entry that can't be stored is set aside alone, with an alarm; all others go on, and the books know its
    rows.
    """
    cases = strange(LATELY)
    async with scene.running():
        for number, case in enumerate(cases):
            await scene.append(record(row(f"n{number}", LATELY)))
            await scene.append(case.fields)
        await scene.append(record(row("other", LATELY)), shard=1)
        await scene.stored("other", *(f"n{number}" for number in range(len(cases))))
        await until(lambda: scene.redis.hlen(KEYS.aside))
        listed = (await forebay("dead", "list")).splitlines()
        assert [line.split("\t")[2] for line in listed] == [case.reason for case in cases]
        assert scene.counted("forebay_entries_set_aside_total", reason="damaged") == sum(
            case.reason == "damaged" for case in cases
        )
        assert sum((await scene.stream.set_aside_rows(0)).values()) == sum(case.rows for case in cases)
        assert scene.counted("forebay_shard_stopped", shard="0") == 0
        assert f"drop: {len(cases)}" in await forebay("dead", "drop", "--all")
        assert "no dead events" in await forebay("dead", "list")
    assert not [key async for key in scene.redis.scan_iter("forebay:*aside*")]


async def test_an_entry_of_a_hundred_megabytes(scene: Flushing, forebay: Forebay) -> None:
    """A huge entry is set aside inside Redis, and listed without being moved."""
    await scene.redis.config_set("maxmemory", 1 << 30)
    async with scene.running():
        await scene.append(record(row("a", LATELY)) | {b"d": b"\x02" + bytes(100 << 20)})
        await scene.append(record(row("b", LATELY)))
        await scene.stored("b")
        assert "damaged" in await forebay("dead", "list")
        await forebay("dead", "drop", "--all")


async def test_an_entry_that_is_set_aside_and_mended(scene: Flushing, forebay: Forebay) -> None:
    """A retried entry is judged again: it is stored if it can be, and set aside again otherwise."""
    async with scene.running():
        await scene.append(record(row("a", LATELY), producer="p", commit=3) | {b"n": b"5"})
        await until(lambda: scene.redis.hlen(KEYS.aside))
        assert "retry: 1" in await forebay("dead", "retry", "--all")
        await until(lambda: scene.redis.hlen(KEYS.aside))
        ((name, _),) = [(line.split("\t")[0], line) for line in (await forebay("dead", "list")).splitlines()]
        kept = KEYS.aside_entry(name.rpartition("/")[2])
        at = (await scene.redis.lrange(kept, 0, -1)).index(b"n") + 1
        await scene.redis.lset(kept, at, "1")
        assert "retry: 1" in await forebay("dead", "retry", name)
        await scene.stored("a")


async def test_a_newer_version_is_waited_for(scene: Flushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything before an entry of a newer version is stored and the other shard goes on; rolled forward, so does this
    one.
    """
    async with scene.running():
        await scene.append(record(row("before", LATELY)))
        await scene.append(of_version(NEWER, row("newer", LATELY)))
        await scene.append(record(row("after", LATELY)))
        await scene.stopped(0)
        await scene.append(record(row("other", LATELY)), shard=1)
        await scene.stored("before", "other")
        rolled_forward(monkeypatch)
        await scene.stored("before", "newer", "after", "other")
        await scene.stopped()


async def test_a_newer_version_that_will_not_come(
    scene: Flushing, forebay: Forebay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person sets such an entry aside and the shard goes on; if the version comes after all, the entry is stored."""
    async with scene.running():
        newer = await scene.append(of_version(NEWER, row("newer", LATELY)))
        await scene.append(record(row("after", LATELY)))
        await scene.stopped(0)
        assert "set aside: 1" in await forebay("dead", "set-aside", f"0/{newer}")
        await scene.stored("after")
        await scene.stopped()
        rolled_forward(monkeypatch)
        assert "retry: 1" in await forebay("dead", "retry", f"0/entry/{newer}")
        await scene.stored("after", "newer")
        assert "set aside: 0" in await forebay("dead", "set-aside", f"0/{newer}", "0/x", code=1)


async def test_an_entry_from_before_the_first_release(
    scene: Flushing, forebay: Forebay, caplog: pytest.LogCaptureFixture
) -> None:
    """The shard waits, and says what to do; nothing is taken for damage. At a person's word it goes on without it."""
    async with scene.running():
        await scene.append(record(row("before", LATELY)))
        old = await scene.append(of_version(entry.UNRELEASED_VERSION, row("old", LATELY)))
        await scene.append(record(row("after", LATELY)))
        await scene.stopped(0)
        await scene.stored("before")
        assert "written by a revision from before release 0.1.0" in caplog.text
        assert not await scene.redis.hlen(KEYS.aside)
        assert "set aside: 1" in await forebay("dead", "set-aside", f"0/{old}")
        await scene.stored("before", "after")
        await scene.stopped()


def rolled_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a flusher that knows the next version, which is like this one."""
    known = {**entry._zstd.decompressors, NEWER: entry._zstd.decompressors[entry.VERSION]}

    class Later:
        compressor = entry._zstd.compressor
        decompressors = known

    monkeypatch.setattr(entry, "_zstd", Later)


async def test_a_recorded_block_that_lost_an_entry(scene: Flushing, forebay: Forebay) -> None:
    """The shard waits, and at a person's word what is left is stored once, and the books name the rest."""
    _, second, _ = await cut(scene, "a", "b", "c")
    await scene.redis.hset(KEYS.accepted, field_of((LATELY // MINUTE_MS, "a.example")), "3")
    await scene.redis.xdel(KEYS.log, str(second))
    async with scene.running():
        await scene.append(record(row("later", LATELY)))
        await scene.stopped(0)
        assert await scene.ids() == []
        assert "goes on with what is left" in await forebay("settle", "0")
        await scene.stored("a", "c", "later")
        await scene.stopped()
        await until(lambda: scene.counted("forebay_ledger_gap_events", shard="0") == 0)
        await scene.redis.hset(KEYS.accepted, field_of((LATELY // MINUTE_MS, "a.example")), "4")
        await until(lambda: scene.counted("forebay_ledger_gap_events", shard="0") == 1)
        assert "shard 0 has no block that waits" in await forebay("settle", "0", code=1)


async def test_a_recorded_block_that_can_no_longer_be_read(scene: Flushing, forebay: Forebay) -> None:
    """At a person's word the damaged entry of a recorded block is set aside and the rest is stored."""
    first = await scene.append(record(row("a", LATELY)) | {b"d": b"hello"})
    await cut(scene, "b")
    assert first
    await scene.redis.lset(KEYS.edges, -1, (await scene.redis.lindex(KEYS.edges, -1)).replace(b" 1 ", b" 2 "))
    async with scene.running():
        await scene.stopped(0)
        await forebay("settle", "0")
        await scene.stored("b")
        await scene.stopped()
        assert "damaged" in await forebay("dead", "list")


async def test_a_recorded_block_that_is_stored_in_part(scene: Flushing, forebay: Forebay) -> None:
    """A person first deletes what ClickHouse holds of the block, because the rest can't be told from it."""
    first, _ = await cut(scene, "a", "b")
    name = await stored_by_hand(scene, "a")
    await scene.redis.xdel(KEYS.log, str(first))
    await scene.redis.lset(KEYS.edges, -1, (await scene.redis.lindex(KEYS.edges, -1)).replace(b" 2 ", b" 3 "))
    async with scene.running():
        await scene.stopped(0)
        await forebay("settle", "0")
        await asyncio.sleep(0)
        await scene.stopped(0)
        delete = f"ALTER TABLE forebay.events DELETE WHERE block_id = '{name}' SETTINGS mutations_sync = 2"
        await asyncio.to_thread(scene.clickhouse.run, delete)
        await scene.stored("b")
        await scene.stopped()


async def test_a_recorded_block_that_is_stored_needs_nobody(scene: Flushing) -> None:
    """A shard goes on by itself if its recorded block is gone and ClickHouse holds all of it, and stores
    nothing twice.
    """
    first, _ = await cut(scene, "a", "b")
    await stored_by_hand(scene, "a", "b")
    await scene.redis.xdel(KEYS.log, str(first))
    async with scene.running():
        await scene.append(record(row("later", LATELY)))
        await scene.stored("a", "b", "later")
        await scene.stopped()


async def stored_by_hand(scene: Flushing, *ids: str) -> str:
    """Stores these rows of the recorded block in ClickHouse. Returns its name."""
    checkpoint = await scene.stream.checkpoint(0)
    incarnation = (await scene.redis.get(KEYS.incarnation)).decode()
    name = str(BlockName(incarnation, 0, checkpoint.stored, checkpoint.edges[-1].id))
    values = ", ".join(f"('a.example', '{one}', fromUnixTimestamp64Milli({LATELY}), '{name}')" for one in ids)
    sql = f"INSERT INTO forebay.events (site, event_id, received_at, block_id) VALUES {values}"
    await asyncio.to_thread(scene.clickhouse.run, sql)
    return name


async def test_a_block_of_which_too_much_is_refused(scene: Flushing, forebay: Forebay) -> None:
    """The shard waits for the table, or for a person who says that the rows are bad; then they die and the rest is
    stored.
    """
    rows = [row(f"r{number}", LATELY, screen_w=70_000 if number % 2 else 1) for number in range(60)]
    async with scene.running():
        await scene.append(record(*rows))
        await scene.stopped(0)
        assert await scene.ids() == []
        await forebay("settle", "0")
        await scene.stored(*(f"r{number}" for number in range(0, 60, 2)))
        await until(lambda: scene.redis.xlen(KEYS.dead))
        await scene.stopped()
        assert len((await forebay("dead", "list")).splitlines()) == 30


STRANGERS = {
    "the stream": (KEYS.log, True),
    "the checkpoint": (KEYS.checkpoint, True),
    "the edges": (KEYS.edges, True),
    "the lease": (KEYS.lease, True),
    "the dead letters": (KEYS.dead, False),
    "the copies": (KEYS.duplicate, False),
}


@pytest.mark.parametrize("what", STRANGERS)
async def test_a_key_that_is_not_ours(scene: Flushing, what: str) -> None:
    """The shard waits until the foreign key is renamed; the other shard goes on, and nothing is lost or stored
    twice.
    """
    key, stops_empty = STRANGERS[what]
    await scene.redis.set(key, "a stranger's")
    async with scene.running():
        if not stops_empty:
            await scene.append(record(row("a", LATELY), row("a", LATELY), row("bad", LATELY, screen_w=70_000)))
        await scene.stopped(0)
        await scene.append(record(row("other", LATELY)), shard=1)
        await scene.stored(*(("other",) if stops_empty else ("a", "other")))
        await scene.redis.rename(key, "found:" + key)
        if stops_empty:
            await scene.append(record(row("a", LATELY)))
        await scene.stored("a", "other")
        await scene.stopped()


RUBBISH = {
    "stored": (("HSET", KEYS.checkpoint, "stored", "tomorrow"), ("HDEL", KEYS.checkpoint, "stored")),
    "counted": (("HSET", KEYS.checkpoint, "counted", "5"), ("HDEL", KEYS.checkpoint, "counted")),
    "an edge": (("RPUSH", KEYS.edges, "here"), ("LREM", KEYS.edges, "1", "here")),
    "a block on its way": (("HSET", CLAIMS_KEY, "1", "rubbish"), ("HDEL", CLAIMS_KEY, "1")),
}


@pytest.mark.parametrize("what", RUBBISH)
async def test_rubbish_where_the_checkpoint_is(scene: Flushing, what: str) -> None:
    """A checkpoint that can't be read stops the shard and not the process; repaired, the shard goes on where it was."""
    put, take = RUBBISH[what]
    await scene.redis.execute_command(*put)
    async with scene.running():
        await scene.append(record(row("a", LATELY)))
        await scene.stopped(0)
        await scene.redis.execute_command(*take)
        await scene.stored("a")
        await scene.stopped()


async def test_a_checkpoint_that_is_gone_follows_clickhouse(scene: Flushing) -> None:
    """Without any checkpoint the shard goes on behind what is stored, and nothing is stored twice."""
    async with scene.running():
        await scene.append(record(row("a", LATELY)))
        await scene.stored("a")
    await scene.redis.delete(KEYS.checkpoint, KEYS.edges)
    async with scene.running():
        await scene.append(record(row("b", LATELY)))
        await scene.stored("a", "b")


async def test_rubbish_in_the_books_stops_nothing(scene: Flushing, forebay: Forebay) -> None:
    """Totals and letters that are not ours are left out and logged, and `forebay dead` can drop them."""
    await scene.redis.hset(KEYS.accepted, mapping={"rubbish": 1, "5 a.example": "many"})
    await scene.redis.hset(KEYS.duplicate, "rubbish", 1)
    await scene.redis.hset(KEYS.aside, "1-1", "rubbish")
    for fields in ({b"hello": b"world"}, {b"row": b"\xc1"}, {b"row": b"\x91\x01"}):
        await scene.redis.xadd(KEYS.dead, dict(fields))
    async with scene.running():
        await scene.append(record(row("a", LATELY)))
        await scene.stored("a")
        await until(lambda: scene.counted("forebay_ledger_gap_events", shard="0") == 1)  # nobody accepted it
        await scene.stopped()
        assert len((await forebay("dead", "list")).splitlines()) == 4
        assert "drop: 4" in await forebay("dead", "drop", "--all")


async def test_an_id_that_no_block_can_be_named_by(scene: Flushing, forebay: Forebay) -> None:
    """An entry with an id of the year 2300 can be set aside, and the stream set back to where it was."""
    async with scene.running():
        last = await scene.append(record(row("a", LATELY)))
        await scene.stored("a")
        far = (await scene.redis.xadd(KEYS.log, dict(record(row("far", LATELY))), id="10413792000000-0")).decode()
        await scene.stopped(0)
        await forebay("dead", "set-aside", f"0/{far}")
        is_new = int((await scene.redis.info("server"))["redis_version"].partition(".")[0]) >= 7
        more = ("ENTRIESADDED", 0, "MAXDELETEDID", "0-0") if is_new else ()
        await scene.redis.execute_command("XSETID", KEYS.log, str(last), *more)
        await scene.append(record(row("b", LATELY)))
        await scene.stored("a", "b")
        await scene.stopped()
        await forebay("dead", "retry", "--all")
        await scene.stored("a", "b", "far")
