"""`forebay repair`: rebuild what a rollup says of a site and day (or month) from `events`.

A rollup can be short when a ClickHouse lost a part of it that it had written down as done:
rows of `events` are verified block by block, a rollup does not know its blocks. `forebay
audit` finds it; this command mends it. Rollups must not be rebuilt beside live inserts
(delivery.md, rule 10), so every shard is paused meanwhile: flushers finish their blocks and
give their leases back, ingest goes on acknowledging into Redis.

What a rollup should say is asked of ClickHouse's own definition of the view, so that the two
can't differ.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from forebay import config
from forebay.audit import ROLLUPS, SESSIONS, rows
from forebay.clickhouse import ClickHouse, ClickHouseError, literal
from forebay.stream import Streams

PAUSE_SECONDS = 600  # the pause ends by itself when this command dies
WAIT_SECONDS = 60
MONTH = "toYYYYMM(toDateTime(bitShiftRight(session_id, 32), 'UTC'))"
LIVE = "attempt = 0"  # what the views count; a rebuild counts repaired rows instead of those they replaced


class StillHeld(Exception):
    """Flushers did not give their leases back in time."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
    parser.add_argument("--redis-url", help="where Redis is, if it is not that one")
    parser.add_argument("--clickhouse-url", help="where ClickHouse answers HTTP, if it is not that one")


def command(options: argparse.Namespace) -> int:
    settings = config.load(config.ToolSettings, "tools", **vars(options))
    streams = Streams(config.redis_url(settings))
    try:
        clickhouse = ClickHouse(
            config.clickhouse_url(settings),
            user=settings.clickhouse_user,
            password=settings.clickhouse_password,
            timeout_seconds=PAUSE_SECONDS,
        )
        with _paused(streams):
            done = _repair(clickhouse)
    except (redis.RedisError, ClickHouseError, StillHeld) as error:
        sys.stderr.write(f"forebay repair: {error}\n")
        return 1
    finally:
        streams.close()
    sys.stdout.write(f"rebuilt: {done}\n")
    return 0


@contextmanager
def _paused(streams: Streams) -> Iterator[None]:
    """No flusher holds a lease inside."""
    streams.pause(PAUSE_SECONDS)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while held := [shard for shard in range(streams.shards()) if streams.is_leased(shard)]:
            if time.monotonic() > deadline:
                raise StillHeld(f"shards {held} are still being flushed after {WAIT_SECONDS} s; nothing was changed")
            time.sleep(0.1)
        yield
    finally:
        streams.resume()


def _repair(clickhouse: ClickHouse) -> int:
    done = 0
    for row in rows(clickhouse, ROLLUPS):
        day = f"toDate({literal(row['day'])})"
        site = literal(row["site"])
        _rebuild(clickhouse, "daily", f"site = {site} AND day = {day}", f"site = {site} AND toDate(ts) = {day}")
        sys.stdout.write(f"daily: site {row['site']}, {row['day']}\n")
        done += 1
    for row in rows(clickhouse, SESSIONS):
        where = f"site = {literal(row['site'])} AND {MONTH} = {int(row['month'])}"
        _rebuild(clickhouse, "sessions", where, where)
        sys.stdout.write(f"sessions: site {row['site']}, {row['month']}\n")
        done += 1
    return done


def _rebuild(clickhouse: ClickHouse, table: str, old: str, raw: str) -> None:
    select = clickhouse.run(
        f"SELECT as_select FROM system.tables WHERE database = 'forebay' AND name = '{table}_fill' FORMAT TSVRaw"
    ).strip()
    if select.count(LIVE) != 1:
        raise ClickHouseError(f"the view {table}_fill is not as its migration made it; nothing was changed")
    clickhouse.run(f"ALTER TABLE forebay.{table} DELETE WHERE {old}", mutations_sync="2")
    clickhouse.run(f"INSERT INTO forebay.{table} {select.replace(LIVE, raw)}", insert_deduplicate="0")
