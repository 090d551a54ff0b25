"""`forebay audit`: do the books balance? accepted = stored + duplicate + dead + in flight, by site and minute.

Four looks, each named by shard in what it prints:
    ledger    the totals that the append script moved, against rows in ClickHouse, copies and dead letters
    commits   every producer's numbers in the stream are contiguous: an entry that vanished shows
    blocks    no block holds other rows than were recorded for it
    rollups   `daily` adds up to `events`, by site and day

It waits until what was accepted when it began is stored. Exit status: 0 balanced, 1 not,
2 could not be found out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import redis

from forebay import config
from forebay.clickhouse import ClickHouse, ClickHouseError, literal
from forebay.stream import State, Streams
from schemas.entry import block_shard, blocks_upto, entry_order
from schemas.ledger import Key, folded, gaps
from schemas.row import INDEX, MINUTE_MS

WAIT_SECONDS = 30
POLL_SECONDS = 0.2
DEAD_PRODUCER = "dead"  # retried dead letters are not numbered
STORED = """
SELECT intDiv(toUnixTimestamp(received_at), 60) AS minute, if(minute IN ({folded}), '(other)', toString(site)) AS site,
  count() AS held FROM forebay.events
WHERE received_at >= fromUnixTimestamp64Milli({since}) AND startsWith(block_id, {incarnation})
  AND endsWith(block_id, {shard}) GROUP BY minute, site FORMAT JSONEachRow
"""
BEYOND = "block_id > {stored} AND startsWith(block_id, {incarnation}) AND endsWith(block_id, {shard})"
BLOCKS = """
SELECT b.block_id AS block, any(b.rows) AS recorded, countIf(e.block_id != '') AS held
FROM (SELECT block_id, rows FROM forebay.blocks FINAL WHERE stored_at > now() - INTERVAL 1 DAY) AS b
LEFT JOIN (SELECT toString(block_id) AS block_id FROM forebay.events WHERE received_at > now() - INTERVAL 32 DAY) AS e
  ON b.block_id = e.block_id
GROUP BY block HAVING recorded != held FORMAT JSONEachRow
"""
# `late`, which is always 0, is in no projection: the rows themselves are counted, not a rollup of them.
ROLLUPS = """
SELECT site, toString(day) AS day, sum(raw) AS events, sum(rolled) AS daily FROM (
    SELECT site, toDate(ts) AS day, count() AS raw, 0 AS rolled
    FROM forebay.events WHERE late = 0 GROUP BY site, day
    UNION ALL SELECT site, day, 0, sum(events) FROM forebay.daily GROUP BY site, day
) GROUP BY site, day HAVING events != daily FORMAT JSONEachRow
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
    parser.add_argument("--redis-url", help="where Redis is, if it is not that one")
    parser.add_argument("--clickhouse-url", help="where ClickHouse answers HTTP, if it is not that one")


def command(options: argparse.Namespace) -> int:
    settings = config.load(config.ToolSettings, "tools", **vars(options))
    streams = Streams(config.redis_url(settings))
    try:
        clickhouse = ClickHouse(
            config.clickhouse_url(settings), user=settings.clickhouse_user, password=settings.clickhouse_password
        )
        faults = list(_faults(streams, clickhouse))
        found = summary(streams, clickhouse)
    except (redis.RedisError, ClickHouseError, Unstored) as error:
        sys.stderr.write(f"forebay audit: not found out: {error}\n")
        return 2
    finally:
        streams.close()
    for fault in faults:
        sys.stdout.write(fault + "\n")
    sys.stdout.write(f"the books balance: {found}\n" if not faults else f"{len(faults)} faults: {found}\n")
    return 1 if faults else 0


class Unstored(Exception):
    """What was accepted is not stored in time: nothing can be said yet."""


