"""Finds the files of the catalogue that have the numbers of a question. Which file is asked never changes what a number means.

Every file counts the same visitors; what differs is the cost. The file `visits` reads the view of sessions, which has fewer rows than
`events`. The file `events` is asked where a question needs what only rows have: a page, an event, a property, an hour, or a moment that is
not midnight. If such a question also needs what only a visit has (its source, its first page), `matched` joins the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from dashboard.catalogue.conditions import conjuncts, has_rows, joined
from dashboard.catalogue.contract import ALWAYS, Question, Refused
from dashboard.catalogue.dimensions import GOAL, PROPERTY, dimension_of
from dashboard.catalogue.filters import Done, Filter, compares
from dashboard.catalogue.measures import Measure, measure_of

BY_QUARTERS = (
    "event",
    "time:hour",
    "time:day",
    "time:week",
    "time:month",
)  # what the projection `quarter_hours` can divide by
BY_PAGES = ("page", "hostname")
# Of a whole visit, "page" means the page that it began with (ENTERED) or ended with (LEFT).
ENTERED = {"page": "entry_page", "hostname": "entry_hostname"}
LEFT = {"page": "exit_page", "hostname": "exit_hostname"}
SEEN = {left: page for page, left in LEFT.items()}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a file to ask, with its dimensions and filters. `at` has the position of each dimension among those of the question."""

    file: str
    dimensions: tuple[str, ...]
    at: tuple[int, ...]
    filters: Filter | None


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a measure, the source of its columns, and the source of its divisor; None if that is in the same row (`everybody`)."""

    measure: Measure
    source: Source
    divisor: Source | None = None


def needs(question: Question) -> tuple[Need, ...]:
    """Returns the need of each metric of a question, in order. Raises Refused."""
    if not question.metrics:
        raise Refused("A question has at least one metric.")
    for name in question.dimensions:
        dimension_of(name)
    if len(set(question.dimensions)) < len(question.dimensions):
        raise Refused("A dimension is named once.")
    return tuple(_need(question, measure_of(name)) for name in question.metrics)


def within(needed: Sequence[Need], first: Source) -> tuple[Need, ...]:
    """Returns the needs of a table whose rows come from one source: what divides by the visitors of all its rows finds them there.

    Of goals it does not, because an event that reaches none is in no row.
    """
    if not first.dimensions or GOAL in first.dimensions:
        return tuple(needed)
    return tuple(
        replace(need, divisor=None) if need.measure.divisor == "all" and need.source == first else need
        for need in needed
    )


def _need(question: Question, measure: Measure) -> Need:
    dimensions, filters = question.dimensions, question.filters
    if measure.divisor == "page":
        left, seen = _mapped(dimensions, LEFT), _mapped(dimensions, SEEN)
        if left == seen:
            raise Refused(f"The metric '{measure.name}' can be asked by page or exit_page alone.")
        return Need(
            measure=measure,
            source=_source(question, "visits", left, filters),
            divisor=_source(question, _rows_or_matched(seen), seen, of_whole_visits(filters)),
        )
    if measure.kind == "visits":
        source = _visits(question, measure)
    elif measure.kind == "visitors":
        source = _visitors(question, dimensions, filters)
    elif measure.kind == "rows":
        source = _rows(question, measure)
    else:
        if unfit := [name for name in dimensions if not dimension_of(name).row]:
            raise Refused(f"The metric '{measure.name}' is of events and can't be asked by '{unfit[0]}'.")
        source = _source(question, measure.kind, dimensions, filters)
    return Need(measure=measure, source=source, divisor=_divisor(question, measure))


def _divisor(question: Question, measure: Measure) -> Source | None:
    if measure.divisor == "all":
        return _visitors(question, (), question.filters)
    if measure.divisor in ("unconverted", "group"):
        kept = [name for name in question.dimensions if name != GOAL and not name.startswith(PROPERTY)]
        if measure.divisor == "unconverted":
            kept = [name for name in kept if name.startswith("time:")]
        return _visitors(question, tuple(kept), without_conversion(question.filters))
    return None


def without_conversion(tree: Filter | None) -> Filter | None:
    """Returns a filter without its conditions on goals and properties."""

    def speaks_of_it(part: Filter) -> bool:
        return any(one.dimension == GOAL or one.dimension.startswith(PROPERTY) for one in compares(part))

    return joined(part for part in conjuncts(tree) if not speaks_of_it(part))


def of_whole_visits(tree: Filter | None) -> Filter | None:
    """Returns the filter that chooses the same visits, and all rows of them: not those alone that fit it."""
    parts = conjuncts(tree)
    of_rows = joined(part for part in parts if has_rows(part))
    others = [part for part in parts if not has_rows(part)]
    return joined([*others, Done(of_rows)] if of_rows is not None else others)


def _visits(question: Question, measure: Measure) -> Source:
    """Returns the source of visits: whole visits where that is possible, else the visits with an event that fits."""
    dimensions, filters = question.dimensions, question.filters
    of_rows = [name for name in dimensions if not dimension_of(name).visit]
    if not of_rows:
        return _source(question, "visits", dimensions, filters)
    if measure.columns == ("visits",):
        return _source(question, _rows_or_matched(dimensions), dimensions, filters)
    if unfit := [name for name in of_rows if name not in ENTERED]:
        raise Refused(f"The metric '{measure.name}' is of visits and can't be asked by '{unfit[0]}'.")
    return _source(question, "visits", _mapped(dimensions, ENTERED), filters)


def _visitors(question: Question, dimensions: tuple[str, ...], filters: Filter | None) -> Source:
    """Returns the source of visitors: visits if nothing needs rows, because there are fewer visits than rows."""
    period = question.period
    is_by_rows = (
        question.bots
        or any(not dimension_of(name).visit or name == "time:hour" for name in dimensions)
        or any(map(has_rows, conjuncts(filters)))
        or period.starts is not None
        or period.ends is not None
        or period.before != ALWAYS
    )
    return _source(question, _rows_or_matched(dimensions) if is_by_rows else "visits", dimensions, filters)


def _rows(question: Question, measure: Measure) -> Source:
    """Returns the source of pageviews and events: a file that reads a projection, if one can answer, else the rows."""
    dimensions, filters, period = question.dimensions, question.filters, question.period
    has_edges = period.starts is not None or period.ends is not None
    are_names = all(one.dimension == "event" for one in compares(filters))
    # Where visitors are counted by rows, these are counted with them.
    has_visitors = any(measure_of(name).kind == "visitors" for name in question.metrics)
    is_with_visitors = has_visitors and _visitors(question, dimensions, filters).file != "visits"
    if set(dimensions) <= set(BY_QUARTERS) and are_names and not has_edges and not is_with_visitors:
        return _source(question, "counts", dimensions, filters)
    is_of_days = not has_edges and period.before == ALWAYS
    is_of_pages = bool(dimensions) and set(dimensions) <= set(BY_PAGES)
    # Where pageviews put the pages in order, all else is asked for the first of them alone.
    is_first = question.order[:1] in ((), (("pageviews", True),)) and question.metrics[0] == "pageviews"
    if is_of_pages and is_of_days and filters is None and is_first and measure.name == "pageviews":
        return _source(question, "pages", dimensions, None)
    return _source(question, _rows_or_matched(dimensions), dimensions, filters)


def _rows_or_matched(dimensions: Iterable[str]) -> str:
    return "events" if all(dimension_of(name).row for name in dimensions) else "matched"


def _mapped(dimensions: Iterable[str], names: dict[str, str]) -> tuple[str, ...]:
    return tuple(names.get(name, name) for name in dimensions)


def _source(question: Question, file: str, dimensions: tuple[str, ...], filters: Filter | None) -> Source:
    """Returns a source whose dimensions are some of the question's, in their order, perhaps by other names."""
    if len(dimensions) == len(question.dimensions):
        at = tuple(range(len(dimensions)))
    else:
        at = tuple(question.dimensions.index(name) for name in dimensions)
    return Source(file=file, dimensions=dimensions, at=at, filters=filters)
