"""Writes an answer as CSV (RFC 4180, UTF-8), for spreadsheets as for programs.

Money has a column for each currency, because sums of two currencies are never added up. A text that a spreadsheet would execute as a
formula gets an apostrophe in front, because strangers decide what paths and campaigns contain.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from dashboard.web.shape import Table

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # spreadsheets take the wide ones too
_number = re.compile(r"-?[0-9]+(\.[0-9]+)?")  # money that was given back is no formula
BEFORE = "_before"  # the end of the name of a column with the numbers of the other period


def written(table: Table) -> bytes:
    """Returns the whole file."""
    columns = [*table.columns]
    rows: list[Sequence[Any]] = [*table.rows]
    if table.compared is not None:
        others = [index for index, name in enumerate(table.columns) if name not in table.dimensions]
        columns += [f"{table.columns[index]}{BEFORE}" for index in others]
        pairs = zip(table.rows, table.compared, strict=True)
        rows = [[*row, *(other[index] if other else None for index in others)] for row, other in pairs]
    columns, rows = _with_currencies(columns, rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(_cell, columns))
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def _with_currencies(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[str], list[Sequence[Any]]]:
    """Splits each column of money into one for each of its currencies."""
    found: list[str] = []
    makers: list[tuple[int, str | None]] = []
    for index, name in enumerate(columns):
        cells = [row[index] for row in rows]
        currencies = sorted({one["currency"] for cell in cells if isinstance(cell, list) for one in _money(cell)})
        if not any(isinstance(cell, list) for cell in cells):
            found.append(name)
            makers.append((index, None))
            continue
        for currency in currencies:
            found.append(f"{name} {currency}")
            makers.append((index, currency))
    return found, [[_amount(row[index], currency) for index, currency in makers] for row in rows]


def _money(cell: Iterable[Any]) -> list[dict[str, str]]:
    return [one for one in cell if isinstance(one, dict)]


def _amount(cell: Any, currency: str | None) -> Any:
    if currency is None:
        return cell
    return next((one["value"] for one in _money(cell or ()) if one["currency"] == currency), None)


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULAS) and not _number.fullmatch(value):
        return f"'{value}"
    return "" if value is None else value
