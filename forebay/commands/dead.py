"""`forebay dead list|retry|drop|set-aside`: handles events that ClickHouse refused and entries that can't be stored.

They wait in Redis until a person decides: `retry` once the table or the cause is mended, `drop` to forget them.
`set-aside` takes an entry that stops a shard out of its stream, and puts it with them.
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

from forebay import config
from forebay.options import DATA, REDIS_URL, declare
from forebay.stream import Streams
from runtime import redis
from schemas.names import EntryId
from schemas.row import COLUMNS


def add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        (
            "list",
            "print a line for each: id, first seen, reason, ClickHouse's words, and the event or entry as JSON",
        ),
        ("retry", "hand them to the flusher again"),
        ("drop", "forget them for good"),
        ("set-aside", "take entries out of the stream of a stopped shard: SHARD/ID, as the flusher's log names them"),
    ):
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("ids", nargs="*", help="SHARD/ID or SHARD/entry/ID, as `list` prints them")
        if name in {"retry", "drop"}:
            action.add_argument("--all", action="store_true", help="all that `list` prints")
        declare(action, DATA, REDIS_URL)


def command(options: argparse.Namespace) -> int:
    if options.action != "list" and not options.ids and not vars(options).get("all"):
        sys.stderr.write(f"forebay dead {options.action}: name ids{', or --all' if 'all' in options else ''}\n")
        return 2
    streams = Streams(config.redis_url(config.tool_settings(**vars(options))))
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
    """Holds an event or entry that waits for a decision: its name, its line in the list, and the two decisions."""

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
                sys.stderr.write(f"forebay dead: {options.action} of {item.name} failed\n")
    sys.stdout.write(f"{options.action}: {done}\n")
    for name in sorted(wanted):
        sys.stderr.write(f"forebay dead: there is no {name}\n")
    return 1 if wanted or failed else 0


def _set_aside(streams: Streams, names: Sequence[str]) -> int:
    failed = 0
    for name in names:
        found = re.fullmatch(r"(\d+)/(?:entry/)?(\d+-\d+)", name)
        if found is None or not streams.set_aside(int(found[1]), EntryId.parse(found[2])):
            failed += 1
            sys.stderr.write(f"forebay dead: {name} is not an entry that waits to be cut into a block\n")
    sys.stdout.write(f"set aside: {len(names) - failed}\n")
    return 1 if failed else 0


def _items(streams: Streams) -> Iterator[Item]:
    for shard in range(streams.shards()):
        for letter in streams.letters(shard):
            name = f"{shard}/{letter.id}"
            known = dict(zip(COLUMNS, letter.row or (), strict=False))  # not what a newer release knows of it
            line = _line(name, letter.first_seen, letter.reason, letter.text, known)
            yield Item(name, line, partial(streams.retry, letter), partial(streams.drop, letter))
        for entry_id, aside in sorted(streams.asides(shard).items()):
            name = f"{shard}/entry/{entry_id}"
            known = {"rows": aside.rows, "producer": aside.producer, "commit": aside.commit}
            line = _line(name, aside.set_aside_ms, aside.reason, aside.text, known)
            yield Item(
                name, line, partial(streams.retry_entry, shard, entry_id), partial(streams.drop_entry, shard, entry_id)
            )


def _line(name: str, at_ms: int, reason: str, text: str, known: Mapping[str, Any]) -> str:
    seen = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))
    return "\t".join((name, seen, reason, " ".join(text.split()), orjson.dumps(known).decode()))
