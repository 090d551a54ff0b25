"""Adds up the books of all shards: accepted, stored, copies, dead, erased and in flight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from forebay.checks import spool
from forebay.clickhouse import ClickHouse, Condition, Value
from forebay.stream import State, Streams
from schemas.names import blocks_upto, shard_suffix, stream_prefix

BEYOND = (
    "block_id > {stored_%d:String} AND startsWith(block_id, {stream_%d:String})"
    " AND endsWith(block_id, {shard_%d:String})"
)


def beyond(states: Mapping[int, State]) -> Condition:
    """Returns a condition for the rows of blocks that these states, by shard, do not call stored yet."""
    parameters: dict[str, Value] = {}
    for shard, state in states.items():
        parameters[f"stored_{shard}"] = blocks_upto(state.incarnation, state.stored)
        parameters[f"stream_{shard}"] = stream_prefix(state.incarnation)
        parameters[f"shard_{shard}"] = shard_suffix(shard)
    return Condition(" OR ".join(BEYOND % (shard, shard, shard) for shard in states) or "0", parameters)


def stored(clickhouse: ClickHouse, states: Mapping[int, State]) -> int:
    """Counts the rows of blocks that these states, by shard, call stored. Raises ClickHouseError."""
    condition = beyond(states)
    rows = clickhouse.rows(f"SELECT countIf(NOT ({condition.sql})) AS held FROM forebay.events", condition.parameters)
    return int(rows[0]["held"])


def sums(streams: Streams, clickhouse: ClickHouse, spool_folder: Path | None = None) -> str:
    """Returns the sums of all shards as one line, which fit together also while events arrive.

    Rows that a flusher has inserted and not yet moved `stored` over are in flight, and not stored. What lies in the
    spool is accepted too, if the spool is known. The sums don't fit while a replay runs: copies and dead letters of its
    blocks are counted, and in flight again. Raises ClickHouseError and redis.RedisError.
    """
    states = {shard: streams.state(shard) for shard in range(streams.shards())}
    accepted = sum(sum(state.accepted.values()) for state in states.values())
    copies = sum(sum(state.duplicates.values()) for state in states.values())
    aside = sum(one.rows for shard in states for one in streams.asides(shard).values())
    dead = sum(state.dead for state in states.values()) + aside
    erased = sum(sum(state.erased.counts.values()) for state in states.values())
    in_flight = sum(streams.in_flight(shard, state) for shard, state in states.items())
    spooled = sum(spool.events(streams, spool_folder).values()) if spool_folder is not None else 0
    held = stored(clickhouse, states)
    return (
        f"{accepted + spooled} accepted and {copies} of them copies as far back as Redis remembers,"
        f" {held} stored in all, {dead} dead, {erased} erased, {in_flight} in flight"
        + (f", {spooled} in the spool" if spool_folder is not None else "")
    )
