"""Counts the events that were acknowledged and still lie in a spool: on disk, and not in Redis yet.

A segment keeps the commits that were drained from it until it is empty, so the last number that Redis has of each
producer says which of its commits are left.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from forebay.checks.ledger import POLL_SECONDS, WAIT_SECONDS, Unstored
from forebay.stream import Streams
from schemas.segment import FOLDER_NAME, Commit, is_segment, parts_of, unpack


def settle(streams: Streams, folder: Path) -> None:
    """Waits until everything that lay in the spool is in Redis. Raises Unstored after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while found := events(streams, folder):
        if time.monotonic() > deadline:
            shards = ", ".join(f"shard {shard}: {count}" for shard, count in sorted(found.items()))
            raise Unstored(
                f"{sum(found.values())} events are in the spool {folder} ({shards}), and not in Redis after"
                f" {WAIT_SECONDS} s: ingest's log says why"
            )
        time.sleep(POLL_SECONDS)


def events(streams: Streams, folder: Path) -> Mapping[int, int]:
    """Counts the events that are in the spool and not in Redis, by shard."""
    found: dict[int, int] = {}
    segments = (one for place in _listed(folder) if FOLDER_NAME.fullmatch(place.name) for one in _listed(place))
    for path in sorted(segments):
        if not is_segment(path.name):
            continue
        shard, producer, first = parts_of(path.name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # it was drained meanwhile
            continue
        appended = streams.last_commit(shard, producer)
        rows = sum(item.rows for item in unpack(content, first) if isinstance(item, Commit) and item.number > appended)
        if rows:
            found[shard] = found.get(shard, 0) + rows
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
