"""`forebay settle SHARD`: lets a stopped shard go on with what is left of the block that stops it.

The decision is about one recorded block, by its name, and the flusher that serves the shard acts on it (rule 6 of
docs/delivery.md): the entries that are left of a block that lost others are cut anew, if ClickHouse holds none of its
rows; the rows of a block of which too many are refused become dead letters. It changes nothing about a block that can
be delivered.
"""

from __future__ import annotations

import argparse
import sys

from forebay import config
from forebay.options import DATA, REDIS_URL, declare
from forebay.stream import Streams
from runtime import redis


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shard", type=int, help="its number, as in the flusher's log and the alarm")
    declare(parser, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    streams = Streams(config.redis_url(config.tool_settings(**vars(options))))
    try:
        edge = streams.settle(options.shard) if 0 <= options.shard < streams.shards() else None
    except redis.RedisError as error:
        sys.stderr.write(f"forebay settle: Redis: {error}\n")
        return 1
    finally:
        streams.close()
    if edge is None:
        sys.stderr.write(f"forebay settle: shard {options.shard} has no block that waits\n")
        return 1
    sys.stdout.write(f"shard {options.shard}: the flusher goes on with what is left of the block up to {edge}\n")
    return 0
