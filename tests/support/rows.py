"""A plain row, of which a test says only what matters to it."""

from typing import Any

from schemas.columns import DEFAULTS
from schemas.row import COLUMNS, Row

PLAIN = Row(**dict(zip(COLUMNS, DEFAULTS, strict=True)))._replace(
    site="a.example", name="pageview", visitor_id=7, url="https://a.example/", dialect="native"
)


def plain(**fields: Any) -> Row:
    """Returns a pageview of visitor 7 on a.example, with these fields instead of its own, of whatever type they are."""
    return PLAIN._replace(**fields)


def columns_of(rows: list[Row]) -> list[list[Any]]:
    """Returns the columns of these rows, in the order of `COLUMNS`."""
    return [list(column) for column in zip(*rows, strict=True)]
