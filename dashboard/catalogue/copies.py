"""Reads visits of closed days from their copies. What a number means stays written in the files of the catalogue, which read rows alone.

A statement marks where it reads visits, and runs as it stands. `with_copies` puts more in these places, once it is known which days of the
site are closed (docs/decisions/0059-sums-of-closed-days.md):

    /*parts:*/ SELECT … AS name, … FROM forebay.named_sessions AS v … WHERE … /*:parts*/
        Parts of visits, as dashboard/queries/visits.sql has them. Days that are not closed are read as it says. Of the others, columns of
        the same names are read from sums, if one set of sums has all that the statement names, and else from the copies' rows
    /*visits:*/ SELECT … FROM forebay.sessions AS s WHERE … /*:visits*/
        Whole visits. Of closed days the same is read from `closed_visits`, which has columns of the same names
    /*acts:*/ SELECT … AS name, … FROM forebay.events AS r WHERE … /*:acts*/
        Rows that are acts, as dashboard/queries/events.sql has them. Of closed days that have acts in their copy, columns of the same names
        are read from sums, if the statement divides by one of their columns and names no other, and else from the acts, if these have
        all that it names (`copied_acts`)
    /*deeds:*/ SELECT e.session_id FROM forebay.events AS e WHERE … /*:deeds*/
        Sessions with an act that meets a condition of a filter. Of closed days that have acts in their copy they are read there, if acts
        have all that the condition names
    /*sooner:*/ AND … IN (SELECT u.session_id FROM forebay.events AS u WHERE … ) /*:sooner*/
        Within a place of visits, a condition that changes nothing but how many visits are made of rows. Of closed days it is left out,
        and of others it looks at their rows alone

Visitors are distinct over all of that. Most of them are in one row alone of one day (`is_once`), and are counted without their number, as
`alone`. All others are compared: whoever is in two rows of a day, whoever is in `closed_repeats`, and whoever was seen on a day that is
not closed. Sums have everybody with `is_once`, so the rows of those who are compared take themselves off again, with -1.

All of this is SQL of ours: values of users are parameters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from dashboard.catalogue.copied_acts import acts_of, by_local_day, deeds_of, divided_by
from dashboard.catalogue.copied_days import CUT, Days, Unknown, select
from schemas.closed import SUMMED, set_of

# A bound of moments that only a period which is cut off has (`Period.before`).
BEFORE = " AND s.part_at < toDateTime({before:UInt32}, 'UTC')"
BEFORE_OF_ROWS = "AND toStartOfFifteenMinutes(r.ts) < toDateTime({before:UInt32}, 'UTC')"
BEFORE_OF_DEEDS = BEFORE_OF_ROWS.replace("r.ts", "e.ts")
_UNBOUND = re.compile(
    r"\s+AND (?:s\.\w+|part\.2|toStartOfFifteenMinutes\(\w\.ts\)) < toDateTime\(\{before:UInt32\}, 'UTC'\)"
)
# A place within which there is no other: a filter within a filter has one within the other, and the inner one is filled first.
_PLACE = re.compile(
    r"/\*(parts|visits|acts|deeds):\*/\n?((?:(?!/\*(?:parts|visits|acts|deeds):\*/).)*?)\s*/\*:\1\*/", re.DOTALL
)
_SOONER = re.compile(r"\s*/\*sooner:\*/(.*?)\s*/\*:sooner\*/", re.DOTALL)
_SOONER_OF = "u.site = {site:String}"
_LIST = re.compile(r"(?<=SELECT\n)((?: +.+\n)*?)(?= *FROM\b)")
_NAMED = re.compile(r" AS (\w+),?$")
_READ = {"parts": re.compile(r"\bs\.(\w+)"), "acts": re.compile(r"\be\.(\w+)")}
_NAMES = {"source_name", "channel"}  # what `sessions` lacks of `named_sessions`
_PEOPLE = re.compile(r"^WITH .+ AS people\n", re.MULTILINE)
_OR_VISITORS = "visitors > 0 OR "
_WORD, _ORDER = re.compile(r"\w+"), re.compile(r"^ORDER BY .*", re.MULTILINE)
_NEEDED = re.compile(r"^(?:HAVING|ORDER BY) .*", re.MULTILINE)
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


def listed(sql: str, names: Iterable[str]) -> str:
    """Returns a SELECT with some of the columns of its first list, in which each column is a line."""
    wanted = set(names)

    def some(found: re.Match[str]) -> str:
        lines = [
            line.rstrip(",") for line in found[1].splitlines() if (name := _NAMED.search(line)) and name[1] in wanted
        ]
        return ",\n".join(lines) + "\n"

    return _LIST.sub(some, sql, count=1)


def lean(sql: str, columns: Collection[str], *, is_cut: bool) -> str:
    """Returns a statement without what it does not need, because ClickHouse plans all that it is told.

    `columns` are those that are wanted of its own. `is_cut` tells whether the period ends with a moment (`Period.before`).
    """
    sql = sql if is_cut else _UNBOUND.sub("", sql)
    if not any(f"/*{place}:*/" in sql for place in _READ):
        return sql
    if "visitors" not in {*columns, *_WORD.findall("".join(_ORDER.findall(sql)))}:
        sql = sql.replace(_OR_VISITORS, "")
    sql = listed(sql, {*columns, *_WORD.findall("".join(_NEEDED.findall(sql)))})
    if "(people)" not in sql:
        sql = _PEOPLE.sub("", sql)
    names = {place: _names(sql, place) for place in _READ}

    def fewer(found: re.Match[str]) -> str:
        place = found[1]
        if place not in _READ:
            return found[0]
        text = listed(found[2], names[place])
        if not names[place] & _NAMES:
            text = text.replace("forebay.named_sessions", "forebay.sessions")
        return f"/*{place}:*/\n{text}\n    /*:{place}*/"

    return _PLACE.sub(fewer, sql)


def has_copies(sql: str) -> bool:
    """Tells whether a statement reads what may be read from copies."""
    return _PLACE.search(sql) is not None


def with_copies(sql: str, days: Days | Unknown) -> str:
    """Returns the statement that reads closed days from their copies.

    Without knowing the days it looks up itself which are closed, in each place anew (`CLOSED`), and reads no sums.
    """
    if isinstance(days, Days) and not days.closed and not days.acts:
        return sql
    if isinstance(days, Days) and days.acts and "/*acts:*/" in sql:
        sql = by_local_day(sql)
    is_cut = BEFORE in sql or BEFORE_OF_ROWS in sql
    of_parts, of_acts = _names(sql.replace(BEFORE, ""), "parts"), _names(sql, "acts")
    column = divided_by(sql, of_acts)

    def read(found: re.Match[str]) -> str:
        text = found[2]
        if found[1] == "acts":
            branches = acts_of(text, _listed_in(text), of_acts, column, days, is_cut=is_cut)
        elif found[1] == "deeds":
            branches = deeds_of(text, days, is_cut=BEFORE_OF_DEEDS in text)
        elif found[1] == "visits":
            branches = _visits(text, days)
        else:
            branches = _parts(text, of_parts, days, is_cut=is_cut)
        if found[1] in ("parts", "visits") and (
            is_open := days.are_open("v.session_id" if " AS v\n" in text else "s.session_id")
        ):
            sooner = f"{_SOONER_OF} AND {days.are_open('u.session_id')}"
            text = _SOONER.sub(lambda one: one[1].replace(_SOONER_OF, sooner), text)
            branches.append(f"{text} AND {is_open}")
        return "\n    UNION ALL\n".join(branches)

    while has_copies(sql):
        sql = _PLACE.sub(read, sql)
    return sql


def _names(sql: str, place: str) -> set[str]:
    """Returns the columns of parts, or of acts, that a statement names."""
    while has_copies(sql):
        sql = _PLACE.sub("", sql)
    return set(_READ[place].findall(sql))


def _visits(text: str, days: Days | Unknown) -> list[str]:
    """Returns what reads whole visits of closed days."""
    copied = re.sub(r"forebay\.(named_)?sessions AS s", "forebay.closed_visits AS s", _SOONER.sub("", text), count=1)
    return [f"{copied} AND s.is_begin = 1 AND {days.are_copied('s')}"]


def _parts(text: str, names: set[str], days: Days | Unknown, *, is_cut: bool) -> list[str]:
    """Returns what reads parts of visits of closed days, by the columns of `text`. `names` are those of the statement without BEFORE."""
    columns = _listed_in(text)
    number = set_of(names & set(SUMMED)) if names <= _SUMMED_UP else None
    if number is None or not isinstance(days, Days) or not days.whole:
        return [_rows(columns, days, days.are_copied("c"))]
    of_whole = days.are_copied("c", days.whole)
    earlier = f" AND c.part_day < {CUT}" if is_cut else ""
    branches = [select(columns, _OF_SUMS, "closed_sums", f"c.columns = {number} AND {of_whole}{earlier}")]
    if "visitor" in columns:
        compared = f"c.visitor != 0 AND (NOT c.is_once OR c.visitor IN ({_compared(days)}))"
        branches.append(select(columns, _OF_COMPARED, "closed_visits", f"{of_whole} AND {compared}{earlier}"))
    if is_cut:
        is_whole = f"c.copy IN ({', '.join(map(str, days.whole))})"
        branches.append(_rows(columns, days, f"{days.are_copied('c')} AND NOT ({is_whole}{earlier})"))
    elif days.others:
        branches.append(_rows(columns, days, days.are_copied("c", days.others)))
    return branches


def _listed_in(text: str) -> list[str]:
    """Returns the names of the columns of the first list of a SELECT."""
    found = _LIST.search(text)
    assert found is not None
    return [name[1] for line in found[1].splitlines() if (name := _NAMED.search(line))]


def _rows(columns: list[str], days: Days | Unknown, condition: str) -> str:
    """Returns what reads all rows of copies."""
    is_alone = f"    WITH c.is_once AND c.visitor NOT IN ({_compared(days)}) AS is_alone\n"
    alone = is_alone if "visitor" in columns else ""
    within = "c.session_id >= {first_session:UInt64} AND c.session_id < {end_session:UInt64}"
    return alone + select(columns, _OF_ROWS, "closed_visits", f"{condition} AND {within}")


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
