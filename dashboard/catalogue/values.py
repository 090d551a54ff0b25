"""Gives every value of a user a name, by which ClickHouse puts it in itself, so that none is ever read as SQL."""

from __future__ import annotations

from collections.abc import Iterable

Value = str | int | float | list[str] | list[int]


class Values:
    """Collects values, and returns for each what stands for it in the SQL: `{p1:String}`, `{p2:Array(String)}`, and so on.

    The same value asked for twice has one name. `parameters` has all of them by name.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Value] = {}
        self._names: dict[tuple[str, object], str] = {}

    def text(self, value: str) -> str:
        """Returns what stands for a text."""
        return self._named("String", value, value)

    def texts(self, values: Iterable[str]) -> str:
        """Returns what stands for a list of texts."""
        listed = list(values)
        return self._named("Array(String)", listed, tuple(listed))

    def number(self, value: int) -> str:
        """Returns what stands for a whole number that is not negative."""
        return self._named("UInt64", value, value)

    def _named(self, kind: str, value: Value, key: object) -> str:
        name = self._names.setdefault((kind, key), f"p{len(self._names) + 1}")
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"
