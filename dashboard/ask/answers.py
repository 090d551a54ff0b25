"""Answers questions: it asks the files of the catalogue that have the numbers, side by side, and joins their answers.

Every number that anybody sees comes from here. A table takes two steps: the file with the metric that the rows are ordered by returns the
wanted rows, then the other files are asked for these rows alone. All rows of all files are read for a series, and where no file alone
can order the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from dashboard.ask.files import query_of
from dashboard.ask.joining import EVERYBODY, Joined, Key
from dashboard.catalogue.compiler import EVERYTHING, check_page, compiled
from dashboard.catalogue.conditions import conjuncts, joined
from dashboard.catalogue.contract import Answer, Asker, FileQuestion, Question, Refused, Statement
from dashboard.catalogue.dimensions import GOAL, TIME, dimension_of
from dashboard.catalogue.filters import Compare
from dashboard.catalogue.measures import COHORT_COLUMNS, STEP_COLUMNS, cohorts_of, steps_of, with_names
from dashboard.catalogue.periods import buckets, default_interval
from dashboard.catalogue.plans import Need, Source, needs, within

TOTALS = ("d", "visitors", "visits", "bounces", "seconds", "pageviews")
RESTRICTED_UP_TO = 1_000  # up to so many rows another file is asked by their values; for more, for all of its rows


class _Found(msgspec.Struct, kw_only=True):
    """Holds the keys of an answer's rows, in order, and the answers of the sources that have their numbers."""

    keys: list[Key]
    needed: Sequence[Need]
    joined: Joined
    total: int | None = None


async def answer(asker: Asker, question: Question) -> Answer:
    """Returns the answer to a question. Raises Refused, or Unanswered."""
    check_page(question.limit, question.offset)
    question = settled_question(question)
    needed = needs(question)
    ask = _series if reads_all_rows(question, needed) else _table
    said = None
    if question.compare is None:
        found = await ask(asker, question, needed)
    elif all(dimension_of(name).interval for name in question.dimensions):
        # Which rows the other period has to have is known before this one is answered.
        found, said = await asyncio.gather(ask(asker, question, needed), _asked_before(asker, question))
    else:
        found = await ask(asker, question, needed)
        said = await _asked_before(asker, question, keys=found.keys)
    compared = None if said is None else _compared(question, said, found.keys)
    return Answer(
        columns=(*question.dimensions, *question.metrics),
        rows=[found.joined.row(question, found.needed, key) for key in found.keys],
        as_of=found.joined.as_of,
        compared=compared,
        total=found.total,
    )


async def answer_file(asker: Asker, question: FileQuestion) -> Answer:
    """Returns the answer of one file. Raises Refused, or Unanswered.

    It has the columns of the file, with three exceptions: goals have their names instead of numbers, a funnel has a row for each step,
    and retention has percentages too.
    """
    check_page(question.limit, question.offset)
    interval = default_interval(question.period)
    dimensions = tuple(f"time:{interval}" if name == TIME else name for name in question.dimensions)
    query = query_of(question.file)
    asked = await asker(compiled(query, replace(question, dimensions=dimensions)))
    columns, rows = asked.columns, asked.rows
    if query.dimensions == "goals":
        rows = with_names(rows, question.goals.names)
    if query.dimensions == "steps":
        columns, rows = STEP_COLUMNS, steps_of(rows, question.steps)
    if query.name == "retention":
        columns, rows = COHORT_COLUMNS, cohorts_of(rows)
    return Answer(columns=columns, rows=rows, as_of=asked.as_of)


def settled_question(question: Question) -> Question:
    """Returns the question with what it left open: the unit of its time, and its order (by time, else by the first metric)."""

    def settled(name: str) -> str:
        return f"time:{default_interval(question.period)}" if name == TIME else name

    dimensions = tuple(map(settled, question.dimensions))
    order = tuple((settled(name), is_descending) for name, is_descending in question.order)
    for name, _ in order:
        if name not in dimensions and name not in question.metrics:
            raise Refused(f"Rows can't be ordered by '{name[:100]}': it is not a metric or dimension of the question.")
    if not order and question.metrics:
        times = [(name, False) for name in dimensions if dimension_of(name).interval]
        order = tuple(times[:1]) or ((question.metrics[0], True),)
    return replace(question, dimensions=dimensions, order=order)


def reads_all_rows(question: Question, needed: Sequence[Need]) -> bool:
    """Tells whether all rows have to be read, because they are a series or no single file can order them."""
    if any(dimension_of(name).interval for name in question.dimensions):
        return True
    ordered = [need for need in needed if need.measure.name in dict(question.order)]
    return any(not one.measure.order or one.source != ordered[0].source for one in ordered)


async def _series(asker: Asker, question: Question, needed: Sequence[Need]) -> _Found:
    """Reads all rows of all sources, and orders them here."""
    intervals = [dimension_of(name).interval for name in question.dimensions]
    labels = [buckets(question.period, unit) if unit else [] for unit in intervals]  # refuses too many
    said = await _asked(asker, question, needed)
    keys = _at_least_totals(question, said.keys([need.source for need in needed]))
    if question.is_filled and len(intervals) == 1 and intervals[0]:
        keys = [(name,) for name in labels[0]]
    keys = said.ordered(question, needed, keys)
    page = keys[question.offset : question.offset + question.limit]
    return _Found(keys=page, needed=needed, joined=said, total=len(keys) if question.with_total else None)


