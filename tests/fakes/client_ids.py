"""Answers the questions of flusher/copies/claims.py from a fake ClickHouse's parts and books."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from flusher.copies import claims
from flusher.delivery import held
from flusher.delivery.held import hash_of
from flusher.delivery.table import BLOCK_TYPES
from schemas.row import MINUTE_MS

BLOCK, STORED_AT = (list(BLOCK_TYPES).index(name) for name in ("block_id", "stored_at"))
Rows = list[tuple[Any, ...]]


class Part(Protocol):
    """Holds rows of one block, each with event id, visitor, session, ts, site, received_at, name and title."""

    @property
    def block(self) -> str: ...
    @property
    def rows(self) -> tuple[tuple[Any, ...], ...]: ...


class Held(Protocol):
    """Holds what is in the tables."""

    books: dict[str, Sequence[Any]]
    ids: dict[tuple[str, str], int]  # site and id, and the last minute it was received in

    @property
    def events(self) -> Iterable[Part]: ...


def stored_blocks(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    """Returns the last block of each stream in the books."""
    last: dict[tuple[str, str], str] = {}
    for row in kept.books.values():
        name = row[BLOCK]
        stream = name.partition(":")[0], name[-5:]
        if row[STORED_AT] >= parameters["since"]:
            last[stream] = max(name, last.get(stream, ""))
    return [(name,) for name in last.values()]


def minutes(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    counts = Counter(row[5] // 60_000 for part in kept.events for row in part.rows if row[5] >= parameters["since"])
    return sorted(counts.items())


def received(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    """Returns the ids of events that were received in a stretch of time, without those of one block."""
    return [([
        row[0] for part in kept.events if part.block != parameters["block"]
        for row in part.rows if parameters["since"] <= row[5] < parameters["upto"] and row[0]
    ],)]  # fmt: skip


def between(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    """Returns the ids of a shard's blocks between two edges."""
    return [([
        row[0] for part in kept.events
        if parameters["after"] < part.block < parameters["upto"] and part.block.endswith(parameters["shard"])
        for row in part.rows if row[5] >= parameters["since"] and row[0]
    ],)]  # fmt: skip


def copies(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    """Returns the events that other blocks hold, with their last receipt."""
    found: dict[tuple[str, str], int] = {}
    for part in kept.events:
        for row in part.rows:
            if (
                part.block != parameters["block"]
                and parameters["since"] <= row[5] < parameters["upto"]
                and row[4] in parameters["sites"]
                and row[0] in parameters["ids"]
            ):
                found[row[4], row[0]] = max(row[5], found.get((row[4], row[0]), 0))
    return [(*name, at_ms) for name, at_ms in sorted(found.items())]


def blocks_between(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    """Returns the blocks between two edges, with their numbers of rows that have an id."""
    counts: Counter[str] = Counter()
    for part in kept.events:
        if parameters["after"] < part.block < parameters["upto"] and part.block.endswith(parameters["shard"]):
            counts[part.block] += sum(1 for row in part.rows if row[5] >= parameters["since"] and row[0])
    return sorted((block, rows) for block, rows in counts.items() if rows)


def known(kept: Held, parameters: Mapping[str, Any]) -> Rows:
    """Returns the hashes of events whose ids are kept, with the minute of their last receipt."""
    packed = b64decode(parameters["first"] + parameters["second"])
    asked = {int.from_bytes(packed[at : at + 8], "little") for at in range(0, len(packed), 8)}
    since = parameters["since"] // MINUTE_MS * MINUTE_MS
    return [
        (hashed, minute // 1000)
        for name, minute in kept.ids.items()
        if minute >= since and (hashed := hash_of(name)) in asked
    ]


QUESTIONS: dict[str, Callable[[Held, Mapping[str, Any]], Rows]] = {
    claims.STORED_BLOCKS: stored_blocks,
    claims.MINUTES: minutes,
    claims.RECEIVED: received,
    claims.BETWEEN: between,
    claims.BLOCKS_BETWEEN: blocks_between,
    held.KNOWN: known,
    held.HELD: copies,
}
