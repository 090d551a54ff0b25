"""Joins the answers of several files by the keys of their rows. The key of a row is the values of its dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.catalogue.contract import Question, Reply
from dashboard.catalogue.dimensions import dimension_of
from dashboard.catalogue.measures import money
from dashboard.catalogue.periods import buckets, label
from dashboard.catalogue.plans import Need, Source

Key = tuple[Any, ...]
EVERYBODY = "everybody"  # the column with the visitors of all rows together


class Joined:
    """Holds the answers of several sources, by source and key. In a key a bucket of time is its label; other values are ClickHouse's."""

    def __init__(self, zone: str, answers: Mapping[Source, Reply]) -> None:
        self._zone = zone
        self._numbers = {source: self._by_key(source, said) for source, said in answers.items()}
        self.as_of = min((said.as_of for said in answers.values()), default=0)

    def with_more(self, other: Joined) -> Joined:
        """Returns both together."""
        if other._numbers:
            self.as_of = min(self.as_of, other.as_of)
            self._numbers |= other._numbers
        return self

    def keys(self, sources: Sequence[Source]) -> list[Key]:
        """Returns the keys of all rows of these sources, each once, in their order."""
        return list(dict.fromkeys(key for source in sources for key in self._numbers[source]))

    def row(self, question: Question, needed: Sequence[Need], key: Key) -> list[Any]:
        """Returns a row of an answer: words for the dimensions, then the numbers."""
        words = [dimension_of(name).word_of(value) for name, value in zip(question.dimensions, key, strict=True)]
        return [*words, *(self._value(need, key) for need in needed)]

    def ordered(self, question: Question, needed: Sequence[Need], keys: Sequence[Key]) -> list[Key]:
        """Returns keys in the order of the question. Rows without a value come last, and equal rows are ordered by their keys."""
        # Labels of an hour that clocks show twice do not sort by time as texts do, so buckets are sorted by their place.
        places = [_places(question, name) for name in question.dimensions]

        def place(key: Key, at: int) -> Any:
            return places[at].get(key[at], len(places[at])) if places[at] else key[at]

        found = sorted(keys, key=lambda key: [place(key, at) for at in range(len(key))])
        measures = {need.measure.name: need for need in needed}
        for name, is_descending in reversed(question.order):
            if name in measures:
                values = {key: _single(self._value(measures[name], key)) for key in found}
            else:
                at = question.dimensions.index(name)
                values = {key: place(key, at) for key in found}
            there = [key for key in found if values[key] is not None]
            there.sort(key=values.__getitem__, reverse=is_descending)
            found = there + [key for key in found if values[key] is None]
        return found

    def _by_key(self, source: Source, said: Reply) -> dict[Key, dict[str, Any]]:
        at = said.columns.index("d")
        intervals = [dimension_of(name).interval for name in source.dimensions]
        found: dict[Key, dict[str, Any]] = {}
        for row in said.rows:
            values = [] if not intervals else [row[at]] if len(intervals) == 1 else row[at]
            key = tuple(
                label(value, unit, self._zone) if unit else value for value, unit in zip(values, intervals, strict=True)
            )
            numbers = dict(zip(said.columns, row, strict=True))
            if source.file == "revenue":
                sums = found.setdefault(key, {"sums": {}})["sums"]
                sums[numbers["currency"]] = (numbers["revenue"], numbers["purchases"])
            else:
                found[key] = numbers
        return found

    def _of(self, source: Source, key: Key) -> dict[str, Any]:
        return self._numbers[source].get(tuple(key[at] for at in source.at), {})

    def _value(self, need: Need, key: Key) -> Any:
        numbers = self._of(need.source, key)
        if need.measure.unit == "money":
            return money(need.measure, numbers.get("sums", {}))
        divisor = self._of(need.divisor, key).get(need.measure.columns[-1]) if need.divisor else numbers.get(EVERYBODY)
        return need.measure.value(numbers, divisor)


def _places(question: Question, dimension: str) -> dict[str, int]:
    """Returns the place of each bucket by its label; nothing for a dimension that is not time."""
    interval = dimension_of(dimension).interval
    return {name: number for number, name in enumerate(buckets(question.period, interval))} if interval else {}


def _single(value: Any) -> Any:
    """Returns the value that rows are sorted by: of money its amount, and None if it has several currencies."""
    if isinstance(value, dict):
        return float(next(iter(value.values()))) if len(value) == 1 else None
    return value
