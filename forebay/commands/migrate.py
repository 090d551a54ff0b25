"""Brings the tables of ClickHouse to this version: runs the numbered files of schemas/migrations, in order, once each.

Two runs at once are safe for two reasons. A table is the lock, because CREATE TABLE without IF NOT EXISTS succeeds for
one of them. And every statement can be repeated (a test holds that), so at worst two do the same work. The lock of a
process of this host that is gone is dropped at once; one of another host expires after a minute of ClickHouse's clock,
and whoever waits for it says so.

A file that was applied never changes: its checksum is recorded, and another checksum is an error. Migrations of a newer
version are left alone (expand, then contract). Tables of a revision from before the first release are refused.

On a cluster (`clickhouse_cluster`, experimental) statements run ON CLUSTER, on Replicated engines. ClickHouse runs an ALTER
of a replicated table on one replica of each shard; it is waited for on all of them, and sent again to a replica that has not
heard of the one before. The records and the lock live on the node that was asked, so always migrate through the same node.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.resources
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from forebay import config
from forebay.clickhouse import ClickHouseError
from forebay.options import CLICKHOUSE_URL, DATA, declare
from forebay.sources import lists
from schemas import channels
from schemas.columns import FIRST_RELEASE
from schemas.settings import CLUSTER_IS_EXPERIMENTAL
from schemas.sql import literal

RECORDS = "forebay.forebay_migrations"
LOCK = "forebay.forebay_migrating"
# As the numbered files set it for the other tables; this one is on one node only, so it is in no numbered file.
DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 480, min_rows_to_fsync_after_merge = 1"
)
# Each view, and the table whose column comments it takes over, because `CREATE OR REPLACE VIEW` drops them.
DESCRIBED_BY = {"v_events": "events", "v_pageviews": "events", "named_sessions": "sessions", "v_sessions": "sessions"}
LOCK_SECONDS = (
    60  # of ClickHouse's clock; the holder renews nothing: all migrations of a version on empty tables take 0.3 s
)
TABLE_EXISTS = 57
CANNOT_ASSIGN_ALTER = 517  # the replica has not heard of the ALTER before
ALTER_SECONDS = 60.0  # for it to hear
# For how long replicas remember tokens. The default was 604,800 and is 3,600 on ClickHouse 26: a block that is delivered again
# after an outage of an hour would have no token.
TOKEN_SECONDS = 604_800
UNKNOWN_DATABASE, UNKNOWN_TABLE = 81, 60
Run = Callable[[str], str]
UNRELEASED_RECORD = "0002_rollups"  # every revision from before the first release recorded it, and no release does
UNRELEASED_MARKER = r"[0-9a-f]{64}"  # how the file `tables` of their data directories reads


class MigrationChanged(Exception):
    """Reports that a file is not what was applied under its name."""


class Unreleased(Exception):
    """Reports that a revision from before the first release made the tables. Its text says what to do."""

    def __init__(self) -> None:
        super().__init__(
            f"the tables were made by a revision from before release {FIRST_RELEASE}, which no release reads: begin with an"
            " empty data directory (without `forebay up`: an empty ClickHouse and an empty Redis), or go back to that"
            " revision; docs/upgrading.md says how to take stored events along"
        )


@dataclass(frozen=True)
class Migration:
    """Holds one file. `checksum` is of the text as it is packaged, before the cluster is filled in."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    def statements(self, cluster: str) -> list[str]:
        """Returns the statements to run, in order. A `;` at the end of a line ends a statement."""
        text = self.text.replace("${ON_CLUSTER}", f"ON CLUSTER {literal(cluster)}" if cluster else "")
        if cluster:
            text = re.sub(r"(?m)^ENGINE = (\w*MergeTree)\b", r"ENGINE = Replicated\1", text)
            text = re.sub(r"non_(replicated_deduplication_window) = \d+", rf"\g<0>, \1_seconds = {TOKEN_SECONDS}", text)
            text = text.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
        parts = [part.strip() for part in re.split(r";[ \t]*(?:\n|\Z)", text) if _has_sql(part)]
        return [f"{part} SETTINGS alter_sync = 2" if cluster and _is_plain_alter(part) else part for part in parts]


