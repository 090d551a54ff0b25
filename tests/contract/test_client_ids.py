"""What a flusher asks of ClickHouse about client ids: the same answers from the fake and the real engine."""

from __future__ import annotations

import time

from flusher import books, claims
from flusher.block import Block
from schemas.entry import blocks_upto
from schemas.row import MINUTE_MS
from tests.contract import test_clickhouse
from tests.contract.test_clickhouse import DECEMBER, NOVEMBER, SHARD, Ends, block, insert, row

client = test_clickhouse.client
ends = test_clickhouse.ends

FIRST = block("0-0", "5-0", row("a", DECEMBER), row("b", NOVEMBER), row("", DECEMBER))
SECOND = block("5-0", "6-1", row("c", DECEMBER, received_at=DECEMBER + MINUTE_MS), row("\\'d", DECEMBER))
BOTH = {"since": DECEMBER, "upto": DECEMBER + 2 * MINUTE_MS}


async def test_the_ids_of_a_stretch_of_time(ends: Ends) -> None:
    """All that were received in it, of every shard, but for one block's; rows without an id have none."""
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    minutes = await ends.table.ask(claims.MINUTES, {"since": DECEMBER})
    assert minutes == [(DECEMBER // MINUTE_MS, 4), (DECEMBER // MINUTE_MS + 1, 1)]
    [(found,)] = await ends.table.ask(claims.RECEIVED, {**BOTH, "block": ""})
    assert sorted(found) == ["\\'d", "a", "b", "c"]
    [(found,)] = await ends.table.ask(claims.RECEIVED, {**BOTH, "block": FIRST.id})
    assert sorted(found) == ["\\'d", "c"]
    [(found,)] = await ends.table.ask(claims.RECEIVED, {**BOTH, "block": "", "upto": DECEMBER})
    assert found == []


async def test_the_ids_between_two_edges_of_a_shard(ends: Ends) -> None:
    """Of blocks that end behind one and not behind the other."""
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    await insert(ends, block("5-0", "6-1", row("e", DECEMBER), incarnation="beef"))
    for known, edge, ids in (("0-0", "5-0", ["a", "b"]), ("5-0", "6-1", ["\\'d", "c"]), ("5-0", "6-0", [])):
        parameters = {
            "after": blocks_upto("cafe", known),
            "upto": blocks_upto("cafe", edge),
            "shard": f":{SHARD:04d}",
            "since": 0,
        }
        [(found,)] = await ends.table.ask(claims.BETWEEN, parameters)
        assert sorted(found) == ids
        [(found,)] = await ends.table.ask(claims.BETWEEN, {**parameters, "shard": ":0009"})
        assert found == []


async def test_copies_are_events_of_other_blocks(ends: Ends) -> None:
    """By site and id, however many they are and whatever they hold; not those of the block that asks."""
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    many = [f"{number}{'€' * 60}" for number in range(claims.ASKED_MAX - 3)]
    asked = {"sites": ["example.com", "other.com"], "ids": ["a", "c", "\\'d", *many], "block": "", **BOTH}
    found = await ends.table.ask(claims.HELD, asked)
    assert sorted(row[:2] for row in found) == [("example.com", "\\'d"), ("example.com", "a"), ("example.com", "c")]
    found = await ends.table.ask(claims.HELD, {**asked, "block": SECOND.id})
    assert [row[:2] for row in found] == [("example.com", "a")]
    assert await ends.table.ask(claims.HELD, {**asked, "sites": ["other.com"]}) == []
    assert await ends.table.ask(claims.HELD, {**asked, "upto": DECEMBER}) == []


async def test_the_last_stored_block_of_each_stream(ends: Ends) -> None:
    """As the books have it: they are written when all of a block is stored."""
    now = int(time.time() * 1000)

    def line(block: Block) -> list[object]:
        return [block.id, block.id[:4], block.shard, block.to_id, block.rows, 1, 1, 1, now]

    other = block("0-0", "9-0", row("e", DECEMBER), incarnation="beef")
    await ends.table.insert_rows(books.BLOCKS, books.NAMES, [line(FIRST), line(SECOND), line(other)])
    found = await ends.table.ask(claims.STORED_BLOCKS, {"since": now - 1})
    assert sorted(found) == [(other.id,), (SECOND.id,)]
    assert await ends.table.ask(claims.STORED_BLOCKS, {"since": now + 60_000}) == []
