"""The fake ClickHouse and the real engine keep the same contract, the one that delivery rests on.

The same tests run on both: on tests/fakes, and on the embedded engine behind flusher.delivery.table.

The rename hole (a token's record whose part was lost) is not tested here. The embedded engine mends it when it is
opened, which tests/unit/forebay/embedded/clickhouse/test_dedup_log.py tests; the fake keeps it for the simulation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from clickhouse_connect.driver.client import Client

from flusher.blocks.block import Block, Part, form, prepare
from flusher.blocks.sessions import Sessions, session_id_of
from flusher.delivery import verify
from flusher.delivery.deliver import Holds
from flusher.delivery.table import Late, Refused, Table
from flusher.shards import tail
from forebay.clickhouse import ClickHouse
from schemas.entry import encode
from schemas.ledger import OTHER
from schemas.names import EntryId, blocks_upto
from schemas.redis.records import Entry
from schemas.row import Row
from schemas.sql import STORED_BY_MINUTE
from tests.fakes.clickhouse import BAD, Connection, Engine
from tests.fakes.wire import Straight
from tests.support.engine import EngineProcess
from tests.support.rows import columns_of, plain

NOVEMBER = 1_795_996_800_000  # 2026-11-30T00:00:00Z
DECEMBER = NOVEMBER + 86_400_000
SHARD = 1


class Tables(Holds, Protocol):
    """Has all methods of the table that the suite calls."""

    async def probe(self, part: Part) -> None: ...
    async def record(self, block: Block, *, attempts: int, took_ms: int) -> None: ...


class Ends:
    """Holds one ClickHouse, fake or real, with the product's way in and the test's."""

    table: Tables

    def counts(self) -> tuple[int, int, int]:
        """Returns the events that `events`, `sessions` and `daily` hold."""
        raise NotImplementedError

    def lose_tokens(self) -> None:
        """Loses the records of tokens, but no parts."""
        raise NotImplementedError

    def forget_ids(self) -> None:
        """Loses the client ids that the view wrote."""
        raise NotImplementedError

    def remember(self, window: int) -> None:
        """Sets how many tokens are remembered."""
        raise NotImplementedError

    def delete_by_hand(self, condition: str) -> None:
        """Deletes rows as a person does."""
        raise NotImplementedError


class Fake(Ends):
    def __init__(self) -> None:
        self.engine = Engine(time.time)
        self.table = Connection(self.engine, Straight())

    def counts(self) -> tuple[int, int, int]:
        rows = sum(len(part.ids) for part in self.engine.events)
        return rows, rows, rows

    def lose_tokens(self) -> None:
        self.engine.table.records.clear()

    def forget_ids(self) -> None:
        self.engine.ids.clear()

    def remember(self, window: int) -> None:
        self.engine.table.window = window

    def delete_by_hand(self, condition: str) -> None:
        self.engine.deleted, self.engine.because = int(time.time()), condition.split("'")[1]


class Real(Ends):
    def __init__(self, client: Client) -> None:
        self._client = client
        self.table = Table(client)
        self.remember(100_000)
        client.command("TRUNCATE TABLE forebay.events SYNC")
        self.forget_ids()

    def forget_ids(self) -> None:
        self._client.command("TRUNCATE TABLE forebay.ids SYNC")

    def counts(self) -> tuple[int, int, int]:
        sql = (
            "SELECT count() FROM forebay.events SETTINGS optimize_use_projections = 0",
            "SELECT sum(events) FROM forebay.sessions",
            "SELECT sum(events) FROM forebay.daily",
        )
        raw, sessions, daily = (int(self._client.query(one).result_rows[0][0]) for one in sql)
        return raw, sessions, daily

    def lose_tokens(self) -> None:
        self._client.command("ALTER TABLE forebay.events DETACH PARTITION ALL")
        self._client.command("ALTER TABLE forebay.events ATTACH PARTITION ALL")

    def delete_by_hand(self, condition: str) -> None:
        self._client.command(f"ALTER TABLE forebay.events DELETE WHERE {condition}")

    def remember(self, window: int) -> None:
        self._client.command(
            f"ALTER TABLE forebay.events MODIFY SETTING non_replicated_deduplication_window = {window}"
        )


@pytest.fixture(scope="module")
def client(engine: EngineProcess, clickhouse: ClickHouse) -> Iterator[Client]:
    """Yields a client of our tables."""
    client = engine.client(autogenerate_session_id=False, form_encode_query_params=True)
    yield client
    client.close()


@pytest.fixture(params=["fake", "real"])
def ends(request: pytest.FixtureRequest) -> Ends:
    return Fake() if request.param == "fake" else Real(request.getfixturevalue("client"))


def row(event_id: str, ts: int, *, visitor: int = 7, session: int = 0, received_at: int = DECEMBER) -> Row:
    screen_w = 1 << 20 if event_id.endswith(BAD) else 0  # more than its 16 bits: what the real table refuses
    return plain(
        site="example.com", ts=ts, received_at=received_at, event_id=event_id, visitor_id=visitor, session_id=session,
        screen_w=screen_w,
    )  # fmt: skip


def block(from_id: EntryId, to_id: EntryId, *rows: Row, incarnation: str = "cafe") -> Block:
    entry = Entry(to_id, encode(columns_of(list(rows))), len(rows), "producer", 1)
    return form(prepare([entry]), incarnation=incarnation, shard=SHARD, from_id=from_id, sessions=Sessions())


async def insert(ends: Ends, block: Block, *, attempt: int = 0, seconds: int = 60, name: str | None = None) -> None:
    for part in block.parts:
        await ends.table.insert(
            part,
            block=block.id,
            token=name or block.name.token(part.month, attempt),
            attempt=attempt,
            deadline=int(time.time()) + seconds,
        )


async def held(ends: Ends, block: Block) -> dict[int, dict[int, int]]:
    return await verify.held(ends.table, block.id)


BOTH = block(EntryId(0, 0), EntryId(5, 0), row("a", NOVEMBER), row("b", NOVEMBER + 1), row("c", DECEMBER))
ONE = block(EntryId(0, 0), EntryId(5, 0), row("a", DECEMBER))


async def test_a_block_is_stored_by_month_and_counted_in_the_rollups(ends: Ends) -> None:
    """A block is one INSERT for each month, and every rollup counts each of its rows once."""
    await insert(ends, BOTH)
    assert await held(ends, BOTH) == {202611: {0: 2}, 202612: {0: 1}}
    assert ends.counts() == (3, 3, 3)


async def test_a_retry_under_its_token_is_dropped(ends: Ends) -> None:
    """A second INSERT under its token stores nothing and succeeds, so the success of a retry says nothing."""
    await insert(ends, BOTH)
    await insert(ends, BOTH)
    assert ends.counts() == (3, 3, 3)


async def test_another_token_is_another_block(ends: Ends) -> None:
    """The same rows under another token are stored again, because only the token deduplicates."""
    await insert(ends, ONE)
    await insert(ends, ONE, name="other")
    assert ends.counts() == (2, 2, 2)


async def test_a_token_is_known_by_partition(ends: Ends) -> None:
    """One token for two months stores both of them."""
    await insert(ends, BOTH, name="same")
    assert ends.counts() == (3, 3, 3)


async def test_a_window_forgets(ends: Ends) -> None:
    """The window counts parts, so the third token pushes the first one out."""
    ends.remember(2)
    for number in range(3):
        await insert(ends, ONE, name=f"token{number}")
    await insert(ends, ONE, name="token2")
    assert ends.counts() == (3, 3, 3)
    await insert(ends, ONE, name="token0")
    assert ends.counts() == (4, 4, 4)


async def test_lost_records_let_a_retry_in(ends: Ends) -> None:
    """When the records of tokens are lost, a retry stores the block twice, and the rollups say so."""
    await insert(ends, ONE)
    ends.lose_tokens()
    await insert(ends, ONE)
    assert ends.counts() == (2, 2, 2)


async def test_after_its_deadline_an_insert_is_refused(ends: Ends) -> None:
    """ClickHouse itself refuses an INSERT after its deadline and stores nothing of it (rule 5)."""
    with pytest.raises(Late):
        await insert(ends, ONE, seconds=-5)
    assert ends.counts() == (0, 0, 0)
    await insert(ends, ONE)
    assert ends.counts() == (1, 1, 1)


async def test_a_repair_is_counted_as_it_is_stored(ends: Ends) -> None:
    """Rollups count the rows that are there, whatever their attempt."""
    await insert(ends, ONE)
    await insert(ends, ONE, attempt=1)
    assert await held(ends, ONE) == {202612: {0: 1, 1: 1}}
    assert ends.counts() == (2, 2, 2)


async def test_forgetting_takes_lower_attempts_of_one_block_and_month(ends: Ends) -> None:
    """Forgetting deletes the lower attempts of one block and month and nothing else (rule 4)."""
    other = block(EntryId(5, 0), EntryId(6, 0), row("d", DECEMBER))
    await insert(ends, BOTH)
    await insert(ends, BOTH, attempt=1)
    await insert(ends, other)
    await ends.table.forget(BOTH.id, 202612, 1)
    assert await held(ends, BOTH) == {202611: {0: 2, 1: 2}, 202612: {1: 1}}
    assert await held(ends, other) == {202612: {0: 1}}
    assert ends.counts() == (6, 6, 6), "what is forgotten is not counted any more"


async def test_after_forgetting_the_token_is_still_known(ends: Ends) -> None:
    """A deletion does not make ClickHouse take the first attempt again."""
    await insert(ends, ONE)
    await insert(ends, ONE, attempt=1)
    await ends.table.forget(ONE.id, 202612, 1)
    await insert(ends, ONE)
    assert await held(ends, ONE) == {202612: {1: 1}}


async def test_its_clock_is_read(ends: Ends) -> None:
    """ClickHouse's clock is read to within a round trip, behind and never ahead of what ClickHouse itself says, whose grain is a millisecond."""

    async def told() -> float:
        ((milliseconds,),) = await ends.table.ask(verify.CLOCK, {})
        return int(milliseconds) / 1000

    clock = verify.Clock()
    assert not clock.is_read()
    before = await told()
    await clock.read(ends.table)
    assert clock.is_read()
    said = clock.unix_seconds()
    assert before <= said < await told() + 0.001
    clock.forget()
    assert not clock.is_read()


