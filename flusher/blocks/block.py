"""Forms blocks of stream entries: decides where to cut, makes columns by month, assigns sessions.

A block is a pure function of its entries and of earlier blocks (docs/delivery.md, rule 11), so every delivery of it
has the same rows in the same order (I5). That is why nothing here awaits. Limits decide where a new block is cut;
they are never applied when a recorded block is formed again.

A block is formed in two steps. `prepare` decodes entries and encodes their columns, which is the larger half of the
work and needs no earlier block, so it may be done ahead of the block's turn. `form` assigns the sessions, which depend
on earlier blocks.

Rows are numbered in two ways:

    place     among all rows of the block's entries: 0 is the first row of the first entry. A row that is left out
              keeps its number, which is why places are what Redis records (copies, erased rows, verdicts)
    ordinal   among the rows that are in the block; the same as the place while nothing is left out
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
from schemas.entry import Damaged, decode, weight_of, whole
from schemas.names import BlockName, EntryId
from schemas.row import COLUMNS, INDEX, INSERT_TYPES, month_of, months_of

INSERTED: tuple[str, ...] = tuple(name for name in COLUMNS if name != "visitor_before")
TYPES = {name: INSERT_TYPES[name] for name in INSERTED}
SETTLED = tuple(name for name in INSERTED if name != "session_id")
# Rows that are Python objects at a time, 1.2 kB each. Encoding 1 000 at a time takes 1.1 x the time of 40 000.
RUN_ROWS = 2_000
# A block costs 30 to 60 ms of CPU with its merges, whatever is in it (docs/facts.md). So a trickle of events waits up to
# five times the age limit, and a block that a thousand rows would fill waits half as long again.
AGE_STRETCH = 5
TINY_ROWS = 100
SMALL_STRETCH = 1.5
SMALL_ROWS = 1_000


class EntryLike(Protocol):
    """Describes what a block reads of a stream record.

    `flusher.redis.records.Entry` is one, which this room may not import.
    """

    @property
    def id(self) -> EntryId: ...
    @property
    def data(self) -> bytes: ...
    @property
    def rows(self) -> int: ...
    @property
    def fault(self) -> str: ...


class ShapeChanged(Exception):
    """Says that the entries of a recorded block have changed since it was cut; the shard stops and raises an alarm."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """Limits a new block: its rows, the bytes that they take unpacked, and the age of its oldest entry in ms."""

    rows_max: int
    bytes_max: int
    age_ms: int


class Rows:
    """Reads rows of a block again, from its entries and from the sessions that were assigned to them.

    `places` are those of the rows that are in the block, ascending; `sessions` are in the same order.
    """

    __slots__ = ("_entries", "_sessions", "_starts", "places")

    def __init__(self, entries: Sequence[EntryLike], places: Sequence[int], sessions: Sequence[int]) -> None:
        self._entries = entries
        self._starts = array("Q", accumulate((entry.rows for entry in entries), initial=0))
        self.places = places
        self._sessions = sessions

    def columns(self, places: Sequence[int]) -> dict[str, list[Any]]:
        """Returns the values of the rows at these places (ascending) by column.

        Decodes only the entries that hold them.
        """
        columns: list[list[Any]] = [[] for _ in COLUMNS]
        first = 0
        while first < len(places):
            entry = bisect_right(self._starts, places[first]) - 1
            start = self._starts[entry]
            final = bisect_left(places, self._starts[entry + 1], first)
            within_entry = [place - start for place in places[first:final]]
            for column, more in zip(columns, decode(self._entries[entry].data), strict=True):
                column.extend([more[index] for index in within_entry])
            first = final
        named = dict(zip(COLUMNS, columns, strict=True))
        ordinals = [bisect_left(self.places, place) for place in places]
        named["session_id"] = [self._sessions[ordinal] for ordinal in ordinals]
        return {name: named[name] for name in INSERTED}


class Part:
    """Holds the rows of one block that fall into one month: they are one INSERT under one token.

    `places` are the rows' places in the block. The whole of a block's month is kept encoded, as it is sent; a smaller
    part of it is encoded again from the entries when it is asked for.
    """

    __slots__ = ("_encoded", "_source", "month", "places")

    def __init__(
        self, month: int, places: Sequence[int], source: Rows, encoded: native_format.Columns | None = None
    ) -> None:
        self.month = month
        self.places = places
        self._source = source
        self._encoded = encoded

    @property
    def rows(self) -> int:
        """Returns the number of rows."""
        return len(self.places)

    @property
    def columns(self) -> list[list[Any]]:
        """Returns the values by column, in INSERTED order. This is slow, because it decodes the entries again."""
        return list(self._source.columns(self.places).values())

    def encoded(self) -> native_format.Columns:
        """Returns the columns in INSERTED order, as they are sent. `pieces` may raise native_format.Unencodable."""
        if self._encoded is not None:
            return self._encoded
        encoded = native_format.Columns(TYPES)
        for name, values in self._source.columns(self.places).items():
            encoded.extend(name, values)
        return encoded

    def sites(self) -> dict[str, int]:
        """Counts the rows by site."""
        counts = self._encoded.counts("site") if self._encoded is not None else None
        return dict(Counter(self.columns[INSERTED.index("site")])) if counts is None else counts

    def slice(self, first: int, final: int) -> Part:
        """Returns the part's rows number `first` to `final` - 1 as a part of their own."""
        return Part(self.month, self.places[first:final], self._source)

    def without(self, dead: AbstractSet[int]) -> Part:
        """Returns the part without the rows at these places of the block."""
        kept = [place for place in self.places if place not in dead]
        return self if len(kept) == self.rows else Part(self.month, kept, self._source)


