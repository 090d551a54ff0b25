"""Whether a shard's books balance, looked at while it runs.

At once, then every minute: the totals of `accepted` (moved by the append script itself) against the rows
that ClickHouse holds of this stream, the copies that were left out, the dead letters and what was erased, once
`stored` has passed every entry that was there when the totals were read. What ClickHouse counts is asked of ClickHouse, not remembered:
counting what entries say on both sides would balance even when an entry vanished (I7).

Minutes are those of ingest's clocks, whatever they say and however far they are from any other: compared are those
that moved within the last half hour of this process, at first the newest, and those before now of Redis's clock. What moves while it is
looked at is left for the next look.

Not promised: minutes that moved longer ago. `forebay audit` looks at all that Redis remembers.
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
from schemas.entry import block_shard, entry_order
from schemas.ledger import KEPT_MINUTES, Erased, Gap, Key, folded, gaps, unsure
from schemas.row import INDEX, MINUTE_MS
from schemas.sql import STORED_BY_MINUTE

LOOK_SECONDS = 60
GAPS_SAID_MAX = 20  # of one look: a minute of invented sites has a hundred thousand; `forebay audit` names them all
WINDOW_SECONDS = 30 * 60
WINDOW_MINUTES = 30
STRETCH_MINUTES = 60  # minutes that are further apart are asked for one by one: what lies between is much to read
log = logging.getLogger(__name__)
RECEIVED, SITE = INDEX["received_at"], INDEX["site"]


class Stream(Protocol):
    """What Redis remembers of a shard. All raise lease.Unclear."""

    async def accepted(self, shard: int) -> tuple[dict[Key, int], str]:
        """Events by minute and site, and the last entry appended, of one moment."""

    async def duplicates(self, shard: int) -> dict[Key, int]:
        """Copies that were left out, by minute and site."""

    async def erased(self, shard: int) -> Erased:
        """What was erased, by minute and site."""

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Drop totals that nobody will ask for again."""

    async def dead_rows(self, shard: int) -> list[bytes]:
        """The dead letters' rows."""

    async def set_aside_rows(self, shard: int) -> dict[Key, int]:
        """Rows of entries that were set aside, by minute and site, as far as they could be read."""


