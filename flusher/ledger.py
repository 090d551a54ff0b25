"""Whether a shard's books balance, looked at while it runs.

At once, then every minute: the totals of `accepted` (moved by the append script itself) against the rows
that ClickHouse holds of this stream, the copies that were left out and the dead letters, for minutes that are over, once
`stored` has passed every entry that was there when the totals were read. What ClickHouse counts is asked of ClickHouse, not remembered:
counting what entries say on both sides would balance even when an entry vanished (I7).

Not promised: minutes older than the window. `forebay audit` looks at all that Redis remembers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from flusher.lease import Lease
from flusher.verify import Asks
from schemas.entry import block_shard, entry_order
from schemas.ledger import Gap, Key, folded, gaps
from schemas.row import INDEX, MINUTE_MS

LOOK_SECONDS = 60
WINDOW_MINUTES = 30
KEPT_MINUTES = 26 * 60  # what `forebay audit` can look back on: a day, and two hours to notice
log = logging.getLogger(__name__)
RECEIVED, SITE = INDEX["received_at"], INDEX["site"]
STORED = """
SELECT toInt64(intDiv(toUnixTimestamp(received_at), 60)) AS minute,
  if(has({folded:Array(Int64)}, minute), '(other)', toString(site)) AS site, count() AS held
FROM forebay.events
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({upto:Int64})
  AND startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})
GROUP BY minute, site
"""


class Totals(Protocol):
    """What Redis remembers of a shard. All raise lease.Unclear."""

    async def accepted(self, shard: int) -> tuple[dict[Key, int], str]:
        """Events by minute and site, and the last entry appended, of one moment."""

    async def duplicates(self, shard: int) -> dict[Key, int]:
        """Copies that were left out, by minute and site."""

    async def forget(self, shard: int, keys: Sequence[Key]) -> None:
        """Drop totals that nobody will ask for again."""

    async def dead_rows(self, shard: int) -> list[bytes]:
        """The dead letters' rows."""


class Ledger:
    """Looks at one shard's books for as long as a lease holds."""

    def __init__(self, lease: Lease, *, totals: Totals, asks: Asks) -> None:
        self._lease = lease
        self._totals = totals
        self._asks = asks
        self._due = asyncio.get_running_loop().time()  # at once: what a flusher that died left behind shows now
        self._before: dict[Key, int] = {}
        self._upto_id: str | None = None

    async def look(self, stored: str, now_ms: int) -> int | None:
        """Events by which the books are off, or None: not due, or not all of it is stored yet.

        `stored` is the last entry that ClickHouse holds. Raises lease.Unclear or table.Unclear.
        """
        now = asyncio.get_running_loop().time()
        if self._upto_id is None:
            if now < self._due:
                return None
            self._before, self._upto_id = await self._totals.accepted(self._lease.shard)
            self._due = now + LOOK_SECONDS
        if entry_order(stored) < entry_order(self._upto_id):
            return None
        self._upto_id = None
        faults = await self._compare(now_ms // MINUTE_MS)
        for gap in faults:
            log.critical("shard %d: the books of minute %d, site %s are off: %s", self._lease.shard, *gap[:2], gap)
        return sum(abs(gap.missing) for gap in faults)

    async def _compare(self, minute: int) -> list[Gap]:
        """Minutes of the window that are over. All that was accepted when we read it is stored by now."""
        shard, since = self._lease.shard, minute - WINDOW_MINUTES
        before = _within(self._before, since, minute)
        rows = await self._asks.ask(
            STORED,
            {
                "since": since * MINUTE_MS,
                "upto": minute * MINUTE_MS,
                "incarnation": self._lease.incarnation + ":",
                "shard": block_shard(shard),
                "folded": sorted(folded(before)),
            },
        )
        stored = {(int(minute), str(site)): int(held) for minute, site, held in rows}
        dead = _within(count_dead(await self._totals.dead_rows(shard)), since, minute)
        duplicates = _within(await self._totals.duplicates(shard), since, minute)
        after, _ = await self._totals.accepted(shard)
        old = [key for key in after if key[0] < minute - KEPT_MINUTES]
        if old:
            await self._totals.forget(shard, old)
        return gaps(before, _within(after, since, minute), stored, duplicates, dead)


def count_dead(rows: list[bytes]) -> dict[Key, int]:
    """Dead letters by minute and site."""
    counts: dict[Key, int] = {}
    for row in rows:
        columns: list[Any] = msgspec.msgpack.decode(row)
        key = columns[RECEIVED] // MINUTE_MS, columns[SITE]
        counts[key] = counts.get(key, 0) + 1
    return counts


def _within(counts: dict[Key, int], since: int, upto: int) -> dict[Key, int]:
    return {key: count for key, count in counts.items() if since <= key[0] < upto}
