"""Names what of an event had no effect, for a client that asks with `?debug=1`.

These are unknown fields, fields that need a server key, unknown names within `revenue` and `vitals`, and properties that no row
can hold (docs/events.md has the limits). A name within a field is written with a dot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from ingest.dialects.event import VITALS, Limits, Revenue, clean, flatten

NAMES_MAX = 20  # of an event, and as many characters of each as an event's name may have
WITHIN = {"revenue": frozenset(Revenue.__struct_fields__), "vitals": VITALS}


def ignored(text: bytes, *, heeded: Collection[str], limits: Limits) -> list[list[str]]:
    """Returns the names for each event of a body, and nothing where the body can't be read."""
    try:
        said = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return [[]]
    items = said if isinstance(said, list) else [said]
    return [without_effect(item, heeded, limits) if isinstance(item, dict) else [] for item in items]


def without_effect(fields: Mapping[str, Any], heeded: Collection[str], limits: Limits) -> list[str]:
    """Returns the names of one event, given as its client wrote it."""
    names = [name for name in fields if name not in heeded]
    for field, known in WITHIN.items():
        if isinstance(within := fields.get(field), dict):
            names += [f"{field}.{name}" for name, value in within.items() if name not in known and value is not None]
    if isinstance(props := fields.get("props"), dict):
        kept, dropped = flatten(props, limits)
        if dropped:
            names += [f"props.{key}" for key in _keys(props, limits.prop_depth_max) if key not in kept]
    return [name[: limits.name_chars_max] for name in names[:NAMES_MAX]]


def _keys(props: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yields the key of each property, of one that is nested too deeply the key of what holds it."""
    for name, value in props.items():
        if isinstance(value, dict) and depth > 1:
            yield from (f"{clean(name)}.{key}" for key in _keys(value, depth - 1))
        elif value is not None:
            yield clean(name)