async def test_refused_content_leaves_nothing(ends: Ends) -> None:
    """A refused INSERT leaves no row and no token, so its other rows are taken under that token. The probe says the
    same.
    """
    bad = block(EntryId(0, 0), EntryId(5, 0), row("a", DECEMBER), row("b" + BAD, DECEMBER))
    with pytest.raises(Refused):
        await ends.table.probe(bad.parts[0])
    with pytest.raises(Refused):
        await insert(ends, bad)
    assert ends.counts() == (0, 0, 0)
    good = bad.without({1})
    await ends.table.probe(good.parts[0])
    assert ends.counts() == (0, 0, 0)
    await insert(ends, good)
    assert ends.counts() == (1, 1, 1)


async def test_nothing_runs_when_nothing_runs(ends: Ends) -> None:
    """An INSERT that has ended is not seen as running."""
    await insert(ends, ONE)
    assert not await verify.is_running(ends.table, ONE.id)
    assert not await verify.is_shard_running(ends.table, "cafe", SHARD)


async def test_the_latest_edge_is_of_this_shard_and_stream(ends: Ends) -> None:
    """Blocks of other streams, and those up to `stored`, do not count as the latest (rule 8)."""
    await insert(ends, block(EntryId(0, 0), EntryId(5, 0), row("a", DECEMBER)))
    await insert(ends, block(EntryId(5, 0), EntryId(12, 3), row("b", DECEMBER)))
    await insert(ends, block(EntryId(0, 0), EntryId(99, 0), row("c", DECEMBER), incarnation="beef"))
    assert await verify.latest_edge(ends.table, "cafe", SHARD, EntryId(0, 0)) == EntryId(12, 3)
    assert await verify.latest_edge(ends.table, "cafe", SHARD, EntryId(5, 0)) == EntryId(12, 3)
    assert await verify.latest_edge(ends.table, "cafe", SHARD, EntryId(12, 3)) is None
    assert await verify.latest_edge(ends.table, "cafe", SHARD + 1, EntryId(0, 0)) is None


