"""The books of a running system balance after load, and don't after somebody tampered with it."""

from pathlib import Path
from typing import Any

import msgspec
import redis

from schemas.entry import decode, encode
from schemas.redis.keys import Keys
from schemas.row import INDEX
from tests.chaos.load import generate
from tests.support.command import told_of
from tests.support.system import System, running


def connect(system: System) -> Any:
    return redis.Redis.from_url(system.facts()["redis_url"])


async def loaded(system: System, directory: Path, seconds: float = 2) -> None:
    loadtest = await generate(system, directory, seed=7, seconds=seconds)
    assert await loadtest.wait() == 0, (directory / "loadtest.log").read_text()


async def test_books_balance_and_tampering_shows(tmp_path: Path) -> None:
    """After load the audit finds nothing; then it names an entry that vanished, a row that vanished, and a wrong
    rollup.
    """
    async with running(tmp_path) as system:
        await loaded(system, tmp_path)
        status, said = await told_of(system, "audit")
        assert (status, said.startswith("the books balance: ")) == (0, True), said
        client = connect(system)
        log = Keys(0).log
        middle = client.xrange(log, count=5)[3][0]
        client.xdel(log, middle)
        status, said = await told_of(system, "audit")
        assert (status, "commits: shard 0" in said) == (1, True), said
        await system.ask("RENAME TABLE forebay.daily TO forebay.honest")
        await system.ask("CREATE VIEW forebay.daily AS SELECT * FROM forebay.honest WHERE name != 'pageview'")
        _, said = await told_of(system, "audit")
        assert "daily says" in said
        await system.ask(
            "ALTER TABLE forebay.events DELETE WHERE event_id IN (SELECT event_id FROM forebay.events LIMIT 1)"
            " SETTINGS mutations_sync = 2"
        )
        _, said = await told_of(system, "audit")
        assert "ledger: shard" in said
        assert "blocks: " in said


async def test_replay_changes_nothing_that_is_there_and_brings_back_what_is_not(tmp_path: Path) -> None:
    """A replay after rows were lost, the very first among them, stores them again, once, and leaves the rest as it was."""
    async with running(tmp_path) as system:
        await loaded(system, tmp_path)
        before = (await system.ask("SELECT count(), uniqExact(event_id) FROM forebay.events"))[0]
        first, last = (await system.ask("SELECT min(block_id), max(block_id) FROM forebay.events"))[0]
        await system.ask(
            f"ALTER TABLE forebay.events DELETE WHERE block_id IN ('{first}', '{last}') SETTINGS mutations_sync = 2"
        )
        status, said = await told_of(system, "replay", "--since", "15m")
        assert (status, "delivering again" in said) == (0, True), said
        await system.stored("1", before[0])
        assert (await system.ask("SELECT count(), uniqExact(event_id) FROM forebay.events"))[0] == before
        await system.until(lambda: pending(system) == 0)
        assert system.metric("forebay_events_stored_total") == before[0], "blocks that come again are not counted again"
        status, said = await told_of(system, "audit")
        assert (status, said.startswith("the books balance: ")) == (0, True), said


def pending(system: System) -> int:
    """Returns the recorded blocks that are not stored."""
    client = connect(system)
    edges = client.lrange(Keys(0).edges, 0, -1)
    return len(edges) - 1 - [edge.split()[0] for edge in edges].index(client.hget(Keys(0).checkpoint, "stored"))


async def test_a_bad_row_dies_alone(tmp_path: Path) -> None:
    """A row that ClickHouse can't take becomes a dead letter; its neighbours are stored, and so is the mended row on a
    retry.
    """
    async with running(tmp_path) as system:
        await loaded(system, tmp_path)
        stored = (await system.ask("SELECT count() FROM forebay.events"))[0][0]
        client = connect(system)
        columns = decode(client.xrange(Keys(0).log, count=1)[0][1][b"d"])
        rows = len(columns[0]) + 2
        wide = [column[:1] * rows for column in columns]
        wide[INDEX["event_id"]] = [f"wide-{number}" for number in range(rows)]  # no copies of one another
        wide[INDEX["screen_w"]] = [1] * (rows - 1) + [70_000]  # a UInt16 holds 65 535
        client.xadd(Keys(0).log, {"d": encode(wide), "n": rows})
        await system.stored("1", stored + rows - 1)
        await system.until(lambda: client.xlen(Keys(0).dead) == 1)
        status, said = await told_of(system, "dead", "list")
        assert (status, said.count("\n"), "70000" in said) == (0, 1, True), said
        letter = client.xrange(Keys(0).dead)[0][1]
        row = msgspec.msgpack.decode(letter[b"row"])
        assert row[INDEX["screen_w"]] == 70_000
        assert await told_of(system, "dead", "retry", "--all") == (0, "retry: 1\n")
        await system.until(lambda: client.xlen(Keys(0).dead) == 1)  # still refused, so dead again
        assert await told_of(system, "dead", "drop", "--all") == (0, "drop: 1\n")
        assert client.xlen(Keys(0).dead) == 0