async def _table(asker: Asker, question: Question, needed: Sequence[Need]) -> _Found:
    """Reads the wanted rows from the source that can order them, and asks the other sources for these rows alone."""
    first = first_of(question, needed)
    needed = within(needed, first)
    query = query_of(first.file)
    is_whole = "order" not in query.marks  # a file with an order of its own has few rows, so all are read
    statement = compiled(
        query,
        file_question(question, first, limit=EVERYTHING if is_whole else question.limit, offset=question.offset),
        columns=columns_of(needed, first),
        by="" if is_whole else order_of(question, needed),
    )
    said = await asker(statement)
    found = Joined(question.period.zone, {first: said})
    keys = _at_least_totals(question, found.keys([first]))
    if question.is_filled and question.dimensions == (GOAL,):
        keys = list(dict.fromkeys([*keys, *((name,) for name in question.goals.names)]))[: question.limit]
    if is_whole:
        keys = found.ordered(question, needed, keys)[question.offset : question.offset + question.limit]
    if keys:
        found = found.with_more(await _asked(asker, question, needed, keys=keys, but=first))
    return _Found(keys=keys, needed=needed, joined=found, total=said.total if question.with_total else None)


def first_of(question: Question, needed: Sequence[Need]) -> Source:
    """Returns the source of the first metric in the order."""
    measures = {need.measure.name: need for need in needed}
    return next((measures[name] for name, _ in question.order if name in measures), needed[0]).source


def order_of(question: Question, needed: Sequence[Need]) -> str:
    """Returns the order of a question as an expression of columns, with ties broken by the dimension."""
    measures = {need.measure.name: need.measure for need in needed}
    found = [
        (measures[name].order if name in measures else _place(question, name), down) for name, down in question.order
    ]
    return ", ".join([*(f"{expression} DESC" if down else expression for expression, down in found), "d"])


def _at_least_totals(question: Question, keys: list[Key]) -> list[Key]:
    """Returns the keys of an answer. Totals always have one row, whose key is empty, also where nothing was counted."""
    return keys or ([()] if not question.dimensions and not question.offset else [])


def _place(question: Question, dimension: str) -> str:
    at = question.dimensions.index(dimension)
    return "d" if len(question.dimensions) == 1 else f"tupleElement(d, {at + 1})"


async def _asked_before(asker: Asker, question: Question, *, keys: Sequence[Key] = ()) -> Joined:
    """Returns what the sources say of the other period, for the rows of `keys` alone if there are any."""
    assert question.compare is not None
    other = replace(question, period=question.compare)
    return await _asked(asker, other, needs(other), keys=keys)


def _compared(question: Question, said: Joined, keys: list[Key]) -> list[list[Any] | None]:
    """Returns the rows of the other period that belong to these keys. The first bucket of one period is compared with the first of the other."""
    assert question.compare is not None
    other = replace(question, period=question.compare)
    places: dict[int, dict[Any, Any]] = {}
    for at, name in enumerate(question.dimensions):
        if interval := dimension_of(name).interval:
            pairs = zip(buckets(question.period, interval), buckets(other.period, interval), strict=False)
            places[at] = dict(pairs)
    needed = needs(other)
    moved = [tuple(places[at].get(one) if at in places else one for at, one in enumerate(key)) for key in keys]
    return [None if None in key else said.row(other, needed, key) for key in moved]


async def _asked(
    asker: Asker, question: Question, needed: Sequence[Need], *, keys: Sequence[Key] = (), but: Source | None = None
) -> Joined:
    """Asks all sources but `but`, and only for the rows of `keys` if there are any."""
    every = [one for need in needed for one in (need.source, need.divisor) if one is not None]
    sources = [source for source in dict.fromkeys(every) if source != but]

    def statement(source: Source) -> Statement:
        asked = file_question(question, source, limit=EVERYTHING, offset=0, keys=keys)
        return compiled(query_of(source.file), asked, columns=columns_of(needed, source))

    said = await asyncio.gather(*(asker(statement(source)) for source in sources))
    return Joined(question.period.zone, dict(zip(sources, said, strict=True)))


def file_question(
    question: Question, source: Source, *, limit: int, offset: int, keys: Sequence[Key] = ()
) -> FileQuestion:
    """Returns the question to one file. If `keys` has the rows of a table, it asks for these rows alone."""
    wanted: list[Compare] = []
    if len(keys) <= RESTRICTED_UP_TO:
        wanted = [
            Compare("is", name, tuple(sorted({str(key[at]) for key in keys})))
            for name, at in zip(source.dimensions, source.at, strict=True)
            if keys and name != GOAL and not dimension_of(name).interval
        ]
    return FileQuestion(
        file=source.file,
        site=question.site,
        period=question.period,
        filters=joined((*conjuncts(source.filters), *wanted)),
        dimensions=source.dimensions,
        limit=limit,
        offset=offset,
        bots=question.bots,
        goals=question.goals,
    )


def columns_of(needed: Sequence[Need], source: Source) -> tuple[str, ...]:
    """Returns the columns that are wanted of a source."""
    found = ["d", *(column for need in needed if need.source == source for column in need.measure.columns)]
    found += [need.measure.columns[-1] for need in needed if need.divisor == source]
    if source.file == "visits" and not source.dimensions and "visitors" in found:
        return TOTALS  # the page shows them and every table divides by them: with the same columns they are asked once
    if any(need.source == source and need.measure.divisor == "all" and need.divisor is None for need in needed):
        found.append(EVERYBODY)
    return (*found, "currency", "purchases") if source.file == "revenue" else tuple(found)
