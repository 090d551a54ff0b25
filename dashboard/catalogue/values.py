"""Turns the values of users into query parameters of ClickHouse, so that none of them is ever read as SQL."""

from __future__ import annotations

from collections.abc import Iterable

Value = str | int | float | list[str] | list[int]


class Values:
    """Collects values, and returns for each its placeholder in the SQL: `{p1:String}`, `{p2:Array(String)}`, and so on.

    Placeholders are numbered in turn, so questions that differ in their values alone have the same SQL. `parameters` has all values.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Value] = {}

    def text(self, value: str) -> str:
        """Returns the placeholder of a text."""
        return self._named("String", value)

    def texts(self, values: Iterable[str]) -> str:
        """Returns the placeholder of a list of texts."""
        return self._named("Array(String)", list(values))

    def number(self, value: int) -> str:
        """Returns the placeholder of a whole number that is not negative."""
        return self._named("UInt64", value)

    def _named(self, kind: str, value: Value) -> str:
        name = f"p{len(self.parameters) + 1}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"
