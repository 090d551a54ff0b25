"""Reads a file of the catalogue: a header that says what it answers, and one SELECT that is valid as it stands.

    -- title: Pageviews and events by time or name
    -- answers: How many pages were looked at, and how many events there were.
    -- leaves out: what looks automated, unless `bots` is 1.
    -- parameters: site String, zone String, since Date, until Date
    -- columns: d Dimension, pageviews UInt64
    -- dimensions: row
    -- filters: row
    -- seconds: 10
    -- example: site=hand.example zone=Asia/Kathmandu since=2026-03-01 until=2026-03-31
    SELECT ...

All keys have to be there, each once, and in this order; a value goes on in lines that begin with `--` and at least three spaces.
A value of the example that has spaces stands in quotes.
The SELECT has marked places, each at most once, whose contents the compiler replaces. Without that the file runs as it stands, with its
parameters, in any client of ClickHouse:

    /*dimension*/ e.site /*end*/            the expression by which rows are grouped
    /*filter*/ 1 /*end*/                    the condition on what is counted
    /*order*/ visitors DESC, d /*end*/      the order; only the limit and the offset may follow it
    /*rows*/ e.site /*end*/                 where `dimensions` is `both`: the part of the dimension that rows have. It is called
                                            `m.r` in the mark `dimension`
    /*visits*/ 1 /*end*/                    the condition on visits, where they are read beside what is counted
    /*moments*/ 1 /*end*/                   where `filters` is `session`: the bounds of a period of hours, on acts that are read beside visits

Places of visits and acts have marks of their own, because copies of closed days are read there too (`copies`): from `/*parts:*/` to
`/*:parts*/`, and in the same way `visits`, `acts` and `sooner`.

`dimensions` says what the mark `dimension` may hold:

    row       columns of `forebay.events AS e`
    page      the page and the host name alone
    session   columns of `forebay.sessions AS s`
    both      the file joins rows with their visits, so either
    goals     an array of the conditions of all goals
    steps     the conditions of a funnel's steps
    none      there is no such mark

`filters` says on what the filter is a condition: `row`, `session`, or `none` if there is no such mark.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Literal

import msgspec

DimensionsOf = Literal["none", "session", "row", "page", "both", "goals", "steps"]
FiltersOf = Literal["none", "session", "row"]
KEYS = ("title", "answers", "leaves out", "parameters", "columns", "dimensions", "filters", "seconds", "example")
MARKS = ("dimension", "rows", "filter", "visits", "moments", "order")
SQL_LINES_MAX = 110
SECONDS_MAX = 30
FILES_MAX = 40
_MARK = re.compile(r"/\*(\w+)\*/ (.*?) /\*end\*/", re.DOTALL)
_PARAMETER = re.compile(r"\{(\w+):([^{}]+)\}")
LIMITED = "LIMIT {limit:UInt32} OFFSET {offset:UInt32}"
_TABLE = re.compile(r"forebay\.sessions AS s\b")
_PLACE = re.compile(r"/\*(?:(?:parts|visits|acts|sooner):|:(?:parts|visits|acts|sooner))\*/")


class BrokenQuery(Exception):
    """Says what is wrong with a file of the catalogue."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Holds one file of the catalogue. `parameters` and `columns` have the types by their names, in order."""

    name: str
    title: str
    answers: str
    leaves_out: str
    parameters: Mapping[str, str]
    columns: Mapping[str, str]
    dimensions: DimensionsOf
    filters: FiltersOf
    seconds: int
    example: Mapping[str, str]
    sql: str

    def with_marks(self, pieces: Mapping[str, str], *, is_named: bool = False) -> str:
        """Returns the SELECT with pieces of SQL in its marked places; a mark without a piece keeps what stands in it.

        `is_named` reads visits together with the names of their sources and their channels.
        """
        sql = _MARK.sub(lambda mark: pieces.get(mark[1], mark[2]), self.sql)
        return _TABLE.sub("forebay.named_sessions AS s", sql) if is_named else sql

    @property
    def marks(self) -> tuple[str, ...]:
        """Returns the names of the marked places that it has."""
        return tuple(mark[1] for mark in _MARK.finditer(self.sql))


