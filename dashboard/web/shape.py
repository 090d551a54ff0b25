"""Gives answers the shape of the page and the downloads: a column for each dimension, words for empty values, lists of money.

It changes no number.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dashboard.catalogue.contract import Answer, FileQuestion, Period, Question
from dashboard.catalogue.dimensions import TIME, dimension_of
from dashboard.catalogue.periods import default_interval, label
from dashboard.catalogue.plans import needs


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Holds an answer in rows. `dimensions` names the columns that are dimensions; `compared` is that of Answer."""

    columns: tuple[str, ...]
    dimensions: frozenset[str]
    rows: list[list[Any]]
    as_of: int
    compared: list[list[Any] | None] | None = None
    total: int | None = None


def table_of(question: Question | FileQuestion, answer: Answer) -> Table:
    """Returns an answer as a table."""
    if isinstance(question, Question):
        compared = answer.compared
        return Table(
            columns=tuple(TIME if name.startswith(f"{TIME}:") else name for name in answer.columns),
            dimensions=frozenset(_names(question.dimensions)),
            rows=[[_cell(cell) for cell in row] for row in answer.rows],
            as_of=answer.as_of,
            compared=None if compared is None else [row and [_cell(cell) for cell in row] for row in compared],
            total=answer.total,
        )
    names, at = _names(question.dimensions), answer.columns.index("d") if "d" in answer.columns else None
    rows = [[_cell(cell) for cell in row] for row in answer.rows]
    columns = list(answer.columns)
    if at is not None:  # what `d` is made of is known from the question; without a dimension it is the site
        columns[at : at + 1] = names
        for row in rows:
            row[at : at + 1] = _words(question, row[at])
    return Table(columns=tuple(columns), dimensions=frozenset(names), rows=rows, as_of=answer.as_of)


def files_of(question: Question | FileQuestion) -> str:
    """Returns the names of the catalogue's files that answer a question."""
    if isinstance(question, FileQuestion):
        return question.file
    return ", ".join(dict.fromkeys(need.source.file for need in needs(question)))


def period_of(period: Period, dimensions: tuple[str, ...]) -> dict[str, Any]:
    """Returns a period as the page reads it, with the unit of its series."""
    units = [dimension_of(name).interval for name in dimensions if name.startswith(f"{TIME}:")]
    return {
        "since": str(period.since),
        "until": str(period.until),
        "zone": period.zone,
        "interval": units[0] if units else default_interval(period),
        "is_running": period.is_running,
    }


def _names(dimensions: tuple[str, ...]) -> list[str]:
    return [TIME if name.startswith(f"{TIME}:") else name for name in dimensions]


def _words(question: FileQuestion, value: Any) -> list[Any]:
    """Returns the words for the value of a file's dimensions."""
    if not question.dimensions:
        return []
    values = [value] if len(question.dimensions) == 1 else value
    words = []
    for name, one in zip(question.dimensions, values, strict=True):
        dimension = dimension_of(name)
        interval = dimension.interval
        words.append(label(one, interval, question.period.zone) if interval else dimension.word_of(one))
    return words


def _cell(value: Any) -> Any:
    if isinstance(value, dict):  # money by currency
        return [{"currency": currency, "value": str(amount)} for currency, amount in sorted(value.items())]
    return value
