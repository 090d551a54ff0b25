"""Compares the totals that the append script moved with what became of their events, by shard, site and minute.

They are equal while the books balance: what was accepted is stored, a copy, dead, set aside or erased. The totals are
read before and after the rest is counted, because events arrive meanwhile; a total that moved is left for the next run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from forebay.clickhouse import ClickHouse, Value
from forebay.stream import State, Streams
from schemas.ledger import Gap, Key, folded, gaps, totals_of, unsure
from schemas.names import of_stream
from schemas.row import INDEX, MINUTE_MS
from schemas.sql import STORED_BY_MINUTE

WAIT_SECONDS = 30
POLL_SECONDS = 0.2
LAST_MS = 10_413_791_999_000  # the end of 2299: the last moment that a DateTime64 can hold


class Unstored(Exception):
    """Reports that accepted events are not stored in time, so that nothing can be said of the books yet."""


def settled(streams: Streams, shard: int) -> State:
    """Returns the shard's state, once everything that its totals count is stored. Raises Unstored after WAIT_SECONDS."""
    state = streams.state(shard)
    deadline = time.monotonic() + WAIT_SECONDS
    while streams.state(shard).stored < state.last:
        if time.monotonic() > deadline:
            in_flight = streams.in_flight(shard, streams.state(shard))
            raise Unstored(
                f"shard {shard}: {in_flight} events are in flight,"
                f" those up to entry {state.last} not stored after {WAIT_SECONDS} s"
            )
        time.sleep(POLL_SECONDS)
    return state


def set_aside(streams: Streams, shard: int) -> dict[Key, int]:
    """Counts the rows of entries that were set aside, by minute and site, as far as the entries could be read."""
    counts: dict[Key, int] = {}
    for aside in streams.asides(shard).values():
        for key, count in totals_of(aside.totals).items():
            counts[key] = counts.get(key, 0) + count
    return counts


def faults(streams: Streams, clickhouse: ClickHouse, shard: int, before: State) -> Iterator[str]:
    """Yields a line for each minute and site whose books don't balance. Raises ClickHouseError and redis.RedisError."""
    for gap in gaps_of(streams, clickhouse, shard, before):
        at = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(gap.minute * 60))
        yield f"ledger: shard {shard}, {at}, site {gap.site}: accepted {gap.accepted}, accounted for {gap.found}"


def gaps_of(streams: Streams, clickhouse: ClickHouse, shard: int, before: State) -> list[Gap]:
    """Returns the minutes and sites whose books don't balance, as far back as Redis remembers.

    `before` is the shard's state as `settled` returned it. Raises ClickHouseError and redis.RedisError.
    """
    if not before.accepted:
        return []
    since = min(minute for minute, _ in before.accepted)
    asked: dict[str, Value] = {
        "since": since * MINUTE_MS,
        "upto": LAST_MS,
        **of_stream(before.incarnation, shard),
        "folded": sorted(folded(before.accepted)),
    }
    rows = clickhouse.rows(STORED_BY_MINUTE, asked)
    stored = {(int(row["minute"]), str(row["site"])): int(row["held"]) for row in rows}
    dead: dict[Key, int] = {}
    for letter in streams.letters(shard):
        if letter.row is None:
            continue
        key = letter.row[INDEX["received_at"]] // MINUTE_MS, letter.row[INDEX["site"]]
        if key[0] >= since:
            dead[key] = dead.get(key, 0) + 1
    aside = {key: count for key, count in set_aside(streams, shard).items() if key[0] >= since}
    after = streams.state(shard)
    erased = {key: count for key, count in after.erased.counts.items() if key[0] >= since}
    copies = {key: count for key, count in after.duplicates.items() if key[0] >= since}
    leaving = {key: count for key, count in unsure(before.erased, after.erased).items() if key[0] >= since}
    return gaps(before.accepted, after.accepted, stored, copies, dead, aside, erased, leaving=leaving)
