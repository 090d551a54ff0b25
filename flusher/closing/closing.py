"""Copies the visits of days that are over, while this flusher serves the first shard.

    due      days without a true copy: rows were added, changed or deleted, or nobody has copied them yet
    copy     INSERT … SELECT of as many days and sites of one zone as fit, under a number of its own
    acts     what visitors did in these visits, and sums of that
    sums     sums of the copy, by each set of columns that questions read together
    repeats  visitors whom the site has on another day too
    note     only if the rows are still those of before, and the copy holds all of them. Without a note a copy does not count
    again    if the copy lost rows while it was noted, because somebody deleted them, the note is withdrawn
    sweep    deletes copies that do not count, notes of copies that have no rows, and repeats whom no copy has any more

Everything may be done again by anybody at any time: a copy that was cut off has no note, two copies of the same rows are equal, and of
these the later one counts. So nothing is lost where a flusher dies, and two that copy at once do work twice and nothing wrong.

Whoever deletes rows of a copy, as the sweep and an erasure do, deletes its note before and after. So a note that is written meanwhile is
either deleted, or written when the rows are gone already, and then `again` withdraws it. Should all of that be cut off, a note without
rows is there, by which a day has no visits: such a day is due, and the note is swept.

A day whose rows go on changing is copied more and more rarely, because late events may come all day long.

Not promised: that a day is copied soon, or at all. Until it is, its visits are read from rows.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from flusher.closing import statements
from flusher.delivery.table import Unclear
from schemas.closed import DAY_SPAN
from schemas.sql import literal

log = logging.getLogger(__name__)
LOOK_SECONDS = 60.0
WAIT_SECONDS = 5.0  # between two looks whether the first shard is ours by now
STATEMENT_SECONDS = 900.0  # copying a day may take long beside everything else, and nobody waits for it
REST_SECONDS = 0.05  # between two copies, so that blocks find the engine free
OVER_SECONDS = 3_600  # so long after its end a day counts as over: visits go on, and events come late
# One INSERT … SELECT groups so many rows at most. Of a visit it takes 1.5 kB of memory, and one has five events.
ROWS_MAX = 400_000
DAYS_MAX = 500  # of sites, in one copy: their names are sent with each statement
DAY_ROWS_MAX = 20_000_000  # a larger day of one site is not copied: its visitors alone take gigabytes
AGAIN_SECONDS_MAX = 3_600
SWEEP_SECONDS = 600
STALE_SECONDS = 600  # a copy that was begun so long ago is hardly still being made; if it is, it is made again
# It waits for all that is stored and asked (the higher number does), a tenth of a second before each block of rows.
SETTINGS: Mapping[str, Any] = {
    "max_threads": 1,
    "max_insert_threads": 1,
    "priority": (1 << 63) - 1,
    "low_priority_query_wait_time_ms": 100,
    "async_insert": 0,
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,
}
# A copy's number: the unix milliseconds at which it was begun, a random number, and 16 bits for the day.
MOMENT_SHIFT, CHANCE_BITS, DAY_BITS = 23, 7, 16


class Store(Protocol):
    """Asks ClickHouse and writes there: delivery.table.Table. Both raise Unclear."""

    async def ask(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]: ...
    async def run(self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> None: ...


class Zones(NamedTuple):
    """Holds the names of the time zones of sites, and that of all others."""

    of_sites: Mapping[str, str]
    of_others: str


class Due(NamedTuple):
    """Holds a day of one site that has no true copy: its number since 1970, its rows and their fingerprint."""

    site: str
    day: int
    zone: str
    events: int
    made_of: int

    @property
    def key(self) -> tuple[str, int]:
        return self.site, self.day


class Held(NamedTuple):
    """Holds how many events a copy has of a day, and 1 if all acts are among them."""

    events: int
    has_acts: int


class Copy(NamedTuple):
    """Names a copy of a day of one site."""

    site: str
    day: int
    number: int


class Closing:
    """Copies days, while `is_mine` says that this flusher is the one that does it.

    `connect` opens the connection to ClickHouse, and raises Unclear. `zones` reads the sites' time zones.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        *,
        zones: Callable[[], Awaitable[Zones]],
        is_mine: Callable[[], bool],
        copied: Callable[[int], None] = lambda rows: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._connect = connect
        self._connected: Store | None = None
        self._zones = zones
        self._is_mine = is_mine
        self._copied = copied
        self._now = now
        # How often a day was copied, and when it may be again.
        self._tries: dict[tuple[str, int], tuple[int, float]] = {}
        self._swept_at = 0.0
        self._stale: set[Copy] = set()  # found at the last sweep, whose notes are deleted
        self._failures = 0  # rounds in a row

    async def _table(self) -> Store:
        if self._connected is None:
            self._connected = await asyncio.to_thread(self._connect)
        return self._connected

    async def _run(self, sql: str, given: Mapping[str, Any], **settings: Any) -> None:
        await (await self._table()).run(filled(sql, given), {}, {**SETTINGS, **settings})

    async def run(self) -> None:
        """Looks every LOOK_SECONDS, until cancelled."""
        while True:
            if self._is_mine():
                try:
                    await self.round()
                    self._failures = 0
                except Unclear as error:
                    self._failures += 1
                    if self._failures == 2:  # the first may be of a first start, which makes the tables meanwhile
                        log.warning("visits of closed days are not copied now: %s", error)
                except Exception:  # the outermost loop: storing goes on, whatever this met
                    log.exception("visits of closed days are not copied: an error that nobody foresaw")
            await asyncio.sleep(LOOK_SECONDS if self._is_mine() else WAIT_SECONDS)

    async def round(self) -> int:
        """Copies all days that are due, and sweeps. Returns how many days of sites were copied. Raises Unclear."""
        found = await self.due()
        count = 0
        for batch in batches(found):
            if not self._is_mine():
                return count
            count += await self.close(batch)
            await self._sweep_in_time()
            await asyncio.sleep(REST_SECONDS)
        await self._sweep_in_time()
        return count

    async def _sweep_in_time(self) -> None:
        if self._now() >= self._swept_at + SWEEP_SECONDS:
            self._swept_at = self._now()
            await self.sweep(before=self._now() - STALE_SECONDS)

    async def due(self) -> list[Due]:
        """Returns the days that may be copied now, the last ones first. Raises Unclear."""
        zones, now = await self._zones(), self._now()
        sites = list(zones.of_sites)
        parameters = {
            "sites": ["", *sites],
            "zones": [zones.of_others, *(zones.of_sites[site] for site in sites)],
            "zone": zones.of_others,
            "today": int(now - OVER_SECONDS) // 86_400,
        }
        found = [
            Due(str(site), int(day), str(zone), int(events), int(made_of))
            for site, day, zone, events, made_of in await (await self._table()).ask(statements.DUE, parameters)
        ]
        return [one for one in found if one.events <= DAY_ROWS_MAX and self._tries.get(one.key, (0, 0.0))[1] <= now]

    async def close(self, batch: Sequence[Due]) -> int:
        """Copies days of sites in one zone, and notes them. Returns how many of them are noted. Raises Unclear."""
        copy = int(self._now() * 1000) << MOMENT_SHIFT | secrets.randbits(CHANCE_BITS) << DAY_BITS
        given = _pairs(batch) | {"copy": copy, "zone": batch[0].zone}
        lists = (await (await self._table()).ask(statements.NOW_LISTS, {}))[0][0]
        first, end = (edge * DAY_SPAN for edge in (min(given["days"]), max(given["days"]) + 1))
        pieces = -(-sum(one.events for one in batch) // ROWS_MAX)
        for piece in range(pieces):
            edges = [first + (end - first) * at // pieces for at in (piece, piece + 1)]
            more = {"first": first, "end": end, "from": edges[0], "upto": edges[1]}
            await self._run(statements.COPY, given | more)
            await self._run(statements.ACTS, given | more)
        for piece in range(pieces):
            await self._run(statements.ACT_SUMS, given | {"pieces": pieces, "piece": piece})
        for sql in (statements.SUMS, statements.REPEATS, statements.ACT_REPEATS):
            await self._run(sql, given)
        made_of = {
            tuple(key): found for *key, found in await (await self._table()).ask(statements.NOW_MADE_OF, _pairs(batch))
        }
        copied = await self._held(given)
        is_named_alike = (await (await self._table()).ask(statements.NOW_LISTS, {}))[0][0] == lists
        whole = [
            one for one in batch if is_named_alike and made_of.get(one.key) == one.made_of and _is_whole(one, copied)
        ]
        for one in batch:
            self._count(one)
        if whole:
            noted = _pairs(whole) | {
                "made_of": [one.made_of for one in whole],
                "have_acts": [copied[one.key].has_acts for one in whole],
                "lists": lists,
            }
            await self._run(statements.NOTE, given | noted)
            held = await self._held(given)
            await self._delete(
                (statements.WITHDRAW,),
                [Copy(*one.key, copy + one.day) for one in whole if not _is_whole(one, held)],
            )
            whole = [one for one in whole if _is_whole(one, held)]
            self._copied(sum(one.events for one in whole))
        return len(whole)

    async def _held(self, given: Mapping[str, Any]) -> dict[tuple[Any, ...], Held]:
        """Returns what a copy has of each site and day."""
        return {
            tuple(key): Held(events, has_acts)
            for *key, events, has_acts in await (await self._table()).ask(statements.COPIED, given)
        }

    def _count(self, one: Due) -> None:
        """Remembers that a day was copied: the n-th time after at least 2^n seconds times ten."""
        times = self._tries.get(one.key, (0, 0.0))[0] + 1
        rest = min(AGAIN_SECONDS_MAX, 10 << min(times, 16))
        self._tries[one.key] = times, self._now() + rest
        if len(self._tries) > 100_000:
            self._tries.clear()

    async def sweep(self, before: float) -> int:
        """Deletes copies that were begun before a moment (unix s) and do not count. Returns how many. Raises Unclear.

        What it finds for the first time loses its note, and its rows at the next sweep, because a question may still read a copy that was
        true seconds ago (dashboard/ask/closed.py).
        """
        await self._delete((statements.WITHDRAW,), await self._copies(statements.ROWLESS, {}))
        stale = await self._copies(statements.STALE, {"before": int(before * 1000) << MOMENT_SHIFT})
        again = [one for one in stale if one in self._stale]
        await self._delete((statements.WITHDRAW,), [one for one in stale if one not in self._stale])
        self._stale = set(stale)
        await self._delete(statements.SWEPT, again)
        await self._forget_visitors()
        return len(again)

    async def _copies(self, sql: str, parameters: Mapping[str, Any]) -> list[Copy]:
        found = await (await self._table()).ask(sql, parameters)
        return [Copy(str(site), int(day), int(number)) for site, day, number in found]

    async def _delete(self, statements_of: Sequence[str], copies: Sequence[Copy]) -> None:
        """Runs statements that delete copies or their notes, one after the other."""
        if not copies:
            return
        sites, days, numbers = (list(column) for column in zip(*copies, strict=True))
        for sql in statements_of:
            await (await self._table()).run(
                sql, {"sites": sites, "days": days, "copies": numbers}, {"mutations_sync": 1}
            )

    async def _forget_visitors(self) -> None:
        """Deletes from `closed_repeats` the visitors whom no copy of their site has, so that no number outlives its rows."""
        table = await self._table()
        for (site,) in await table.ask(statements.REPEATING, {}):
            if (await table.ask(statements.GONE, {"site": site}))[0][0]:
                await table.run(statements.FORGET, {"site": site}, {"mutations_sync": 1})


def _is_whole(one: Due, held: Mapping[tuple[Any, ...], Held]) -> bool:
    return one.key in held and held[one.key].events == one.events


def _pairs(of: Sequence[Due]) -> dict[str, Any]:
    return {"sites": [one.site for one in of], "days": [one.day for one in of]}


def filled(sql: str, given: Mapping[str, Any]) -> str:
    """Returns a statement with its parameters written into it, because hundreds of sites are longer than the URL that would carry them."""

    def written(found: re.Match[str]) -> str:
        value = given[found[1]]
        if isinstance(value, list):
            return f"CAST([{', '.join(map(_literal, value))}], '{found[2]}')"
        return _literal(value)

    return re.sub(r"\{(\w+):([^{}]+)\}", written, sql)


def _literal(value: str | int) -> str:
    return literal(value) if isinstance(value, str) else str(int(value))


def batches(due: Sequence[Due]) -> list[list[Due]]:
    """Returns days in groups that one copy has: of one zone, up to DAYS_MAX days and ROWS_MAX rows, but at least one day."""
    found: list[list[Due]] = []
    rows = 0
    for one in due:
        if not found or rows + one.events > ROWS_MAX or len(found[-1]) >= DAYS_MAX or found[-1][0].zone != one.zone:
            found.append([])
            rows = 0
        found[-1].append(one)
        rows += one.events
    return found
