"""Closes a gap that a killed engine leaves in its deduplication: a token that is remembered although its rows are gone.

The engine writes the record of a part before it renames the part into place. If it is killed between the two, the part
is lost, and the retry of that INSERT is acknowledged and dropped. So before the directory is opened again, each table's
last added part is looked for; if neither it nor a part that merged it exists, DROP records undo its ADD records, and
the retry inserts. The engine adds parts of one table under a lock, so at most one part per table is in that state.

A record is `1` (ADD) or `2` (DROP), the part and the block id, separated by tabs, one a line, appended to the file
deduplication_logs/deduplication_log_N.txt with the highest N, and never fsynced. A torn tail is cut off first, because
the engine would append to it, and stop reading there at the next start.

Not promised: rows. Parts that were lost with older records in a power cut stay forgotten; verifying a block before it
is delivered again finds those (I6).
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ADD, DROP = b"1", b"2"
_RECORD = re.compile(rb"([12])\t([^\t\n\0]+)\t([^\t\n\0]+)\n")
PART = re.compile(r"([^_]+)_(\d+)_(\d+)_(\d+)(?:_(\d+))?")
_LOG = re.compile(r"deduplication_log_(\d+)\.txt")


class Repair(NamedTuple):
    """Says what to do to the last log: cut it to `keep_bytes`, then append `records`."""

    keep_bytes: int
    records: bytes

    @property
    def part_names(self) -> list[str]:
        """Returns the lost part, once for each record that undoes it."""
        return [line.split(b"\t")[1].decode() for line in self.records.splitlines()]


class _Part(NamedTuple):
    partition: str
    first: int
    final: int
    level: int
    mutation: int


def repair_of(logs: Sequence[bytes], names: Collection[str]) -> Repair | None:
    """Returns the repair that the logs (oldest first) need, or None. `names` are those in the table's directory."""
    records = [record for log in logs for record in _records(log)]
    keep_bytes = sum(len(b"\t".join(record)) + 1 for record in _records(logs[-1])) if logs else 0
    undo = _undo(records, names)
    if logs and (undo or keep_bytes < len(logs[-1])):
        return Repair(keep_bytes, undo)
    return None


def repair(store: Path) -> list[str]:
    """Repairs every table below the engine's `store` directory, fsynced; returns a line for each repaired log.

    The engine must not be running. If the repair is killed, the next one does the rest.
    """
    said = []
    for directory in sorted(store.glob("*/*/deduplication_logs")):
        logs = sorted(
            (int(match.group(1)), path) for path in directory.iterdir() if (match := _LOG.fullmatch(path.name))
        )
        texts = [path.read_bytes() for _, path in logs]
        needed = repair_of(texts, {path.name for path in directory.parent.iterdir() if path.is_dir()})
        if needed is not None:
            _apply(logs[-1][1], needed)
            lost = ", ".join(dict.fromkeys(needed.part_names)) or "no part"
            cut = len(texts[-1]) - needed.keep_bytes
            said.append(f"{logs[-1][1]}: forgot {lost}, cut {cut} damaged bytes")
    return said


def _apply(path: Path, needed: Repair) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, needed.keep_bytes)
        os.pwrite(descriptor, needed.records, needed.keep_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _records(log: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields operation, part and block id of each record up to the first damaged one, where the engine stops too."""
    at = 0
    while match := _RECORD.match(log, at):
        yield match.group(1), match.group(2), match.group(3)
        at = match.end()


def _undo(records: Sequence[tuple[bytes, bytes, bytes]], names: Collection[str]) -> bytes:
    last_part = next((part for operation, part, _ in reversed(records) if operation == ADD), None)
    if last_part is None or _is_covered(last_part.decode(), names):
        return b""
    live: dict[bytes, bytes] = {}  # block id → the part that holds it
    for operation, part, block_id in records:
        if operation == ADD:
            live[block_id] = part
        else:
            live.pop(block_id, None)
    return b"".join(b"\t".join((DROP, part, block_id)) + b"\n" for block_id, part in live.items() if part == last_part)


def _is_covered(name: str, names: Collection[str]) -> bool:
    part = _parsed(name)
    # A name of another form is left alone: a false DROP would double a block, while a missing one changes nothing.
    return part is None or any(_covers(other, part) for text in names if (other := _parsed(text)))


def _covers(other: _Part, part: _Part) -> bool:
    return (
        other.partition == part.partition
        and other.first <= part.first
        and other.final >= part.final
        and other.level >= part.level
        and other.mutation >= part.mutation
    )


def _parsed(name: str) -> _Part | None:
    match = PART.fullmatch(name)
    if match is None:
        return None
    return _Part(match.group(1), *(int(number or 0) for number in match.groups()[1:]))