class Ledger:
    """Looks at one shard's books for as long as a lease holds."""

    def __init__(self, lease: Lease, *, stream: Stream, table: Asks, metrics: Metrics) -> None:
        self._lease = lease
        self._stream = stream
        self._table = table
        self._metrics = metrics
        self._due = asyncio.get_running_loop().time()  # at once: what a flusher that died left behind shows now
        self._before: dict[Key, int] = {}
        self._upto_id: str | None = None
        self._moved = Moved()
        self._said: set[Gap] = set()  # each finding once: the metric stays, the log does not repeat it
        self._erased: dict[Key, int] | None = None

    async def look(
        self, stored: str, now_ms: int, *, confirm: Callable[[], Awaitable[None]] | None = None
    ) -> int | None:
        """Events by which the books are off, or None: not due, or not all of it is stored yet.

        `stored` is the last entry that ClickHouse holds. Raises lease.Unclear, table.Unclear and what `confirm` does.
        """
        now = asyncio.get_running_loop().time()
        if self._upto_id is None:
            if now < self._due:
                return None
            self._before, self._upto_id = await self._stream.accepted(self._lease.shard)
            self._due = now + LOOK_SECONDS
        if entry_order(stored) < entry_order(self._upto_id):
            return None
        self._upto_id = None
        await in_thread(self._moved.see, self._before, now)
        faults = await self._compare(now_ms // MINUTE_MS)
        if faults and confirm is not None:
            await confirm()  # a ClickHouse that lost rows gets them again: that is no finding
        new = [gap for gap in faults if gap not in self._said]
        for gap in new[:GAPS_SAID_MAX]:
            log.critical("shard %d: the books of minute %d, site %s are off: %s", self._lease.shard, *gap[:2], gap)
        if len(new) > GAPS_SAID_MAX:
            left = sum(abs(gap.missing) for gap in new[GAPS_SAID_MAX:])
            log.critical("shard %d: and %d more, of %d events", self._lease.shard, len(new) - GAPS_SAID_MAX, left)
        self._said = set(faults)
        return sum(abs(gap.missing) for gap in faults)

    async def _compare(self, minute: int) -> list[Gap]:
        """Compares what moved lately, and the half hour before this minute of Redis's clock: in it may be rows that
        nobody accepted. All that was accepted when we read it is stored by now.
        """
        shard, minutes = self._lease.shard, self._moved.minutes | set(range(minute - WINDOW_MINUTES, minute))
        before = _of(self._before, minutes)
        erased_before = await self._stream.erased(shard)
        stored = await self._stored(minutes, folded(before))
        dead = _of(await in_thread(count_dead, await self._stream.dead_rows(shard)), minutes)
        aside = _of(await self._stream.set_aside_rows(shard), minutes)
        duplicates = _of(await self._stream.duplicates(shard), minutes)
        erased = await self._stream.erased(shard)  # after the dead letters: one that went meanwhile is here too
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
        """What ClickHouse holds of these minutes, by minute and site; those of `whole` without their sites."""
        stored: dict[Key, int] = {}
        for since, upto in stretches(minutes):
            rows = await self._table.ask(
                STORED_BY_MINUTE,
                {
                    "since": since * MINUTE_MS,
                    "upto": upto * MINUTE_MS,
                    "incarnation": self._lease.incarnation + ":",
                    "shard": block_shard(self._lease.shard),
                    "folded": sorted(whole),
                },
            )
            stored |= await in_thread(_by_key, rows)
        return _of(stored, minutes)

    def _count(self, erased: dict[Key, int]) -> None:
        """Counts what was erased since the last look, by whomever: a flusher, a command."""
        if self._erased is not None:
            more: Counter[str] = Counter()
            for key, events in erased.items():
                more[key[1]] += max(0, events - self._erased.get(key, 0))
            self._metrics.erased(+more)
        self._erased = erased


def _by_key(rows: Iterable[tuple[Any, ...]]) -> dict[Key, int]:
    return {(int(minute), str(site)): int(held) for minute, site, held in rows}


def count_dead(rows: list[bytes]) -> dict[Key, int]:
    """Dead letters by minute and site; what is no letter of ours is none."""
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
    """Minutes whose totals moved lately, on this process's clock."""

    def __init__(self) -> None:
        self._totals: dict[Key, int] = {}
        self._at: dict[int, float] | None = None

    @property
    def minutes(self) -> AbstractSet[int]:
        """Those of the last half hour; after the first look the newest."""
        return (self._at or {}).keys()

    def see(self, totals: Mapping[Key, int], now: float) -> None:
        """Notes the totals as they are at a moment, in seconds of the event loop's clock."""
        moved = {key[0] for key, count in totals.items() if self._totals.get(key) != count}
        if self._at is None:
            self._at = {}
            moved = set(sorted(moved)[-WINDOW_MINUTES:])
        self._at |= dict.fromkeys(moved, now)
        self._at = {minute: at for minute, at in self._at.items() if now - at <= WINDOW_SECONDS}
        self._totals = dict(totals)


def stretches(minutes: Iterable[int]) -> list[tuple[int, int]]:
    """Returns stretches [since, upto) that hold all of these minutes, and little else."""
    found: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if found and minute - found[-1][1] < STRETCH_MINUTES:
            found[-1] = found[-1][0], minute + 1
        else:
            found.append((minute, minute + 1))
    return found


def _of(counts: Mapping[Key, int], minutes: AbstractSet[int]) -> dict[Key, int]:
    return {key: count for key, count in counts.items() if key[0] in minutes}
