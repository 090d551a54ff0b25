"""ingest/collect/paths.py: which row of the table a path has."""

from __future__ import annotations

import pytest

from ingest.collect.paths import Paths
from ingest.dialects.contract import Fork
from ingest.dialects.event import Limits
from ingest.dialects.native import Native
from ingest.dialects.table import TableRow, table


def dialect(body_bytes_max: int = 100) -> Native:
    return Native(Limits(body_bytes_max=body_bytes_max))


ROWS = {
    path: TableRow("GET", path, dialect())
    for path in ("/v1/projects/*/settings", "/array/*/config", "/static/*", "/v1/projects/known/settings", "/f")
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/f", "/f"),
        (b"/f/", None),
        (b"/v1/projects/WK123/settings", "/v1/projects/*/settings"),
        (b"/v1/projects/known/settings", "/v1/projects/known/settings"),
        (b"/v1/projects//settings", None),
        (b"/v1/projects/a/b/settings", None),
        (b"/v1/projects/settings", None),
        (b"/array/phc_x/config", "/array/*/config"),
        (b"/array/phc_x/config.js", None),
        (b"/static/1.2/surveys.js", "/static/*"),
        (b"/static/", None),
        (b"/", None),
    ],
)
def test_a_path_has_the_row_that_fits(path: bytes, found: str | None) -> None:
    """One part of a path in the middle, any rest at the end, and a row without a wildcard first."""
    route = Paths(ROWS.values()).of(path)
    assert (route.dialects["GET"] if route else None) is (ROWS[found].dialect if found else None)


def test_a_path_and_a_method_have_one_dialect() -> None:
    """Two families on one path need a Fork, so no row is ever hidden by another."""
    rows = [TableRow("POST", "/batch", dialect()), TableRow("POST", "/batch", dialect())]
    with pytest.raises(ValueError, match="POST /batch"):
        Paths(rows)


def test_a_route_takes_bodies_of_the_dialect_that_allows_most() -> None:
    """Of both methods, and of both sides of a fork: which side it is, is known when the body is there."""
    fork = Fork(dialect(10), (lambda head, opening: True, dialect(30)))
    route = Paths([TableRow("POST", "/batch", fork), TableRow("GET", "/batch", dialect(20))]).of(b"/batch")
    assert route is not None
    assert route.body_bytes_max == 30


def test_the_table_can_be_served() -> None:
    """No path of it has two dialects for a method, and each dialect has a name and a route."""
    rows = table(Limits())
    Paths(rows)
    for row in rows:
        for one in row.dialect.dialects if isinstance(row.dialect, Fork) else (row.dialect,):
            assert one.name
            assert one.route.startswith("/")
