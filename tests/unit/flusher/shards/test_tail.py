"""flusher/shards/tail.py on fakes: the blocks that a restarted ClickHouse lost are delivered again, and nothing else
is.
"""

from __future__ import annotations

import logging
import time

import pytest

from flusher.delivery.deadletter import pack
from flusher.delivery.table import Unclear
from flusher.redis.reading import Moved
from flusher.shards.tail import DELETED, Tail
from schemas.redis.keys import Keys
from tests.fakes import clickhouse
from tests.fakes.wire import Straight
from tests.unit.flusher.shards.test_shard import SHARD, Scene

KEYS = Keys(SHARD)
NAMES = ["first", "second", "third"]


class Cut(Scene):
    """Holds a shard that has stored three blocks of one event each, between a Redis and a ClickHouse that may lose
    some.
    """

    async def store(self) -> None:
        for name in NAMES:
            self.append((name, int(time.time()) * 1000))
            await self.serve()
        assert self.ids() == sorted(NAMES)

    def lose(self, *names: str, books: bool = False) -> None:
        """Loses rows, and with `books` also what the books say of their blocks."""
        gone = [part for part in self.engine.events if set(part.ids) & set(names)]
        self.engine.table.parts = [part for part in self.engine.events if part not in gone]
        if books:
            for key in list(self.engine.books):
                if key in {part.block for part in gone}:
                    del self.engine.books[key]

    async def start_again(self) -> None:
        """Restarts ClickHouse, and lets a flusher take the shard."""
        self.engine.started_ms += 100_000
        await self.serve()

    def missing(self, fate: str) -> float | None:
        return self.metrics.registry.get_sample_value("forebay_blocks_missing_total", {"fate": fate})

    async def stored(self) -> float | None:
        return self.metrics.registry.get_sample_value("forebay_events_stored_total", {"site": "a.example"})


@pytest.fixture
async def cut() -> Cut:
    """Returns a scene with three stored blocks."""
    scene = Cut()
    await scene.store()
    return scene


@pytest.mark.parametrize("books", [False, True], ids=["the books know", "the books are lost too"])
async def test_a_lost_block_comes_again(cut: Cut, books: bool) -> None:
    """A lost block is delivered again once, and is counted as stored once."""
    cut.lose("second", books=books)
    await cut.start_again()
    assert cut.ids() == sorted(NAMES)
    assert (cut.missing("delivered_again"), await cut.stored()) == (1, 3)
    await cut.start_again()
    assert (cut.missing("delivered_again"), cut.ids()) == (1, sorted(NAMES))


async def test_a_clickhouse_that_was_not_started_again_lost_nothing(cut: Cut) -> None:
    """Rows that are missing in a ClickHouse which was not restarted were deleted, and stay away."""
    cut.lose("second")
    await cut.serve()
    assert cut.ids() == ["first", "third"]


async def test_rows_that_somebody_deleted_stay_away(cut: Cut, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that a person deleted are not delivered again, and the log says how to get them back."""
    cut.lose("first", "second")
    cut.engine.deleted = int(time.time()) + 60
    with caplog.at_level(logging.CRITICAL):
        await cut.start_again()
    assert cut.ids() == ["third"]
    assert (cut.missing("deleted"), cut.missing("delivered_again")) == (2, 0)
    assert "`forebay replay` brings them back" in caplog.text


async def test_what_was_left_out_of_a_block_is_not_missing(cut: Cut) -> None:
    """A row that was left out of its block is not taken for a lost one, also when the books are lost."""
    edge = (await cut.stream.checkpoint(SHARD)).edges[-1]
    cut.lose("third", books=True)
    cut.redis.hash(KEYS.checkpoint)[f"verdict:{edge.id}"] = pack([])
    cut.redis.hash(KEYS.checkpoint)[f"duplicate:{edge.id}"] = b"\x91\x00"
    await cut.start_again()
    assert (cut.ids(), cut.missing("delivered_again")) == (["first", "second"], 0)


async def test_blocks_whose_entries_are_gone_are_named(cut: Cut, caplog: pytest.LogCaptureFixture) -> None:
    """Lost blocks whose entries are gone are named in the log, and later lost blocks are delivered again."""
    checkpoint = await cut.stream.checkpoint(SHARD)
    lease = await cut.leases.take(SHARD)
    assert lease
    await cut.stream.trim(lease, checkpoint.edges[2].id)
    await cut.leases.release(lease)
    cut.lose("first", "third")
    with caplog.at_level(logging.CRITICAL):
        await cut.start_again()
    assert cut.ids() == ["second", "third"]
    assert (cut.missing("gone"), cut.missing("delivered_again")) == (1, 1)
    assert "holds 0 of the 1 rows of 1 blocks; Redis no longer has their entries" in caplog.text


async def test_nothing_is_delivered_from_where_entries_are_missing(cut: Cut) -> None:
    """Nothing is delivered again from before a block that lacks an entry, because the shard would stop there."""
    log = cut.redis.log(KEYS.log)
    del log.entries[list(log.entries)[1]]
    cut.lose("first", "third")
    await cut.start_again()
    assert cut.ids() == ["second", "third"]
    assert (cut.missing("gone"), cut.missing("delivered_again")) == (1, 1)


async def test_a_surplus_is_made_good_too(cut: Cut) -> None:
    """A block whose rows are there twice is repaired too."""
    cut.engine.table.parts.append(cut.engine.events[0])
    await cut.start_again()
    assert cut.ids() == sorted(NAMES)


async def test_nothing_is_trimmed_before_it_was_compared(cut: Cut) -> None:
    """A trim asks which ClickHouse runs, and the shard recovers first when it is another one."""
    lease = await cut.leases.take(SHARD)
    assert lease
    table = clickhouse.Connection(cut.engine, Straight())
    tail = Tail(lease, stream=cut.stream, table=table, metrics=cut.metrics)
    await tail.made_good(await cut.stream.checkpoint(SHARD))
    await tail.must_be_compared()
    cut.engine.started_ms += 100_000
    with pytest.raises(Moved):
        await tail.must_be_compared()
    await tail.made_good(await cut.stream.checkpoint(SHARD))
    await tail.must_be_compared()


@pytest.mark.parametrize("code", [497, 210])
async def test_who_may_not_know_whether_rows_were_deleted_brings_none_back(
    cut: Cut, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the grant to see deletions no row is brought back; after another error the question is asked again."""
    asked: list[int] = []
    answer = cut.engine.answer

    def refuse(sql: str, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        if sql == DELETED and (code == 497 or not asked):
            asked.append(code)
            raise Unclear("no", code)
        return answer(sql, parameters)

    monkeypatch.setattr(cut.engine, "answer", refuse)
    cut.lose("second")
    await cut.start_again()
    assert asked
    assert cut.ids() == (["first", "third"] if code == 497 else sorted(NAMES))


@pytest.mark.parametrize("first", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("second", [0.0, 0.5, 0.999])
async def test_two_starts_within_seconds_are_told_apart(
    cut: Cut, monkeypatch: pytest.MonkeyPatch, first: float, second: float
) -> None:
    """Two starts two seconds apart are told apart, in whichever part of a second ClickHouse is asked."""
    cut.engine.started_ms += 100_000
    at = cut.engine.started_ms // 1000
    cut.engine.started_ms = at * 1000
    monkeypatch.setattr(cut.engine, "clock", lambda: at + 5 + first)
    await cut.serve()
    cut.lose("second")
    cut.engine.started_ms += 2_000
    monkeypatch.setattr(cut.engine, "clock", lambda: at + 9 + second)
    await cut.serve()
    assert cut.ids() == sorted(NAMES)
