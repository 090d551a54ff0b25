"""What waits in Redis, read as the flusher reads it: the same rows for the baseline, and bytes per event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from schemas.entry import SHARDS_KEY, Keys, decode, edges_of
from schemas.row import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 500  # entries a read


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """All shards together."""

    entries: int
    rows: int
    entry_bytes: int  # of the entries alone
    memory_bytes: int  # that the streams take in Redis

    def figures(self) -> dict[str, float]:
        rows = max(1, self.rows)
        return {
            "rows": self.rows,
            "rows_per_entry": round(self.rows / max(1, self.entries), 1),
            "entry_bytes_per_event": round(self.entry_bytes / rows, 1),
            "memory_bytes_per_event": round(self.memory_bytes / rows, 1),
        }


class Streams:
    """The streams of one Redis; only reads."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=30)
        self.shards = int(self._redis.get(SHARDS_KEY) or 0)

    def version(self) -> str:
        return str(self._redis.info("server")["redis_version"])

    def waiting(self) -> Waiting:
        """Everything in the streams, stored or not: to be asked before a flusher begins."""
        entries = rows = size = memory = 0
        for shard in range(self.shards):
            key = Keys(shard).log
            for found in self._entries(key, "-", "+"):
                entries, rows, size = entries + 1, rows + int(found[b"n"]), size + len(found[b"d"])
            memory += int(self._redis.memory_usage(key, samples=0) or 0)
        return Waiting(entries=entries, rows=rows, entry_bytes=size, memory_bytes=memory)

    def block(self, name: str) -> list[list[Any]]:
        """The columns of a stored block's rows, in `row.COLUMNS` order."""
        _, shard, from_id, to_id = edges_of(name)
        columns: list[list[Any]] = [[] for _ in COLUMNS]
        for found in self._entries(Keys(shard).log, f"({from_id}", to_id):
            for column, more in zip(columns, decode(found[b"d"]), strict=True):
                column.extend(more)
        return columns

    def _entries(self, key: str, first: str, final: str) -> Iterator[dict[bytes, bytes]]:
        while found := self._redis.xrange(key, first, final, count=PAGE):
            yield from (fields for _, fields in found)
            first = f"({found[-1][0].decode('ascii')}"

    def close(self) -> None:
        self._redis.close()