def packaged() -> list[Migration]:
    """Returns the migrations of this version, in order."""
    directory = importlib.resources.files("schemas").joinpath("migrations")
    files = sorted((file for file in directory.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files]


def version() -> str:
    """Returns the last migration and what all of them and the list of sources come to: what the file `tables` says of a directory."""
    migrations = packaged()
    text = "".join(migration.checksum for migration in migrations) + str(channels.VERSION)
    return f"{migrations[-1].name} {hashlib.sha256(text.encode()).hexdigest()}"


def left(marker: Path) -> str:
    """Returns what the file `tables` of a data directory says; empty: nothing was ever stored. Raises Unreleased."""
    text = marker.read_text("ascii") if marker.exists() else ""
    if re.fullmatch(UNRELEASED_MARKER, text):
        raise Unreleased
    return text


def migrate(
    run: Run,
    *,
    cluster: str = "",
    is_alone: bool = False,
    migrations: list[Migration] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Applies the migrations that are missing, and returns their names. Raises MigrationChanged, Unreleased and what `run` raises.

    It also loads the list of sources that this release ships, unless ClickHouse has it or a later one.

    With `is_alone` it takes no lock, and waits for none that a killed run left, because the caller knows that nobody
    else migrates. `say` is told whom it waits for.
    """
    wanted = packaged() if migrations is None else migrations
    is_whole = migrations is None  # else a test has migrations of its own, and perhaps no table for sources
    if not _missing(wanted, _applied(run)) and not (is_whole and lists.is_behind(run)):
        return []
    on_cluster = f" ON CLUSTER {literal(cluster)}" if cluster else ""
    run(f"CREATE DATABASE IF NOT EXISTS forebay{on_cluster}")
    run(
        f"CREATE TABLE IF NOT EXISTS {RECORDS} (name String, checksum String, applied_at DateTime64(3, 'UTC')) "
        f"ENGINE = MergeTree ORDER BY name SETTINGS {DURABLE} COMMENT 'Which migrations ran; a name may stand here twice'"
    )
    done: list[str] = []
    with nullcontext() if is_alone else _lock(run, say):
        for migration in _missing(wanted, _applied(run)):
            for statement in migration.statements(cluster):
                _heard(run, statement)
            values = f"{literal(migration.name)}, {literal(migration.checksum)}, now64(3)"
            run(f"INSERT INTO {RECORDS} SELECT {values}")
            done.append(migration.name)
        if is_whole:
            lists.load_shipped(run)
        _describe(run, on_cluster)
    return done


def _heard(run: Run, statement: str) -> None:
    """Runs a statement. Of several replicas one may not know of the ALTER before it yet: then it is sent again, as all may be."""
    until = time.monotonic() + ALTER_SECONDS
    while True:
        try:
            run(statement)
        except ClickHouseError as error:
            if error.code != CANNOT_ASSIGN_ALTER or time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _describe(run: Run, on_cluster: str) -> None:
    """Gives each column of a view the comment of its namesake, unless it has one of its own."""
    names = ", ".join(map(literal, {*DESCRIBED_BY, *DESCRIBED_BY.values()}))
    lines = run(
        f"SELECT table, name, comment FROM system.columns WHERE database = 'forebay' AND table IN ({names}) FORMAT JSONEachRow"
    ).splitlines()
    comments = {(row["table"], row["name"]): row["comment"] for row in map(json.loads, lines)}
    for view, table in DESCRIBED_BY.items():
        lacking = [name for (of, name), comment in comments.items() if of == view and not comment]
        said = [f"COMMENT COLUMN `{name}` {literal(text)}" for name in lacking if (text := comments.get((table, name)))]
        if said:
            run(f"ALTER TABLE forebay.{view}{on_cluster} {', '.join(said)}")


def _applied(run: Run) -> dict[str, str]:
    try:
        lines = run(f"SELECT name, any(checksum) FROM {RECORDS} GROUP BY name FORMAT TabSeparated").splitlines()
    except ClickHouseError as error:
        if error.code in {UNKNOWN_DATABASE, UNKNOWN_TABLE}:
            return {}
        raise
    return dict(line.split("\t") for line in lines)


def _missing(wanted: list[Migration], applied: dict[str, str]) -> list[Migration]:
    if UNRELEASED_RECORD in applied:
        raise Unreleased
    for migration in wanted:
        if applied.get(migration.name) not in {None, migration.checksum}:
            raise MigrationChanged(
                f"migration {migration.name} was applied with another content: the tables were made by a revision between"
                " two releases, or the file was edited. Go back to what made them, or take the stored events along into an"
                " empty data directory: docs/upgrading.md#from-a-revision-between-two-releases"
            )
    return [migration for migration in wanted if migration.name not in applied]


class Held(NamedTuple):
    """Describes a lock that somebody holds: who, and for how many seconds."""

    host: str
    pid: int
    began: str  # when its process began, in the kernel's ticks: by now another process may have that number
    seconds_left: int

    @property
    def is_dead(self) -> bool:
        """Tells whether the lock expired, or its process was one of this host and is gone."""
        return self.seconds_left <= 0 or (self.host == socket.gethostname() and began(self.pid) != self.began)


@contextmanager
def _lock(run: Run, say: Callable[[str], None]) -> Iterator[None]:
    said = ""
    while True:
        note = literal(f"{socket.gethostname()} pid {os.getpid()} began {began(os.getpid())}")
        try:
            run(f"CREATE TABLE {LOCK} (nothing UInt8) ENGINE = Memory COMMENT {note}")
            break
        except ClickHouseError as error:
            if error.code != TABLE_EXISTS:
                raise
        held = _held(run)
        if held is None:
            continue
        if held.is_dead:
            say(f"dropping the lock of {held.host}, process {held.pid}, which is gone")
            run(f"DROP TABLE IF EXISTS {LOCK} SYNC")
            continue
        who = f"{held.host}, process {held.pid}"
        if who != said:
            said = who
            say(
                f"waiting for another `forebay migrate` ({who}), for {held.seconds_left} s at most; if it is gone,"
                f" DROP TABLE {LOCK} ends the wait"
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        run(f"DROP TABLE IF EXISTS {LOCK} SYNC")


def _held(run: Run) -> Held | None:
    """Returns the lock as it is now, or None if it is gone. A comment that can't be read is a lock of `somebody`."""
    database, _, table = LOCK.partition(".")
    line = run(
        f"SELECT dateDiff('second', metadata_modification_time, now()), comment FROM system.tables"
        f" WHERE database = {literal(database)} AND name = {literal(table)} FORMAT TabSeparated"
    ).strip()
    if not line:
        return None
    age, _, comment = line.partition("\t")
    found = re.fullmatch(r"(\S+) pid (\d+) began (\d*)", comment)
    host, pid, since = (found[1], int(found[2]), found[3]) if found else ("somebody", 0, "")
    return Held(host, pid, since, LOCK_SECONDS - int(age))


def began(pid: int) -> str:
    """Returns when a process of this host began, in the kernel's ticks; "" if there is none, or this is not Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _is_plain_alter(statement: str) -> bool:
    """Tells whether a statement changes a table and does not say itself how long to wait for that."""
    bare = re.sub(r"(?m)^--.*\n", "", statement).lstrip()
    return bare.startswith("ALTER TABLE") and not re.search(r"(?m)\bSETTINGS \w+_sync = \d+$", bare)


def _has_sql(part: str) -> bool:
    return any(line.strip() and not line.strip().startswith("--") for line in part.splitlines())


def add_options(parser: argparse.ArgumentParser) -> None:
    declare(parser, DATA, CLICKHOUSE_URL)
    parser.add_argument(
        "--cluster", dest="clickhouse_cluster", help="the cluster of the tables: run ON CLUSTER, on Replicated engines"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"forebay migrate: {text}\n")
    sys.stderr.flush()


def command(options: argparse.Namespace) -> int:
    settings = config.tool_settings(**vars(options))
    try:
        client = config.clickhouse(settings)
        if settings.clickhouse_cluster:
            _say(CLUSTER_IS_EXPERIMENTAL)
        done = migrate(client.run, cluster=settings.clickhouse_cluster, say=_say)
    except (ClickHouseError, MigrationChanged, Unreleased) as error:
        sys.stderr.write(f"forebay migrate: {error}\n")
        return 1
    sys.stdout.write("".join(f"applied {name}\n" for name in done) or "nothing to do: the tables are of this version\n")
    return 0
