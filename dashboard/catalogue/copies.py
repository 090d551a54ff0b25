"""Reads visits of closed days from their copies. What a number means stays written in the files of the catalogue, which read rows alone.

A statement marks where it reads visits, and runs as it stands. `with_copies` puts more in these places, once it is known which days of the
site are closed (docs/decisions/0059-sums-of-closed-days.md):

    /*parts:*/ SELECT … AS name, … FROM forebay.named_sessions AS v … WHERE … /*:parts*/
        Parts of visits, as dashboard/queries/visits.sql has them. Days that are not closed are read as it says. Of the others, columns of
        the same names are read from sums, if one set of sums has all that the statement names, and else from the copies' rows
    /*visits:*/ SELECT … FROM forebay.sessions AS s WHERE … /*:visits*/
        Whole visits. Of closed days the same is read from `closed_visits`, which has columns of the same names

Visitors are distinct over all of that. Most of them are in one row alone of one day (`is_once`), and are counted without their number, as
`alone`. All others are compared: whoever is in two rows of a day, whoever is in `closed_repeats`, and whoever was seen on a day that is
not closed. Sums have everybody with `is_once`, so the rows of those who are compared take themselves off again, with -1.

All of this is SQL of ours: values of users are parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dashboard.catalogue.values import Value
from schemas.closed import DAY_SPAN, SUMMED, set_of

# The days of a site that have rows, each with its copy if one is true: 0 if none is.
_KNOWN = """FROM (
            SELECT intDiv(e.session_id, 371085174374400) AS day,
                cityHash64(count(), sum(cityHash64(e.session_id, e.ts, e.visitor_id, e.name, e.bot, e.engaged_ms))) AS made_of
            FROM forebay.events AS e WHERE e.site = {site:String}%s GROUP BY e.site, day
        ) AS f
        LEFT JOIN (
            SELECT toUInt64(c.opened) AS day, c.made_of AS made_of, max(c.copy) AS copy FROM forebay.closed_days AS c
            WHERE c.site = {site:String} AND c.zone = {zone:String} AND c.lists = (SELECT max(l.version) FROM forebay.source_index AS l)
            GROUP BY day, made_of
        ) AS n ON f.day = n.day AND f.made_of = n.made_of"""
_WITHIN = """ AND intDiv(e.session_id, 371085174374400)
                BETWEEN intDiv({first_session:UInt64}, 371085174374400) AND intDiv({end_session:UInt64}, 371085174374400)"""
DAYS = f"SELECT f.day AS day, n.copy AS copy {_KNOWN % ''} ORDER BY day"
# The same as one value for statements that have to find it themselves: the closed days, their copies, and between which sessions others are.
CLOSED = f"""(
        SELECT (groupArrayIf(f.day, n.copy != 0), groupArrayIf(n.copy, n.copy != 0),
            371085174374400 * minIf(f.day, n.copy = 0), 371085174374400 * (maxIf(f.day, n.copy = 0) + 1))
        {_KNOWN % _WITHIN}
    )"""
# A bound of moments that only a period which is cut off has (`Period.before`).
BEFORE = " AND s.part_at < toDateTime({before:UInt32}, 'UTC')"
_UNBOUND = re.compile(
    r"\s+AND (?:s\.\w+|part\.2|toStartOfFifteenMinutes\(\w\.ts\)) < toDateTime\(\{before:UInt32\}, 'UTC'\)"
)
# A place within which there is no other: a filter within a filter has one within the other, and the inner one is filled first.
_PLACE = re.compile(r"/\*(parts|visits):\*/\n?((?:(?!/\*(?:parts|visits):\*/).)*?)\s*/\*:\1\*/", re.DOTALL)
_LIST = re.compile(r"(?<=SELECT\n)((?: +.+\n)*?)(?= *FROM\b)")
_NAMED = re.compile(r" AS (\w+),?$")
_READ = re.compile(r"\bs\.(\w+)")
_NAMES = {"source_name", "channel"}  # what `sessions` lacks of `named_sessions`
# The local day in which a period is cut off.
_CUT = "toDate(toDateTime({before:UInt32}, 'UTC'), {zone:String})"
_COUNTED = "c.is_begin AND c.is_visit AND ({bots:UInt8} OR c.bot = '')"
_MEASURES = ("bounces", "seconds", "pageviews", "engaged_ms")
# Columns of parts, by where they are read: all rows of copies; sums; those of whom sums take off what is compared. Any other column has
# the name that it has there.
_OF_ROWS = {
    "visitor": "if(is_alone, 0, c.visitor)",
    "alone": "toInt64(is_alone)",
    "visits": f"toUInt64({_COUNTED})",
    **{name: f"if({_COUNTED}, c.{'is_bounce' if name == 'bounces' else name}, 0)" for name in _MEASURES},
}
_OF_SUMS = {
    "part_at": "toDateTime64(0, 3, 'UTC')",
    "visitor": "toUInt64(0)",
    "alone": "toInt64(c.alone)",
    **{name: f"if({{bots:UInt8}} OR NOT c.is_bot, c.{name}, 0)" for name in ("visits", *_MEASURES)},
}
_OF_COMPARED = {
    "part_at": "toDateTime64(0, 3, 'UTC')",
    "alone": "-toInt64(c.is_once)",
    "visits": "toUInt64(0)",
    **dict.fromkeys(_MEASURES, "0"),
}
# What a statement may name that is answered by sums.
_SUMMED_UP = {"site", "part_day", "last_day", *SUMMED, *_OF_SUMS} - {"part_at"}


class Days(NamedTuple):
    """Holds the days between two sessions: the copies of days that lie between them as a whole, and of others; and days without one."""

    whole: list[int]
    others: list[int]
    closed: list[int]
    open: list[int]

    def are_copied(self, alias: str, copies: list[int] | None = None) -> str:
        """Returns the condition that a row is of one of these copies, or of any."""
        # Days are named for the partitions alone: a copy has one day.
        opened = f"toDate({self.closed[0]}) AND toDate({self.closed[-1]})"
        written = _written([*self.whole, *self.others] if copies is None else copies)
        return f"{alias}.opened BETWEEN {opened} AND {alias}.copy IN ({written})"

    def are_open(self, column: str) -> str:
        """Returns the condition that a session was opened on a day that has no copy; empty if all have one."""
        if not self.open:
            return ""
        first, last = self.open[0], self.open[-1]
        found = f"{column} >= {first * DAY_SPAN} AND {column} < {(last + 1) * DAY_SPAN}"
        among = [day for day in self.closed if first < day < last]
        return f"{found} AND intDiv({column}, {DAY_SPAN}) NOT IN ({_written(among)})" if among else found


class Unknown:
    """Stands for days of which only the statement itself will know which are closed."""

    def are_copied(self, alias: str) -> str:
        """Returns the condition that a row is of a true copy."""
        return f"has(tupleElement({CLOSED}, 2), {alias}.copy)"

    def are_open(self, column: str) -> str:
        """Returns the condition that a session was opened on a day that has no copy."""
        return (
            f"{column} >= tupleElement({CLOSED}, 3) AND {column} < tupleElement({CLOSED}, 4)"
            f" AND NOT has(tupleElement({CLOSED}, 1), intDiv({column}, {DAY_SPAN}))"
        )


def days_of(copies: Mapping[int, int], parameters: Mapping[str, Value]) -> Days:
    """Returns the days of a statement. `copies` has the true copy of each day that has rows; 0 if there is none."""
    first, end = int(str(parameters["first_session"])), int(str(parameters["end_session"]))
    days = [day for day in sorted(copies) if first // DAY_SPAN <= day <= (end - 1) // DAY_SPAN]
    closed = [day for day in days if copies[day]]
    whole = {day for day in closed if first <= day * DAY_SPAN and (day + 1) * DAY_SPAN <= end}
    return Days(
        whole=[copies[day] for day in closed if day in whole],
        others=[copies[day] for day in closed if day not in whole],
        closed=closed,
        open=[day for day in days if not copies[day]],
    )


def listed(sql: str, names: Iterable[str]) -> str:
    """Returns a SELECT with some of the columns of its first list, in which each column is a line."""
    wanted = set(names)

    def some(found: re.Match[str]) -> str:
        lines = [
            line.rstrip(",") for line in found[1].splitlines() if (name := _NAMED.search(line)) and name[1] in wanted
        ]
        return ",\n".join(lines) + "\n"

    return _LIST.sub(some, sql, count=1)


def lean(sql: str, columns: Iterable[str], *, is_cut: bool) -> str:
    """Returns a statement without what it does not need, because ClickHouse plans all that it is told.

    `columns` are those that are wanted of its own. `is_cut` tells whether the period ends with a moment (`Period.before`).
    """
    sql = sql if is_cut else _UNBOUND.sub("", sql)
    if "/*parts:*/" not in sql:
        return sql
    sql = listed(sql, columns)
    names = _names(sql)

    def fewer(found: re.Match[str]) -> str:
        if found[1] != "parts":
            return found[0]
        text = listed(found[2], names)
        if not names & _NAMES:
            text = text.replace("forebay.named_sessions", "forebay.sessions")
        return f"/*parts:*/\n{text}\n    /*:parts*/"

    return _PLACE.sub(fewer, sql)


def has_copies(sql: str) -> bool:
    """Tells whether a statement reads what may be read from copies."""
    return _PLACE.search(sql) is not None


def with_copies(sql: str, days: Days | Unknown) -> str:
    """Returns the statement that reads closed days from their copies.

    Without knowing the days it looks up itself which are closed, in each place anew (`CLOSED`), and reads no sums.
    """
    if isinstance(days, Days) and not days.closed:
        return sql
    names, is_cut = _names(sql.replace(BEFORE, "")), BEFORE in sql

    def read(found: re.Match[str]) -> str:
        text = found[2]
        branches = _visits(text, days) if found[1] == "visits" else _parts(text, names, days, is_cut=is_cut)
        if is_open := days.are_open("v.session_id" if " AS v\n" in text else "s.session_id"):
            branches.append(f"{text} AND {is_open}")
        return "\n    UNION ALL\n".join(branches)

    while has_copies(sql):
        sql = _PLACE.sub(read, sql)
    return sql


def _names(sql: str) -> set[str]:
    """Returns the columns of parts that a statement names."""
    while has_copies(sql):
        sql = _PLACE.sub("", sql)
    return set(_READ.findall(sql))


def _visits(text: str, days: Days | Unknown) -> list[str]:
    """Returns what reads whole visits of closed days."""
    copied = re.sub(r"forebay\.(named_)?sessions AS s", "forebay.closed_visits AS s", text, count=1)
    return [f"{copied} AND s.is_begin = 1 AND {days.are_copied('s')}"]


def _parts(text: str, names: set[str], days: Days | Unknown, *, is_cut: bool) -> list[str]:
    """Returns what reads parts of visits of closed days, by the columns of `text`. `names` are those of the statement without BEFORE."""
    found = _LIST.search(text)
    assert found is not None
    columns = [name[1] for line in found[1].splitlines() if (name := _NAMED.search(line))]
    number = set_of(names & set(SUMMED)) if names <= _SUMMED_UP else None
    if number is None or not isinstance(days, Days) or not days.whole:
        return [_rows(columns, days, days.are_copied("c"))]
    of_whole = days.are_copied("c", days.whole)
    earlier = f" AND c.part_day < {_CUT}" if is_cut else ""
    branches = [
        _select(columns, _OF_SUMS, "closed_sums", f"c.columns = {number} AND {of_whole}{earlier}"),
        _select(
            columns,
            _OF_COMPARED,
            "closed_visits",
            f"{of_whole} AND c.visitor != 0 AND (NOT c.is_once OR c.visitor IN ({_compared(days)})){earlier}",
        ),
    ]
    rest = [days.are_copied("c", days.others)] if days.others else []
    rest += [f"{of_whole} AND c.part_day >= {_CUT}"] if is_cut else []
    return [*branches, *(_rows(columns, days, condition) for condition in rest)]


def _rows(columns: list[str], days: Days | Unknown, condition: str) -> str:
    """Returns what reads all rows of copies."""
    alone = f"    WITH c.is_once AND c.visitor NOT IN ({_compared(days)}) AS is_alone\n"
    within = "c.session_id >= {first_session:UInt64} AND c.session_id < {end_session:UInt64}"
    return alone + _select(columns, _OF_ROWS, "closed_visits", f"{condition} AND {within}")


def _select(columns: list[str], expressions: Mapping[str, str], table: str, condition: str) -> str:
    named = ", ".join(f"{expressions.get(column, f'c.{column}')} AS {column}" for column in columns)
    return f"    SELECT {named}\n    FROM forebay.{table} AS c\n    WHERE c.site = {{site:String}} AND {condition}"


def _written(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _compared(days: Days | Unknown) -> str:
    """Returns the subquery for the visitors who may be on more than one day."""
    repeats = "SELECT r.visitor FROM forebay.closed_repeats AS r WHERE r.site = {site:String}"
    is_open = days.are_open("o.session_id")
    if not is_open:
        return repeats
    return (
        f"{repeats} UNION ALL SELECT o.visitor_id FROM forebay.events AS o WHERE o.site = {{site:String}}"
        f" AND o.session_id >= {{first_session:UInt64}} AND o.session_id < {{end_session:UInt64}} AND {is_open}"
    )
