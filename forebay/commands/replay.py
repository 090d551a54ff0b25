"""`forebay replay --since 15m`: delivers again what Redis still holds, for a ClickHouse that lost it.

It may be repeated: the flusher verifies every block before it inserts it, so what ClickHouse holds stays as it is. The
command says how much comes again, and waits until that is stored.

Exit status: 0 all of it is stored (with --no-wait: it has begun), 1 not yet, or Redis did not answer, 2 bad options.
"""

from __future__ import annotations

import argparse
import re
import sys
import time

from forebay import config
from forebay.options import DATA, REDIS_URL, declare
from forebay.stream import Replay, Streams
from runtime import redis
from schemas.names import ORIGIN, EntryId

POLL_SECONDS = 0.1
SAY_SECONDS = 5.0  # between two lines that say what is left
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", default="15m", help="how far back: 90s, 15m, 2h (default: 15m)")
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="return as soon as it has begun")
    parser.add_argument("--seconds", type=float, default=600, help="stop waiting after so long (default: 600)")
    declare(parser, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    found = re.fullmatch(r"(\d+)([smhd])", options.since)
    if found is None:
        sys.stderr.write(f"forebay replay: {options.since!r} is not a span of time like 90s, 15m or 2h\n")
        return 2
    since_ms = int((time.time() - int(found[1]) * UNITS[found[2]]) * 1000)
    streams = Streams(config.redis_url(config.tool_settings(**vars(options))))
    begun: dict[int, Replay] = {}
    try:
        for shard in range(streams.shards()):
            replay = streams.rewind(shard, since_ms)
            if replay is None:
                sys.stdout.write(f"shard {shard}: nothing to replay\n")
                continue
            begun[shard] = replay
            sys.stdout.write(
                f"shard {shard}: delivering again from {_named(replay.edge, since_ms)}:"
                f" {replay.blocks} blocks, {replay.rows} events\n"
            )
        sys.stdout.flush()
        if options.wait and not _followed(streams, begun, options.seconds):
            return 1
    except redis.RedisError as error:
        sys.stderr.write(f"forebay replay: Redis: {error}\n")
        return 1
    finally:
        streams.close()
    return 0


def _followed(streams: Streams, begun: dict[int, Replay], seconds: float) -> bool:
    """Waits until all of it is delivered, and returns whether that was in time.

    Prints each shard that is done, and every few seconds what is left.
    """
    deadline, said_at = time.monotonic() + seconds, time.monotonic()
    waiting = dict(begun)
    while waiting:
        left = {shard: streams.left(shard, replay) for shard, replay in waiting.items()}
        for shard in [shard for shard, blocks in left.items() if not blocks]:
            replay = waiting.pop(shard)
            sys.stdout.write(f"shard {shard}: done: {replay.blocks} blocks, {replay.rows} events are stored\n")
        sys.stdout.flush()
        if time.monotonic() > deadline:
            break
        if waiting and time.monotonic() - said_at > SAY_SECONDS:
            said_at = time.monotonic()
            for shard, replay in waiting.items():
                sys.stdout.write(f"shard {shard}: {left[shard]} of {replay.blocks} blocks are left\n")
        if waiting:
            time.sleep(POLL_SECONDS)
    for shard in waiting:
        sys.stderr.write(
            f"forebay replay: shard {shard} is not done after {seconds:g} s; it goes on by itself while a flusher serves it:"
            " see its log and /readyz\n"
        )
    return not waiting


def _named(edge: EntryId, since_ms: int) -> str:
    """Returns an edge as people know it: the moment of its last entry."""
    if edge == ORIGIN:
        return "its first entry"
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(edge.ms / 1000))
    return at if edge.ms <= since_ms else f"{at}, the oldest the replay tail holds"
