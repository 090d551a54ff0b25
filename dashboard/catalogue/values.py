"""Gives every value of a user a name, by which ClickHouse puts it in itself, so that none is ever read as SQL."""

from __future__ import annotations

from collections.abc import Iterable

Value = str | int | float | list[str] | list[int]


class Values:
    """Collects values, and returns for each what stands for it in the SQL: `{p1:String}`, `{p2:Array(String)}`, and so on.

    The names are given in turn, whatever the values are, so the SQL of a question depends on its form alone. `parameters` has all values.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Value] = {}

    def text(self, value: str) -> str:
        """Returns what stands for a text."""
        return self._named("String", value)

    def texts(self, values: Iterable[str]) -> str:
        """Returns what stands for a list of texts."""
        return self._named("Array(String)", list(values))

    def number(self, value: int) -> str:
        """Returns what stands for a whole number that is not negative."""
        return self._named("UInt64", value)

    def _named(self, kind: str, value: Value) -> str:
        name = f"p{len(self.parameters) + 1}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"