def read(name: str, text: str) -> Query:
    """Returns a query from the text of its file. Raises BrokenQuery."""
    lines = text.splitlines()
    length = next((number for number, line in enumerate(lines) if not line.startswith("-- ")), len(lines))
    header = _header(name, lines[:length])
    sql = "\n".join(lines[length:]).strip()
    try:
        query = Query(
            name=name,
            title=header["title"],
            answers=header["answers"],
            leaves_out=header["leaves out"],
            parameters=_typed(header["parameters"]),
            columns=_typed(header["columns"]),
            dimensions=msgspec.convert(header["dimensions"], DimensionsOf),
            filters=msgspec.convert(header["filters"], FiltersOf),
            seconds=int(header["seconds"]),
            example=dict(part.split("=", 1) for part in shlex.split(header["example"])),
            sql=sql,
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise BrokenQuery(f"{name}: the header can't be read: {error}") from error
    for fault in _faults(query):
        raise BrokenQuery(f"{name}: {fault}")
    return query


def read_all(texts: Mapping[str, str]) -> dict[str, Query]:
    """Returns the catalogue: all queries by their names. Raises BrokenQuery."""
    if len(texts) > FILES_MAX:
        raise BrokenQuery(f"the catalogue has at most {FILES_MAX} files; these are {len(texts)}")
    return {name: read(name, text) for name, text in sorted(texts.items())}


def _header(name: str, lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    key = ""
    for line in lines:
        if line.startswith("--   ") and key:
            found[key] += f" {line[2:].strip()}"
            continue
        key, separator, value = line.removeprefix("-- ").partition(": ")
        if not separator or key not in KEYS or key in found:
            raise BrokenQuery(f"{name}: this is no line of a header, or comes twice: {line!r}")
        found[key] = value.strip()
    if tuple(found) != KEYS:
        raise BrokenQuery(f"{name}: a header has {', '.join(KEYS)}, in this order; this one has {', '.join(found)}")
    return found


def _typed(text: str) -> dict[str, str]:
    """Returns types by names, of `site String, numbers Array(UInt16)`; `none` is an empty list."""
    if text == "none":
        return {}
    # A comma inside of brackets belongs to a type: `Map(String, Decimal(38, 4))`.
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    pairs = [part.strip().split(" ", 1) for part in parts]
    return {name: kind.strip() for name, kind in pairs}


def _faults(query: Query) -> list[str]:
    """Returns what is wrong between the header and the SELECT."""
    faults = []
    used = dict(_PARAMETER.findall(query.sql))
    if used != dict(query.parameters):
        different = sorted(set(used.items()) ^ set(query.parameters.items()))
        faults.append(f"the header and the SELECT don't have the same parameters: {different}")
    marks = query.marks
    wanted = {"dimension": query.dimensions != "none", "filter": query.filters != "none"}
    faults += [
        f"the mark {mark!r} is not known, or is there twice"
        for mark in marks
        if mark not in MARKS or marks.count(mark) > 1
    ]
    faults += [
        f"the header says that there is {'a' if is_wanted else 'no'} mark {mark!r}"
        for mark, is_wanted in wanted.items()
        if (mark in marks) != is_wanted
    ]
    if query.sql.count("/*") != 2 * len(marks) + len(_PLACE.findall(query.sql)):
        faults.append("a comment that is no whole mark")
    if "order" in marks and not re.search(rf"ORDER BY /\*order\*/ [^\n]* /\*end\*/\n{re.escape(LIMITED)}$", query.sql):
        faults.append("an order is followed by the limit and the offset, and by nothing else")
    if not re.match(r"(SELECT|WITH)\s", query.sql):
        faults.append("it is no SELECT")
    if ";" in query.sql or re.search(r"\b(FORMAT|SETTINGS|INTO)\b", query.sql):
        faults.append("it ends with ';', or has a FORMAT, SETTINGS or INTO")
    if len(query.sql.splitlines()) > SQL_LINES_MAX:
        faults.append(f"it has more than {SQL_LINES_MAX} lines")
    if not 1 <= query.seconds <= SECONDS_MAX:
        faults.append(f"`seconds` is from 1 to {SECONDS_MAX}")
    if not query.columns:
        faults.append("it has no columns")
    return faults
