"""Lists the paths on which events are collected, each with its method and its dialect: the one table of them.

A `*` between two slashes stands for one part of a path, and one at the end of a path for any rest of it; a row without one
comes first. A path and a method have one row: where two families share them, that row has a Fork. The limits of a row are
those of its dialect.
"""

from __future__ import annotations

from typing import NamedTuple

from ingest.dialects.contract import Dialect, Fork
from ingest.dialects.event import Limits
from ingest.dialects.native import Native, Pixel, PixelHead


class TableRow(NamedTuple):
    """Holds the dialect of a method on a path."""

    method: str
    path: str
    dialect: Dialect | Fork


def table(limits: Limits) -> tuple[TableRow, ...]:
    """Returns all rows. `limits` are those of the settings, which a family may need otherwise."""
    return (
        TableRow("POST", "/f", Native(limits)),
        TableRow("GET", "/f.gif", Pixel(limits)),
        TableRow("HEAD", "/f.gif", PixelHead(limits)),
    )
