"""Opens a backup's ClickHouse with the engine itself, on links beside it, and counts what it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from forebay import config
from forebay.backup.files import Unheld
from forebay.checks.summary import beyond
from forebay.clickhouse import ClickHouse, ClickHouseError
from forebay.embedded import sockets
from forebay.embedded.clickhouse.dedup_log import PART
from forebay.embedded.clickhouse.part_files import Parts
from forebay.stream import State
from runtime.parent import die_with

START_SECONDS = 600.0  # a table of ten thousand parts takes a minute to load
POLL_SECONDS = 0.1
STATEMENT_SECONDS = 3_600
MEMORY_BYTES = 1 << 30
SAID_MAX = 2_000


def is_left_out(name: str) -> bool:
    """Tells whether a name in the engine's directory is no table's: it is being written or removed, or the engine's."""
    return name.startswith(("tmp", "delete_tmp_")) or name == "status"


def looked_at(engine: Path, beside: Path, states: dict[int, State] | None, *, is_deep: bool) -> int:
    """Opens a copy of the engine's directory, and counts the events in it, or those that these states call stored.

    `beside` is a directory that is made for it and removed. Raises Unheld if the copy is not whole, ClickHouseError and
    OSError.
    """
    for broken in Parts(engine / "store").look():
        raise Unheld(f"part {broken.part} is broken: {broken.fault}")
    try:
        _cloned(engine, beside / "engine")
        if (record := engine.with_name("engine.json")).exists():
            shutil.copyfile(record, beside / record.name)
        (beside / "unclean").touch()  # the copy is what a kill at that moment would have left
        with _running(beside) as clickhouse:
            held, daily = _counted(clickhouse, states)
            if daily != held[0]:
                raise Unheld(f"events has {held[0]} rows, and daily says {daily}")
            if is_deep:
                _check(clickhouse)
            return held[1]
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _counted(clickhouse: ClickHouse, states: dict[int, State] | None) -> tuple[tuple[int, int], int]:
    condition = beyond(states or {})
    rows = clickhouse.rows(
        f"SELECT count() AS every, countIf(NOT ({condition.sql})) AS held,"
        " (SELECT sum(events) FROM forebay.daily) AS daily FROM forebay.events",
        condition.parameters,
    )
    return (int(rows[0]["every"]), int(rows[0]["held"])), int(rows[0]["daily"])


def _check(clickhouse: ClickHouse) -> None:
    for row in clickhouse.rows(
        "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree' AND database != 'system'"
    ):
        table = f"`{row['database']}`.`{row['name']}`"
        if (
            clickhouse.run(
                f"CHECK TABLE {table} SETTINGS check_query_single_value_result = 1 FORMAT TabSeparated"
            ).strip()
            != "1"
        ):
            raise Unheld(f"{table} does not hold what its checksums say")


def _cloned(source: Path, target: Path) -> None:
    """Makes a second directory of the same files: parts by links, because they never change, and all else by copies."""

    def linked(one: str, other: str) -> None:
        is_part = any(PART.fullmatch(parent.name) for parent in Path(one).parents)
        try:
            if is_part:
                os.link(one, other)
                return
        except OSError:  # a file system without hard links
            pass
        shutil.copyfile(one, other)

    shutil.copytree(source, target, symlinks=True, copy_function=linked)


@contextmanager
def _running(directory: Path) -> Iterator[ClickHouse]:
    socket = sockets.private_path(directory, "flusher.sock")
    words = ["-m", "forebay.embedded.clickhouse", "--data", str(directory), "--port", "0"]
    words += ["--flusher-socket", str(socket), "--memory-max", str(MEMORY_BYTES)]
    with (directory / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, *words],
            env=config.child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - this process has one thread
        )
    try:
        clickhouse = ClickHouse(f"unix://{socket}", timeout_seconds=STATEMENT_SECONDS)
        _answering(clickhouse, process, directory / "said")
        yield clickhouse
    finally:
        process.kill()  # nothing has to be closed: the links are removed
        process.wait()
        sockets.forget(socket)


def _answering(clickhouse: ClickHouse, process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            clickhouse.run("SELECT 1")
        except ClickHouseError:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise Unheld(f"the copy of ClickHouse does not open: {said.read_text('utf-8', 'replace')[-SAID_MAX:]}")
