"""Finds the dialects of a path, in the table of ingest/dialects/table.py.

A path without a `*` is looked up in a dict, so the rows that have one cost it nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingest.collect.exchange import Route
from ingest.dialects.contract import Dialect, Fork
from ingest.dialects.table import TableRow

ANY = b"*"


class Paths:
    """Finds the routes of paths. Those with a `*` are tried in the order of the table."""

    def __init__(self, rows: Iterable[TableRow]) -> None:
        """Raises ValueError if two rows have the same path and method."""
        found: dict[bytes, dict[str, Dialect | Fork]] = {}
        for row in rows:
            dialects = found.setdefault(row.path.encode(), {})
            if row.method in dialects:
                raise ValueError(f"{row.method} {row.path} has two dialects: they need a Fork")
            dialects[row.method] = row.dialect
        routes = {path: Route(dialects, _body_bytes_max(dialects.values())) for path, dialects in found.items()}
        self._exact = {path: route for path, route in routes.items() if ANY not in path}
        self._patterns = [(*path.partition(ANY)[::2], route) for path, route in routes.items() if ANY in path]

    def of(self, path: bytes) -> Route | None:
        """Returns the route of a path; None if it is not a collecting one."""
        return self._exact.get(path) or self._fitting(path)

    def _fitting(self, path: bytes) -> Route | None:
        for before, after, route in self._patterns:
            end = len(path) - len(after)
            fits = path.startswith(before) and path.endswith(after) and end > len(before)
            if fits and not (after and b"/" in path[len(before) : end]):
                return route
        return None


def _body_bytes_max(dialects: Iterable[Dialect | Fork]) -> int:
    return max(one.limits.body_bytes_max for dialect in dialects for one in dialects_of(dialect))


def dialects_of(dialect: Dialect | Fork) -> tuple[Dialect, ...]:
    """Returns the dialects between which a Fork chooses; of a dialect that stands alone, that one."""
    return dialect.dialects if isinstance(dialect, Fork) else (dialect,)
