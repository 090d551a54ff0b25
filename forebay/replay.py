"""`forebay replay --since 15m`: deliver again what Redis still holds, for a ClickHouse that lost it.

Idempotent: the flusher verifies every block before it inserts, so what is there stays as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
import time

import redis

from forebay import config
from forebay.stream import Streams
from schemas.entry import ORIGIN, entry_order

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", default="15m", help="how far back: 90s, 15m, 2h (default: 15m)")
    parser.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
    parser.add_argument("--redis-url", help="where Redis is, if it is not that one")


def command(options: argparse.Namespace) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", options.since)
    if found is None:
        sys.stderr.write(f"forebay replay: {options.since!r} is no span of time: 90s, 15m, 2h\n")
        return 2
    streams = Streams(config.redis_url(config.load(config.ToolSettings, "tools", **vars(options))))
    try:
        since_ms = streams.now_ms() - int(found[1]) * UNITS[found[2]] * 1000  # edges are dated by Redis's clock
        for shard in range(streams.shards()):
            edge = streams.rewind(shard, since_ms)
            if edge is None:
                sys.stdout.write(f"shard {shard}: nothing to replay\n")
                continue
            sys.stdout.write(f"shard {shard}: delivering again from {_named(edge, since_ms)}\n")
    except redis.RedisError as error:
        sys.stderr.write(f"forebay replay: Redis: {error}\n")
        return 1
    finally:
        streams.close()
    return 0


def _named(edge: str, since_ms: int) -> str:
    """An edge as people know it: the moment of its last entry."""
    if edge == ORIGIN:
        return "its first entry"
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry_order(edge)[0] / 1000))
    return at if entry_order(edge)[0] <= since_ms else f"{at}, the oldest the replay tail holds"
