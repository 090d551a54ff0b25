"""Describes the tools that assistants call: one for each question of the catalogue, with its parameters as its file's header has them.

What a file says of itself is all there is: its title, what it answers and leaves out, the types of its parameters and columns. Parameters that
follow from others (the moments and UTC dates of a period) are not asked for. What every question has (a site, a period, filters) is described here once.

Pure, and without the protocol's library, so that a test can hold it beside the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dashboard.catalogue.dimensions import DIMENSIONS, INTERVALS, NAMES
from dashboard.catalogue.measures import MEASURES
from dashboard.catalogue.query import Query

ROWS_MAX, ROWS = 200, 50
METRICS, SITES, SQL = "metrics", "list_sites", "sql"
Schema = dict[str, Any]

PERIODS = "day, yesterday, 7d, 28d, 6mo, month, last_month, year, all, or two dates like 2026-03-01,2026-03-31"
TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
SHARED: dict[str, Schema] = {
    "site": {"type": "string", "description": f"Name of the site, as `{SITES}` has it."},
    "period": {"type": "string", "default": "28d", "description": f"Days in the site's time zone: {PERIODS}."},
    "filters": {
        "type": "array",
        "default": [],
        "description": 'All must hold: [["is", DIMENSION, [TEXT, ...]], ...]. Operators: is, is_not, contains, contains_not, matches'
        ' (RE2), matches_wildcard; ["or", [FILTER, ...]], ["not", FILTER], ["has_done", FILTER].'
        f" Dimensions: {', '.join(name for name in NAMES if not name.startswith('time'))}.",
    },
    "bots": {"type": "boolean", "default": False, "description": "Count what looks automated, too."},
    "limit": {"type": "integer", "minimum": 1, "maximum": ROWS_MAX, "default": ROWS, "description": "Rows at most."},
    "offset": {"type": "integer", "minimum": 0, "default": 0, "description": "Rows to leave out at the beginning."},
}
# Said at length once, where an assistant begins.
FILTERS = SHARED["filters"] | {"description": f"Conditions, all of which must hold, in the form that `{METRICS}` has."}
PERIOD_PARAMETERS = frozenset(
    [
        "zone",
        "since",
        "until",
        "first_day",
        "last_day",
        "first_whole",
        "last_whole",
        "first_session",
        "end_session",
        "begins",
        "before",
    ]
)
GIVEN_BY_US = PERIOD_PARAMETERS | {"site", "bots", "limit", "offset", "now", "numbers"}
STEPS: Schema = TEXTS | {
    "minItems": 2,
    "maxItems": 8,
    "description": "Steps in order, each the name of a goal, of an event, or `Visit /path`.",
}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what an assistant is told of a tool. `is_of_all`: it answers for all sites, so only who may read every site is offered it."""

    name: str
    title: str
    description: str
    schema: Schema
    is_of_all: bool = False


def tools(catalogue: Mapping[str, Query]) -> Iterator[Tool]:
    """Returns the tools, in the order in which an assistant reads them."""
    yield Tool(
        name=SITES,
        title="Sites",
        description="Which sites you may ask about, with their time zones.",
        schema=_object({}, ()),
    )
    yield Tool(
        name=METRICS,
        title="Metrics by dimensions",
        description="Metrics of a site in a period, in all or by dimensions. The numbers of the dashboard; ask this first. A visit counts where"
        " it began; rates are in percent, durations in seconds, money by currency.",
        schema=_object(
            {
                "site": SHARED["site"],
                "period": SHARED["period"],
                "metrics": TEXTS | {"items": {"enum": list(MEASURES)}, "minItems": 1},
                "dimensions": TEXTS | {"default": [], "maxItems": 3, "description": f"Of: {', '.join(NAMES)}."},
                **{name: SHARED[name] for name in ("filters", "bots", "limit", "offset")},
            },
            ("site", "metrics"),
        ),
    )
    for query in catalogue.values():
        yield _of(query)
    yield Tool(
        name=SQL,
        title="SQL",
        description="One SELECT of your own on the tables and views of the database `forebay` (events, v_events, v_pageviews, v_sessions, v_pages,"
        " local_days(...)), when no other tool answers. Its numbers are not those of the dashboard: say so when you tell them.",
        schema=_object(
            {"query": {"type": "string", "description": "One SELECT, without FORMAT and SETTINGS."}}, ("query",)
        ),
        is_of_all=True,
    )


def _of(query: Query) -> Tool:
    is_of_all = "site" not in query.parameters
    properties: dict[str, Schema] = {}
    if not is_of_all:
        properties["site"] = SHARED["site"]
    if PERIOD_PARAMETERS & set(query.parameters):
        properties["period"] = SHARED["period"]
    for name, kind in query.parameters.items():
        if name not in GIVEN_BY_US or (is_of_all and name in ("since", "until")):
            properties.pop("period", None) if is_of_all else None
            properties[name] = _typed(kind)
    if query.dimensions == "steps":
        properties["steps"] = STEPS
    if query.dimensions in DIMENSIONS_OF:
        properties["dimensions"] = TEXTS | {
            "default": [],
            "maxItems": 3,
            "description": f"By what rows are divided: {', '.join(DIMENSIONS_OF[query.dimensions])}.",
        }
    if query.filters != "none":
        properties["filters"] = FILTERS
    for name in ("bots", "limit", "offset"):
        if name in query.parameters:
            properties[name] = SHARED[name]
    required = [name for name in properties if name in {"site", "steps"} or name in own(query)]
    columns = ", ".join(f"{name} {kind}" for name, kind in query.columns.items())
    description = f"{query.answers} Leaves out: {query.leaves_out} Columns: {columns}."
    return Tool(
        name=query.name,
        title=query.title,
        description=description,
        schema=_object(properties, required),
        is_of_all=is_of_all,
    )


def own(query: Query) -> list[str]:
    """Returns the names of the parameters that a file alone has, and that whoever asks has to give."""
    is_of_all = "site" not in query.parameters
    return [name for name in query.parameters if name not in GIVEN_BY_US or (is_of_all and name in ("since", "until"))]


def _by(form: str) -> list[str]:
    times = [f"time:{unit}" for unit in INTERVALS]
    found = [name for name, one in DIMENSIONS.items() if getattr(one, form) and not name.startswith("time:")]
    return [*found, *(["props.NAME"] if form == "row" else []), "time", *times]


DIMENSIONS_OF = {
    "row": _by("row"),
    "session": _by("visit"),
    "both": list(dict.fromkeys([*_by("row"), *_by("visit")])),
    "page": ["page", "hostname"],
}


def _typed(kind: str) -> Schema:
    """Returns the JSON schema of a type of ClickHouse that a parameter has."""
    if kind.startswith("UInt"):
        return {"type": "integer", "minimum": 0}
    if kind == "Date":
        return {"type": "string", "format": "date"}
    return {"type": "string"}


def _object(properties: Mapping[str, Schema], required: Any) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
