"""Makes the Redis of a backup: its append-only file as of one moment, changed so that a redis-server can start on it.

What is changed before it becomes the backup:

    salts      go, whatever their names are: a backup is kept for longer than a salt may live (I8). A restored
               installation makes new ones, and visitors of that day are counted anew
    leases     go, and who held them
    stored     goes back to where it stood before ClickHouse was copied: what was stored later is delivered again, and
               verified first, as by `forebay replay`
    producers  of the spool are remembered for YEARS, because their commits may be in the spool and in the stream,
               whenever the backup is restored
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from forebay.backup.files import Unheld, copy, link
from forebay.embedded.redis import Server, prepare, socket_path
from forebay.erase.register import Register
from forebay.stream import REWIND, Streams
from runtime import redis
from runtime.parent import die_with
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import ERASURES_KEY, FLUSHERS_KEY, SALT_KEYS, CheckpointField, Keys, rewritten_key

TRIES = 20  # to hold a file that Redis is writing anew
LOAD_SECONDS = 600.0  # 1 GiB takes 10 s
REWRITE_SECONDS = 600.0
YEARS = 10
POLL_SECONDS = 0.05


class Moved(Exception):
    """Reports that something changed between two looks that must not have, so the backup begins again.

    Its text says what.
    """


class Moment(NamedTuple):
    """Holds what a running Redis said before anything was copied: `stored` by shard, and all of its erasures."""

    stored: dict[int, EntryId]
    erasures: dict[bytes, bytes]


class Facts(NamedTuple):
    """Counts the events that wait in the copy, and names the erasures that are not done in it."""

    waiting: int
    unfinished: tuple[str, ...]


def moment(url: str) -> Moment:
    """Asks a running Redis for what a backup compares its copy with. Raises redis.RedisError."""
    streams = Streams(url)
    try:
        stored = {shard: streams.state(shard).stored for shard in range(streams.shards())}
    finally:
        streams.close()
    with redis.blocking_client(url, seconds=10) as client:
        found: Any = client.hgetall(ERASURES_KEY)
        return Moment(stored, found)


def hold(directory: Path, into: Path) -> dict[Path, int]:
    """Holds the append-only file by links in `into`, and returns the sizes of its files by path.

    Raises Unheld and OSError.

    Since Redis 7 it is a directory, whose manifest is replaced when a rewrite ends. If the manifest is the same before
    and after, the files that it names were the current ones all the while.
    """
    for attempt in range(TRIES):
        held = into / str(attempt)
        held.mkdir(mode=0o700, parents=True)
        parts = directory / "appendonlydir"
        if not parts.exists():
            return {held / "appendonly.aof": link(directory / "appendonly.aof", held / "appendonly.aof")}
        (manifest,) = parts.glob("*.manifest")
        before = manifest.read_bytes()
        (held / parts.name).mkdir()
        try:
            sizes = {held / parts.name / name: link(parts / name, held / parts.name / name) for name in _named(before)}
        except FileNotFoundError:
            continue
        if manifest.read_bytes() == before:
            (held / parts.name / manifest.name).write_bytes(before)
            return {**sizes, held / parts.name / manifest.name: len(before)}
    raise Unheld(f"Redis writes {directory} anew again and again")


def _named(manifest: bytes) -> list[str]:
    """Returns the files that a manifest names, without those that are history. A line is `file NAME seq N type b`."""
    lines = (line.split() for line in manifest.decode().splitlines())
    return [words[1] for words in lines if words and words[-1] != "h"]


def made(
    held: Mapping[Path, int], directory: Path, program: Server, began: Moment | None, producers: Mapping[int, set[str]]
) -> Facts:
    """Makes the Redis of a backup from the held files, in a new directory. `producers` are the spool's, by shard.

    Raises Moved, Unheld, OSError and redis.RedisError.
    """
    for source, size in held.items():
        parent = directory / "appendonlydir" if source.parent.name == "appendonlydir" else directory
        copy(source, parent / source.name, size)
    with _running(directory, program) as url:
        return _changed(url, began, producers)


def _changed(url: str, began: Moment | None, producers: Mapping[int, set[str]]) -> Facts:
    streams = Streams(url)
    register = Register(streams.redis)
    try:
        with redis.blocking_client(url, seconds=60) as client:
            if began is not None and client.hgetall(ERASURES_KEY) != began.erasures:
                raise Moved("an erasure went on meanwhile")
            until = time.time() + YEARS * 365 * 86_400
            for shard in range(streams.shards()):
                keys = Keys(shard)
                client.delete(keys.lease)
                client.hdel(keys.checkpoint, CheckpointField.RUN)
                if names := producers.get(shard):
                    client.zadd(keys.seen, dict.fromkeys(names, until))
                if began is not None:
                    _rewind(client, keys, began.stored.get(shard, ORIGIN), streams.state(shard).stored)
            secrets = [key for kind in (SALT_KEYS, rewritten_key("*")) for key in client.scan_iter(kind, count=1000)]
            client.delete(FLUSHERS_KEY, *secrets)
        waiting = sum(streams.in_flight(shard, streams.state(shard)) for shard in range(streams.shards()))
        unfinished = tuple(one.id for one in register.unfinished())
        if not register.rewrite(REWRITE_SECONDS):
            raise Unheld("the copy of Redis's append-only file was not written anew")
        return Facts(waiting, unfinished)
    finally:
        streams.close()


def _rewind(client: Any, keys: Keys, began: EntryId, now: EntryId) -> None:
    if began != now and not client.eval(REWIND, 3, keys.checkpoint, keys.edges, keys.lease, str(began)):
        raise Moved(f"shard {keys.shard} let go of what it stored since {began}")


@contextmanager
def _running(directory: Path, program: Server) -> Iterator[str]:
    """Runs a redis-server on these files that nobody else knows of; gives its URL."""
    configured = prepare(directory, program.version, port=0, memory_bytes=0)
    socket = socket_path(directory)
    dying = partial(die_with, os.getpid())
    with subprocess.Popen([program.program, str(configured)], stdout=subprocess.DEVNULL, preexec_fn=dying) as process:  # noqa: PLW1509 - one thread
        try:
            _answering(socket, process, directory)
            yield redis.url_of(socket)
        finally:
            process.terminate()
    for name in ("redis.conf", "redis.log"):
        (directory / name).unlink(missing_ok=True)


def _answering(socket: Path, process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + LOAD_SECONDS
    with redis.blocking_client(redis.url_of(socket), seconds=10) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(POLL_SECONDS)
            else:
                return
    log = directory / "redis.log"
    said = log.read_text("utf-8", "replace")[-500:] if log.exists() else "nothing"
    raise Unheld(f"the copy of Redis does not open: {said}")
