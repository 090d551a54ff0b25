"""Two releases of which one has a column more: each stores what the other's ingest wrote, in either order of upgrading."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from forebay.__main__ import main
from forebay.clickhouse import ClickHouse
from forebay.stream import Streams
from schemas import entry
from schemas.columns import DEFAULTS
from schemas.redis.keys import SHARDS_KEY, Keys
from schemas.row import COLUMNS, MINUTE_MS
from tests.support import redis_server
from tests.support.engine import EngineProcess
from tests.support.entries import row
from tests.support.flushing import flushing
from tests.support.releases import COLUMN, DEFAULT, ENCODE, MIGRATION, STORE, Later
from tests.support.rows import columns_of
from tests.support.waiting import until

server = redis_server.server
redis = redis_server.redis

KEYS = Keys(0)
LATELY = int(time.time()) // 60 * MINUTE_MS - 5 * MINUTE_MS


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Later:
    return Later(tmp_path_factory.mktemp("later"))


def encoded(later: Later, *rows: dict[str, Any]) -> bytes:
    """Returns the entry that the later release's ingest makes of these rows."""
    return later.run(ENCODE, repr(rows).encode())


def fields(event_id: str, **more: Any) -> dict[str, Any]:
    """Returns one row of the later release."""
    return {**row(event_id, LATELY)._asdict(), COLUMN: f"of {event_id}", **more}


async def test_an_older_flusher_stores_what_a_newer_ingest_wrote(
    redis: Redis,
    server: Path,
    engine: EngineProcess,
    clickhouse: ClickHouse,
    later: Later,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the column that it does not know: said once, counted by value. A dead letter of it keeps the value."""
    data = encoded(later, fields("a"), fields("b"), fields("c", screen_w=70_000))
    with caplog.at_level(logging.ERROR):
        async with flushing(redis, engine) as scene, scene.running():
            await scene.append({b"d": data, b"n": b"3", b"p": b"p", b"c": b"1"})
            await scene.stored("a", "b")
            await scene.append({b"d": encoded(later, fields("d")), b"n": b"1", b"p": b"p", b"c": b"2"})
            await scene.stored("a", "b", "d")
            await until(lambda: scene.counted("forebay_columns_dropped_total") == 4)
            assert not await scene.redis.hlen(KEYS.aside)
            assert await asyncio.to_thread(main, ["dead", "list", "--redis-url", f"unix://{server}"]) == 0
            assert json.loads(capsys.readouterr().out.split("\t")[4])["screen_w"] == 70_000
            assert await asyncio.to_thread(main, ["dead", "retry", "--all", "--redis-url", f"unix://{server}"]) == 0
            [(_, again)] = await scene.redis.xrevrange(KEYS.log, count=1)
    assert entry.whole(again[b"d"])[len(COLUMNS) :] == [["of c"]]
    said = [record.getMessage() for record in caplog.records if "columns that this flusher does not know" in record.msg]
    assert len(said) == 1, said


def test_a_newer_flusher_stores_what_an_older_ingest_wrote(
    engine: EngineProcess, clickhouse: ClickHouse, later: Later
) -> None:
    """With the column's default; and of a newer ingest with its value. Columns of its own release are all it needed."""
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    for statement in MIGRATION:
        clickhouse.run(statement)
    try:
        ours = entry.encode(columns_of([row("old 1", LATELY), row("old 2", LATELY)]))
        theirs = encoded(later, fields("new 1"), fields("new 2", **{COLUMN: "spring"}))
        for incarnation, data in (("aaaaaaaa", ours), ("bbbbbbbb", theirs)):
            shape = later.run(STORE, data, f"http://127.0.0.1:{engine.port}", incarnation)
            assert shape.split() == [b"2"] * (len(COLUMNS) + 1)
        found = clickhouse.run(f"SELECT event_id, {COLUMN} FROM forebay.events ORDER BY event_id FORMAT TabSeparated")
        assert found == f"new 1\tof new 1\nnew 2\tspring\nold 1\t{DEFAULT}\nold 2\t{DEFAULT}\n"
    finally:
        for table in ("events", "probe"):
            clickhouse.run(f"ALTER TABLE forebay.{table} DROP COLUMN {COLUMN}")


async def test_a_dead_letter_of_an_older_release_is_tried_again(
    redis: Redis, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks the columns that are new, and has their defaults; one that is no row is left alone."""
    client: Any = redis  # its types are those of two clients
    await client.set(SHARDS_KEY, 1)
    for values in (list(row("a", LATELY)), [1, 2]):
        letter = {"row": msgspec.msgpack.encode(values), "reason": "r", "text": "t", "first_seen": "5", "block": "b"}
        await client.xadd(KEYS.dead, letter)
    monkeypatch.setattr(entry, "DEFAULTS", (*DEFAULTS, DEFAULT))
    with contextlib.closing(Streams(f"unix://{server}")) as streams:
        found, strange = streams.letters(0)
        assert found.row == [*row("a", LATELY), DEFAULT]
        assert strange.row is None
        assert streams.retry(found)
        assert not streams.retry(strange)
    [(_, again)] = await client.xrange(KEYS.log)
    assert entry.whole(again[b"d"])[len(COLUMNS) :] == [[DEFAULT]]
