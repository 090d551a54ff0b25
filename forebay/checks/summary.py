"""Adds up the books of all shards: accepted, stored, copies, dead, erased and in flight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from forebay.checks import spool
from forebay.clickhouse import ClickHouse, literal
from forebay.stream import State, Streams
from schemas.entry import block_shard, blocks_upto

BEYOND = "block_id > {stored} AND startsWith(block_id, {incarnation}) AND endsWith(block_id, {shard})"


def beyond(states: Mapping[int, State]) -> str:
    """A condition for rows of blocks that these states do not call stored yet."""
    blocks = (
        BEYOND.format(
            stored=literal(blocks_upto(state.incarnation, state.stored)),
            incarnation=literal(state.incarnation + ":"),
            shard=literal(block_shard(shard)),
        )
        for shard, state in states.items()
    )
    return " OR ".join(blocks) or "0"


def sums(streams: Streams, clickhouse: ClickHouse, spool_folder: Path | None = None) -> str:
    """The sums of it all, which fit together also while events arrive: rows that a flusher has inserted and not yet
    moved `stored` over are in flight, and only that; what lies in the spool is accepted too, where that is known. Not
    while a replay runs: copies and dead letters of its blocks are counted, and in flight again.
    """
    states = {shard: streams.state(shard) for shard in range(streams.shards())}
    accepted = sum(sum(state.accepted.values()) for state in states.values())
    copies = sum(sum(state.duplicates.values()) for state in states.values())
    aside = sum(one.rows for shard in states for one in streams.asides(shard).values())
    dead = sum(state.dead for state in states.values()) + aside
    erased = sum(sum(state.erased.counts.values()) for state in states.values())
    in_flight = sum(streams.in_flight(shard, state) for shard, state in states.items())
    spooled = sum(spool.events(streams, spool_folder).values()) if spool_folder is not None else 0
    held = clickhouse.rows(f"SELECT countIf(NOT ({beyond(states)})) AS held FROM forebay.events FORMAT JSONEachRow")
    return (
        f"{accepted + spooled} accepted and {copies} of them copies as far back as Redis remembers,"
        f" {held[0]['held']} stored in all, {dead} dead, {erased} erased, {in_flight} in flight"
        + (f", {spooled} in the spool" if spool_folder is not None else "")
    )
