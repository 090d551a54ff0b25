"""A download is read by spreadsheets as it was meant: money as numbers, and nothing that a stranger wrote as a formula."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.web.csv import written
from dashboard.web.shape import Table


def table(*cells: Any, columns: tuple[str, ...] = ("page", "revenue")) -> Table:
    """Returns a table of one row."""
    return Table(columns=columns, dimensions=frozenset({"page"}), rows=[list(cells)], as_of=0)


def test_money_has_a_column_for_each_currency() -> None:
    """Also what was given back is a number."""
    money = [{"currency": "EUR", "value": "-2.5000"}, {"currency": "JPY", "value": "300"}]
    assert written(table("/", money)) == b"page,revenue EUR,revenue JPY\r\n/,-2.5000,300\r\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+1", "@x", "-", "-1\n", "\t=1", "--1", "\n=1", " =1", "＝1"])
def test_a_text_is_no_formula(text: str) -> None:
    """Begins with an apostrophe, by which spreadsheets take it for a text."""
    assert written(table(text, 1)).decode().splitlines()[1].lstrip('"').startswith("'")
