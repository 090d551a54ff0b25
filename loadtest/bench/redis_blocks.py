"""Reads what Redis holds as the flusher reads it: the same rows for the baseline of P3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime import redis
from schemas.entry import decode
from schemas.names import BlockName
from schemas.redis.keys import Keys
from schemas.redis.records import DATA
from schemas.row import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 500  # entries a read


class Streams:
    """Reads the streams of one Redis."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.blocking_client(url, seconds=30)

    def version(self) -> str:
        return str(self._redis.info("server")["redis_version"])

    def block(self, name: str) -> list[list[Any]]:
        """Returns the columns of a stored block's rows, in the order of `row.COLUMNS`."""
        block = BlockName.parse(name)
        columns: list[list[Any]] = [[] for _ in COLUMNS]
        for found in self._entries(Keys(block.shard).log, f"({block.after}", str(block.upto)):
            for column, more in zip(columns, decode(found[DATA]), strict=True):
                column.extend(more)
        return columns

    def _entries(self, key: str, first: str, final: str) -> Iterator[dict[bytes, bytes]]:
        while found := self._redis.xrange(key, first, final, count=PAGE):
            yield from (fields for _, fields in found)
            first = f"({found[-1][0].decode('ascii')}"

    def close(self) -> None:
        self._redis.close()
