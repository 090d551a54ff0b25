"""The fake and the real ClickHouse give the same answers to what a flusher asks about client ids."""

from __future__ import annotations

import time

from flusher.copies import claims
from flusher.delivery import held
from schemas.names import EntryId, blocks_upto
from schemas.row import MINUTE_MS
from tests.contract import test_clickhouse
from tests.contract.test_clickhouse import DECEMBER, NOVEMBER, SHARD, Ends, block, insert, row

client = test_clickhouse.client
ends = test_clickhouse.ends

FIRST = block(EntryId(0, 0), EntryId(5, 0), row("a", DECEMBER), row("b", NOVEMBER), row("", DECEMBER))
SECOND = block(
    EntryId(5, 0), EntryId(6, 1), row("c", DECEMBER, received_at=DECEMBER + MINUTE_MS), row("\\'d", DECEMBER)
)
BOTH = {"since": DECEMBER, "upto": DECEMBER + 2 * MINUTE_MS}


async def test_the_ids_of_a_stretch_of_time(ends: Ends) -> None:
    """All ids that were received in a stretch are found, of every shard, except those of one block."""
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
    """The ids of blocks are found that end behind the first edge and not behind the second."""
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    await insert(ends, block(EntryId(5, 0), EntryId(6, 1), row("e", DECEMBER), incarnation="beef"))
    for known, edge, ids in (
        (EntryId(0, 0), EntryId(5, 0), ["a", "b"]),
        (EntryId(5, 0), EntryId(6, 1), ["\\'d", "c"]),
        (EntryId(5, 0), EntryId(6, 0), []),
    ):
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
    """Copies are found by site and id, however many there are and whatever they hold, in all blocks but the one that
    asks.
    """
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    many = [f"{number}{'€' * 60}" for number in range(held.ASKED_MAX - 3)]
    asked = {"sites": ["example.com", "other.com"], "ids": ["a", "c", "\\'d", *many], "block": "", **BOTH}
    found = await ends.table.ask(held.HELD, asked)
    assert sorted(row[:2] for row in found) == [("example.com", "\\'d"), ("example.com", "a"), ("example.com", "c")]
    found = await ends.table.ask(held.HELD, {**asked, "block": SECOND.id})
    assert [row[:2] for row in found] == [("example.com", "a")]
    assert await ends.table.ask(held.HELD, {**asked, "sites": ["other.com"]}) == []
    assert await ends.table.ask(held.HELD, {**asked, "upto": DECEMBER}) == []


async def test_known_ids_are_those_of_any_block(ends: Ends) -> None:
    """Ids are known by site and id, back to the minute that is asked for, however many there are and whatever they
    hold.
    """
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    names = [("example.com", one) for one in ("a", "c", "\\'d", "e", *(f"{number}€" for number in range(1_000)))]

    async def known(since: int) -> list[str]:
        found = await held.known(ends.table, [*names, ("other.com", "a"), ("\\'b", "a")], since)
        assert all(site == "example.com" for site, _ in found)
        return sorted(one for _, one in found)

    assert await known(DECEMBER) == ["\\'d", "a", "c"]
    assert await known(DECEMBER + MINUTE_MS - 1) == ["\\'d", "a", "c"]
    assert await known(DECEMBER + MINUTE_MS) == ["c"]
    assert await known(DECEMBER + 2 * MINUTE_MS) == []


async def test_ids_are_kept_again_where_their_view_was_cut_off(ends: Ends) -> None:
    """Ids that the view did not write can be added any number of times, because they are a set."""
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    ends.forget_ids()
    assert await held.known(ends.table, [("example.com", "a"), ("example.com", "c")], 0) == {}
    for _ in range(2):
        await ends.table.keep_ids(FIRST.id)
        found = await held.known(ends.table, [("example.com", "a"), ("example.com", "c")], 0)
        assert found == {("example.com", "a"): DECEMBER // MINUTE_MS * MINUTE_MS + MINUTE_MS - 1}


async def test_the_blocks_between_two_edges_of_a_shard(ends: Ends) -> None:
    """Blocks between two edges come in order, with their numbers of rows that have an id."""
    await insert(ends, FIRST)
    await insert(ends, SECOND)
    between = {
        "after": blocks_upto("cafe", EntryId(0, 0)),
        "upto": blocks_upto("cafe", EntryId(6, 1)),
        "shard": f":{SHARD:04d}",
        "since": 0,
    }
    assert await ends.table.ask(claims.BLOCKS_BETWEEN, between) == [(FIRST.id, 2), (SECOND.id, 2)]
    assert await ends.table.ask(claims.BLOCKS_BETWEEN, {**between, "shard": ":0009"}) == []


async def test_the_last_stored_block_of_each_stream(ends: Ends) -> None:
    """The books name the last stored block of each stream, because they are written when all of a block is stored."""
    now = int(time.time() * 1000)

    other = block(EntryId(0, 0), EntryId(9, 0), row("e", DECEMBER), incarnation="beef")
    for stored in (FIRST, SECOND, other):
        await ends.table.record(stored, attempts=1, took_ms=1)
    found = await ends.table.ask(claims.STORED_BLOCKS, {"since": now - 1})
    assert sorted(found) == [(other.id,), (SECOND.id,)]
    assert await ends.table.ask(claims.STORED_BLOCKS, {"since": now + 60_000}) == []
