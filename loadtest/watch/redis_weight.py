"""Weighs an event in Redis: bytes of memory of the shards' streams, by the rows that they hold.

Stored entries count as well as waiting ones: a stream keeps its tail for replays, and an entry weighs the same before
and after. Rows are added up inside Redis, which takes 0.5 us an entry, so ask once the run is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runtime import redis
from schemas.entry import SHARDS_KEY, Keys

TIMEOUT_S = 30.0
ENTRIES_MAX = 1_000_000  # of one shard are added up; the mean entry stands for those beyond
ROWS = """
local from, entries, rows = '-', 0, 0
while entries < tonumber(ARGV[1]) do
  local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 500)
  if #found == 0 then break end
  for _, entry in ipairs(found) do
    local fields = entry[2]
    for at = 1, #fields, 2 do
      if fields[at] == 'n' then rows = rows + tonumber(fields[at + 1]) end
    end
  end
  entries, from = entries + #found, '(' .. found[#found][1]
end
return {entries, rows}
"""


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
        entries, rows = client.eval(ROWS, 1, key, str(ENTRIES_MAX))
        length = client.xlen(key)
        yield Held(size, round(rows * length / entries) if entries else 0, length)
