"""`forebay dead list|retry|drop|set-aside`: events that ClickHouse refused, and entries that can't be stored at all.

They wait in Redis until somebody decides: `retry` after the table or the cause was mended,
`drop` to forget them. `set-aside` puts an entry there that a stopped shard waits at.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson
import redis

from forebay import config
from forebay.stream import Streams
from schemas.entry import entry_order
from schemas.row import COLUMNS


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        (
            "list",
            "one line each: id, first seen, reason, what was said, the event or what is known of the entry as JSON",
        ),
        ("retry", "send them to the flusher again"),
        ("drop", "forget them for good"),
        ("set-aside", "take entries out of the stream of a stopped shard: SHARD/ID, as the flusher's log names it"),
    ):
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("ids", nargs="*", help="as `list` prints them: SHARD/ID or SHARD/entry/ID")
        if name in {"retry", "drop"}:
            action.add_argument("--all", action="store_true", help="all of them")
        action.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
        action.add_argument("--redis-url", help="where Redis is, if it is not that one")


def command(options: argparse.Namespace) -> int:
    if options.action != "list" and not options.ids and not vars(options).get("all"):
        sys.stderr.write(f"forebay dead {options.action}: name ids{', or --all' if 'all' in options else ''}\n")
        return 2
    streams = Streams(config.redis_url(config.load(config.ToolSettings, "tools", **vars(options))))
    try:
        if options.action == "list":
            lines = [item.line for item in _items(streams)]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stderr.write("" if lines else "no dead events\n")
            return 0
        if options.action == "set-aside":
            return _set_aside(streams, options.ids)
        return _act(streams, options)
    except redis.RedisError as error:
        sys.stderr.write(f"forebay dead: Redis: {error}\n")
        return 1
    finally:
        streams.close()


class Item(NamedTuple):
    """What waits for a decision: its name, how it is listed, and what can be done about it."""

    name: str
    line: str
    retry: Callable[[], bool]
    drop: Callable[[], bool]


def _act(streams: Streams, options: argparse.Namespace) -> int:
    wanted = set(options.ids)
    done = failed = 0
    for item in _items(streams):
        if options.all or item.name in wanted:
            wanted.discard(item.name)
            is_done = item.retry() if options.action == "retry" else item.drop()
            done += is_done
            if not is_done:
                failed += 1
                sys.stderr.write(f"forebay dead: {item.name} could not be: {options.action}\n")
    sys.stdout.write(f"{options.action}: {done}\n")
    for name in sorted(wanted):
        sys.stderr.write(f"forebay dead: there is no {name}\n")
    return 1 if wanted or failed else 0


def _set_aside(streams: Streams, names: Sequence[str]) -> int:
    failed = 0
    for name in names:
        found = re.fullmatch(r"(\d+)/(?:entry/)?(\d+-\d+)", name)
        if found is None or not streams.set_aside(int(found[1]), found[2]):
            failed += 1
            sys.stderr.write(f"forebay dead: {name} is no entry that waits before it is cut into a block\n")
    sys.stdout.write(f"set aside: {len(names) - failed}\n")
    return 1 if failed else 0


def _items(streams: Streams) -> Iterator[Item]:
    for shard in range(streams.shards()):
        for letter in streams.letters(shard):
            name = f"{shard}/{letter.id}"
            known = dict(zip(COLUMNS, letter.row, strict=True)) if letter.row is not None else {}
            line = _line(name, letter.first_seen, letter.reason, letter.text, known)
            yield Item(name, line, partial(streams.retry, letter), partial(streams.drop, letter))
        for entry_id, aside in sorted(streams.asides(shard).items(), key=lambda item: entry_order(item[0])):
            name = f"{shard}/entry/{entry_id}"
            known = {"rows": aside.rows, "producer": aside.producer, "commit": aside.commit}
            line = _line(name, aside.set_aside_ms, aside.reason, aside.text, known)
            yield Item(
                name, line, partial(streams.retry_entry, shard, entry_id), partial(streams.drop_entry, shard, entry_id)
            )


def _line(name: str, at_ms: int, reason: str, text: str, known: Mapping[str, Any]) -> str:
    seen = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))
    return "\t".join((name, seen, reason, " ".join(text.split()), orjson.dumps(known).decode()))
