"""Reads acts of closed days from their copies, in the places `acts` and `deeds` of statements (`copies`).

Sums of acts have each visitor once for a value and a local day. So they can be added up over days, once those take themselves off who are
on another local day, too, in a copy or in rows. They can't be added up over values: they answer a statement that divides by their very
column.
"""

from __future__ import annotations

import re

from dashboard.catalogue.copied_days import CUT, Days, Unknown, select
from dashboard.catalogue.dimensions import ROW_DAY
from schemas.acts import NO_ACTS_SQL
from schemas.closed import ACT_COLUMNS, OF_EVENT

# Columns of acts, by where they are read: acts of copies; sums; those of the acts whom sums take off what is compared.
_ACTS_KEPT = ("site", "session_id", "part_day", "revenue", "events", *OF_EVENT)
_OF_ACTS = {
    "visitors": "toInt64(0)",
    "leading": "toInt64(0)",
    "visitor": "c.visitor",
    "is_compared": "1",
    "visits": "toUInt64(0)",
    "visit": "c.session_id",
    "is_visit": "c.is_of_people AND c.began_day >= {since:Date}",
    "pageviews": "if(c.name = 'pageview', c.events, 0)",
}
_OF_ACT_SUMS = {
    "visitors": "toInt64(c.visitors)",
    "leading": "toInt64(c.leading)",
    "visitor": "toUInt64(0)",
    "is_compared": "0",
    "visits": "if(c.began_day >= {since:Date}, c.visits, 0)",
    "visit": "toUInt64(0)",
    "is_visit": "0",
}
_OF_COMPARED_ACTS = {
    "visitors": "toInt64(-1)",
    "leading": "-toInt64(at = 1)",
    "is_compared": "1",
    "visits": "toUInt64(0)",
    "visit": "toUInt64(0)",
    "is_visit": "0",
    "pageviews": "toUInt64(0)",
    "events": "toUInt64(0)",
}
_COUNTED_UP = {*_OF_ACT_SUMS, "pageviews", "events"}
# What sums count on one local day, and a division by days on two.
_OVER_MIDNIGHT = {"leading", "visits", "visit", "is_visit"}
# What may limit acts, in the form that rows have; in copies it is the same of columns of the same names.
_LIMITS = (f"r.name NOT IN {NO_ACTS_SQL}", "r.currency != ''")
_IN_PROJECTIONS = {"site", "part_day", "name", "currency", "revenue"}  # which answer sums of these sooner than any copy
_DIVIDED = re.compile(r"^ +e\.(\w+) AS d,?$", re.MULTILINE)
_MOMENT, _LISTED_MOMENT = re.compile(r"\be\.ts\b"), "r.ts AS ts"
_LISTED_DAY = f"{ROW_DAY.replace('e.ts', 'r.ts')} AS part_day"
_COLUMN = re.compile(r"\be\.(\w+)")
_IS_UNFILTERED = "\n) AS e\nWHERE 1\n"
# A sum of other events alone, such as one with money that is no act, has a value that no act has.
_HAS_ACTS = "c.visitors + c.visits + c.events > 0"
_FROM_ROWS = "FROM forebay.events AS b\n            WHERE b.site = {site:String}"


def by_local_day(sql: str) -> str:
    """Returns a statement that names the local day of acts, which copies have, if it asks for nothing more of their moments."""
    found = sql.replace(ROW_DAY, "e.part_day")
    return sql if _MOMENT.search(found) else found.replace(_LISTED_MOMENT, _LISTED_DAY)


def divided_by(sql: str, names: set[str]) -> str | None:
    """Returns the column by which a statement about acts divides, if sums may have its numbers; None if not.

    What all values have together sums know only where nothing is filtered.
    """
    found = _DIVIDED.search(sql)
    return found[1] if found and (_IS_UNFILTERED in sql or "leading" not in names) else None


