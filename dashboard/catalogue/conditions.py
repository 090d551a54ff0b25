"""Makes SQL conditions from a filter, in two forms: on a row `e` of events, and on a visit `s`.

Every filter has both forms. Conditions on what only rows have (a page, an event) select a visit if *one* event of it in the period meets
all of them. Conditions on what only visits have (a source) select all rows of the visits that meet them. Events named `engagement` and
`vitals` select no visit, because nobody did anything there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dashboard.catalogue.contract import Goals, Refused
from dashboard.catalogue.dimensions import GOAL, NO_DEED, Dimension, dimension_of, row_form
from dashboard.catalogue.filters import All, Any, Compare, Done, Filter, Not
from dashboard.catalogue.values import Values

# The rows of a question. Every file of rows has these lines; a test keeps them equal.
ROWS = (
    "{0}.site = {{site:String}} AND ({{bots:UInt8}} OR {0}.bot = '')"
    " AND toDate({0}.ts) BETWEEN {{first_day:Date}} AND {{last_day:Date}}"
    " AND toDate(toStartOfFifteenMinutes({0}.ts), {{zone:String}}) BETWEEN {{since:Date}} AND {{until:Date}}"
    " AND toStartOfFifteenMinutes({0}.ts) < toDateTime({{before:UInt32}}, 'UTC')"
)
# The visits that may have a row in the period.
VISITS = "s.site = {site:String} AND s.session_id >= {first_session:UInt64} AND s.session_id < {end_session:UInt64}"
NEEDLES_MAX = 255  # ClickHouse's multiSearchAny takes no more
CLAUSES_MAX = 200  # of a filter that was put together of a user's filter, a segment and ours


def conjuncts(tree: Filter | None) -> list[Filter]:
    """Returns the parts of a filter all of which must hold."""
    if tree is None:
        return []
    return [found for part in tree.parts for found in conjuncts(part)] if isinstance(tree, All) else [tree]


def joined(parts: Iterable[Filter]) -> Filter | None:
    """Returns the filter that all parts make together, or None of no parts."""
    listed = tuple(parts)
    return All(listed) if len(listed) > 1 else listed[0] if listed else None


def has_rows(tree: Filter) -> bool:
    """Tells whether a filter has a condition on what only rows have (a page, an event, a property)."""
    match tree:
        case Compare():
            return not dimension_of(tree.dimension).visit
        case Not():
            return has_rows(tree.part)
        case All() | Any():
            return any(map(has_rows, tree.parts))
        case Done():
            return False  # it is a condition on the visit in either form


def has_visits(tree: Filter) -> bool:
    """Tells whether a filter has a condition on what only visits have (a source, an entry page)."""
    match tree:
        case Compare():
            return not dimension_of(tree.dimension).row
        case Not():
            return has_visits(tree.part)
        case All() | Any():
            return any(map(has_visits, tree.parts))
        case Done():
            return False


def split(tree: Filter | None) -> tuple[Filter | None, Filter | None]:
    """Returns two parts of a filter: the one to ask of rows, and the one that can be asked of visits alone."""
    parts = conjuncts(tree)
    of_visits = [part for part in parts if has_visits(part) and not has_rows(part)]
    return joined(part for part in parts if part not in of_visits), joined(of_visits)


class Conditions:
    """Makes conditions of the filters of one question, whose values go into `values`.

    Afterwards `is_named` says whether a condition on `s` reads the name of a source or a channel, which `named_sessions` has.
    """

    def __init__(self, values: Values, goals: Goals) -> None:
        self._values = values
        self._goals = goals
        self.is_named = False

    def between(self, moment: str, starts: int | None, ends: int | None) -> list[str]:
        """Returns the conditions that a moment is not before `starts` and is before `ends` (unix s); None sets no bound."""
        found = []
        if starts is not None:
            found.append(f"{moment} >= toDateTime({self._values.number(starts)}, 'UTC')")
        if ends is not None:
            found.append(f"{moment} < toDateTime({self._values.number(ends)}, 'UTC')")
        return found

    def of_visits(self, tree: Filter) -> str:
        """Returns the condition on a visit `s`. Raises Refused."""
        parts = conjuncts(tree)
        _check_size(tree)
        found = [self._visit(part) for part in parts if not has_rows(part)]
        if of_rows := joined(part for part in parts if has_rows(part)):
            found.append(f"s.session_id IN ({self._sessions_with(of_rows)})")
        return " AND ".join(found)

    def of_rows(self, tree: Filter) -> str:
        """Returns the condition on a row `e`. Raises Refused."""
        _check_size(tree)
        of_rows, of_visits = split(tree)
        found = [self._row(part) for part in conjuncts(of_rows)]
        if of_visits is not None:
            found.append(f"e.session_id IN ({self._sessions_that(of_visits)})")
        return " AND ".join(found)

    def _row(self, tree: Filter) -> str:
        match tree:
            case Compare():
                dimension = dimension_of(tree.dimension)
                if not dimension.row:
                    return f"e.session_id IN ({self._sessions_that(tree)})"
                return self._compared(dimension, tree, is_row=True)
            case All() | Any():
                word = " AND " if isinstance(tree, All) else " OR "
                # All parts that speak of visits are one subquery, because each has to put its visits together.
                together = tuple(part for part in tree.parts if has_visits(part) and not has_rows(part))
                found = [self._row(part) for part in tree.parts if part not in together]
                if together:
                    found.append(f"e.session_id IN ({self._sessions_that(type(tree)(together))})")
                return f"({word.join(found)})"
            case Not():
                return f"NOT {_bracketed(self._row(tree.part))}"
            case Done():
                return self._done("e", tree)

    def _visit(self, tree: Filter) -> str:
        match tree:
            case Compare():
                dimension = dimension_of(tree.dimension)
                self.is_named = self.is_named or dimension.is_named
                return self._compared(dimension, tree, is_row=False)
            case All() | Any():
                word = " AND " if isinstance(tree, All) else " OR "
                return f"({word.join(map(self._visit, tree.parts))})"
            case Not():
                return f"NOT {_bracketed(self._visit(tree.part))}"
            case Done():
                return self._done("s", tree)

    def _done(self, alias: str, tree: Done) -> str:
        word = "IN" if tree.is_done else "NOT IN"
        return f"{alias}.session_id {word} ({self._sessions_with(tree.part)})"

    def _sessions_with(self, tree: Filter) -> str:
        """Returns the subquery for the sessions with an event that meets a filter."""
        # Of days whose copies have acts they are read there (`copies`).
        return (
            f"/*deeds:*/SELECT e.session_id FROM forebay.events AS e WHERE {ROWS.format('e')}"
            f" AND e.name NOT IN {NO_DEED} AND {self.of_rows(tree)}/*:deeds*/"
        )

    def _sessions_that(self, tree: Filter) -> str:
        """Returns the subquery for the sessions that meet a filter as a whole."""
        inner = Conditions(self._values, self._goals)
        condition = inner._visit(tree)
        table = "forebay.named_sessions" if inner.is_named else "forebay.sessions"
        # Where there are copies of these days they are read there (`copies`).
        return f"/*visits:*/SELECT s.session_id FROM {table} AS s WHERE {VISITS} AND {condition}/*:visits*/"

    def _compared(self, dimension: Dimension, compare: Compare, *, is_row: bool) -> str:
        if dimension.interval:
            raise Refused("There is no filter by time: choose a period.")
        if dimension.name == GOAL:
            return self._goal(compare)
        column = row_form(dimension, self._values) if is_row else dimension.visit
        return self._operated(column, compare, [dimension.value_of(value) for value in compare.values])

    def _goal(self, compare: Compare) -> str:
        names = list(compare.values)
        if compare.operator == "contains":
            if not self._goals.names:
                return self._operated("e.name", compare, names)
            names = [name for name in self._goals.names if any(part in name for part in compare.values)]
        elif compare.operator not in ("is", "is_not"):
            raise Refused("Goals are filtered by is, is_not and contains.")
        met = " OR ".join(_bracketed(self._goals.condition(name, self._values)) for name in names) or "0"
        return f"NOT ({met})" if compare.operator == "is_not" else f"({met})"

    def _operated(self, column: str, compare: Compare, values: list[str]) -> str:
        """Returns the condition that a column fits one of the values, or none of them."""
        if not values:
            raise Refused(f"A filter by '{compare.dimension[:100]}' has at least one value.")
        operator = compare.operator.removesuffix("_not")
        is_sensitive = compare.is_case_sensitive
        if operator == "is":
            found = self._is(column, values, is_sensitive=is_sensitive)
        elif operator == "contains":
            found = self._contains(column, values, is_sensitive=is_sensitive)
        elif operator == "matches":
            found = " OR ".join(f"match({column}, {self._values.text(value)})" for value in values)
        else:
            found = " OR ".join(wildcard(column, value, self._values) for value in values)
        return f"NOT ({found})" if compare.operator.endswith("_not") else _bracketed(found)

    def _is(self, column: str, values: list[str], *, is_sensitive: bool) -> str:
        if is_sensitive:
            return f"{column} IN {self._values.texts(values)}"
        return f"lowerUTF8({column}) IN {self._values.texts(value.lower() for value in values)}"

    def _contains(self, column: str, values: list[str], *, is_sensitive: bool) -> str:
        if len(values) > NEEDLES_MAX:
            raise Refused(f"`contains` takes at most {NEEDLES_MAX} values.")
        name = "multiSearchAny" if is_sensitive else "multiSearchAnyCaseInsensitiveUTF8"
        return f"{name}({column}, {self._values.texts(values)})"


def wildcard(column: str, text: str, values: Values) -> str:
    """Returns the condition that a column fits a text in which `*` stands for any characters."""
    pieces = re.split(r"\*+", text)
    if len(pieces) == 2 and not pieces[1]:
        return f"startsWith({column}, {values.text(pieces[0])})"
    if len(pieces) == 1:
        return f"{column} = {values.text(text)}"
    pattern = ".*".join(_quoted(piece) for piece in pieces)
    return f"match({column}, {values.text(f'(?s)^{pattern}$')})"


def _quoted(text: str) -> str:
    """Returns a text as RE2 reads it letter by letter."""
    return re.sub(r"([^\w/\-]|_)", lambda found: f"\\x{{{ord(found[0]):x}}}", text, flags=re.ASCII) if text else ""


def _bracketed(condition: str) -> str:
    return f"({condition})"


def _check_size(tree: Filter) -> None:
    def size(part: Filter) -> int:
        match part:
            case Compare():
                return 1
            case Not() | Done():
                return size(part.part)
            case All() | Any():
                return sum(map(size, part.parts))

    if size(tree) > CLAUSES_MAX:
        raise Refused(f"Filters have at most {CLAUSES_MAX} clauses.")
