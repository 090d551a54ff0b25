"""Says which days of a site have copies, and in SQL which rows these days have.

A *day* is a UTC day and the sessions that were opened on it (schemas/closed.py). What a statement reads of them is in `copies`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from dashboard.catalogue.values import Value
from schemas.closed import DAY_SPAN

# The days of a site that have rows, each with its copy if one is true: 0 if none is. `has_acts` tells whether the copy has acts.
_KNOWN = """FROM (
            SELECT intDiv(e.session_id, 371085174374400) AS day,
                cityHash64(count(), sum(cityHash64(e.session_id, e.ts, e.visitor_id, e.name, e.bot, e.engaged_ms))) AS made_of
            FROM forebay.events AS e WHERE e.site = {site:String}%s GROUP BY e.site, day
        ) AS f
        LEFT JOIN (
            SELECT toUInt64(c.opened) AS day, c.made_of AS made_of, max(c.copy) AS copy%s FROM forebay.closed_days AS c
            WHERE c.site = {site:String} AND c.zone = {zone:String} AND c.lists = (SELECT max(l.version) FROM forebay.source_index AS l)
            GROUP BY day, made_of
        ) AS n ON f.day = n.day AND f.made_of = n.made_of"""
_WITHIN = """ AND intDiv(e.session_id, 371085174374400)
                BETWEEN intDiv({first_session:UInt64}, 371085174374400) AND intDiv({end_session:UInt64}, 371085174374400)"""
DAYS = f"SELECT f.day AS day, n.copy AS copy, n.has_acts AS has_acts {_KNOWN % ('', ', argMax(c.has_acts, c.copy) AS has_acts')} ORDER BY day"
# The same as one value for statements that have to find it themselves: the closed days, their copies, and between which sessions others are.
CLOSED = f"""(
        SELECT (groupArrayIf(f.day, n.copy != 0), groupArrayIf(n.copy, n.copy != 0),
            371085174374400 * minIf(f.day, n.copy = 0), 371085174374400 * (maxIf(f.day, n.copy = 0) + 1))
        {_KNOWN % (_WITHIN, "")}
    )"""
# The local day in which a period is cut off.
CUT = "toDate(toDateTime({before:UInt32}, 'UTC'), {zone:String})"


class Days(NamedTuple):
    """Holds the days between two sessions: the copies of days that lie between them as a whole, and of others; and days without one.

    `acts` are the days that have acts in their copies `act_copies`.
    """

    whole: list[int]
    others: list[int]
    closed: list[int]
    open: list[int]
    acts: list[int]
    act_copies: list[int]

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

    def have_acts(self, alias: str) -> str:
        """Returns the condition that a row is of a copy with acts."""
        opened = f"toDate({self.acts[0]}) AND toDate({self.acts[-1]})"
        return f"{alias}.opened BETWEEN {opened} AND {alias}.copy IN ({_written(self.act_copies)})"

    def have_no_acts(self, alias: str, *, is_cut: bool) -> str:
        """Returns the condition that a row of `events` is none whose act is in a copy: by ranges of sessions, by which its key prunes."""
        days = [day * DAY_SPAN for day in self.acts]
        edges = [0]
        for day in days:
            if day != edges[-1]:
                edges += [day, day]
            edges[-1] = day + DAY_SPAN
        session = f"{alias}.session_id"
        found = [
            f"{session} >= {first} AND {session} < {end}" if first else f"{session} < {end}"
            for first, end in zip(edges[::2], edges[1::2], strict=False)
        ]
        found.append(f"{session} >= {edges[-1]}")
        if is_cut:
            found.append(f"toDate(toStartOfFifteenMinutes({alias}.ts), {{zone:String}}) >= {CUT}")
        return f"({' OR '.join(found)})"


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


class Copies(NamedTuple):
    """Holds the true copy of each day that has rows; 0 if there is none. And the days whose copies have acts."""

    of_days: dict[int, int]
    have_acts: set[int]


def copies_of(rows: Iterable[Sequence[Any]]) -> Copies:
    """Returns what the answer to DAYS says."""
    found = [(int(day), int(copy), bool(has_acts)) for day, copy, has_acts in rows]
    return Copies({day: copy for day, copy, _ in found}, {day for day, copy, has_acts in found if copy and has_acts})


def days_of(copies: Mapping[int, int], parameters: Mapping[str, Value], have_acts: Collection[int] = ()) -> Days:
    """Returns the days of a statement. `copies` has the true copy of each day that has rows; 0 if there is none.

    `have_acts` are the days whose copies have acts.
    """
    first, end = (int(str(parameters.get(name, 0))) for name in ("first_session", "end_session"))
    days = [day for day in sorted(copies) if first // DAY_SPAN <= day <= (end - 1) // DAY_SPAN]
    closed = [day for day in days if copies[day]]
    whole = {day for day in closed if first <= day * DAY_SPAN and (day + 1) * DAY_SPAN <= end}
    acts: list[int] = []
    if "first_day" in parameters and not parameters.get("bots"):  # there are no acts of programs in copies
        first_day, last_day = (_number(parameters[name]) for name in ("first_day", "last_day"))
        acts = [day for day in sorted(have_acts) if first_day - 1 <= day <= last_day]
    return Days(
        whole=[copies[day] for day in closed if day in whole],
        others=[copies[day] for day in closed if day not in whole],
        closed=closed,
        open=[day for day in days if not copies[day]],
        acts=acts,
        act_copies=[copies[day] for day in acts],
    )


def _number(day: Value) -> int:
    return (date.fromisoformat(str(day)) - date(1970, 1, 1)).days


def select(columns: list[str], expressions: Mapping[str, str], table: str, condition: str) -> str:
    """Returns a SELECT of columns `c` of a table of copies; those without an expression have the name that they have there."""
    named = ", ".join(f"{expressions.get(column, f'c.{column}')} AS {column}" for column in columns)
    return f"    SELECT {named}\n    FROM forebay.{table} AS c\n    WHERE c.site = {{site:String}} AND {condition}"


def _written(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