async def test_rows_of_blocks_between_two_edges_are_counted(ends: Ends) -> None:
    """Rows of this stream's blocks are counted, and blocks of the books are named of which no row is there
    (shards/tail.py).
    """
    await insert(ends, BOTH)
    await insert(ends, block(EntryId(5, 0), EntryId(7, 0), row("d", DECEMBER)))
    await insert(ends, block(EntryId(0, 0), EntryId(6, 0), row("e", DECEMBER), incarnation="beef"))
    for stored in (BOTH, block(EntryId(7, 0), EntryId(9, 0), row("f", DECEMBER))):
        await ends.table.record(stored, attempts=1, took_ms=1)
    between = {
        "after": blocks_upto("cafe", EntryId(0, 0)), "upto": blocks_upto("cafe", EntryId(9, 0)), "incarnation": "cafe:",
        "shard": f":{SHARD:04d}",
    }  # fmt: skip
    assert sorted(await ends.table.ask(tail.HELD, between)) == [
        (BOTH.id, 3),
        (block(EntryId(5, 0), EntryId(7, 0), row("d", 0)).id, 1),
    ]
    lost = (block(EntryId(7, 0), EntryId(9, 0), row("f", DECEMBER)).id, 1)
    assert sorted(await ends.table.ask(tail.RECORDED, between)) == [(BOTH.id, 3), lost]
    assert await ends.table.ask(tail.GONE, between) == [lost]
    assert await ends.table.ask(tail.GONE, between | {"upto": blocks_upto("cafe", EntryId(7, 0))}) == []