@dataclass(frozen=True, slots=True)
class Block:
    """Holds the rows of one shard's entries behind `from_id` up to and including `to_id`, as columns by month.

    `bytes` are those of the entries as they lie in Redis.
    `dropped` counts the values of columns that a newer release put into the entries and that this one does not know: one
    for each row and column.
    """

    name: BlockName
    rows: int
    bytes: int
    parts: tuple[Part, ...]
    dropped: int = 0

    @property
    def id(self) -> str:
        """Returns its name as ClickHouse has it."""
        return str(self.name)

    def without(self, dead: AbstractSet[int]) -> Block:
        """Returns the block without the rows at these places, and without months that are empty then."""
        parts = tuple(left for part in self.parts if (left := part.without(dead)).rows)
        return replace(self, parts=parts, rows=sum(part.rows for part in parts))

    def sites(self) -> dict[str, int]:
        """Counts the rows by site."""
        counts: Counter[str] = Counter()
        for part in self.parts:
            counts.update(part.sites())
        return dict(counts)


class Cutter:
    """Decides how many waiting entries make the next block."""

    def __init__(self, limits: BlockLimits) -> None:
        self._limits = limits
        self._stretch = 1
        self._oldest: EntryId | None = None
        self._seen_ms = 0

    def ready(self, entries: Sequence[EntryLike], now_ms: int, *, drain: bool = False) -> int:
        """Returns how many of these entries to cut into a block now; 0 means to wait.

        A full block is cut at once, a smaller one when its oldest entry is old enough. The age that is asked for grows
        from block to block while they stay tiny, and falls as they do not. With `drain` nothing waits.
        """
        if not entries:
            self._stretch = 1
            return 0
        if count := self.full(entries):
            self._stretch = 1
            return count
        rows = sum(entry.rows for entry in entries)
        if not drain and self._age_ms(entries[0].id, now_ms) < self._asked_ms(rows):
            return 0
        if rows < TINY_ROWS:
            self._stretch = min(AGE_STRETCH, self._stretch + 1)
        else:
            self._stretch = max(1, self._stretch - 1) if rows < SMALL_ROWS else 1
        return len(entries)

    def full(self, entries: Sequence[EntryLike]) -> int:
        """Returns how many of these entries make a full block; 0 when all of them do not."""
        rows = size = 0
        for count, entry in enumerate(entries):
            rows += entry.rows
            size += weight_of(entry.data)
            if count and (rows > self._limits.rows_max or size > self._limits.bytes_max):
                return count
        # A block that is exactly full: no more is read ahead behind it, so there is nothing to wait for.
        return len(entries) if rows >= self._limits.rows_max or size >= self._limits.bytes_max else 0

    def wait_ms(self, entries: Sequence[EntryLike], now_ms: int) -> int:
        """Returns the milliseconds until the oldest of these entries is old enough to be cut."""
        return max(0, self._asked_ms(sum(entry.rows for entry in entries)) - self._age_ms(entries[0].id, now_ms))

    def _asked_ms(self, rows: int) -> int:
        """Returns how old the oldest entry has to be for a block of so many rows."""
        stretch = self._stretch if rows < TINY_ROWS else SMALL_STRETCH if rows < SMALL_ROWS else 1
        return int(self._limits.age_ms * stretch)

    def _age_ms(self, oldest: EntryId, now_ms: int) -> int:
        """Returns for how long the entry has waited: by the date in its id, but at least since it was first seen here.

        Redis's clock may be set back, and an entry that is dated ten minutes ahead must not wait for ten minutes.
        """
        if oldest != self._oldest or now_ms < self._seen_ms:
            self._oldest, self._seen_ms = oldest, now_ms
        return now_ms - min(self._seen_ms, oldest.ms)


