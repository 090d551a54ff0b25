"""`forebay audit`: do the books balance? accepted = stored + duplicate + dead + erased + in flight, by site and minute.

Seven looks, each named by shard in what it prints:
    redis     its settings keep what it acknowledged
    clocks    Redis's, ClickHouse's and ingest's are as this host's
    ledger    the totals that the append script moved, against rows in ClickHouse, copies, dead letters and
              what was erased
    commits   every producer's numbers in the stream are contiguous: an entry that vanished shows
    blocks    no block holds other rows than were recorded for it, less what was erased
    erasures  none is left half-done
    rollups   `daily` adds up to `events`, by site and day

`--accept` takes rows that are missing for erased, with a trace (accept.py).

The first two are printed at once. Then it waits until what was accepted when it began is stored, what lies in the spool
among it. Exit status: 0 balanced, 1 not,
2 could not be found out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import redis

from forebay import config
from forebay.checks import accept, blocks, clocks, commits, durability, erasures, ledger, rollups, spool, summary
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.erase.register import Register
from forebay.stream import Streams


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept", action="store_true", help="what is missing was deleted on purpose: take it for erased"
    )
    parser.add_argument("--reason", default="", help="why, written down in forebay.erasures with who and when")
    parser.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
    parser.add_argument("--redis-url", help="where Redis is, if it is not that one")
    parser.add_argument("--spool-dir", help="where ingest spools on this machine, if it is not that one's spool")
    parser.add_argument("--clickhouse-url", help="where ClickHouse answers HTTP, if it is not that one")


def command(options: argparse.Namespace) -> int:
    settings = config.load(config.ToolSettings, "tools", **vars(options))
    if options.accept and not options.reason:
        sys.stderr.write("forebay audit: --accept wants a --reason\n")
        return 2
    url, folder = config.redis_url(settings), config.spool_folder(settings)
    streams, register = Streams(url), Register(url)
    try:
        clickhouse = ClickHouse(
            config.clickhouse_url(settings),
            user=settings.clickhouse_user,
            password=settings.clickhouse_password,
            is_patient=True,
        )
        said = durability.look(streams, is_trusted=settings.redis_fsync == "trusted")
        said += clocks.look(streams, clickhouse)
        if options.accept and not _accepted(streams, register, clickhouse, options.reason):
            return 2
        if folder is not None:
            spool.settle(streams, folder)
        faults = list(faults_of(streams, register, clickhouse))
        found = summary.sums(streams, clickhouse, folder)
    except (redis.RedisError, ClickHouseError, ledger.Unstored) as error:
        sys.stderr.write(f"forebay audit: not found out: {error}\n")
        return 2
    finally:
        register.close()
        streams.close()
    for fault in faults:
        sys.stdout.write(fault + "\n")
    count = len(faults) + said
    sys.stdout.write(f"the books balance: {found}\n" if not count else f"{count} faults: {found}\n")
    return 1 if count else 0


def _accepted(streams: Streams, register: Register, clickhouse: ClickHouse, reason: str) -> bool:
    """Take what is missing for erased; False while an erasure is under way, of which it can't be told apart."""
    if unfinished := list(erasures.faults(register)):
        sys.stderr.write(f"forebay audit: nothing is accepted. {unfinished[0]}, and then accept\n")
        return False
    gaps = {
        shard: ledger.gaps_of(streams, clickhouse, shard, ledger.settled(streams, shard))
        for shard in range(streams.shards())
    }
    found = blocks.differing(clickhouse)
    for line in accept.accept(register, clickhouse, gaps, found, by=config.operator(), reason=reason):
        sys.stdout.write(line + "\n")
    return True


def faults_of(streams: Streams, register: Register, clickhouse: ClickHouse) -> Iterator[str]:
    """Yields what does not balance, a line each. A new look is one line here and its module."""
    for shard in range(streams.shards()):
        yield from commits.faults(streams, shard)
        yield from ledger.faults(streams, clickhouse, shard, ledger.settled(streams, shard))
    yield from blocks.faults(clickhouse)
    yield from rollups.faults(clickhouse)
    yield from erasures.faults(register)
