"""Declares what a filter is: a tree of conditions on dimensions. The page, segments and the Stats API all write it in this form:

filters = [filter, ...]                                                     all of them must hold
filter  = [operator, dimension, [text, ...]] or with {"case_sensitive": false} behind it
| ["and" or "or", [filter, ...]] | ["not", filter] | ["has_done" or "has_not_done", filter]
| ["is", "segment", [number]]
operator = is, is_not, contains, contains_not, matches, matches_not, matches_wildcard, matches_wildcard_not

dashboard/catalogue/filter_json.py reads and writes this.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Operator = Literal[
    "is",
    "is_not",
    "contains",
    "contains_not",
    "matches",
    "matches_not",
    "matches_wildcard",
    "matches_wildcard_not",
]


class Compare(msgspec.Struct, frozen=True):
    """Holds one condition: a dimension, by its name in the table of dimensions, and values, one of which has to fit."""

    operator: Operator
    dimension: str
    values: tuple[str, ...]
    is_case_sensitive: bool = True


class All(msgspec.Struct, frozen=True):
    """Holds filters all of which must hold."""

    parts: tuple[Filter, ...]


class Any(msgspec.Struct, frozen=True):
    """Holds filters one of which must hold."""

    parts: tuple[Filter, ...]


class Not(msgspec.Struct, frozen=True):
    """Holds a filter that must not hold."""

    part: Filter


class Done(msgspec.Struct, frozen=True):
    """Holds a filter of events that the same visit must have too, or must not have (`is_done`)."""

    part: Filter
    is_done: bool = True


Filter = Compare | All | Any | Not | Done


def compares(tree: Filter | None) -> list[Compare]:
    """Returns all conditions of a filter, in the order in which they were written."""
    match tree:
        case None:
            return []
        case Compare():
            return [tree]
        case Not() | Done():
            return compares(tree.part)
        case All() | Any():
            return [found for part in tree.parts for found in compares(part)]
