"""Looks whether a shard's books balance, while it is served (docs/delivery.md, rule 12).

It looks at once, and then every minute: the events that were accepted must be stored, copies, dead or erased.
`accepted` is moved by the append script itself, in the step that appends. A minute is compared once `stored` has
passed every entry that was there when the totals were read. What is stored is asked of ClickHouse each time and never
remembered, because counting what entries say on both sides would balance even when an entry vanished (I7).

Minutes are those of receipt, by the clocks of ingest, which may be far from this one. So the minutes that are compared
are those whose totals changed within the last half hour of this process's clock (at the first look, the newest ones)
and the last half hour of Redis's clock. A total that changes while it is looked at is left for the next look.

Not promised: minutes whose totals changed longer ago. `forebay audit` looks at all that Redis remembers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

import msgspec

from flusher.delivery.verify import Asks
from flusher.metrics import Metrics
from flusher.redis.lease import Lease
from runtime.work import in_thread
from schemas.ledger import KEPT_MINUTES, Erased, Gap, Key, folded, gaps, unsure
from schemas.names import EntryId, of_stream
from schemas.row import INDEX, MINUTE_MS
from schemas.sql import STORED_BY_MINUTE

LOOK_SECONDS = 60
GAPS_SAID_MAX = 20  # in one look: a minute of invented sites can have 100 000; `forebay audit` names them all
WINDOW_SECONDS = 30 * 60
WINDOW_MINUTES = 30
STRETCH_MINUTES = 60  # minutes that lie further apart are asked for separately, as there is much to read in between
log = logging.getLogger(__name__)
RECEIVED, SITE = INDEX["received_at"], INDEX["site"]


class Stream(Protocol):
    """Reads the totals that Redis keeps of a shard. Every method raises lease.Unclear."""

    async def secure(self, lease: Lease, from_id: EntryId) -> None:
        """Raises reading.Moved, or lease.Unclear or LeaseLost, where another Redis answers than the one that was read."""

    async def accepted(self, shard: int) -> tuple[dict[Key, int], EntryId]:
        """Returns the accepted events by minute and site, and an entry at or behind the last of them."""

    async def duplicates(self, shard: int) -> dict[Key, int]:
        """Returns the copies that were left out, by minute and site."""

    async def erased(self, shard: int) -> Erased:
        """Returns the erased events by minute and site, and those of them that ClickHouse may still hold."""

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Deletes totals that nobody will ask for again."""

    async def dead_rows(self, shard: int) -> list[bytes]:
        """Returns the rows of the dead letters, as msgpack in the order of COLUMNS."""

    async def set_aside_rows(self, shard: int) -> dict[Key, int]:
        """Returns the rows of entries that were set aside, by minute and site, as far as they could be read."""


