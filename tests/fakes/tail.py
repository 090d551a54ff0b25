"""Answers the questions of flusher/shards/tail.py from a fake ClickHouse's parts and books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from flusher.delivery.table import BLOCK_TYPES
from flusher.shards import tail
from tests.fakes.client_ids import Part, Rows

BLOCK, ROWS = (list(BLOCK_TYPES).index(name) for name in ("block_id", "rows"))


class Server(Protocol):
    """Holds a server and its tables. `deleted` is in unix seconds, 0 if rows were never deleted by hand."""

    clock: Callable[[], float]
    started_ms: int
    deleted: int
    because: str
    books: dict[str, Sequence[Any]]

    @property
    def events(self) -> Iterable[Part]: ...


def started(server: Server, _: Mapping[str, Any]) -> Rows:
    """Returns when the server was started, as exactly as one can tell that knows its uptime in whole seconds."""
    now_ms = int(server.clock() * 1000)
    return [(now_ms - (now_ms - server.started_ms) // 1000 * 1000,)]


def deleted(server: Server, parameters: Mapping[str, Any]) -> Rows:
    """Returns when rows were last deleted by hand. `because` names the erasure if one deleted them."""
    return [(0 if server.because in parameters["erasures"] else server.deleted,)]


def held(server: Server, parameters: Mapping[str, Any]) -> Rows:
    """Returns the numbers of rows of a shard's blocks between two edges."""
    counts: Counter[str] = Counter()
    for part in server.events:
        if _is_between(part.block, parameters):
            counts[part.block] += len(part.rows)
    return sorted(counts.items())


def recorded(server: Server, parameters: Mapping[str, Any]) -> Rows:
    """Returns the numbers of rows that the books have of those blocks."""
    return sorted((row[BLOCK], row[ROWS]) for row in server.books.values() if _is_between(row[BLOCK], parameters))


def gone(server: Server, parameters: Mapping[str, Any]) -> Rows:
    """Returns the blocks of the books between two edges of which no row is stored."""
    there = {name for name, _ in held(server, parameters)}
    return [(name, rows) for name, rows in recorded(server, parameters) if rows and name not in there]


def _is_between(block: str, parameters: Mapping[str, Any]) -> bool:
    is_of_shard = block.startswith(parameters["incarnation"]) and block.endswith(parameters["shard"])
    return is_of_shard and bool(parameters["after"] < block < parameters["upto"])


QUESTIONS: dict[str, Callable[[Server, Mapping[str, Any]], Rows]] = {
    tail.STARTED: started,
    tail.DELETED: deleted,
    tail.HELD: held,
    tail.RECORDED: recorded,
    tail.GONE: gone,
}
