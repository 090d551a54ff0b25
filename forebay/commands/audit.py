"""`forebay audit`: checks the books: accepted = stored + duplicate + dead + erased + in flight, by site and minute.

Seven checks, each a module of forebay/checks, whose findings begin with its name:

    redis     its settings keep what it acknowledged
    clocks    those of Redis, ClickHouse and ingest agree with this host's
    ledger    the totals that the append script moved equal the rows in ClickHouse, the copies, the dead letters and
              what was erased
    commits   the numbers of every producer's commits are contiguous, so an entry that vanished shows
    blocks    every block holds the rows that were recorded for it, less what was erased
    erasures  every erasure that was begun is done
    rollups   `daily` adds up to `events`, by site and day

`--accept` records missing rows as erased (forebay/checks/accept.py), and `--forgive` rows that nobody accepted as accepted,
because Redis lost their count (forebay/checks/forgive.py).

The first two checks are printed at once. Then the command waits until everything that was accepted when it began is
stored, also what lies in the spool. Exit status: 0 the books balance, 1 they don't, 2 it could not be found out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from forebay import config
from forebay.checks import (
    accept,
    blocks,
    clocks,
    commits,
    durability,
    erasures,
    forgive,
    ledger,
    rollups,
    spool,
    summary,
)
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.erase.register import Register
from forebay.options import CLICKHOUSE_URL, DATA, REDIS_URL, declare
from forebay.stream import Streams
from runtime import redis


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept", action="store_true", help="record missing events as erased: somebody deleted them on purpose"
    )
    parser.add_argument(
        "--forgive", action="store_true", help="record events that nobody accepted as accepted: Redis lost their count"
    )
    parser.add_argument("--reason", default="", help="why: kept in forebay.erasures with who and when")
    declare(parser, DATA, REDIS_URL, CLICKHOUSE_URL)
    parser.add_argument(
        "--spool-dir", help="where ingest spools on this machine (default: the spool of that `forebay up`)"
    )


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    word = "accept" if options.accept else "forgive" if options.forgive else ""
    if word and not options.reason:
        sys.stderr.write(f"forebay audit: --{word} needs a --reason\n")
        return 2
    url, folder = config.redis_url(settings), config.spool_folder(settings)
    streams = Streams(url)
    register = Register(streams.redis)
    try:
        clickhouse = config.clickhouse(settings, is_patient=True)
        said = durability.look(streams, is_trusted=settings.redis_fsync == "trusted")
        said += clocks.look(streams, clickhouse)
        if word and not _accepted(streams, register, clickhouse, word, options.reason):
            return 2
        if folder is not None:
            spool.settle(streams, folder)
        faults = list(faults_of(streams, register, clickhouse))
        found = summary.sums(streams, clickhouse, folder)
    except (redis.RedisError, ClickHouseError, ledger.Unstored) as error:
        sys.stderr.write(f"forebay audit: the books could not be checked: {error}\n")
        return 2
    finally:
        streams.close()
    for fault in faults:
        sys.stdout.write(fault + "\n")
    count = len(faults) + said
    sys.stdout.write(f"the books balance: {found}\n" if not count else f"{count} faults: {found}\n")
    return 1 if count else 0


def _accepted(streams: Streams, register: Register, clickhouse: ClickHouse, word: str, reason: str) -> bool:
    """Records missing events as erased, or found ones as accepted. Returns False while an erasure is not done.

    An erasure under way also makes rows go, and they can't be told apart from missing ones.
    """
    if unfinished := list(erasures.faults(register)):
        sys.stderr.write(f"forebay audit: nothing is recorded. {unfinished[0]}; --{word} after that\n")
        return False
    gaps = {}
    for shard in range(streams.shards()):
        with register.assuring(shard):
            gaps[shard] = ledger.gaps_of(streams, clickhouse, shard, ledger.settled(streams, shard))
    found = blocks.differing(clickhouse)
    record = accept.accept if word == "accept" else forgive.forgive
    for line in record(register, clickhouse, gaps, found, by=config.operator(), reason=reason):
        sys.stdout.write(line + "\n")
    return True


def faults_of(streams: Streams, register: Register, clickhouse: ClickHouse) -> Iterator[str]:
    """Yields a line for each finding. A new check is one line here and its module."""
    for shard in range(streams.shards()):
        yield from commits.faults(streams, shard)
        yield from ledger.faults(streams, clickhouse, shard, ledger.settled(streams, shard))
    yield from blocks.faults(clickhouse)
    yield from rollups.faults(clickhouse)
    yield from erasures.faults(register)