def _faults(streams: Streams, clickhouse: ClickHouse) -> Iterator[str]:
    for shard in range(streams.shards()):
        yield from _commits(streams, shard)
        yield from _ledger(streams, clickhouse, shard, _settled(streams, shard))
    for row in rows(clickhouse, BLOCKS):
        yield f"blocks: {row['block']} was recorded with {row['recorded']} rows and holds {row['held']}"
    for row in rows(clickhouse, ROLLUPS):
        yield f"rollups: site {row['site']}, {row['day']}: {row['events']} events, daily says {row['daily']}"


def summary(streams: Streams, clickhouse: ClickHouse) -> str:
    """The sums of it all, which fit together also while events arrive: rows that a flusher has inserted and not yet
    moved `stored` over are in flight, and only that. Not while a replay runs: copies and dead letters of its blocks are
    counted, and in flight again.
    """
    states = {shard: streams.state(shard) for shard in range(streams.shards())}
    accepted = sum(sum(state.accepted.values()) for state in states.values())
    copies = sum(sum(state.duplicates.values()) for state in states.values())
    dead = sum(state.dead for state in states.values())
    in_flight = sum(streams.in_flight(shard, state) for shard, state in states.items())
    beyond = " OR ".join(
        BEYOND.format(
            stored=literal(blocks_upto(state.incarnation, state.stored)),
            incarnation=literal(state.incarnation + ":"),
            shard=literal(block_shard(shard)),
        )
        for shard, state in states.items()
    )
    held = rows(clickhouse, f"SELECT countIf(NOT ({beyond or '0'})) AS held FROM forebay.events FORMAT JSONEachRow")
    return (
        f"{accepted} accepted and {copies} of them copies as far back as Redis remembers,"
        f" {held[0]['held']} stored in all, {dead} dead, {in_flight} in flight"
    )


def _settled(streams: Streams, shard: int) -> State:
    """The shard's totals, once everything they count is stored."""
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


def _ledger(streams: Streams, clickhouse: ClickHouse, shard: int, before: State) -> Iterator[str]:
    if not before.accepted:
        return
    since = min(minute for minute, _ in before.accepted)
    sql = STORED.format(
        since=since * MINUTE_MS,
        incarnation=literal(before.incarnation + ":"),
        shard=literal(block_shard(shard)),
        folded=", ".join(map(str, sorted(folded(before.accepted)))) or "NULL",
    )
    stored = {(int(row["minute"]), str(row["site"])): int(row["held"]) for row in rows(clickhouse, sql)}
    dead: dict[Key, int] = {}
    for letter in streams.letters(shard):
        key = letter.row[INDEX["received_at"]] // MINUTE_MS, letter.row[INDEX["site"]]
        if key[0] >= since:
            dead[key] = dead.get(key, 0) + 1
    after = streams.state(shard)
    copies = {key: count for key, count in after.duplicates.items() if key[0] >= since}
    for gap in gaps(before.accepted, after.accepted, stored, copies, dead):
        at = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(gap.minute * 60))
        yield f"ledger: shard {shard}, {at}, site {gap.site}: accepted {gap.accepted}, accounted for {gap.found}"


def _commits(streams: Streams, shard: int) -> Iterator[str]:
    last: dict[str, tuple[str, int]] = {}
    for entry_id, producer, number in streams.commits(shard):
        if not producer or producer == DEAD_PRODUCER:
            continue
        before, expected = last.get(producer, ("", number - 1))
        if number != expected + 1:
            yield (
                f"commits: shard {shard}: commits {expected + 1} to {number - 1} of producer {producer} are gone"
                f" between entries {before} and {entry_id}"
            )
        last[producer] = entry_id, number


def rows(clickhouse: ClickHouse, sql: str) -> list[dict[str, Any]]:
    """Rows of a SELECT in JSONEachRow."""
    # an integer of 64 bits stays a number: Python's have no limit
    text = clickhouse.run(sql, output_format_json_quote_64bit_integers="0", select_sequential_consistency="1")
    return [json.loads(line) for line in text.splitlines()]
