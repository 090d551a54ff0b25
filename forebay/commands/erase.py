"""`forebay erase --site … --user … --visitor … --before …`: removes events on purpose, from everywhere they are.

Selectors are combined by AND, and at least one is needed. It reaches ClickHouse, what waits in Redis or in spools, the
replay tail, dead letters and the append-only file. What was accepted before the erasure goes; what comes later is
accepted again. If it is killed or gives up, the next run finishes it (docs/decisions/0018-erasing.md).

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

from forebay import config
from forebay.clickhouse import ClickHouseError
from forebay.erase.finish import Finish, Waits
from forebay.erase.register import Register, fresh
from forebay.erase.rows import Rows
from forebay.options import CLICKHOUSE_URL, DATA, REDIS_URL, declare
from forebay.stream import Streams
from runtime import redis
from runtime.replicas import TooFew
from schemas.erasure import Erasure, digest

CLICKHOUSE_SECONDS = 3_600  # for one statement: a digest of each of a billion rows takes minutes
PROBE_SECONDS = 5
POLL_SECONDS = 1.0
VISITOR_MAX = 1 << 64


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", default="", help="events of this site")
    parser.add_argument("--user", default="", help="events of this user, as the site sends it (events.user_id)")
    parser.add_argument("--visitor", help="events of this visitor: the number in events.visitor_id")
    parser.add_argument("--before", help="events that happened before this moment in UTC: 2026-01-31, 2026-01-31T12:00")
    parser.add_argument("--reason", default="", help="kept with the erasure; don't name a person in it")
    parser.add_argument("--dry-run", action="store_true", help="print what would go, and change nothing")
    parser.add_argument("--yes", action="store_true", help="erase it")
    parser.add_argument("--finish", action="store_true", help="go on with erasures that were interrupted; begin none")
    parser.add_argument(
        "--seconds", type=float, default=60, help="give up after so long; --finish goes on (default: 60)"
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait until ClickHouse has deleted the files of replaced parts"
    )
    declare(parser, DATA, REDIS_URL, CLICKHOUSE_URL)
    parser.add_argument("--cluster", dest="clickhouse_cluster", help="the cluster of the tables: delete ON CLUSTER")


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    try:
        erasure = None if options.finish else asked(options, by=config.operator())
        clickhouse, probe = (
            config.clickhouse(settings, timeout_seconds=seconds, is_patient=seconds == CLICKHOUSE_SECONDS)
            for seconds in (CLICKHOUSE_SECONDS, PROBE_SECONDS)
        )
    except (ValueError, ClickHouseError) as error:
        sys.stderr.write(f"forebay erase: {error}\n")
        return 2
    url = config.redis_url(settings)
    streams = Streams(url)
    register = Register(streams.redis)
    rows = Rows(clickhouse, cluster=settings.clickhouse_cluster, probe=probe)
    finish = Finish(streams, register, rows, say=_warn)
    try:
        if erasure is not None:
            erasure = _confirmed(erasure, options, streams, register, finish)
            if erasure is None:
                return 0 if options.dry_run else 2
            register.record(erasure)
            sys.stdout.write(f"erasure {erasure.id} is recorded: from now on `forebay erase --finish` can finish it\n")
    except TooFew as error:
        streams.close()
        _warn(f"it is perhaps recorded, and a failover could take it back: {error}. `forebay erase --finish` goes on")
        return 1
    except redis.RedisError as error:
        _warn(f"nothing was begun: Redis: {error}")
        return 2
    try:
        _finished(register, finish, time.monotonic() + options.seconds)
        if unreadable := finish.unreadable():
            sys.stdout.write(
                f"{unreadable} entries are set aside, or dead and unreadable (`forebay dead list`): retried ones are stored"
                " without what is erased; those that can't be read are yours to drop\n"
            )
        _say_what_stays(rows, Path(settings.data), wait=options.wait)
    except (Waits, redis.RedisError, ClickHouseError) as error:
        _warn(f"not finished yet: {error}. The erasure is recorded: `forebay erase --finish` goes on")
        return 1
    finally:
        streams.close()
    return 0


def asked(options: argparse.Namespace, *, by: str) -> Erasure:
    """Returns the erasure that these options ask for, whose moment is not set yet.

    Raises ValueError with a text for people.
    """
    name = fresh()
    before_ms = 0
    if options.before is not None:
        try:
            moment = datetime.fromisoformat(options.before)
        except ValueError:
            raise ValueError(
                f"--before {options.before!r} is not a moment like 2026-01-31 or 2026-01-31T12:00"
            ) from None
        before_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        if before_ms <= 0:
            raise ValueError("--before is earlier than 1970: no event is older")
    if options.visitor is not None and not (options.visitor.isdecimal() and int(options.visitor) < VISITOR_MAX):
        raise ValueError(f"--visitor {options.visitor!r} is not a number as in events.visitor_id")
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
    """Prints what the erasure means; returns it with its moment if it was confirmed, else None.

    Raises redis.RedisError.
    """
    at_ms = register.now_ms()
    ends = {shard: str(streams.state(shard).last) for shard in range(streams.shards())}
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
    """Does every recorded erasure that is not done. Raises Waits and redis.RedisError."""
    with register.assuring():
        unfinished = register.unfinished()
    for erasure in unfinished:
        rows = finish.run(erasure, deadline)
        sys.stdout.write(
            f"erasure {erasure.id} is done: {rows} stored rows are gone, and so is what waited or was dead\n"
        )


def _say_what_stays(rows: Rows, data: Path, *, wait: bool) -> None:
    """Prints which files hold erased events for a while yet, or can be read by no process of ours.

    Raises ClickHouseError.
    """
    spool = data / "spool"
    if spooled := sorted(path.name for path in spool.glob("*/*.spool")):
        sys.stdout.write(f"{len(spooled)} spooled segments wait in {spool}: they are drained without what is erased\n")
    if damaged := list(spool.glob("damaged/*")):
        sys.stdout.write(
            f"{spool}/damaged holds {len(damaged)} segments that can't be read: look at them, and delete them\n"
        )
    replaced = rows.replaced()
    if replaced is None:
        sys.stdout.write(
            "this user of ClickHouse may not see when the files of replaced parts go: it is after old_parts_lifetime\n"
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
