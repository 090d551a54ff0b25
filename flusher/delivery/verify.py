"""Asks ClickHouse what it holds of a shard's blocks, because after an unclear answer nothing may be assumed.

Every question names a block or a range of block names, which a minmax index narrows down to few parts of the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from flusher.blocks.sessions import HASH_MASK, MEMORY_MS, Session
from schemas.names import BlockName, EntryId, blocks_upto, of_stream, shard_suffix, stream_prefix

CLOCK = "SELECT toUnixTimestamp64Milli(now64(3))"
CLOCK_SECONDS = 60.0  # two clocks that drift by 100 ppm are 6 ms apart after this time
SEEN = """
SELECT toYYYYMM(ts) AS month, attempt, count() AS held FROM forebay.events
WHERE block_id = {block:String} GROUP BY month, attempt ORDER BY month, attempt
"""
# By the query's id or by its token: the embedded engine gives queries ids of its own, a replica may not show settings.
RUNNING = """
SELECT count() FROM system.processes
WHERE startsWith(query_id, {block:String}) OR startsWith(Settings['insert_deduplication_token'], {block:String})
"""
SHARD_RUNNING = """
SELECT count() FROM system.processes
WHERE (startsWith(query_id, {incarnation:String}) AND position(query_id, {shard:String}) > 0)
  OR (startsWith(Settings['insert_deduplication_token'], {incarnation:String})
    AND position(Settings['insert_deduplication_token'], {shard:String}) > 0)
"""
LATEST = """
SELECT max(toString(block_id)) FROM forebay.events
WHERE block_id > {stored:String} AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
"""
# These columns tell rows apart that were received at the same moment. `event_id` is emptied in time, so it can't.
TRACES = """
SELECT toUnixTimestamp64Milli(received_at), toUnixTimestamp64Milli(ts), toString(site), toString(name), title, visitor_id
FROM forebay.events
WHERE block_id > {stored:String} AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
  AND toUnixTimestamp64Milli(received_at) IN {moments:Array(Int64)}
"""
# First the sessions that a late block touched, then all rows of each, as its first event may be in a much older block.
SESSIONS = """
WITH touched AS (
    SELECT session_id FROM forebay.events
    WHERE block_id > {recent:String} AND block_id < {upto:String}
      AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
)
SELECT visitor_id, session_id, toUnixTimestamp64Milli(min(ts)), toUnixTimestamp64Milli(max(ts)), max(toString(block_id))
FROM forebay.events
WHERE session_id IN (touched)
  AND ts >= (SELECT toDateTime64(fromUnixTimestamp(toInt64(bitShiftRight(min(session_id), 32))), 3, 'UTC') FROM touched) - INTERVAL 1 DAY
  AND block_id < {upto:String}
  AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
GROUP BY visitor_id, session_id
"""


class Asks(Protocol):
    """Answers questions: returns the rows of a SELECT, or raises table.Unclear. The table does, and its fake."""

    async def ask(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]: ...


class Clock:
    """Follows ClickHouse's clock by the event loop's, so a wall clock of this host that is set changes nothing.

    A reading counts from when its answer came, so it is behind by up to a round trip and never ahead: a deadline made
    of it is early rather than late.
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self._valid_until = 0.0

    def is_read(self) -> bool:
        """Tells whether the clock was read in the last minute, and not forgotten since."""
        return asyncio.get_running_loop().time() < self._valid_until

    async def read(self, table: Asks) -> None:
        """Asks ClickHouse for the time. Raises table.Unclear."""
        ((milliseconds,),) = await table.ask(CLOCK, {})
        heard = asyncio.get_running_loop().time()
        self._offset = int(milliseconds) / 1000 - heard
        self._valid_until = heard + CLOCK_SECONDS

    def forget(self) -> None:
        """Forgets the reading, so that the clock is read again before it is used again."""
        self._valid_until = 0.0

    def unix_seconds(self) -> float:
        """Returns what the clock shows now, by the last reading."""
        return asyncio.get_running_loop().time() + self._offset


async def held(table: Asks, block: str) -> dict[int, dict[int, int]]:
    """Returns how many rows of a block ClickHouse shows, by month and attempt."""
    months: dict[int, dict[int, int]] = {}
    for month, attempt, rows in await table.ask(SEEN, {"block": block}):
        months.setdefault(int(month), {})[int(attempt)] = int(rows)
    return months


async def is_running(table: Asks, block: str) -> bool:
    """Tells whether an INSERT of this block still runs, so that its rows may still change."""
    return bool((await table.ask(RUNNING, {"block": block}))[0][0])


async def is_shard_running(table: Asks, incarnation: str, shard: int) -> bool:
    """Tells whether an INSERT of any block of this stream still runs, also of a block that Redis has lost."""
    parameters = {"incarnation": stream_prefix(incarnation), "shard": shard_suffix(shard) + ":"}
    return bool((await table.ask(SHARD_RUNNING, parameters))[0][0])


async def latest_edge(table: Asks, incarnation: str, shard: int, stored: EntryId) -> EntryId | None:
    """Returns the edge of the latest block of this stream that ClickHouse holds behind `stored`, or None."""
    rows = await table.ask(
        LATEST,
        {"stored": blocks_upto(incarnation, stored), **of_stream(incarnation, shard)},
    )
    name = rows[0][0] if rows else ""
    return BlockName.parse(name).upto if name else None


async def traces(
    table: Asks, incarnation: str, shard: int, stored: EntryId, moments: Sequence[int]
) -> set[tuple[int, int, str, str, str, int]]:
    """Returns the rows of blocks behind `stored` received at these moments (unix ms), as TRACES names them."""
    rows = await table.ask(
        TRACES,
        {
            "stored": blocks_upto(incarnation, stored),
            **of_stream(incarnation, shard),
            "moments": list(moments),
        },
    )
    return {
        (int(received), int(ts), str(site), str(name), str(title), int(visitor))
        for received, ts, site, name, title, visitor in rows
    }


async def sessions_before(table: Asks, incarnation: str, shard: int, stored: EntryId) -> list[tuple[int, Session]]:
    """Returns the sessions that may still be joined, of all blocks up to the edge `stored`, as `Sessions` takes them.

    A session over midnight comes once for each of its visitors. Sessions that an SDK owns are left out, as
    `Sessions.assign` does not remember them either.
    """
    recent = EntryId(max(0, stored.ms - MEMORY_MS - 1), 0)
    rows = await table.ask(
        SESSIONS,
        {
            "recent": blocks_upto(incarnation, recent),
            "upto": blocks_upto(incarnation, stored),
            **of_stream(incarnation, shard),
        },
    )
    opened = {int(session) for visitor, session, *_ in rows if (int(session) ^ int(visitor)) & HASH_MASK == 0}
    return [
        (int(visitor), (int(session), int(first), int(final), BlockName.parse(block).upto.ms))
        for visitor, session, first, final, block in rows
        if int(session) in opened
    ]
