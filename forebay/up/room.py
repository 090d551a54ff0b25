"""Says which disks have too little space for the parts of `forebay up`, in sentences for its banner and its log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.settings import PREFIX


class Need(NamedTuple):
    """Holds how much one part needs free on the disk of its directory, and what happens if there is less."""

    directory: Path
    bytes: int
    setting: str
    consequence: str


def needs(data: Path, *, redis: int, spool: int, clickhouse: int) -> Sequence[Need]:
    """Returns what each part of a data directory needs, in bytes."""
    return (
        Need(data / "redis", redis, "redis_free_bytes_min", "events go to the spool and are not stored"),
        Need(data / "spool", spool, "spool_free_bytes_min", "what Redis can't take is answered 503"),
        Need(data / "clickhouse", clickhouse, "clickhouse_free_bytes_min", "events wait in Redis and are not stored"),
    )


def shortages(needed: Sequence[Need]) -> Iterator[str]:
    """Yields a sentence for each part whose disk has less free than it needs."""
    for need in needed:
        place = next(one for one in (need.directory, *need.directory.parents) if one.exists())
        free = shutil.disk_usage(place).free
        if free < need.bytes:
            yield (
                f"the disk of {need.directory} has {free >> 20} MiB left and needs {-(-need.bytes >> 20)}"
                f" ({PREFIX}{need.setting.upper()}): until it has, {need.consequence}"
            )