class Prepared:
    """Holds the decoded and encoded rows of some entries, all but their sessions, which depend on earlier blocks.

    Lists are by ordinal. They are the only values that are still Python objects; all others are encoded bytes.
    `befores` are the visitors on the other side of the site's midnight, `given` the session ids that an SDK owns (0 for none).
    """

    __slots__ = (
        *("befores", "bytes", "dropped", "entries", "event_ids", "given", "months"),
        *("places", "received_at", "sites", "to_id", "ts", "visitors"),
    )

    def __init__(self, entries: Sequence[EntryLike]) -> None:
        self.entries = entries
        self.to_id = entries[-1].id
        self.bytes = sum(len(entry.data) for entry in entries)
        self.dropped = 0
        self.places: Sequence[int] = ()
        self.sites: list[str] = []
        self.event_ids: list[str] = []
        self.received_at = array("q")  # 8 B a number; in a list it would take 40
        self.ts = array("q")
        self.visitors = array("Q")
        self.befores = array("Q")
        self.given = array("Q")
        # By month: its columns, and the ordinals of its rows in as many sequences as there were runs.
        self.months: dict[int, tuple[native_format.Columns, list[Sequence[int]]]] = {}

    @property
    def is_encodable(self) -> bool:
        """Tells whether every row can be sent to ClickHouse."""
        return not any(columns.failure for columns, _ in self.months.values())


