"""Reads the filters of the Stats API v1: `event:page==/blog/*;visit:country!=FR`.

`;` separates filters that must all hold, `|` separates values one of which must fit, and `*` stands for any characters. A backslash
before `;` or `|` makes it a part of the value. The filters become the JSON that `filter_json` reads, so their limits are those of v2.
"""

from __future__ import annotations

import re

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.filter_json import shown

_FILTER = re.compile(r"\s*([^=!~]*?)\s*(==|!=)(.*)", re.DOTALL)
_BETWEEN_FILTERS = re.compile(r"(?<!\\);")
_BETWEEN_VALUES = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([;|])")


def to_json(text: str) -> list[object]:
    """Returns the list of filters in JSON that a text says; empty for an empty text. Raises Refused."""
    return [_filter(part) for part in _BETWEEN_FILTERS.split(text) if part.strip()]


def _filter(text: str) -> list[object]:
    found = _FILTER.fullmatch(text)
    if not found or not found[1]:
        raise Refused(f"A filter is like visit:country==FR or event:page!=/blog, not {shown(text)}.")
    name, operator, said = found.groups()
    values = [_ESCAPED.sub(r"\1", value.strip()) for value in _BETWEEN_VALUES.split(said)]
    if operator == "!=" and (len(values) > 1 or name == "event:goal"):
        what = "several values by |" if len(values) > 1 else "goals"
        raise Refused(f"!= can't be asked of {what}: {shown(text)}.")
    if any("*" in value for value in values):
        return ["matches_wildcard" if operator == "==" else "matches_wildcard_not", name, values]
    return ["is" if operator == "==" else "is_not", name, values]
