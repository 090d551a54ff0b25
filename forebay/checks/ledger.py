"""Compares the totals that the append script moved with what became of their events, by shard, site and minute."""

from __future__ import annotations

import time
from collections.abc import Iterator

from forebay.clickhouse import ClickHouse, literal
from forebay.stream import State, Streams
from schemas.entry import block_shard, entry_order
from schemas.ledger import Gap, Key, folded, gaps, totals_of, unsure
from schemas.row import INDEX, MINUTE_MS

WAIT_SECONDS = 30
POLL_SECONDS = 0.2
STORED = """
SELECT intDiv(toUnixTimestamp(received_at), 60) AS minute, if(minute IN ({folded}), '(other)', toString(site)) AS site,
  count() AS held FROM forebay.events
WHERE received_at >= fromUnixTimestamp64Milli({since}) AND startsWith(block_id, {incarnation})
  AND endsWith(block_id, {shard}) GROUP BY minute, site FORMAT JSONEachRow
"""


class Unstored(Exception):
    """What was accepted is not stored in time: nothing can be said yet."""


def settled(streams: Streams, shard: int) -> State:
    """Returns the shard's totals, once everything they count is stored. Raises Unstored after WAIT_SECONDS."""
    state = streams.state(shard)
    deadline = time.monotonic() + WAIT_SECONDS
    while entry_order(streams.state(shard).stored) < entry_order(state.last):
        if time.monotonic() > deadline:
            in_flight = streams.in_flight(shard, streams.state(shard))
            raise Unstored(
                f"shard {shard}: {in_flight} events are in flight,"
                f" those up to entry {state.last} not stored after {WAIT_SECONDS} s"
            )
        time.sleep(POLL_SECONDS)
    return state


def set_aside(streams: Streams, shard: int) -> dict[Key, int]:
    """Rows of entries that were set aside, by minute and site, as far as they could be read."""
    counts: dict[Key, int] = {}
    for aside in streams.asides(shard).values():
        for key, count in totals_of(aside.totals).items():
            counts[key] = counts.get(key, 0) + count
    return counts


def faults(streams: Streams, clickhouse: ClickHouse, shard: int, before: State) -> Iterator[str]:
    for gap in gaps_of(streams, clickhouse, shard, before):
        at = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(gap.minute * 60))
        yield f"ledger: shard {shard}, {at}, site {gap.site}: accepted {gap.accepted}, accounted for {gap.found}"


def gaps_of(streams: Streams, clickhouse: ClickHouse, shard: int, before: State) -> list[Gap]:
    """Where the shard's books don't balance, as far back as Redis remembers; `before` as `settled` gives it."""
    if not before.accepted:
        return []
    since = min(minute for minute, _ in before.accepted)
    sql = STORED.format(
        since=since * MINUTE_MS,
        incarnation=literal(before.incarnation + ":"),
        shard=literal(block_shard(shard)),
        folded=", ".join(map(str, sorted(folded(before.accepted)))) or "NULL",
    )
    stored = {(int(row["minute"]), str(row["site"])): int(row["held"]) for row in clickhouse.rows(sql)}
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