def acts_of(
    text: str, columns: list[str], names: set[str], column: str | None, days: Days | Unknown, *, is_cut: bool
) -> list[str]:
    """Returns what reads the acts that a place reads, by `columns`. The statement names `names`, and `column` is that of `divided_by`."""
    if not isinstance(days, Days) or not days.acts or not names <= {*_ACTS_KEPT, *_OF_ACTS}:
        return [text]
    if names <= _IN_PROJECTIONS:
        return [text]
    if is_cut and "is_visit" in names:  # a visit over the midnight before would count in a copy and in rows
        return [text]
    within = _within("c", days, is_cut=is_cut)
    limits = "".join(f" AND {limit.replace('r.', 'c.')}" for limit in _LIMITS if limit in text)
    number = _number_of(names, column)
    rows = text.replace(_FROM_ROWS, f"{_FROM_ROWS} AND {days.have_no_acts('b', is_cut=False)}")
    rows = f"{rows} AND {days.have_no_acts('r', is_cut=is_cut)}"
    if number is None:
        return [select(columns, _OF_ACTS, "closed_acts", f"{within} AND c.is_kept{limits}"), rows]
    compared = (
        "SELECT r.visitor FROM forebay.closed_repeats AS r WHERE r.site = {site:String} UNION ALL"
        " SELECT o.visitor_id FROM forebay.events AS o WHERE o.site = {site:String}"
        f" AND toDate(o.ts) BETWEEN {{first_day:Date}} AND {{last_day:Date}} AND {days.have_no_acts('o', is_cut=is_cut)}"
    )
    value = {ACT_COLUMNS[number] or "site": "c.value" if number else "c.site"}
    found = (
        f"SELECT c.site AS site, c.part_day AS part_day, c.visitor AS visitor, groupUniqArray({f'c.{ACT_COLUMNS[number]}' if number else 'c.site'}) AS found"
        f" FROM forebay.closed_acts AS c WHERE c.site = {{site:String}} AND {within} AND c.is_kept{limits} AND c.visitor IN ({compared})"
        " GROUP BY c.site, c.copy, c.part_day, c.visitor"
    )
    listed_of = {**_OF_COMPARED_ACTS, **dict.fromkeys(value, "value")}
    named = ", ".join(f"{listed_of.get(one, f'c.{one}')} AS {one}" for one in columns)
    return [
        select(columns, _OF_ACT_SUMS | value, "closed_act_sums", f"c.column = {number} AND {within} AND {_HAS_ACTS}"),
        f"    SELECT {named}\n    FROM ({found}) AS c\n    ARRAY JOIN c.found AS value, arrayEnumerate(c.found) AS at",
        rows,
    ]


def deeds_of(text: str, days: Days | Unknown, *, is_cut: bool) -> list[str]:
    """Returns what reads the sessions with an act that meets a condition."""
    _, deed, condition = text.partition(f" AND e.name NOT IN {NO_ACTS_SQL} ")
    if not isinstance(days, Days) or not days.acts or not set(_COLUMN.findall(condition)) <= {"session_id", *OF_EVENT}:
        return [text]
    copied = f"e.site = {{site:String}} AND {_within('e', days, is_cut=is_cut)} AND e.is_kept{deed}{condition}"
    return [
        f"SELECT e.session_id FROM forebay.closed_acts AS e WHERE {copied}",
        f"{text} AND {days.have_no_acts('e', is_cut=is_cut)}",
    ]


def _within(alias: str, days: Days, *, is_cut: bool) -> str:
    found = f"{days.have_acts(alias)} AND {alias}.part_day BETWEEN {{since:Date}} AND {{until:Date}}"
    return f"{found} AND {alias}.part_day < {CUT}" if is_cut else found


def _number_of(names: set[str], column: str | None) -> int | None:
    """Returns the number of the column whose sums have all that is named; None if none has."""
    of_all = "" if column in ("site", "part_day") else column
    counted_up = _COUNTED_UP - _OVER_MIDNIGHT if column == "part_day" else _COUNTED_UP
    if of_all not in ACT_COLUMNS or not names - {"site", column} <= counted_up:
        return None
    return ACT_COLUMNS.index(of_all)
