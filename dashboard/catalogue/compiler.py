"""Makes the SQL of a question: a file of the catalogue, with pieces of SQL in its marked places, and parameters.

The SQL is put together from four sources: the file, the table of dimensions, the operators of `conditions`, and `{pN:Type}` for each
value of a user. No text of a user ever becomes part of it; a test tries that with random texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dashboard.catalogue.conditions import Conditions, split
from dashboard.catalogue.contract import ALWAYS, FileQuestion, Refused, Statement
from dashboard.catalogue.copies import lean
from dashboard.catalogue.dimensions import GOAL, Dimension, dimension_of, goal_form, row_form
from dashboard.catalogue.goals import step
from dashboard.catalogue.periods import checked, parameters
from dashboard.catalogue.query import Query
from dashboard.catalogue.values import Value, Values
from schemas.goals import STEPS_MAX, STEPS_MIN

LIMIT_MAX, OFFSET_MAX = 10_000, 1_000_000
EVERYTHING = 1_000_000_000  # a limit that never applies; `max_result_rows` of the statement does
LIVE_SECONDS, RUNNING_SECONDS, ENDED_SECONDS = (
    2,
    5,
    60,
)  # for how long an answer may be given to others who ask the same
DIMENSIONS_MAX = 10
PAGES = ("page", "hostname")  # the only dimensions of a file whose `dimensions` is `page`


def compiled(query: Query, question: FileQuestion, *, columns: Iterable[str] = (), by: str = "") -> Statement:
    """Returns the statement that asks a question of one file. Raises Refused.

    `columns` are those that are wanted, if not all: ClickHouse does not compute the others. `by` is an expression of columns
    to order by, in place of the question's order.
    """
    period = checked(question.period)
    values = Values()
    dimensions = [dimension_of(name) for name in dict.fromkeys(question.dimensions)]
    if len(dimensions) > DIMENSIONS_MAX:
        raise Refused(f"A question has at most {DIMENSIONS_MAX} dimensions.")
    conditions = Conditions(values, question.goals)
    pieces = _dimension_pieces(query, question, dimensions, values) | _filter_pieces(
        query, question, conditions, values
    )
    if order := by or _order(query, question):
        if "order" not in query.marks:
            raise Refused(f"The file '{query.name}' has an order of its own.")
        pieces["order"] = order
    is_named = conditions.is_named or any(one.is_named for one in dimensions)
    chosen = [name for name in query.columns if name in columns] or list(query.columns)
    is_ordered = "order" in query.marks and {"d", "visitors"} <= {*query.columns}
    if is_ordered and question.limit == EVERYTHING and "visitors" not in chosen:
        pieces.setdefault("order", "d")  # the usual order is by visitors, who take long to be counted
    filled = lean(
        query.with_marks(pieces, is_named=is_named),
        {"d", *chosen},
        is_cut=period.before != ALWAYS,
    )
    sql = _chosen(query, filled, chosen, dimensions)
    fresh = RUNNING_SECONDS if period.is_running else ENDED_SECONDS
    return Statement(
        file=query.name,
        sql=sql,
        parameters=_parameters(query, question, sql, values),
        zone=period.zone,
        seconds=query.seconds,
        remembered_seconds=LIVE_SECONDS if "now" in query.parameters else fresh,
    )


def _chosen(query: Query, sql: str, columns: Sequence[str], dimensions: Sequence[Dimension]) -> str:
    """Returns a SELECT of some columns of another SELECT. It leaves out rows without a value of a dimension that must have one (`is_there`)."""
    listed = ", ".join(columns)
    # A total of visitors is also of those without a value, so these rows are left out behind everything else.
    there = [
        f"{'d' if len(dimensions) == 1 else f'tupleElement(d, {number})'} != ''"
        for number, one in enumerate(dimensions, 1)
        if one.is_there
    ]
    if len(columns) == len(query.columns) and not there:
        return sql
    if "order" not in query.marks:
        return f"SELECT {listed} FROM (\n{sql}\n)"
    inner, _, limited = sql.rpartition("ORDER BY ")
    where = f"WHERE {' AND '.join(there)}\n" if there else ""
    return f"SELECT {listed} FROM (\n{inner})\n{where}ORDER BY {limited}"


def check_page(limit: int, offset: int) -> None:
    """Raises Refused for a limit or an offset that is out of range."""
    if not 1 <= limit <= LIMIT_MAX or not 0 <= offset <= OFFSET_MAX:
        raise Refused(f"A limit is from 1 to {LIMIT_MAX:,}, and an offset from 0 to {OFFSET_MAX:,}.")


def _dimension_pieces(
    query: Query, question: FileQuestion, dimensions: list[Dimension], values: Values
) -> dict[str, str]:
    if query.dimensions == "goals":
        met = ", ".join(question.goals.condition(name, values) for name in question.goals.names)
        return {"dimension": f"[{met or 0}]"}
    if query.dimensions == "steps":
        if not STEPS_MIN <= len(question.steps) <= STEPS_MAX:
            raise Refused(f"A funnel has {STEPS_MIN} to {STEPS_MAX} steps; this has {len(question.steps)}.")
        return {"dimension": ", ".join(step(text, question.goals, values) for text in question.steps)}
    if not dimensions:
        return {}
    if query.dimensions == "none":
        raise Refused(f"The file '{query.name}' has no dimension.")
    rows = [_row(one, question, values) for one in dimensions if one.row]
    if query.dimensions in ("row", "page"):
        _all_have(query, dimensions, "row")
        return {"dimension": _together(rows)}
    if query.dimensions == "session":
        _all_have(query, dimensions, "visit")
        return {"dimension": _together([one.visit for one in dimensions])}
    # Both: rows are grouped first, and their groups are `m.r`; what only a visit has is taken from the visit.
    places = iter(["m.r"] if len(rows) == 1 else [f"m.r.{number}" for number in range(1, len(rows) + 1)])
    pieces = {"dimension": _together([next(places) if one.row else one.visit for one in dimensions])}
    return pieces | ({"rows": _together(rows)} if rows else {})


def _row(dimension: Dimension, question: FileQuestion, values: Values) -> str:
    return goal_form(question.goals, values) if dimension.name == GOAL else row_form(dimension, values)


def _together(expressions: list[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"tuple({', '.join(expressions)})"


def _all_have(query: Query, dimensions: list[Dimension], form: str) -> None:
    for one in dimensions:
        if not getattr(one, form) or (query.dimensions == "page" and one.name not in PAGES):
            raise Refused(f"The file '{query.name}' can't be asked by '{one.name}'.")


def _filter_pieces(query: Query, question: FileQuestion, conditions: Conditions, values: Values) -> dict[str, str]:
    period, tree = question.period, question.filters
    if query.filters == "none":
        if tree is not None or period.starts is not None or period.ends is not None:
            raise Refused(f"The file '{query.name}' takes no filters, and whole days only.")
        return {}
    of_visits = "s.part_at" if "/*parts:*/" in query.sql else "part.2"
    moments = of_visits if query.filters == "session" else "e.ts"
    edges = conditions.between(moments, period.starts, period.ends)
    if query.filters == "session":
        on_visits = [conditions.of_visits(tree)] if tree is not None else []
        beside = conditions.between("e.ts", period.starts, period.ends) if "moments" in query.marks else []
        given = {"filter": [*on_visits, *edges], "visits": on_visits, "moments": beside}
        return {mark: _all(parts) for mark, parts in given.items() if parts}
    pieces: dict[str, str] = {}
    if "visits" in query.marks:
        # What only visits have is asked where visits are read, and not in a subquery for each row.
        tree, whole = split(tree)
        if whole is not None:
            pieces["visits"] = conditions.of_visits(whole)
    found = [*([conditions.of_rows(tree)] if tree is not None else []), *edges]
    if question.goals.names and (GOAL in question.dimensions or query.dimensions == "goals"):
        # Rows that reach no goal are counted nowhere, and need no array of goals.
        found.append(f"({' OR '.join(question.goals.condition(name, values) for name in question.goals.names)})")
    return pieces | ({"filter": _all(found)} if found else {})


def _all(parts: list[str]) -> str:
    return " AND ".join(parts)


def _order(query: Query, question: FileQuestion) -> str:
    """Returns the order of columns and dimensions that a question has, with ties broken by the dimension."""
    found = []
    for name, is_descending in question.order:
        if name in question.dimensions:
            at = question.dimensions.index(name)
            column = "d" if len(question.dimensions) == 1 else f"tupleElement(d, {at + 1})"
        elif name in query.columns and name != "d":
            column = name
        else:
            raise Refused(
                f"The file '{query.name}' can't be ordered by '{name[:100]}': it has {', '.join(query.columns)}."
            )
        found.append(f"{column} DESC" if is_descending else column)
    return ", ".join([*found, *(["d"] if found and "d" in query.columns else [])])


def _parameters(query: Query, question: FileQuestion, sql: str, values: Values) -> dict[str, Value]:
    """Returns the values of all parameters of the SQL; those of a file alone come from the question."""
    shared: Mapping[str, Value] = {
        "site": question.site,
        "bots": int(question.bots),
        "limit": question.limit,
        "offset": question.offset,
        **parameters(question.period),
    }
    own = {name for name in query.parameters if name not in shared}
    if "numbers" in own:
        own.discard("numbers")
        shared = {**shared, "numbers": list(range(1, max(1, len(question.goals.names)) + 1))}
    if own != set(question.parameters):
        wanted = ", ".join(sorted(own)) or "none"
        raise Refused(f"The file '{query.name}' has these parameters of its own: {wanted}.")
    used = {name: value for name, value in shared.items() if f"{{{name}:" in sql}
    return {**used, **question.parameters, **values.parameters}
