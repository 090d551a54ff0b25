"""`forebay erase --site … --user … --visitor … --before …`: removes events on purpose, from everywhere they are.

Selectors are combined by AND; at least one is needed. It reaches ClickHouse, what waits in Redis or in
spools, the replay tail, dead letters and the append-only file. What was accepted up to its moment goes;
what comes later is taken again. Killed or broken off it is finished by the next run.

Exit status: 0 all of it is done, 1 not all yet (`forebay erase --finish` goes on), 2 nothing was begun.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import redis

from forebay import config
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.erase.finish import Finish, Waits
from forebay.erase.register import Register, fresh
from forebay.erase.rows import Rows
from forebay.stream import Streams
from schemas.erasure import Erasure, digest

CLICKHOUSE_SECONDS = 3_600  # one statement: a digest for each of a billion rows takes minutes
PROBE_SECONDS = 5
POLL_SECONDS = 1.0
VISITOR_MAX = 1 << 64


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", default="", help="events of this site")
    parser.add_argument("--user", default="", help="events of this user, as the site sends it (events.user_id)")
    parser.add_argument("--visitor", help="events of this visitor: the number in events.visitor_id")
    parser.add_argument("--before", help="events that happened before this moment in UTC: 2026-01-31, 2026-01-31T12:00")
    parser.add_argument("--reason", default="", help="written down with the erasure; name nobody in it")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    parser.add_argument("--yes", action="store_true", help="erase it")
    parser.add_argument("--finish", action="store_true", help="go on with erasures that were broken off; begin none")
    parser.add_argument(
        "--seconds", type=float, default=60, help="give up after so long; it can be finished (default: 60)"
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait until ClickHouse has deleted the files of replaced parts"
    )
    parser.add_argument("--data", help="the data directory of a running forebay up (default: ./forebay-data)")
    parser.add_argument("--redis-url", help="where Redis is, if it is not that one")
    parser.add_argument("--clickhouse-url", help="where ClickHouse answers HTTP, if it is not that one")
    parser.add_argument("--cluster", dest="clickhouse_cluster", help="delete ON CLUSTER")


def command(options: argparse.Namespace) -> int:
    settings = config.load(config.ToolSettings, "tools", **vars(options))
    try:
        erasure = None if options.finish else asked(options, by=config.operator())
        clickhouse, probe = (
            ClickHouse(
                config.clickhouse_url(settings),
                user=settings.clickhouse_user,
                password=settings.clickhouse_password,
                timeout_seconds=seconds,
                is_patient=seconds == CLICKHOUSE_SECONDS,
            )
            for seconds in (CLICKHOUSE_SECONDS, PROBE_SECONDS)
        )
    except (ValueError, ClickHouseError) as error:
        sys.stderr.write(f"forebay erase: {error}\n")
        return 2
    url = config.redis_url(settings)
    streams, register = Streams(url), Register(url)
    rows = Rows(clickhouse, cluster=settings.clickhouse_cluster, probe=probe)
    finish = Finish(streams, register, rows, say=_warn)
    try:
        if erasure is not None:
            erasure = _confirmed(erasure, options, streams, register, finish)
            if erasure is None:
                return 0 if options.dry_run else 2
            register.record(erasure)
            sys.stdout.write(
                f"erasure {erasure.id} is recorded; killed now, it is finished by forebay erase --finish\n"
            )
    except redis.RedisError as error:
        _warn(f"nothing was begun: Redis: {error}")
        return 2
    try:
        _finished(register, finish, time.monotonic() + options.seconds)
        if unreadable := finish.unreadable():
            sys.stdout.write(
                f"{unreadable} entries are set aside, or dead and unreadable: see `forebay dead list`; what is erased is"
                " left out when they are retried, and the rest is yours to drop\n"
            )
        _say_what_stays(rows, Path(settings.data), wait=options.wait)
    except (Waits, redis.RedisError, ClickHouseError) as error:
        _warn(f"not finished yet: {error}. The erasure stands: `forebay erase --finish` goes on")
        return 1
    finally:
        register.close()
        streams.close()
    return 0


def asked(options: argparse.Namespace, *, by: str) -> Erasure:
    """The erasure of these options, with no moment yet. Raises ValueError in words for people."""
    name = fresh()
    before_ms = 0
    if options.before is not None:
        try:
            moment = datetime.fromisoformat(options.before)
        except ValueError:
            raise ValueError(f"--before {options.before!r} is no moment: 2026-01-31, or 2026-01-31T12:00") from None
        before_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        if before_ms <= 0:
            raise ValueError("--before lies before 1970: there is nothing")
    if options.visitor is not None and not (options.visitor.isdecimal() and int(options.visitor) < VISITOR_MAX):
        raise ValueError(f"--visitor {options.visitor!r} is no number of events.visitor_id")
    visitor = str(int(options.visitor)) if options.visitor is not None else ""
    if not (options.site or options.user or visitor or before_ms):
        raise ValueError("name at least one of --site, --user, --visitor and --before")
    return Erasure(
        id=name,
        at_ms=0,
        ends={},
        site=options.site,
        user=digest(name, options.user) if options.user else "",
        visitor=digest(name, visitor) if visitor else "",
        before_ms=before_ms,
        by=by,
        reason=options.reason,
    )


def _confirmed(
    erasure: Erasure, options: argparse.Namespace, streams: Streams, register: Register, finish: Finish
) -> Erasure | None:
    """The erasure with its moment, when it is to be; says what it means first. Raises redis.RedisError."""
    at_ms = register.now_ms()
    ends = {shard: streams.state(shard).last for shard in range(streams.shards())}
    erasure = msgspec.structs.replace(erasure, at_ms=at_ms, ends=ends)
    found = finish.found(erasure)
    _say_found("stored", found.stored or {})
    _say_found("waiting", found.waiting)
    _say_found("dead", found.dead)
    if options.dry_run:
        return None
    if not options.yes:
        _warn("nothing is erased without --yes: it can't be undone")
        return None
    return erasure


def _say_found(where: str, sites: Mapping[str, int]) -> None:
    sys.stdout.write(f"{where}: {sum(sites.values())}\n")
    for site, events in sorted(sites.items(), key=lambda item: (-item[1], item[0])):
        sys.stdout.write(f"  {events} of {site}\n")


def _finished(register: Register, finish: Finish, deadline: float) -> None:
    """Do all that is recorded and not done. Raises Waits, redis.RedisError."""
    for erasure in register.unfinished():
        rows = finish.run(erasure, deadline)
        sys.stdout.write(f"erasure {erasure.id} is done: {rows} stored rows are gone, and what waited or was dead\n")


def _say_what_stays(rows: Rows, data: Path, *, wait: bool) -> None:
    """Files that hold erased events for a while yet, or that no process of ours reads. Raises ClickHouseError."""
    spool = data / "spool"
    if spooled := sorted(path.name for path in spool.glob("*/*.spool")):
        sys.stdout.write(f"{len(spooled)} spooled segments wait in {spool}: what is erased is left out as they drain\n")
    if damaged := list(spool.glob("damaged/*")):
        sys.stdout.write(f"{spool}/damaged holds {len(damaged)} segments that nobody can read: look, and delete them\n")
    replaced = rows.replaced()
    if replaced is None:
        sys.stdout.write(
            "this user of ClickHouse may not see when files of replaced parts go: after old_parts_lifetime\n"
        )
    elif replaced and not wait:
        until = datetime.fromtimestamp(max(replaced.values()), UTC)
        sys.stdout.write(
            f"ClickHouse keeps the files of {len(replaced)} replaced parts until {until:%H:%M:%S} UTC or shortly after\n"
        )
    while wait and replaced and not replaced.keys().isdisjoint(rows.replaced() or ()):
        time.sleep(POLL_SECONDS)


def _warn(text: str) -> None:
    sys.stderr.write(f"forebay erase: {text}\n")
