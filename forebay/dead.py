"""`forebay dead list|retry|drop`: events that ClickHouse refused, with its reason.

They wait in Redis until somebody decides: `retry` after the table or the cause was mended,
`drop` to forget them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import orjson
import redis

from forebay import config
from forebay.stream import Letter, Streams
from schemas.row import COLUMNS


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("list", "one line each: id, first seen, reason, ClickHouse's words, the event as JSON"),
        ("retry", "send them to the flusher again"),
        ("drop", "forget them for good"),
    ):
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("ids", nargs="*", help="as `list` prints them: SHARD/ID")
            action.add_argument("--all", action="store_true", help="all of them")
        action.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
        action.add_argument("--redis-url", help="where Redis is, if it is not that one")


def command(options: argparse.Namespace) -> int:
    if options.action != "list" and not options.ids and not options.all:
        sys.stderr.write(f"forebay dead {options.action}: name ids, or --all\n")
        return 2
    streams = Streams(config.redis_url(config.load(config.ToolSettings, "tools", **vars(options))))
    try:
        if options.action == "list":
            count = 0
            for letter in _letters(streams):
                count += 1
                sys.stdout.write(_line(letter) + "\n")
            sys.stderr.write("" if count else "no dead events\n")
            return 0
        return _act(streams, options)
    except redis.RedisError as error:
        sys.stderr.write(f"forebay dead: Redis: {error}\n")
        return 1
    finally:
        streams.close()


def _act(streams: Streams, options: argparse.Namespace) -> int:
    wanted = set(options.ids)
    act = streams.retry if options.action == "retry" else streams.drop
    done = 0
    for letter in _letters(streams):
        name = f"{letter.shard}/{letter.id}"
        if options.all or name in wanted:
            wanted.discard(name)
            done += act(letter)
    sys.stdout.write(f"{options.action}: {done}\n")
    for name in sorted(wanted):
        sys.stderr.write(f"forebay dead: there is no {name}\n")
    return 1 if wanted else 0


def _letters(streams: Streams) -> Iterator[Letter]:
    for shard in range(streams.shards()):
        yield from streams.letters(shard)


def _line(letter: Letter) -> str:
    seen = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(letter.first_seen / 1000))
    event = orjson.dumps(dict(zip(COLUMNS, letter.row, strict=True))).decode()
    text = " ".join(letter.text.split())
    return "\t".join((f"{letter.shard}/{letter.id}", seen, letter.reason, text, event))
