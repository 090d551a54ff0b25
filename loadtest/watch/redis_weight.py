"""Weighs an event in Redis: bytes of memory of the shards' streams, by the rows that they hold.

Stored entries count as well as waiting ones: a stream keeps its tail for replays, and an entry weighs the same before
and after. Rows are added up inside Redis, which takes 0.5 us an entry, so ask once the run is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runtime import redis
from schemas.redis.keys import SHARDS_KEY, Keys
from schemas.redis.scripts import script

TIMEOUT_S = 30.0
ENTRIES_MAX = 1_000_000  # of one shard are added up; beyond them the mean entry stands for the rest
ROWS = script("rows")


class RedisUnreachableError(Exception):
    """Reports that Redis could not be asked, so an event's weight is not known."""


class Held(NamedTuple):
    """Holds the sums of all shards."""

    bytes: int
    rows: int
    entries: int


def held(url: str) -> Held:
    """Returns what the streams hold. Raises RedisUnreachableError."""
    try:
        with redis.blocking_client(url, seconds=TIMEOUT_S) as client:
            shards = list(_shards(client))
    except redis.RedisError as error:
        raise RedisUnreachableError(f"Redis at {url}: {error}") from error
    return Held(sum(one.bytes for one in shards), sum(one.rows for one in shards), sum(one.entries for one in shards))


def _shards(client: redis.BlockingRedis) -> Iterator[Held]:
    for shard in range(int(client.get(SHARDS_KEY) or 0)):
        key = Keys(shard).log
        size = client.memory_usage(key, samples=0) or 0
        entries, rows, _ = client.eval(ROWS, 1, key, "-", "+", str(ENTRIES_MAX))
        length = client.xlen(key)
        yield Held(size, round(rows * length / entries) if entries else 0, length)
