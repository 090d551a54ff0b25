"""A column is declared once, and in an order that entries of every release can be read by."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_origin, get_type_hints

import pytest

from flusher.blocks.native_format import column_of
from flusher.delivery.table import COLUMN_NAMES
from schemas.columns import (
    DEFAULTS,
    DELIVERY_COLUMNS,
    ENTRY_COLUMNS,
    FEWEST,
    WORD,
    Column,
    Columns,
    Delivery,
    Kept,
    declared,
)
from schemas.row import COLUMNS, DELIVERY, INSERT_TYPES, Row

EVERY = ENTRY_COLUMNS | DELIVERY_COLUMNS


def test_a_row_has_the_declared_columns() -> None:
    """In their order; an INSERT has them too, without what the flusher uses up and with what it adds."""
    assert COLUMNS == Row._fields == tuple(ENTRY_COLUMNS)
    used_up = [name for name, column in EVERY.items() if column.kept is Kept.USED_UP]
    assert used_up == ["visitor_before"]
    assert list(INSERT_TYPES) == [name for name in (*COLUMNS, *DELIVERY) if name not in used_up]
    assert tuple(INSERT_TYPES) == COLUMN_NAMES
    assert len(EVERY) == len(COLUMNS) + len(DELIVERY)


@pytest.mark.parametrize("name", EVERY)
def test_a_default_is_a_value_of_its_column(name: str) -> None:
    """Of Python's type and, as the flusher can encode it, of ClickHouse's."""
    column = EVERY[name]
    kind: Any = (get_type_hints(Columns) | get_type_hints(Delivery))[name]
    assert type(column.default) is (get_origin(kind) or kind)
    column_of(column.type).extend([column.default, column.default])


def test_columns_of_a_later_release_come_behind() -> None:
    """An entry knows its columns by their order: one that is declared between others would change what all of them mean."""
    releases = [tuple(map(int, column.since.split("."))) for column in ENTRY_COLUMNS.values()]
    assert releases == sorted(releases)
    assert FEWEST == 28, "what release 0.1.0 wrote; entries of it may wait in somebody's Redis"
    assert len(DEFAULTS) == len(COLUMNS)


def test_a_declaration_is_read_as_it_is_written() -> None:
    """By names, in order."""

    class Few(NamedTuple):
        one: Annotated[str, Column(WORD, "The first", "")]
        two: Annotated[int, Column("UInt8", "The second", 7, Kept.GIVEN, "0.2.0")]

    assert declared(Few) == {
        "one": Column(WORD, "The first", ""),
        "two": Column("UInt8", "The second", 7, Kept.GIVEN, "0.2.0"),
    }
