"""flusher/shards/tail.py on fakes: what a ClickHouse that was started again lost comes again, and nothing else does."""

from __future__ import annotations

import logging
import time

import pytest

from flusher.delivery.deadletter import pack
from flusher.delivery.table import Unclear
from flusher.redis.stream import Moved
from flusher.shards.tail import DELETED, Tail
from schemas.entry import Keys
from tests.fakes import clickhouse
from tests.fakes.wire import Straight
from tests.unit.flusher.shards.test_shard import SHARD, Scene

KEYS = Keys(SHARD)
NAMES = ["first", "second", "third"]


class Cut(Scene):
    """A shard that has stored three blocks of one event each, between a Redis and a ClickHouse that may lose some."""

    async def store(self) -> None:
        for name in NAMES:
            self.append((name, int(time.time()) * 1000))
            await self.serve()
        assert self.ids() == sorted(NAMES)

    def lose(self, *names: str, books: bool = False) -> None:
        """Rows, and what the books say of their blocks."""
        gone = [part for part in self.engine.events if set(part.ids) & set(names)]
        self.engine.table.parts = [part for part in self.engine.events if part not in gone]
        if books:
            for key in list(self.engine.books):
                if key in {part.block for part in gone}:
                    del self.engine.books[key]

    async def start_again(self) -> None:
        """ClickHouse; then a flusher takes the shard."""
        self.engine.started_ms += 100_000
        await self.serve()

    def missing(self, fate: str) -> float | None:
        return self.metrics.registry.get_sample_value("forebay_blocks_missing_total", {"fate": fate})

    async def stored(self) -> float | None:
        return self.metrics.registry.get_sample_value("forebay_events_stored_total", {"site": "a.example"})


@pytest.fixture
async def cut() -> Cut:
    """Three blocks, stored."""
    scene = Cut()
    await scene.store()
    return scene


@pytest.mark.parametrize("books", [False, True], ids=["the books know", "the books are lost too"])
async def test_a_lost_block_comes_again(cut: Cut, books: bool) -> None:
    """Once, and it is counted as stored once."""
    cut.lose("second", books=books)
    await cut.start_again()
    assert cut.ids() == sorted(NAMES)
    assert (cut.missing("delivered_again"), await cut.stored()) == (1, 3)
    await cut.start_again()
    assert (cut.missing("delivered_again"), cut.ids()) == (1, sorted(NAMES))


async def test_a_clickhouse_that_was_not_started_again_lost_nothing(cut: Cut) -> None:
    """What is missing there was deleted."""
    cut.lose("second")
    await cut.serve()
    assert cut.ids() == ["first", "third"]


async def test_rows_that_somebody_deleted_stay_away(cut: Cut, caplog: pytest.LogCaptureFixture) -> None:
    """They look like lost ones; a person is told how to get them back."""
    cut.lose("first", "second")
    cut.engine.deleted = int(time.time()) + 60
    with caplog.at_level(logging.CRITICAL):
        await cut.start_again()
    assert cut.ids() == ["third"]
    assert (cut.missing("deleted"), cut.missing("delivered_again")) == (2, 0)
    assert "`forebay replay` brings them back" in caplog.text


async def test_what_was_left_out_of_a_block_is_not_missing(cut: Cut) -> None:
    """Of a refused row, the books lost: the verdict in Redis says that it is not there."""
    edge = (await cut.stream.checkpoint(SHARD)).edges[-1]
    cut.lose("third", books=True)
    cut.redis.hash(KEYS.checkpoint)[f"verdict:{edge.id}"] = pack([])
    cut.redis.hash(KEYS.checkpoint)[f"duplicate:{edge.id}"] = b"\x91\x00"
    await cut.start_again()
    assert (cut.ids(), cut.missing("delivered_again")) == (["first", "second"], 0)


async def test_blocks_whose_entries_are_gone_are_named(cut: Cut, caplog: pytest.LogCaptureFixture) -> None:
    """With their number; what is behind them is not touched."""
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
    """A Redis that failed over may have an edge without its entries: the shard would stop there."""
    log = cut.redis.log(KEYS.log)
    del log.entries[list(log.entries)[1]]
    cut.lose("first", "third")
    await cut.start_again()
    assert cut.ids() == ["second", "third"]
    assert (cut.missing("gone"), cut.missing("delivered_again")) == (1, 1)


async def test_a_surplus_is_made_good_too(cut: Cut) -> None:
    """Rows of a block that are there twice."""
    cut.engine.table.parts.append(cut.engine.events[0])
    await cut.start_again()
    assert cut.ids() == sorted(NAMES)


async def test_nothing_is_trimmed_before_it_was_compared(cut: Cut) -> None:
    """Who trims asks which ClickHouse it is, and recovers when it is another."""
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
    """An older file of users has no grant for it. Another error is no answer: the question is asked again."""
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
    """Whoever asks, and in whichever part of a second: who saw another start also compares."""
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
