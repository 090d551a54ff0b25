"""Reads the catalogue, the files in `dashboard/queries`, once, and keeps it as long as the process lives."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.query import Query, read_all


@cache
def catalogue() -> dict[str, Query]:
    """Returns all queries by their names. Raises BrokenQuery if a file is not what it has to be."""
    found = (one for one in files("dashboard").joinpath("queries").iterdir() if one.name.endswith(".sql"))
    return read_all({one.name.removesuffix(".sql"): one.read_text() for one in found})


def query_of(name: str) -> Query:
    """Returns the query of a name. Raises Refused if there is none."""
    query = catalogue().get(name)
    if query is None:
        raise Refused(f"The catalogue has no file '{name}'. It has {', '.join(catalogue())}.")
    return query
