"""The questions of flusher/claims.py, answered from a fake ClickHouse's parts and books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from flusher import books, claims

BLOCK, STORED_AT = books.NAMES.index("block_id"), books.NAMES.index("stored_at")
Rows = list[tuple[Any, ...]]


class Part(Protocol):
    """Rows of one block: event id, visitor, session, ts, site, received_at."""

    @property
    def block(self) -> str: ...
    @property
    def rows(self) -> tuple[tuple[Any, ...], ...]: ...


class Held(Protocol):
    """What is in the tables."""

    books: dict[Any, Sequence[Any]]

    @property
    def events(self) -> Iterable[Part]: ...


def stored_blocks(held: Held, parameters: Mapping[str, Any]) -> Rows:
    """The last block of each stream in the books."""
    last: dict[tuple[str, str], str] = {}
    for row in held.books.values():
        name = row[BLOCK]
        stream = name.partition(":")[0], name[-5:]
        if row[STORED_AT] >= parameters["since"]:
            last[stream] = max(name, last.get(stream, ""))
    return [(name,) for name in last.values()]


def minutes(held: Held, parameters: Mapping[str, Any]) -> Rows:
    counts = Counter(row[5] // 60_000 for part in held.events for row in part.rows if row[5] >= parameters["since"])
    return sorted(counts.items())


def received(held: Held, parameters: Mapping[str, Any]) -> Rows:
    """Ids of events that came in a stretch of time, without those of one block."""
    return [([
        row[0] for part in held.events if part.block != parameters["block"]
        for row in part.rows if parameters["since"] <= row[5] < parameters["upto"] and row[0]
    ],)]  # fmt: skip


def between(held: Held, parameters: Mapping[str, Any]) -> Rows:
    """Ids of a shard's blocks between two edges."""
    return [([
        row[0] for part in held.events
        if parameters["after"] < part.block < parameters["upto"] and part.block.endswith(parameters["shard"])
        for row in part.rows if row[5] >= parameters["since"] and row[0]
    ],)]  # fmt: skip


def copies(held: Held, parameters: Mapping[str, Any]) -> Rows:
    """Those of these events that other blocks hold, and when they were received last."""
    found: dict[tuple[str, str], int] = {}
    for part in held.events:
        for row in part.rows:
            if (
                part.block != parameters["block"]
                and parameters["since"] <= row[5] < parameters["upto"]
                and row[4] in parameters["sites"]
                and row[0] in parameters["ids"]
            ):
                found[row[4], row[0]] = max(row[5], found.get((row[4], row[0]), 0))
    return [(*name, at_ms) for name, at_ms in sorted(found.items())]


QUESTIONS: dict[str, Callable[[Held, Mapping[str, Any]], Rows]] = {
    claims.STORED_BLOCKS: stored_blocks,
    claims.MINUTES: minutes,
    claims.RECEIVED: received,
    claims.BETWEEN: between,
    claims.HELD: copies,
}
