"""`forebay backup DIR`: copies everything that a `forebay up` keeps, while it runs or while it is stopped.

The copy holds what was acknowledged before it began, each event once. docs/decisions/0023-backups.md says why, and why
in this order:

    read `stored` ─▶ hold the spool ─▶ hold ClickHouse ─▶ hold Redis ─▶ copy all ─▶ set `stored` back ─▶ open and count

It is written to DIR.part and renamed at the end, after an fsync, so a directory called DIR is whole. Exit status: 0 it
is whole, 1 it could not be made, 2 nothing was begun.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from forebay import config, modes
from forebay.backup import buffer, files, tables
from forebay.backup.buffer import Moved
from forebay.backup.files import Unheld
from forebay.backup.manifest import File, Manifest
from forebay.checks import summary
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.embedded.redis import RedisMissing, Server, find_server
from forebay.lock import DataInUse, lock
from forebay.stream import State, Streams
from runtime import redis
from runtime.durable import make_directory, sync_names
from runtime.version import version

TRIES = 5  # each time that something changed which must not (Moved)
SEGMENT_PARTS = 4  # of the name of a spooled segment: shard, producer, first number, suffix
ROOM_BYTES = 64 << 20


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="where to: a directory that does not exist yet")
    parser.add_argument(
        "--deep", action="store_true", help="also compare every stored byte of the copy with ClickHouse's checksums"
    )
    parser.add_argument("--data", help="the data directory of a `forebay up`, running or not (default: ./forebay-data)")


class Running(NamedTuple):
    """Holds what a running `forebay up` was asked before anything is held."""

    moment: buffer.Moment
    states: dict[int, State]
    stored: int


def command(options: argparse.Namespace) -> int:
    os.umask(modes.OTHERS)
    settings = config.tool_settings(data=options.data)
    data, target = Path(settings.data).resolve(), options.directory.absolute()
    try:
        fault = _unfit(data, target)
    except OSError as error:
        fault = str(error)
    if fault:
        sys.stderr.write(f"forebay backup: {fault}\n")
        return 2
    try:
        with _owned(data) as is_running, files.staged(data) as stage:
            made = _made(data, target, stage, is_running=is_running, is_deep=options.deep)
    except (Moved, Unheld, DataInUse, RedisMissing, redis.RedisError, ClickHouseError, OSError) as error:
        sys.stderr.write(f"forebay backup: {error}\n")
        return 1
    size = sum(file.size for file in made.files.values())
    sys.stdout.write(
        f"{target}: {made.stored} events stored, {made.waiting} waiting, {size / 1e6:.1f} MB; opened and counted\n"
    )
    if made.erasures_unfinished:
        sys.stdout.write(
            f"erasures that are not done in it (`forebay erase --finish`): {', '.join(made.erasures_unfinished)}\n"
        )
    return 0


def _unfit(data: Path, target: Path) -> str:
    """Returns why no backup can be begun, or "" if one can."""
    if (data / "clickhouse" / "server").is_dir() and not (data / "clickhouse" / "engine").is_dir():
        return f"the ClickHouse of {data} is a server (clickhouse_server): use its own BACKUP statement"
    if not (data / "redis").is_dir() or not (data / "clickhouse" / "engine").is_dir():
        return f"{data} is not a data directory of `forebay up`; separate servers are backed up by their own tools"
    if os.path.lexists(target):
        return f"{target} exists already"
    if target.is_relative_to(data):
        return f"{target} lies in the data directory"
    return ""


@contextmanager
def _owned(data: Path) -> Iterator[bool]:
    """Gives whether a `forebay up` runs on the data directory; while none does, none can start.

    Raises DataInUse while one starts.
    """
    try:
        held = lock(data)
    except DataInUse:
        if not config.running(str(data)):
            raise
        yield True
        return
    try:
        yield False
    finally:
        os.close(held)


def _made(data: Path, target: Path, stage: Path, *, is_running: bool, is_deep: bool) -> Manifest:
    said: Moved | None = None
    part = target.with_name(f"{target.name}.part")
    try:
        for attempt in range(TRIES):
            shutil.rmtree(part, ignore_errors=True)
            make_directory(part)
            try:
                made = _attempt(data, part, stage / str(attempt), is_running=is_running, is_deep=is_deep)
            except Moved as error:
                said = error
                continue
            files.sync_all(part)
            part.rename(target)  # onto an empty directory at most
            sync_names(target.parent)
            return made
    finally:
        shutil.rmtree(part, ignore_errors=True)
    raise Unheld(
        f"given up after {TRIES} tries: {said}; if a shard trims its stream too early, a longer replay_tail_seconds helps"
    )


def _attempt(data: Path, part: Path, stage: Path, *, is_running: bool, is_deep: bool) -> Manifest:
    began_at = datetime.now(UTC)
    running = _asked(data) if is_running else None
    held = {
        "spool": files.hold(data / "spool", stage / "spool", lambda name: False),
        "clickhouse": files.hold(data / "clickhouse" / "engine", stage / "clickhouse" / "engine", tables.is_left_out),
    }
    record = data / "clickhouse" / "engine.json"  # names the version that wrote it: an older engine is refused
    if record.exists():
        held["clickhouse"][stage / "clickhouse" / record.name] = files.link(record, stage / "clickhouse" / record.name)
    redis_held = buffer.hold(data / "redis", stage / "redis-held")
    _require_room(part, sum(sum(sizes.values()) for sizes in (*held.values(), redis_held)))
    facts = buffer.made(
        redis_held, stage / "redis", _program(data), running.moment if running else None, _producers(held["spool"])
    )
    held["redis"] = {path: path.stat().st_size for path in (stage / "redis").rglob("*") if path.is_file()}
    copied = {
        str(path.relative_to(stage)): File(size, files.copy(path, part / path.relative_to(stage), size))
        for sizes in held.values()
        for path, size in sizes.items()
    }
    links = {
        str(path.relative_to(stage)): str(path.readlink())
        for path in (stage / "clickhouse").rglob("*")
        if path.is_symlink()
    }
    directories = (
        path for kind in held for path in (stage / kind).rglob("*") if path.is_dir() and not path.is_symlink()
    )
    for path in directories:  # a table also has empty ones
        (part / path.relative_to(stage)).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, where in links.items():
        (part / name).symlink_to(where)
    stored = tables.looked_at(
        part / "clickhouse" / "engine", part / "look", running.states if running else None, is_deep=is_deep
    )
    if running and stored != running.stored:
        raise Moved(f"ClickHouse said it holds {running.stored} events, and the copy holds {stored} of them")
    marker = data / "tables"
    made = Manifest(
        forebay=version(),
        began_at=began_at.isoformat(timespec="milliseconds"),
        tables=marker.read_text("ascii") if marker.exists() else "",
        stored=stored,
        waiting=facts.waiting,
        erasures_unfinished=facts.unfinished,
        files=copied,
        links=links,
    )
    files.sync_all(part)  # before the manifest, which makes it a whole backup
    made.write(part)
    return made


def _asked(data: Path) -> Running:
    found = config.running(str(data))
    if found is None:
        raise Moved("the `forebay up` that ran on it is gone")
    moment = buffer.moment(found.redis_url)
    streams = Streams(found.redis_url)
    try:
        states = {shard: streams.state(shard)._replace(stored=stored) for shard, stored in moment.stored.items()}
    finally:
        streams.close()
    return Running(moment, states, summary.stored(ClickHouse(found.clickhouse_url, is_patient=True), states))


def _program(data: Path) -> Server:
    found = config.running(str(data))
    named = found.redis_server if found is not None else None
    return find_server(named.program if named is not None else config.up_settings().redis_server)


def _producers(spool: dict[Path, int]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for path in spool:
        parts = path.name.split(".")
        if len(parts) == SEGMENT_PARTS and parts[0].isdigit():
            found.setdefault(int(parts[0]), set()).add(parts[1])
    return found


def _require_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size + ROOM_BYTES:
        raise Unheld(
            f"{directory.parent} has {free / 1e6:.0f} MB free, and the backup needs {(size + ROOM_BYTES) / 1e6:.0f}"
        )
