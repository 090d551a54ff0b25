"""Keeps the embedded engine whole on a disk that others fill.

    free space   below twice the floor   merges and mutations are stopped, running ones are broken off
                 below the floor         the engine itself begins no INSERT (`keep_free_space_bytes`, error 243)
    parts        one is broken           it is logged, and the process exits at once, to be started again

A merge on a disk that gets full may make a broken part and report success (see part_files.py). The engine keeps the
parts that were merged for eight minutes, and goes back to them if it finds the merged part broken when it starts:
therefore the process exits without closing anything. The part of an INSERT is checked before the INSERT is answered, so
its sender gets no success and sends it again.

Not promised: room. Whoever fills a disk within milliseconds gets past the floor; what breaks then is found.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

from forebay.embedded.clickhouse.answer import Summary
from forebay.embedded.clickhouse.part_files import Parts
from forebay.embedded.clickhouse.request import Call
from forebay.embedded.clickhouse.sql import QueryFailed
from forebay.embedded.clickhouse.work import Engine

EXIT_BROKEN_PART = 71
LOOK_SECONDS = 0.05  # between looks at the free space: a look takes 5 µs
PARTS_SECONDS = 0.5  # between looks at new parts: a look takes 1 ms among 146 parts, and 0.5 to 1 ms for each new one
DAMAGED_SECONDS = 10.0  # between looks at all parts, when questions fail because one is damaged
MERGE_FLOORS = 2  # merging stops first, because rows wait for an INSERT
# The errors of a question that meets a badly written part: CANNOT_READ_ALL_DATA, CHECKSUM_DOESNT_MATCH, CORRUPTED_DATA,
# and those of reading a hole: UNKNOWN_CODEC, CANNOT_DECOMPRESS, SIZES_OF_MARKS_FILES_ARE_INCONSISTENT.
DAMAGE_CODES = frozenset((33, 40, 246, 271, 432, 741))
READING = frozenset(("SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"))
_log = logging.getLogger("forebay.embedded.clickhouse")


class Merges(Protocol):
    """Stops and starts the engine's merges and mutations, in all tables. Both may block, and raise QueryFailed."""

    def stop_merges(self) -> None: ...
    def start_merges(self) -> None: ...


class Disk:
    """Watches the disk and the parts of one engine, for as long as `run` runs."""

    def __init__(self, directory: Path, *, free_bytes_min: int, leave: Callable[[int], None] = os._exit) -> None:
        """Takes the engine's directory, and `leave`, which ends the process with an exit code."""
        self._directory = directory
        self._floor = MERGE_FLOORS * free_bytes_min
        self._leave = leave
        self._parts = Parts(directory / "store")
        self._are_merges_stopped = False
        self._damaged_at = -DAMAGED_SECONDS

    def begin(self, merges: Merges) -> None:
        """Looks once, before anything is served. The engine has loaded what is broken now, so that is only logged."""
        for part, fault in self._parts.look():
            _log.error("part %s is broken: %s", part, fault)
        self._watch_space(merges)

    async def run(self, merges: Merges) -> None:
        """Watches until it is cancelled.

        The two looks don't wait for each other, because an engine on a full disk may hang.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_merges_off(merges), name="free space")
            tasks.create_task(self._keep_settling(), name="new parts")

    async def _keep_merges_off(self, merges: Merges) -> None:
        while True:
            if self._is_short() is not self._are_merges_stopped:
                await asyncio.to_thread(self._watch_space, merges)
            await asyncio.sleep(LOOK_SECONDS)

    async def _keep_settling(self) -> None:
        while True:
            await asyncio.to_thread(self.settle)
            await asyncio.sleep(PARTS_SECONDS)

    def settle(self) -> None:
        """Returns if every part that was made before is whole; ends the process if one is not."""
        self._judge(again=False)

    def damaged(self, code: int, text: str) -> None:
        """Looks at all parts if a question failed with an error that a broken part causes."""
        now = time.monotonic()
        if code not in DAMAGE_CODES or now - self._damaged_at < DAMAGED_SECONDS:
            return
        self._damaged_at = now
        _log.error("a question failed as on a damaged part: %s", text[:500])
        self._judge(again=True)

    def _judge(self, *, again: bool) -> None:
        broken = self._parts.look(again=again)
        if not broken:
            return
        for part, fault in broken:
            _log.critical("part %s is broken: %s (%s)", part, fault, self._space())
        _log.critical(
            "the engine exits at once; when it is started again it goes back to the parts that these were merged from"
        )
        self._leave(EXIT_BROKEN_PART)

    def _watch_space(self, merges: Merges) -> None:
        is_short = self._is_short()
        try:
            if is_short and not self._are_merges_stopped:
                merges.stop_merges()
                _log.critical("merges are stopped: %s, and merging needs %d MiB", self._space(), self._floor >> 20)
            elif self._are_merges_stopped and not is_short:
                merges.start_merges()
                _log.warning("merges go on: %s", self._space())
        except QueryFailed as error:
            _log.error("merges could not be stopped or started: %s", error)
        else:
            self._are_merges_stopped = is_short

    def _is_short(self) -> bool:
        """Tells whether there is too little space to merge. If the disk can't be asked, the last answer stays."""
        try:
            return shutil.disk_usage(self._directory).free < self._floor
        except OSError:
            return self._are_merges_stopped

    def _space(self) -> str:
        try:
            free = shutil.disk_usage(self._directory).free
        except OSError as error:
            return f"its disk cannot be asked: {error}"
        return f"{free >> 20} MiB of disk left"


class Watched:
    """Runs an engine's statements with the disk in view."""

    def __init__(self, engine: Engine, disk: Disk) -> None:
        self._engine = engine
        self._disk = disk
        self.version = engine.version
        self.timezone = engine.timezone
        self.content_types = engine.content_types

    def admit(self, call: Call) -> bool:
        return self._engine.admit(call)

    def keep(self, limits: Mapping[str, str], fault_of: Callable[[int, Any], str]) -> Any:
        return self._engine.keep(limits, fault_of)

    def run(self, call: Call, kept: Any = None) -> Generator[bytes, None, Summary]:
        """Runs a call, and answers a statement that may have made parts only when these are known to be whole."""
        try:
            summary = yield from self._engine.run(call, kept)
        except QueryFailed as error:
            self._disk.damaged(error.code, error.text)
            raise
        if call.statement.keyword not in READING:
            self._disk.settle()
        return summary

    def probe(self) -> None:
        self._engine.probe()

    def stop(self, thread_id: int) -> None:
        self._engine.stop(thread_id)