async def test_it_says_when_it_was_started_and_when_rows_were_deleted(ends: Ends) -> None:
    """A deletion by hand has a time; those of a repair don't count, and an erasure's are known by its id."""
    ((started_ms,),) = await ends.table.ask(tail.STARTED, {})
    assert 0 <= time.time() - started_ms / 1000 < 3_600
    await ends.table.forget(ONE.id, 202612, 1)
    ((before,),) = await ends.table.ask(tail.DELETED, {"erasures": []})
    ends.delete_by_hand("event_id = 'an-erasure'")
    ((after,),) = await ends.table.ask(tail.DELETED, {"erasures": []})
    assert abs(time.time() - after) < 3_600
    assert await ends.table.ask(tail.DELETED, {"erasures": ["an-erasure"]}) == [(before,)]


async def test_rows_behind_an_edge_are_told_by_what_they_are(ends: Ends) -> None:
    """Rows behind an edge are named by time, site, name, title and visitor, of this stream and the moments
    asked for.
    """
    early, late = row("a", NOVEMBER), row("b", DECEMBER, visitor=(1 << 64) - 1, received_at=DECEMBER + 1)
    await insert(ends, block(EntryId(0, 0), EntryId(5, 0), early))
    await insert(ends, block(EntryId(5, 0), EntryId(7, 0), early, late))
    await insert(ends, block(EntryId(5, 0), EntryId(7, 0), late, incarnation="beef"))
    moments = [DECEMBER + 1, *range(4_000)]
    found = {(DECEMBER + 1, DECEMBER, late.site, late.name, late.title, late.visitor_id)}
    assert await verify.traces(ends.table, "cafe", SHARD, EntryId(5, 0), moments) == found
    assert await verify.traces(ends.table, "cafe", SHARD, EntryId(7, 0), moments) == set()
    assert len(await verify.traces(ends.table, "cafe", SHARD, EntryId(0, 0), [DECEMBER])) == 1
    assert await verify.traces(ends.table, "cafe", SHARD, EntryId(0, 0), []) == set()


async def test_sessions_are_rebuilt_from_blocks_up_to_an_edge(ends: Ends) -> None:
    """Sessions come back with their first and last moment, without those that an SDK owns."""
    first, second = EntryId(1796083200000, 0), EntryId(1796083300000, 0)
    late = DECEMBER + 120_000
    rows = [row("a", DECEMBER), row("b", DECEMBER + 60_000), row("c", DECEMBER, visitor=8, session=99 << 32 | 5)]
    await insert(ends, block(EntryId(0, 0), first, *rows))
    await insert(ends, block(first, second, row("d", late, visitor=9)))
    seven = (7, (session_id_of(7, DECEMBER), DECEMBER, DECEMBER + 60_000, first.ms))
    nine = (9, (session_id_of(9, late), late, late, second.ms))
    assert await verify.sessions_before(ends.table, "cafe", SHARD, first) == [seven]
    assert sorted(await verify.sessions_before(ends.table, "cafe", SHARD, second)) == [seven, nine]
    assert await verify.sessions_before(ends.table, "cafe", SHARD + 1, second) == []


async def test_the_ledger_counts_by_minute_and_site(ends: Ends) -> None:
    """Rows of one stream are counted in a range of minutes, and those of repairs like any others."""
    minute = DECEMBER // 60_000
    rows = [row("a", DECEMBER), row("b", DECEMBER, received_at=DECEMBER + 60_000), row("c", DECEMBER - 5)]
    await insert(ends, block(EntryId(0, 0), EntryId(5, 0), *rows))
    parameters: dict[str, Any] = {
        "since": DECEMBER, "upto": DECEMBER + 120_000, "incarnation": "cafe:", "shard": f":{SHARD:04d}", "folded": [],
    }  # fmt: skip
    found = await ends.table.ask(STORED_BY_MINUTE, parameters)
    assert sorted(found) == [(minute, "example.com", 2), (minute + 1, "example.com", 1)]
    assert await ends.table.ask(STORED_BY_MINUTE, {**parameters, "upto": DECEMBER}) == []
    found = await ends.table.ask(STORED_BY_MINUTE, {**parameters, "folded": [minute, minute + 7]})
    assert sorted(found) == [(minute, OTHER, 2), (minute + 1, "example.com", 1)]
