"""`forebay audit`: do the books balance? accepted = stored + duplicate + dead + in flight, by site and minute.

Five looks, each named by shard in what it prints:
    redis     its settings keep what it acknowledged
    ledger    the totals that the append script moved, against rows in ClickHouse, copies and dead letters
    commits   every producer's numbers in the stream are contiguous: an entry that vanished shows
    blocks    no block holds other rows than were recorded for it
    rollups   `daily` adds up to `events`, by site and day

The first is printed at once. Then it waits until what was accepted when it began is stored. Exit status: 0 balanced, 1 not,
2 could not be found out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import redis

from forebay import config
from forebay.audit import blocks, commits, durability, ledger, rollups, summary
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.stream import Streams


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
        lossy = durability.look(streams, is_trusted=settings.redis_fsync == "trusted")
        faults = list(faults_of(streams, clickhouse))
        found = summary.sums(streams, clickhouse)
    except (redis.RedisError, ClickHouseError, ledger.Unstored) as error:
        sys.stderr.write(f"forebay audit: not found out: {error}\n")
        return 2
    finally:
        streams.close()
    for fault in faults:
        sys.stdout.write(fault + "\n")
    count = len(faults) + lossy
    sys.stdout.write(f"the books balance: {found}\n" if not count else f"{count} faults: {found}\n")
    return 1 if count else 0


def faults_of(streams: Streams, clickhouse: ClickHouse) -> Iterator[str]:
    """Yields what does not balance, a line each. A new look is one line here and its module."""
    for shard in range(streams.shards()):
        yield from commits.faults(streams, shard)
        yield from ledger.faults(streams, clickhouse, shard, ledger.settled(streams, shard))
    yield from blocks.faults(clickhouse)
    yield from rollups.faults(clickhouse)
