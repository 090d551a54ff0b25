"""Entries become a block: limits, columns, sessions, token. Nothing here awaits.

A block is a pure function of its entries and of earlier blocks (delivery.md, rule 11), so
that a re-delivery is the same rows in the same order (I5). Limits decide where to cut; they
are never applied when a recorded block is formed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Protocol

from flusher.sessions import Sessions
from schemas.entry import block_id, decode, entry_order, weight_of
from schemas.row import COLUMNS, INDEX, month_of, months_of

INSERTED: tuple[str, ...] = tuple(name for name in COLUMNS if name != "visitor_before")
AGE_STRETCH = 5  # a trickle waits up to five times the age limit: a tiny block costs 30 ms of CPU (findings)
TINY_ROWS = 100


class EntryLike(Protocol):
    """What a block needs of a stream record."""

    @property
    def id(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def rows(self) -> int: ...


class ShapeChanged(Exception):
    """The entries are not what the recorded edge was cut from: the shard stops and alarms."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """Where to cut. Rows, their bytes unpacked, and the age of the oldest entry in ms."""

    rows_max: int
    bytes_max: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one block and month: one INSERT, one token. Columns in INSERTED order.

    `at` are the rows' places in the block.
    """

    month: int
    rows: int
    columns: list[list[Any]]
    at: Sequence[int]

    def slice(self, first: int, final: int) -> Part:
        """Rows first to final - 1."""
        return Part(self.month, final - first, [column[first:final] for column in self.columns], self.at[first:final])

    def without(self, dead: AbstractSet[int]) -> Part:
        """The rows whose places are not among these."""
        kept = [index for index, place in enumerate(self.at) if place not in dead]
        if len(kept) == self.rows:
            return self
        columns = [[column[index] for index in kept] for column in self.columns]
        return Part(self.month, len(kept), columns, [self.at[index] for index in kept])


@dataclass(frozen=True, slots=True)
class Block:
    """Entries (from_id, to_id] of one shard, as columns by month."""

    id: str
    shard: int
    from_id: str
    to_id: str
    rows: int
    bytes: int
    parts: tuple[Part, ...]

    def without(self, dead: AbstractSet[int]) -> Block:
        """The block less the rows at these places; months left empty are not there."""
        parts = tuple(left for part in self.parts if (left := part.without(dead)).rows)
        return replace(self, parts=parts, rows=sum(part.rows for part in parts))

    def sites(self) -> dict[str, int]:
        """Rows by site."""
        at = INSERTED.index("site")
        counts: dict[str, int] = {}
        for part in self.parts:
            for site, rows in _counts(part.columns[at]).items():
                counts[site] = counts.get(site, 0) + rows
        return counts


class Cutter:
    """Decides how many waiting entries make the next block."""

    def __init__(self, limits: BlockLimits) -> None:
        self._limits = limits
        self._stretch = 1

    def ready(self, entries: Sequence[EntryLike], now_ms: int, *, drain: bool = False) -> int:
        """How many of these entries to cut now; 0 means wait.

        Full blocks are cut at once; a smaller one when its oldest entry is old enough, which
        stretches while blocks stay tiny and snaps back when one is not. `drain` cuts all.
        """
        if not entries:
            self._stretch = 1
            return 0
        rows = size = 0
        for count, entry in enumerate(entries):
            rows += entry.rows
            size += weight_of(entry.data)
            if count and (rows > self._limits.rows_max or size > self._limits.bytes_max):
                self._stretch = 1
                return count
        if rows >= self._limits.rows_max or size >= self._limits.bytes_max:
            self._stretch = 1  # full to the row: no more will be read ahead, so there is nothing to wait for
            return len(entries)
        age_ms = now_ms - entry_order(entries[0].id)[0]
        if not drain and age_ms < self._limits.age_ms * self._stretch:
            return 0
        self._stretch = min(AGE_STRETCH, self._stretch + 1) if rows < TINY_ROWS else 1
        return len(entries)

    def wait_ms(self, entries: Sequence[EntryLike], now_ms: int) -> int:
        """Milliseconds until the oldest of these entries is old enough."""
        age_ms = now_ms - entry_order(entries[0].id)[0]
        return max(0, self._limits.age_ms * self._stretch - age_ms)


def form(entries: Sequence[EntryLike], *, incarnation: str, shard: int, from_id: str, sessions: Sessions) -> Block:
    """The block of these entries. `sessions` must hold what earlier blocks left, and moves on.

    Raises entry.UnknownVersion, entry.Damaged, or ShapeChanged when an entry's row count
    differs from the one recorded beside it.
    """
    columns: list[list[Any]] = [[] for _ in COLUMNS]
    for entry in entries:
        read = decode(entry.data)
        if len(read[0]) != entry.rows:
            raise ShapeChanged(f"entry {entry.id} of shard {shard} holds {len(read[0])} rows, it says {entry.rows}")
        for column, more in zip(columns, read, strict=True):
            column.extend(more)
    to_id = entries[-1].id
    ts = columns[INDEX["ts"]]
    visitors, session_ids = sessions.assign(
        columns[INDEX["visitor_id"]],
        columns[INDEX["visitor_before"]],
        columns[INDEX["session_id"]],
        ts,
        entry_order(to_id)[0],
    )
    columns[INDEX["visitor_id"]] = visitors
    columns[INDEX["session_id"]] = session_ids
    inserted = [columns[INDEX[name]] for name in INSERTED]
    return Block(
        id=block_id(incarnation, shard, from_id, to_id),
        shard=shard,
        from_id=from_id,
        to_id=to_id,
        rows=len(ts),
        bytes=sum(len(entry.data) for entry in entries),
        parts=tuple(_by_month(inserted, ts)),
    )


def _by_month(columns: list[list[Any]], ts: list[int]) -> list[Part]:
    months = months_of(ts)
    if len(months) == 1:
        return [Part(months[0], len(ts), columns, range(len(ts)))]
    month_at = [month_of(moment) for moment in ts]
    parts = []
    for month in months:
        at = [index for index, other in enumerate(month_at) if other == month]
        parts.append(Part(month, len(at), [[column[index] for index in at] for column in columns], at))
    return parts


def _counts(sites: list[str]) -> dict[str, int]:
    if sites.count(sites[0]) == len(sites):
        return {sites[0]: len(sites)}
    counts: dict[str, int] = {}
    for site in sites:
        counts[site] = counts.get(site, 0) + 1
    return counts