class Ledger:
    """Looks at one shard's books for as long as a lease holds."""

    def __init__(
        self, lease: Lease, *, stream: Stream, table: Asks, metrics: Metrics, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._lease = lease
        self._stream = stream
        self._table = table
        self._metrics = metrics
        self._look_seconds = look_seconds
        self._due = asyncio.get_running_loop().time()  # at once, as a flusher that died may have left a gap
        self._before: dict[Key, int] = {}
        self._upto_id: EntryId | None = None
        self._moved = Moved()
        self._said: set[Gap] = set()  # findings that were logged: the metric stays, the log does not repeat them
        self._erased: dict[Key, int] | None = None

    def begin_again(self) -> None:
        """Forgets the totals that were read and not compared yet, because Redis failed over meanwhile."""
        self._upto_id = None

    async def look(
        self, stored: EntryId, now_ms: int, *, confirm: Callable[[], Awaitable[None]] | None = None
    ) -> int | None:
        """Returns the number of events by which the books are off, or None if a look is not due or not possible yet.

        `stored` is the edge up to which everything is stored, `now_ms` the time of Redis's clock. `confirm` is called
        before a finding is believed. Raises lease.Unclear, table.Unclear and what `confirm` raises.
        """
        now = asyncio.get_running_loop().time()
        if self._upto_id is None:
            if now < self._due:
                return None
            self._before, self._upto_id = await self._stream.accepted(self._lease.shard)
            self._due = now + self._look_seconds
        if stored < self._upto_id:
            return None
        self._upto_id = None
        await in_thread(self._moved.see, self._before, now)
        faults = await self._compare(now_ms // MINUTE_MS)
        if faults and confirm is not None:
            await confirm()  # rows that ClickHouse lost by a power cut are delivered again: they are no finding
        if faults:  # nor is what a Redis that failed over meanwhile had not heard of (rule 17)
            await self._stream.secure(self._lease, stored)
        new = [gap for gap in faults if gap not in self._said]
        for gap in new[:GAPS_SAID_MAX]:
            log.critical("shard %d: the books of minute %d, site %s are off: %s", self._lease.shard, *gap[:2], gap)
        if len(new) > GAPS_SAID_MAX:
            left = sum(abs(gap.missing) for gap in new[GAPS_SAID_MAX:])
            log.critical("shard %d: and %d more, of %d events", self._lease.shard, len(new) - GAPS_SAID_MAX, left)
        self._said = set(faults)
        return sum(abs(gap.missing) for gap in faults)

    async def _compare(self, minute: int) -> list[Gap]:
        """Compares the minutes that changed lately, and the half hour before this minute of Redis's clock.

        That half hour is compared because it may hold rows that nobody accepted. Everything that was accepted when the
        totals were read is stored by now.
        """
        shard, minutes = self._lease.shard, self._moved.minutes | set(range(minute - WINDOW_MINUTES, minute))
        before = _of(self._before, minutes)
        erased_before = await self._stream.erased(shard)
        stored = await self._stored(minutes, folded(before))
        dead = _of(await in_thread(count_dead, await self._stream.dead_rows(shard)), minutes)
        aside = _of(await self._stream.set_aside_rows(shard), minutes)
        duplicates = _of(await self._stream.duplicates(shard), minutes)
        # After the dead letters, so that one that was erased meanwhile is counted here.
        erased = await self._stream.erased(shard)
        self._count(erased.counts)
        after, _ = await self._stream.accepted(shard)
        newest = min(minute, max((key[0] for key in after), default=minute))  # either clock may be ahead
        old = [key for key in after if key[0] < newest - KEPT_MINUTES]
        if old:
            await self._stream.forget(shard, old)
        return await in_thread(
            lambda: gaps(
                before,
                _of(after, minutes),
                stored,
                duplicates,
                dead,
                aside,
                _of(erased.counts, minutes),
                leaving=_of(unsure(erased_before, erased), minutes),
            )
        )

    async def _stored(self, minutes: AbstractSet[int], whole: AbstractSet[int]) -> dict[Key, int]:
        """Counts the rows that ClickHouse holds of these minutes, by minute and site; `whole` ones by minute alone."""
        stored: dict[Key, int] = {}
        for since, upto in stretches(minutes):
            rows = await self._table.ask(
                STORED_BY_MINUTE,
                {
                    "since": since * MINUTE_MS,
                    "upto": upto * MINUTE_MS,
                    **of_stream(self._lease.incarnation, self._lease.shard),
                    "folded": sorted(whole),
                },
            )
            stored |= await in_thread(_by_key, rows)
        return _of(stored, minutes)

    def _count(self, erased: dict[Key, int]) -> None:
        """Counts in metrics what was erased since the last look, by a flusher or by a command."""
        if self._erased is not None:
            more: Counter[str] = Counter()
            for key, events in erased.items():
                more[key[1]] += max(0, events - self._erased.get(key, 0))
            self._metrics.erased(+more)
        self._erased = erased


def _by_key(rows: Iterable[tuple[Any, ...]]) -> dict[Key, int]:
    return {(int(minute), str(site)): int(held) for minute, site, held in rows}


def count_dead(rows: list[bytes]) -> dict[Key, int]:
    """Counts dead letters by minute and site. A letter that can't be read is logged and not counted."""
    counts: dict[Key, int] = {}
    for row in rows:
        try:
            columns: list[Any] = msgspec.msgpack.decode(row, type=list[Any])
            key = int(columns[RECEIVED]) // MINUTE_MS, str(columns[SITE])
        except (msgspec.MsgspecError, IndexError, TypeError, ValueError) as error:
            log.error("a dead letter can't be read: %s", error)  # noqa: TRY400  the trace says no more
            continue
        counts[key] = counts.get(key, 0) + 1
    return counts


class Moved:
    """Remembers the minutes whose totals changed lately, by this process's clock."""

    def __init__(self) -> None:
        self._totals: dict[Key, int] = {}
        self._at: dict[int, float] | None = None

    @property
    def minutes(self) -> AbstractSet[int]:
        """Returns the minutes whose totals changed within the last half hour; after the first look, the newest ones."""
        return (self._at or {}).keys()

    def see(self, totals: Mapping[Key, int], now: float) -> None:
        """Notes the totals as they are at `now`, in seconds of the event loop's clock."""
        moved = {key[0] for key, count in totals.items() if self._totals.get(key) != count}
        if self._at is None:
            self._at = {}
            moved = set(sorted(moved)[-WINDOW_MINUTES:])
        self._at |= dict.fromkeys(moved, now)
        self._at = {minute: at for minute, at in self._at.items() if now - at <= WINDOW_SECONDS}
        self._totals = dict(totals)


def stretches(minutes: Iterable[int]) -> list[tuple[int, int]]:
    """Returns stretches [since, upto) that cover all of these minutes and few others."""
    found: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if found and minute - found[-1][1] < STRETCH_MINUTES:
            found[-1] = found[-1][0], minute + 1
        else:
            found.append((minute, minute + 1))
    return found


def _of(counts: Mapping[Key, int], minutes: AbstractSet[int]) -> dict[Key, int]:
    return {key: count for key, count in counts.items() if key[0] in minutes}
