"""Makes one SELECT of a question, where the dashboard asks several and joins their answers.

The question is planned and compiled as for every other face: the same files, the same columns, the same rounding. A Grafana panel sends
one text, so the statements stand side by side in a UNION ALL, and their rows meet by their dimension. The period is the range of the
time picker to the second, in the zone of the variable `zone`.

Rates are rounded in whole numbers, half away from zero, as `measures` does it: rounding floats would sometimes differ by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from dashboard.ask.answers import columns_of, file_question, first_of, order_of, reads_all_rows, settled_question
from dashboard.ask.files import query_of
from dashboard.ask.joining import EVERYBODY
from dashboard.catalogue.compiler import EVERYTHING, compiled
from dashboard.catalogue.contract import FileQuestion, Period, Question, Statement
from dashboard.catalogue.copied_days import CLOSED, Unknown
from dashboard.catalogue.copies import with_copies
from dashboard.catalogue.dimensions import DIMENSIONS, dimension_of
from dashboard.catalogue.filters import All, Compare, Filter
from dashboard.catalogue.plans import Need, Source, needs, within
from dashboard.grafana.macros import BY, CHANNEL, COUNTRY, ENDS, STARTS, ZONE, chosen, filled, unless_all

FILTERS = All((Compare("is", COUNTRY, (COUNTRY,)), Compare("is", CHANNEL, (CHANNEL,))))
# Any days will do: no date of them is left in the text. The moments are found in it and replaced.
PERIOD = Period(since=date(2001, 9, 9), until=date(2001, 9, 9), zone="UTC", starts=STARTS, ends=ENDS)
DAYS = "time:day"  # stands for the unit that the variable `by` has
CHOICES_MAX = 250  # countries and channels are fewer
CLOSED_NOW = "closed_now"
UNITS = ("day", "hour", "week", "month")


def question_of(metrics: Sequence[str], dimensions: Sequence[str] = (), limit: int = 10) -> Question:
    """Returns the question of a panel."""
    return Question(
        site="site", period=PERIOD, metrics=tuple(metrics), dimensions=tuple(dimensions), filters=FILTERS, limit=limit
    )


def select(question: Question) -> str:
    """Returns the SELECT that answers a question: its dimension, as words or as moments, and its metrics by their names."""
    question = settled_question(question)
    needed = needs(question)
    first = first_of(question, needed)
    is_table = bool(question.dimensions) and not reads_all_rows(question, needed)
    if is_table:
        needed = within(needed, first)
    every = dict.fromkeys(one for need in needed for one in (need.source, need.divisor) if one is not None)
    # The first one first: a table has its rows. What is divided by totals of everything is asked within the number.
    rows = [first, *(one for one in every if one != first and len(one.dimensions) == len(question.dimensions))]
    parts = []
    for source in rows:
        by = order_of(question, needed) if is_table and source == first else ""
        limit = question.limit if by else EVERYTHING
        parts.append(_part(_asked(question, needed, source, limit=limit, by=by), needed, rows, source))
    numbers = [f"{_number(question, need, needed, rows)} AS {need.measure.name}" for need in needed]
    asked = "FROM (\n" + "\nUNION ALL\n".join(parts) + "\n) AS u"
    if not question.dimensions:
        return _with_closed(f"SELECT {', '.join(numbers)}\n{asked}")
    listed = f"SELECT {_word(question.dimensions[0])}, {', '.join(numbers)}\n{asked}\nGROUP BY u.d\n"
    if not is_table:
        return _with_closed(f"{listed}ORDER BY u.d")
    rest = f"HAVING sum(u.is_first) > 0\nORDER BY {needed[0].measure.name} DESC, u.d\nLIMIT {question.limit}"
    return _with_closed(listed + rest)


def of_file(file: str, columns: Sequence[str], dimensions: Sequence[str] = (), *, is_live: bool = False) -> str:
    """Returns the SELECT of one file of the catalogue. `is_live`: it is of the present moment, not of the period, and without filters."""
    asked = _of_file(file, columns, dimensions, is_live=is_live, filters=None if is_live else FILTERS)
    word = [_word(dimensions[0])] if dimensions else []
    listed = ", ".join([*word, *(f"u.{column} AS {column}" for column in columns if column != "d")])
    return _with_closed(f"SELECT {listed}\nFROM (\n{asked}\n) AS u")


def values_of(file: str, dimension: str) -> str:
    """Returns the SELECT of the values that a dimension has in the period, the most frequent first: what a filter can be set to."""
    asked = _of_file(file, ("d", "visitors"), (dimension,), filters=None)
    return _with_closed(f"SELECT u.d AS value FROM (\n{asked}\n) AS u WHERE u.d != ''")


def _of_file(
    file: str, columns: Sequence[str], dimensions: Sequence[str], *, filters: Filter | None, is_live: bool = False
) -> str:
    question = FileQuestion(
        file=file,
        site="site",
        period=replace(PERIOD, starts=None, ends=None) if is_live else PERIOD,
        filters=filters,
        dimensions=tuple(dimensions),
        limit=CHOICES_MAX,
        parameters={"now": 0} if is_live else {},
    )
    return _written(compiled(query_of(file), question, columns=columns), dimensions)


def _with_closed(sql: str) -> str:
    """Returns the SELECT with which days are closed in front of it, once, where it is asked in several places."""
    closed = filled(Statement(file="closed", sql=CLOSED, parameters={}))
    return f"WITH {closed} AS {CLOSED_NOW}\n{sql}" if CLOSED_NOW in sql else sql


def _asked(question: Question, needed: Sequence[Need], source: Source, *, limit: int = EVERYTHING, by: str = "") -> str:
    """Returns the SELECT that asks one source."""
    asked = file_question(question, source, limit=limit, offset=0)
    statement = compiled(query_of(source.file), asked, columns=columns_of(needed, source), by=by)
    return _written(statement, source.dimensions)


def _part(asked: str, needed: Sequence[Need], rows: Sequence[Source], source: Source) -> str:
    """Returns the rows of one source with the columns of all of them; those of the others are 0."""
    numbers = [
        f"toInt64({column if one == source else 0}) AS {column}_{at}"
        for at, one in enumerate(rows)
        for column in columns_of(needed, one)
        if column != "d"
    ]
    return f"SELECT d, {', '.join(numbers)}, {int(source == rows[0])} AS is_first\nFROM (\n{asked}\n)"


def _number(question: Question, need: Need, needed: Sequence[Need], rows: Sequence[Source]) -> str:
    """Returns the expression of a metric: a count, or a rate that is NULL where there is nothing to divide by."""
    measure, at = need.measure, rows.index(need.source)
    count = f"sum(u.{measure.columns[0]}_{at})"
    if measure.unit == "count":
        return count
    if need.divisor is None:
        whole = f"max(u.{EVERYBODY}_{at})" if measure.divisor else f"sum(u.{measure.columns[1]}_{at})"
    elif need.divisor in rows:
        whole = f"sum(u.{measure.columns[-1]}_{rows.index(need.divisor)})"
    else:
        whole = f"(SELECT {measure.columns[-1]} FROM (\n{_asked(question, needed, need.divisor)}\n))"
    scale = measure.factor * 10**measure.places
    if scale < 1:
        whole, scale = f"{whole} * {int(1 / scale)}", Decimal(1)
    whole = f"nullIf({whole}, 0)"
    # Halves go up, as in `measures`: twice the numerator and the divisor once, of twice the divisor.
    rounded = f"intDiv(2 * {int(scale)} * {count} + {whole}, 2 * {whole})"
    return f"{rounded} / {10**measure.places}" if measure.places else rounded


def _word(dimension: str) -> str:
    """Returns the column of a dimension: the moment of a bucket, or the value with the word for an empty one."""
    if dimension == DAYS:
        return f"toDateTime(u.d, {chosen(ZONE)}) AS time"
    return f"if(u.d = '', '{dimension_of(dimension).empty}', u.d) AS {dimension}"


def _written(statement: Statement, dimensions: Sequence[str]) -> str:
    """Returns the SQL of a statement as Grafana takes it: filters that can be off, and a time with the unit of the variable `by`."""
    sql = with_copies(statement.sql, Unknown())
    for variable in (COUNTRY, CHANNEL):
        for name, value in statement.parameters.items():
            if value == [variable]:
                condition = _condition(sql, f"{{{name}:Array(String)}}")
                sql = sql.replace(condition, unless_all(condition, variable))
    if DAYS in dimensions:
        for form in ("row", "visit"):
            sql = sql.replace(f"{getattr(DIMENSIONS[DAYS], form)} AS d", f"{_bucket(form)} AS d")
    return filled(replace(statement, sql=sql.replace(CLOSED, CLOSED_NOW)))


def _bucket(form: str) -> str:
    """Returns the moment (unix s) with which a bucket begins, by the unit that was chosen; an unknown unit is a day."""
    moments = {}
    for unit in UNITS:
        value = getattr(DIMENSIONS[f"time:{unit}"], form)
        moments[unit] = value if unit == "hour" else f"toUnixTimestamp(toDateTime({value}, {{zone:String}}))"
    others = ", ".join(f"{chosen(BY)} = '{unit}', {moments[unit]}" for unit in UNITS if unit != "day")
    return f"multiIf({others}, {moments['day']})"


def _condition(sql: str, place: str) -> str:
    """Returns the condition of a filter in which a parameter stands; of a filter on visits in a question of rows the whole subquery."""
    at = sql.index(place)
    rows = sql.rfind("e.session_id IN (SELECT s.session_id", 0, at)
    if rows >= 0 and (end := _closing(sql, sql.index("(", rows))) > at:
        return sql[rows : end + 1]
    begin = at
    while _closing(sql, begin := sql.rindex("(", 0, begin)) < at:
        pass
    return sql[begin : _closing(sql, begin) + 1]


def _closing(sql: str, opening: int) -> int:
    """Returns where the bracket is closed that opens at a place."""
    depth = 0
    for at in range(opening, len(sql)):
        depth += (sql[at] == "(") - (sql[at] == ")")
        if not depth:
            return at
    raise ValueError("a bracket is not closed")
