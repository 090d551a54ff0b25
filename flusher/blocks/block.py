"""Entries become a block: limits, columns, sessions, token. Nothing here awaits.

A block is a pure function of its entries and of earlier blocks (delivery.md, rule 11), so
that a re-delivery is the same rows in the same order (I5). Limits decide where to cut; they
are never applied when a recorded block is formed again.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Any, Protocol

from flusher.blocks import native_format
from flusher.blocks.sessions import Sessions
from schemas.entry import Damaged, block_id, decode, entry_order, weight_of
from schemas.row import COLUMNS, INDEX, INSERT_TYPES, month_of, months_of

INSERTED: tuple[str, ...] = tuple(name for name in COLUMNS if name != "visitor_before")
TYPES = {name: INSERT_TYPES[name] for name in INSERTED}
SETTLED = tuple(name for name in INSERTED if name not in {"visitor_id", "session_id"})
# Rows that are Python objects at a time, 1.2 kB each. Encoding 1 000 at a time takes 1.1 x the time of 40 000.
RUN_ROWS = 2_000
AGE_STRETCH = 5  # a trickle waits up to five times the age limit: a tiny block costs 30 ms of CPU (docs/facts.md)
TINY_ROWS = 100


class EntryLike(Protocol):
    """What a block needs of a stream record."""

    @property
    def id(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def rows(self) -> int: ...
    @property
    def fault(self) -> str: ...


class ShapeChanged(Exception):
    """The entries are not what the recorded edge was cut from: the shard stops and alarms."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """Where to cut. Rows, their bytes unpacked, and the age of the oldest entry in ms."""

    rows_max: int
    bytes_max: int
    age_ms: int


class Rows:
    """Where the rows of a block come from: its entries, and what sessions decided.

    `places` are those of the rows that are in the block: 0 is the first row of its first entry.
    """

    __slots__ = ("_entries", "_sessions", "_starts", "_visitors", "places")

    def __init__(
        self, entries: Sequence[EntryLike], places: Sequence[int], visitors: Sequence[int], sessions: Sequence[int]
    ) -> None:
        self._entries = entries
        self._starts = array("Q", accumulate((entry.rows for entry in entries), initial=0))
        self.places = places
        self._visitors = visitors
        self._sessions = sessions

    def columns(self, at: Sequence[int]) -> dict[str, list[Any]]:
        """The values of the rows at these places, ascending, by column. Decodes their entries again, and no others."""
        columns: list[list[Any]] = [[] for _ in COLUMNS]
        first = 0
        while first < len(at):
            entry = bisect_right(self._starts, at[first]) - 1
            start = self._starts[entry]
            final = bisect_left(at, self._starts[entry + 1], first)
            inside = [place - start for place in at[first:final]]
            for column, more in zip(columns, decode(self._entries[entry].data), strict=True):
                column.extend([more[index] for index in inside])
            first = final
        named = dict(zip(COLUMNS, columns, strict=True))
        ordinals = [bisect_left(self.places, place) for place in at]
        named["visitor_id"] = [self._visitors[ordinal] for ordinal in ordinals]
        named["session_id"] = [self._sessions[ordinal] for ordinal in ordinals]
        return {name: named[name] for name in INSERTED}


class Part:
    """The rows of one block and month: one INSERT, one token. `at` are the rows' places in the block.

    Its rows are kept as they are sent, and made again from the entries for a part of the part.
    """

    __slots__ = ("_encoded", "_from", "at", "month")

    def __init__(self, month: int, at: Sequence[int], rows: Rows, encoded: native_format.Columns | None = None) -> None:
        self.month = month
        self.at = at
        self._from = rows
        self._encoded = encoded

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.at)

    @property
    def columns(self) -> list[list[Any]]:
        """Its values, in INSERTED order: slow, as all is decoded again."""
        return list(self._from.columns(self.at).values())

    def encoded(self) -> native_format.Columns:
        """Its columns as they are sent, in INSERTED order; `pieces` of them may raise native_format.Unencodable."""
        if self._encoded is not None:
            return self._encoded
        encoded = native_format.Columns(TYPES)
        for name, values in self._from.columns(self.at).items():
            encoded.extend(name, values)
        return encoded

    def sites(self) -> dict[str, int]:
        """Rows by site."""
        counts = self._encoded.counts("site") if self._encoded is not None else None
        return dict(Counter(self.columns[INSERTED.index("site")])) if counts is None else counts

    def slice(self, first: int, final: int) -> Part:
        """Rows first to final - 1."""
        return Part(self.month, self.at[first:final], self._from)

    def without(self, dead: AbstractSet[int]) -> Part:
        """The rows whose places are not among these."""
        kept = [place for place in self.at if place not in dead]
        return self if len(kept) == self.rows else Part(self.month, kept, self._from)


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
        counts: Counter[str] = Counter()
        for part in self.parts:
            counts.update(part.sites())
        return dict(counts)


class Cutter:
    """Decides how many waiting entries make the next block."""

    def __init__(self, limits: BlockLimits) -> None:
        self._limits = limits
        self._stretch = 1
        self._oldest = ""
        self._seen_ms = 0

    def ready(self, entries: Sequence[EntryLike], now_ms: int, *, drain: bool = False) -> int:
        """How many of these entries to cut now; 0 means wait.

        Full blocks are cut at once; a smaller one when its oldest entry is old enough, which
        stretches while blocks stay tiny and snaps back when one is not. `drain` cuts all.
        """
        if not entries:
            self._stretch = 1
            return 0
        if count := self.full(entries):
            self._stretch = 1
            return count
        if not drain and self._age_ms(entries[0].id, now_ms) < self._limits.age_ms * self._stretch:
            return 0
        self._stretch = min(AGE_STRETCH, self._stretch + 1) if sum(entry.rows for entry in entries) < TINY_ROWS else 1
        return len(entries)

    def full(self, entries: Sequence[EntryLike]) -> int:
        """How many of these entries make a full block; 0: not even all of them."""
        rows = size = 0
        for count, entry in enumerate(entries):
            rows += entry.rows
            size += weight_of(entry.data)
            if count and (rows > self._limits.rows_max or size > self._limits.bytes_max):
                return count
        # full to the row: no more will be read ahead, so there is nothing to wait for
        return len(entries) if rows >= self._limits.rows_max or size >= self._limits.bytes_max else 0

    def wait_ms(self, entries: Sequence[EntryLike], now_ms: int) -> int:
        """Milliseconds until the oldest of these entries is old enough."""
        return max(0, self._limits.age_ms * self._stretch - self._age_ms(entries[0].id, now_ms))

    def _age_ms(self, oldest: str, now_ms: int) -> int:
        """How long it has waited: by its date, and at least since it was first seen here.

        Redis's clock may be set back: an entry dated ten minutes ahead would wait for ten minutes.
        """
        if oldest != self._oldest or now_ms < self._seen_ms:
            self._oldest, self._seen_ms = oldest, now_ms
        return now_ms - min(self._seen_ms, entry_order(oldest)[0])


class Prepared:
    """Entries decoded and encoded, but for what sessions decide: nothing of it depends on earlier blocks.

    Lists are by row; but for what is here, no value is a Python object any more.
    """

    __slots__ = (
        *("befores", "bytes", "entries", "event_ids", "given", "months", "places", "received_at", "sites", "to_id"),
        *("ts", "visitors"),
    )

    def __init__(self, entries: Sequence[EntryLike]) -> None:
        self.entries = entries
        self.to_id = entries[-1].id
        self.bytes = sum(len(entry.data) for entry in entries)
        self.places: Sequence[int] = ()
        self.sites: list[str] = []
        self.event_ids: list[str] = []
        self.received_at = array("q")  # 8 B where a list's numbers take 40
        self.ts = array("q")
        self.visitors = array("Q")
        self.befores = array("Q")
        self.given = array("Q")
        self.months: dict[
            int, tuple[native_format.Columns, list[Sequence[int]]]
        ] = {}  # with its rows' ordinals, run by run

    @property
    def is_encodable(self) -> bool:
        """Tells whether every row can be sent to ClickHouse."""
        return not any(columns.failure for columns, _ in self.months.values())


def prepare(entries: Sequence[EntryLike], left_out: AbstractSet[int] = frozenset()) -> Prepared:
    """The larger half of forming a block, which may be done before its turn and in a thread.

    `left_out` are places of rows that are not in the block. Raises as `form` does.
    """
    prepared = Prepared(entries)
    places: list[int] = []
    run: list[list[Any]] = [[] for _ in COLUMNS]
    start = 0
    for entry in entries:
        if entry.fault:
            raise Damaged(f"entry {entry.id}: {entry.fault}")
        columns = decode(entry.data)
        rows = len(columns[0])
        if rows != entry.rows:
            raise ShapeChanged(f"entry {entry.id} holds {rows} rows, it says {entry.rows}")
        inside: Sequence[int] = range(rows)
        if left_out and not left_out.isdisjoint(range(start, start + rows)):
            inside = [index for index in inside if start + index not in left_out]
            columns = [[column[index] for index in inside] for column in columns]
        if left_out:
            places.extend([start + index for index in inside])
        start += rows
        for _ in map(list.extend, run, columns):  # in C: half the time of a loop in Python
            pass
        if len(run[0]) >= RUN_ROWS:
            _encode(prepared, run)
            run = [[] for _ in COLUMNS]
    if run[0]:
        _encode(prepared, run)
    prepared.places = places if left_out else range(start)
    return prepared


def _encode(prepared: Prepared, run: list[list[Any]]) -> None:
    """Add a run of rows to the columns of their months, and to what sessions are assigned by."""
    ts = run[INDEX["ts"]]
    before = len(prepared.ts)
    try:
        prepared.ts.extend(ts)
        prepared.received_at.extend(run[INDEX["received_at"]])
        prepared.visitors.extend(run[INDEX["visitor_id"]])
        prepared.befores.extend(run[INDEX["visitor_before"]])
        prepared.given.extend(run[INDEX["session_id"]])
        same: dict[str, str] = {}
        prepared.sites += [same.setdefault(site, site) for site in run[INDEX["site"]]]
        prepared.event_ids += run[INDEX["event_id"]]
        "".join(same), "".join(run[INDEX["event_id"]])  # each is a text
        months = months_of(ts)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise Damaged(f"a time, a site, an id or a visitor is none: {error}") from error
    if len(months) == 1:
        _add(prepared, months[0], run, range(before, before + len(ts)))
        return
    inside: dict[int, list[int]] = {month: [] for month in months}
    for index, moment in enumerate(ts):
        inside[month_of(moment)].append(index)
    for month, indexes in inside.items():
        columns = [[column[index] for index in indexes] for column in run]
        _add(prepared, month, columns, [before + index for index in indexes])


def _add(prepared: Prepared, month: int, columns: Sequence[Sequence[Any]], ordinals: Sequence[int]) -> None:
    """Adds rows to a month."""
    encoded, runs = prepared.months.setdefault(month, (native_format.Columns(TYPES), []))
    for name in SETTLED:
        encoded.extend(name, columns[INDEX[name]])
    runs.append(ordinals)


def form(
    prepared: Prepared,
    *,
    incarnation: str,
    shard: int,
    from_id: str,
    sessions: Sessions,
    left_out: AbstractSet[int] = frozenset(),
) -> Block:
    """Returns the block of entries that were prepared with nothing left out, and uses the preparation up.

    `sessions` must hold what earlier blocks left; this block's sessions are added to it. `left_out` are the places of
    rows that are not in the block and take no part in sessions; with any, the entries are prepared anew without them.
    """
    ready = prepare(prepared.entries, left_out) if left_out else prepared
    visitors, session_ids = sessions.assign(
        ready.visitors, ready.befores, ready.given, ready.ts, entry_order(ready.to_id)[0]
    )
    rows = Rows(ready.entries, ready.places, array("Q", visitors), array("Q", session_ids))
    parts = []
    for month, (encoded, runs) in sorted(ready.months.items()):
        ordinals = _joined(runs)
        for name, values in (("visitor_id", visitors), ("session_id", session_ids)):
            encoded.extend(name, values if len(ordinals) == len(values) else [values[at] for at in ordinals])
        at = ordinals if ready.places == range(len(ready.ts)) else [ready.places[ordinal] for ordinal in ordinals]
        parts.append(Part(month, at, rows, encoded))
    return Block(
        id=block_id(incarnation, shard, from_id, ready.to_id),
        shard=shard,
        from_id=from_id,
        to_id=ready.to_id,
        rows=len(ready.ts),
        bytes=ready.bytes,
        parts=tuple(parts),
    )


def _joined(runs: Sequence[Sequence[int]]) -> Sequence[int]:
    """Ordinals that ascend, as one sequence: a range where they follow each other."""
    first, final, rows = runs[0][0], runs[-1][-1], sum(map(len, runs))
    return range(first, final + 1) if rows == final + 1 - first else list(chain.from_iterable(runs))