def prepare(entries: Sequence[EntryLike], left_out: AbstractSet[int] = frozenset()) -> Prepared:
    """Decodes entries and encodes their columns: the larger half of forming a block. It may run in a thread.

    `left_out` are the places of rows that are not in the block. Raises entry.UnknownVersion, entry.Damaged, or
    ShapeChanged when an entry holds another number of rows than is recorded beside it.
    """
    prepared = Prepared(entries)
    places: list[int] = []
    run: list[list[Any]] = [[] for _ in COLUMNS]
    start = 0
    for entry in entries:
        if entry.fault:
            raise Damaged(f"entry {entry.id}: {entry.fault}")
        columns = whole(entry.data)
        rows = len(columns[0])
        unknown = len(columns) - len(COLUMNS)
        del columns[len(COLUMNS) :]
        if rows != entry.rows:
            raise ShapeChanged(f"entry {entry.id} holds {rows} rows, it says {entry.rows}")
        kept: Sequence[int] = range(rows)
        if left_out and not left_out.isdisjoint(range(start, start + rows)):
            kept = [index for index in kept if start + index not in left_out]
            columns = [[column[index] for index in kept] for column in columns]
        if left_out:
            places.extend([start + index for index in kept])
        prepared.dropped += unknown * len(kept)
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
    """Adds a run of rows to the columns of their months, and to the lists by which sessions are assigned."""
    ts = run[INDEX["ts"]]
    first_ordinal = len(prepared.ts)
    try:
        prepared.ts.extend(ts)
        prepared.received_at.extend(run[INDEX["received_at"]])
        prepared.visitors.extend(run[INDEX["visitor_id"]])
        prepared.befores.extend(run[INDEX["visitor_before"]])
        prepared.given.extend(run[INDEX["session_id"]])
        same: dict[str, str] = {}
        prepared.sites += [same.setdefault(site, site) for site in run[INDEX["site"]]]
        prepared.event_ids += run[INDEX["event_id"]]
        "".join(same), "".join(run[INDEX["event_id"]])  # raises TypeError where one of them is no text
        months = months_of(ts)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise Damaged(f"a time, a site, an id or a visitor is out of bounds or of another type: {error}") from error
    if len(months) == 1:
        _add(prepared, months[0], run, range(first_ordinal, first_ordinal + len(ts)))
        return
    by_month: dict[int, list[int]] = {month: [] for month in months}
    for index, moment in enumerate(ts):
        by_month[month_of(moment)].append(index)
    for month, indexes in by_month.items():
        columns = [[column[index] for index in indexes] for column in run]
        _add(prepared, month, columns, [first_ordinal + index for index in indexes])


def _add(prepared: Prepared, month: int, columns: Sequence[Sequence[Any]], ordinals: Sequence[int]) -> None:
    """Adds rows to the columns of a month."""
    encoded, runs = prepared.months.setdefault(month, (native_format.Columns(TYPES), []))
    for name in SETTLED:
        encoded.extend(name, columns[INDEX[name]])
    runs.append(ordinals)


def form(
    prepared: Prepared,
    *,
    incarnation: str,
    shard: int,
    from_id: EntryId,
    sessions: Sessions,
    left_out: AbstractSet[int] = frozenset(),
) -> Block:
    """Returns the block of entries that were prepared with nothing left out, and uses the preparation up.

    `sessions` must hold what earlier blocks left; this block's sessions are added to it. `left_out` are the places of
    rows that are not in the block and take no part in sessions; with any, the entries are prepared anew without them.
    """
    ready = prepare(prepared.entries, left_out) if left_out else prepared
    assigned = sessions.assign(ready.visitors, ready.befores, ready.given, ready.ts, ready.to_id.ms)
    rows = Rows(ready.entries, ready.places, array("Q", assigned))
    parts = []
    for month, (encoded, runs) in sorted(ready.months.items()):
        ordinals = _joined(runs)
        ids = assigned if len(ordinals) == len(assigned) else [assigned[one] for one in ordinals]
        encoded.extend("session_id", ids)
        places = ordinals if ready.places == range(len(ready.ts)) else [ready.places[ordinal] for ordinal in ordinals]
        parts.append(Part(month, places, rows, encoded))
    return Block(
        name=BlockName(incarnation, shard, from_id, ready.to_id),
        rows=len(ready.ts),
        bytes=ready.bytes,
        parts=tuple(parts),
        dropped=ready.dropped,
    )


def _joined(runs: Sequence[Sequence[int]]) -> Sequence[int]:
    """Returns ascending ordinals as one sequence: as a range where none between the first and the last is missing."""
    first, final, rows = runs[0][0], runs[-1][-1], sum(map(len, runs))
    return range(first, final + 1) if rows == final + 1 - first else list(chain.from_iterable(runs))
