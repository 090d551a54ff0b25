"""Reads filters from JSON and writes them as JSON (dashboard/catalogue/filters.py has the form), and enforces their limits.

It checks everything that can be checked without the table of dimensions. The compiler checks that a dimension exists, and whether it
belongs to events or to visits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast, get_args

import msgspec

from dashboard.catalogue import patterns
from dashboard.catalogue.conditions import NEEDLES_MAX
from dashboard.catalogue.contract import Refused
from dashboard.catalogue.filters import All, Any, Compare, Done, Filter, Not, Operator

CLAUSES_MAX = 100
VALUES_MAX = 1_000
VALUE_CHARACTERS_MAX = 500
PATTERNS_MAX = 20
PATTERN_CHARACTERS_MAX = 300
DEPTH_MAX = 6
GOAL = "goal"
GOAL_OPERATORS = ("is", "is_not", "contains")
SHOWN_CHARACTERS = 60
OPERATORS: tuple[str, ...] = get_args(Operator)


def from_json(
    given: object, *, named: Callable[[str], str] = str, segments: Mapping[int, object] | None = None
) -> Filter | None:
    """Returns the filter of a list of filters in JSON, or None for an empty list. Raises Refused.

    `named` gives the name in the table of dimensions for the one that was written. `segments` has the lists of saved ones, which
    are written with the names of the table.
    """
    if not isinstance(given, list):
        raise Refused(f"Filters are a list, not {shown(given)}.")
    reader = _Reader(named, segments or {})
    parts = tuple(reader.part(one, depth=1) for one in given)
    reader.judge()
    return _joined(All, parts) if parts else None


def to_json(tree: Filter | None, *, named: Callable[[str], str] = str) -> list[object]:
    """Returns the list that `from_json` reads as this filter. `named` gives the name to write for that of the table."""
    if tree is None:
        return []
    return [_one(part, named) for part in tree.parts] if isinstance(tree, All) else [_one(tree, named)]


def shown(value: object) -> str:
    """Returns a value that someone gave as JSON, cut so short that it fits into a sentence."""
    try:
        text = msgspec.json.encode(value).decode("utf-8", "replace")
    except (ValueError, OverflowError, RecursionError, TypeError):
        text = "something that has no text"
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _one(part: Filter, named: Callable[[str], str]) -> list[object]:
    match part:
        case Compare():
            case = [] if part.is_case_sensitive else [{"case_sensitive": False}]
            return [part.operator, named(part.dimension), list(part.values), *case]
        case All():
            return ["and", [_one(one, named) for one in part.parts]]
        case Any():
            return ["or", [_one(one, named) for one in part.parts]]
        case Not():
            return ["not", _one(part.part, named)]
        case Done():
            return ["has_done" if part.is_done else "has_not_done", _one(part.part, named)]


class _Reader:
    """Reads the parts of one list of filters, and counts the clauses, values and patterns of all of them."""

    def __init__(self, named: Callable[[str], str], segments: Mapping[int, object]) -> None:
        self._named = named
        self._segments = segments
        self._is_in_segment = False
        self._clauses = 0
        self._values = 0
        self._patterns: list[str] = []

    def part(self, given: object, *, depth: int, is_done: bool = False) -> Filter:
        """Returns one filter. `is_done`: it stands within a `has_done`."""
        if not isinstance(given, list) or len(given) < 2 or not isinstance(given[0], str):
            raise Refused(f'A filter is a list like ["is", "event:page", ["/"]], not {shown(given)}.')
        if depth > DEPTH_MAX:
            raise Refused(f"Filters stand at most {DEPTH_MAX} deep in each other.")
        match given:
            case ["and" | "or" as word, parts] if isinstance(parts, list) and parts:
                read = tuple(self.part(one, depth=depth + 1, is_done=is_done) for one in parts)
                return _joined(All if word == "and" else Any, read)
            case ["and" | "or" as word, *_]:
                raise Refused(f"`{word}` has one list of filters behind it, which is not empty.")
            case ["not", part]:
                return Not(self.part(part, depth=depth + 1, is_done=is_done))
            case ["has_done" | "has_not_done" as word, part]:
                if is_done:
                    raise Refused(f"`{word}` can't stand within another one.")
                return Done(self.part(part, depth=depth + 1, is_done=True), word == "has_done")
            case ["not" | "has_done" | "has_not_done" as word, *_]:
                raise Refused(f"`{word}` has one filter behind it.")
            case [_, "segment", *_]:
                return self._segment(given, depth, is_done)
        return self._compare(given)

    def judge(self) -> None:
        """Raises Refused if all filters together exceed a limit, or a pattern is one that RE2 refuses."""
        for count, limit, what in (
            (self._clauses, CLAUSES_MAX, "clauses"),
            (self._values, VALUES_MAX, "values"),
            (len(self._patterns), PATTERNS_MAX, "patterns"),
        ):
            if count > limit:
                raise Refused(f"Filters have at most {limit:,} {what}; these have {count:,}.")
        for pattern in self._patterns:
            if len(pattern) > PATTERN_CHARACTERS_MAX:
                raise Refused(f"A pattern has at most {PATTERN_CHARACTERS_MAX} characters; this has {len(pattern):,}.")
            if fault := patterns.fault(pattern):
                raise Refused(f"RE2 does not take the pattern {shown(pattern)}: {fault}.")

    def _compare(self, given: list[object]) -> Compare:
        operator, dimension, *rest = given
        if operator not in OPERATORS:
            raise Refused(f"The operator {shown(operator)} is not known; known are {', '.join(OPERATORS)}.")
        if not isinstance(dimension, str):
            raise Refused(f"A dimension is a text, not {shown(dimension)}.")
        name = dimension if self._is_in_segment else self._named(dimension)
        if dimension == "time" or dimension.startswith("time:"):
            raise Refused("There is no filter by time: give a date_range.")
        if name == GOAL and operator not in GOAL_OPERATORS:
            raise Refused(f"Goals are filtered by {', '.join(GOAL_OPERATORS)}, not by {operator}.")
        if not 1 <= len(rest) <= 2:
            raise Refused(f"A filter has an operator, a dimension and a list of values, not {shown(given)}.")
        values = self._texts(rest[0], dimension)
        is_sensitive = _is_case_sensitive(rest[1]) if len(rest) > 1 else True
        if operator.startswith("matches"):
            if not is_sensitive:
                raise Refused(f"`{operator}` takes no case_sensitive: begin the pattern with (?i).")
            if not operator.startswith("matches_wildcard"):
                self._patterns += values
        if operator.startswith("contains") and len(values) > NEEDLES_MAX:
            raise Refused(f"`{operator}` has at most {NEEDLES_MAX} values; this has {len(values):,}.")
        self._clauses += 1
        self._values += len(values)
        return Compare(cast(Operator, operator), name, values, is_sensitive)

    def _texts(self, given: object, dimension: str) -> tuple[str, ...]:
        if not isinstance(given, list) or not given:
            raise Refused(
                f"The values of a filter by {shown(dimension)} are a list that is not empty, not {shown(given)}."
            )
        for value in given:
            if not isinstance(value, str):
                raise Refused(
                    f"The values of a filter are texts; {shown(value)}, given for {shown(dimension)}, is not."
                )
            if len(value) > VALUE_CHARACTERS_MAX:
                raise Refused(
                    f"A value has at most {VALUE_CHARACTERS_MAX} characters; one of {shown(dimension)} has {len(value):,}."
                )
            if not _is_text(value):
                raise Refused(f"A value of {shown(dimension)} has half of a surrogate pair, which is no character.")
        return tuple(given)

    def _segment(self, given: list[object], depth: int, is_done: bool) -> Filter:
        match given:
            case ["is", "segment", [*numbers]] if numbers:
                pass
            case _:
                raise Refused('A segment is asked for by ["is", "segment", [1]].')
        if self._is_in_segment:
            raise Refused("A segment can't have another one in it.")
        self._is_in_segment = True
        found = []
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool) or number not in self._segments:
                raise Refused(f"The site has no segment {shown(number)}.")
            saved = self._segments[number]
            if not isinstance(saved, list) or not saved:
                raise Refused(f"The segment {number} has no filters.")
            found.append(_joined(All, tuple(self.part(one, depth=depth + 1, is_done=is_done) for one in saved)))
        self._is_in_segment = False
        return _joined(Any, tuple(found))


def _joined(kind: type[All | Any], parts: tuple[Filter, ...]) -> Filter:
    return parts[0] if len(parts) == 1 else kind(parts)


def _is_case_sensitive(given: object) -> bool:
    match given:
        case {"case_sensitive": bool(is_sensitive), **rest} if not rest:
            return is_sensitive
    raise Refused(f'Behind the values of a filter stands nothing but {{"case_sensitive": false}}, not {shown(given)}.')


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
