"""Reads questions of the Stats API v2, `POST /api/v2/query`, and writes their answers.

A question has these keys, the first three required:

    site_id, date_range, metrics, dimensions, filters, order_by,
    include {imports, time_labels, total_rows, compare}, pagination {limit, offset}

An answer is `{"results": [{"metrics": [...], "dimensions": [...]}], "meta": {...}, "query": {...}}`, where `query` is the question with
the defaults filled in. A key or word that is not known is refused, and the error names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec

from dashboard.catalogue import filter_json, measures, periods
from dashboard.catalogue.contract import Answer, Goals, Period, Question, Refused
from dashboard.catalogue.dimensions import GOAL, PROPERTY
from dashboard.catalogue.filter_json import shown
from dashboard.catalogue.filters import Filter, compares
from dashboard.stats import country_names, money
from dashboard.stats.ranges import Clock, a_date, ends_of, of_v2
from dashboard.stats.words import COUNTRY_NAME, METRICS, MONEY, TIMES, dimension, metric

KEYS = ("site_id", "date_range", "metrics", "dimensions", "filters", "order_by", "include", "pagination")
INCLUDE = {"imports": False, "time_labels": False, "total_rows": False}
COMPARE = "compare"  # Forebay's own
LIMIT, OFFSET_MAX = 10_000, 1_000_000
DIMENSIONS_MAX = 8
ORDERED = {"asc": False, "desc": True}
COUNTRY = dimension(COUNTRY_NAME)
MANY_CURRENCIES = {
    "code": "no_single_revenue_currency",
    "warning": "Money in several currencies is not added up: filter by the goals of one currency.",
}
NO_MONEY = {"code": "no_revenue_goals_matching", "warning": "No event that is asked for has money."}
T = TypeVar("T")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is known of the site: its name, its goals, the filters of its segments, and the day of its first event."""

    name: str
    goals: Goals
    segments: Mapping[int, object]
    first_day: date | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a question as it was read: what is asked of the catalogue, and what the answer says of it.

    `dimensions` and `metrics` are as they were written; `echo` is the answer's `query`; `labels` are those of all its buckets, where
    they were asked for.
    """

    question: Question
    metrics: tuple[str, ...]
    dimensions: tuple[str, ...]
    echo: Mapping[str, object]
    labels: tuple[str, ...] | None


def needs_first_day(given: Mapping[str, object]) -> bool:
    """Tells whether a question can be read only if it is known when the first event of the site was."""
    return given.get("date_range") == "all"


def read(given: Mapping[str, object], site: Site, clock: Clock) -> Asked:
    """Returns the question that a body asks. Raises Refused if it can't be asked."""
    for key in given:
        if key not in KEYS:
            raise Refused(f"The key {shown(key)} is not known. Known: {', '.join(KEYS)}.")
    given = {key: value for key, value in given.items() if value is not None}  # some programs write null for nothing
    for key in ("date_range", "metrics"):
        if key not in given:
            raise Refused(f"Missing {key}: give {', '.join(KEYS[:3])}.")
    period = of_v2(given["date_range"], clock, site.first_day)
    metrics = tuple(_each(given["metrics"], "metrics", metric))
    if not metrics:
        raise Refused(f"Missing metrics: give at least one of {', '.join(METRICS)}.")
    dimensions = tuple(_each(given.get("dimensions", []), "dimensions", _dimension))
    if len(dimensions) > DIMENSIONS_MAX:
        raise Refused(f"A question has at most {DIMENSIONS_MAX} dimensions; this has {len(dimensions)}.")
    filters = read_filters(given.get("filters", []), site.segments)
    include, compare = _include(given.get("include", {}), period, clock)
    time = next((name for name in dimensions if name in TIMES), None)
    if include["time_labels"] and time is None:
        raise Refused("include.time_labels needs a dimension of time.")
    pagination = _pagination(given.get("pagination", {}))
    order = _order(given.get("order_by"), metrics, dimensions)
    question = Question(
        site=site.name,
        period=period,
        metrics=metrics,
        # Two words may be one dimension: a country by its code and by its name.
        dimensions=tuple(dict.fromkeys(map(dimension, dimensions))),
        filters=filters,
        order=tuple((name if name in metrics else dimension(name), ORDERED[way]) for name, way in order),
        bots=False,
        compare=compare,
        goals=site.goals,
        with_total=include["total_rows"],
        limit=pagination["limit"],
        offset=pagination["offset"],
    )
    check_conversions(question)
    echo = {
        "site_id": site.name,
        "metrics": metrics,
        "date_range": ends_of(period),
        "filters": given.get("filters", []),
        "dimensions": dimensions,
        "order_by": order,
        "include": include | ({COMPARE: ends_of(compare)} if compare else {}),
        "pagination": pagination,
    }
    labels = _labels(time, period) if time is not None and include["time_labels"] else None
    return Asked(question=question, metrics=metrics, dimensions=dimensions, echo=echo, labels=labels)


def check_conversions(question: Question) -> None:
    """Raises Refused for a conversion rate if neither a dimension nor a filter says what a conversion is."""
    named = (*question.dimensions, *(one.dimension for one in compares(question.filters)))
    if any(name == GOAL or name.startswith(PROPERTY) for name in named):
        return
    for name in question.metrics:
        if "conversion" in name:
            raise Refused(f"The metric '{name}' needs event:goal or event:props:NAME, as a dimension or in a filter.")


def read_filters(given: object, segments: Mapping[int, object]) -> Filter | None:
    """Returns the filter that a list in JSON says, in which dimensions have the words of the APIs. Raises Refused."""
    tree = filter_json.from_json(
        given, named=lambda word: word if word == COUNTRY_NAME else dimension(word), segments=segments
    )
    return None if tree is None else country_names.by_code(tree, COUNTRY_NAME, COUNTRY)


def written(asked: Asked, answer: Answer) -> dict[str, object]:
    """Returns the answer to a question as JSON has it."""
    names = asked.question.dimensions
    count = len(names)
    writer = _Writer(asked.metrics)
    results: list[dict[str, object]] = []
    for number, row in enumerate(answer.rows):
        result: dict[str, object] = {
            "metrics": writer.metrics(row[count:]),
            "dimensions": [value_of(word, row[names.index(dimension(word))]) for word in asked.dimensions],
        }
        if answer.compared is not None:
            other = answer.compared[number]
            result["comparison"] = writer.comparison(row[count:], None if other is None else other[count:])
        results.append(result)
    meta: dict[str, object] = {}
    if warnings := writer.warnings:
        meta["metric_warnings"] = warnings
    if asked.labels is not None:
        meta["time_labels"] = asked.labels
    if answer.total is not None:
        meta["total_rows"] = answer.total
    return {"results": results, "meta": meta, "query": asked.echo}


def value_of(word: str, value: Any) -> Any:
    """Returns a value of a dimension as the APIs show it."""
    return country_names.NAMES.get(value, value) if word == COUNTRY_NAME else value


class _Writer:
    """Writes the numbers of rows, and collects the warnings about money that is null."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = metrics
        self._currencies: dict[str, set[int]] = {name: set() for name in metrics if name in MONEY}

    @property
    def warnings(self) -> dict[str, object]:
        """Returns warnings by metric: some row has several currencies, or none has any."""
        found: dict[str, object] = {}
        for name, counts in self._currencies.items():
            if any(count > 1 for count in counts):
                found[name] = MANY_CURRENCIES
            elif not any(counts):
                found[name] = NO_MONEY
        return found

    def metrics(self, values: Sequence[Any]) -> list[object]:
        return [self._money(name, value) if name in MONEY else value for name, value in self._named(values)]

    def comparison(self, values: Sequence[Any], others: Sequence[Any] | None) -> dict[str, object]:
        if others is None:
            others = [None] * len(values)
        return {
            "metrics": self.metrics(others),
            "change": [
                None if name in MONEY else measures.change(name, value, other)
                for (name, value), other in zip(self._named(values), others, strict=True)
            ],
        }

    def _named(self, values: Sequence[Any]) -> list[tuple[str, Any]]:
        return list(zip(self._metrics, values, strict=True))

    def _money(self, name: str, value: Any) -> object:
        sums = value or {}
        self._currencies[name].add(len(sums))
        return money.written(*next(iter(sums.items()))) if len(sums) == 1 else None


def _labels(time: str, period: Period) -> tuple[str, ...]:
    interval = time.partition(":")[2] or periods.default_interval(period)
    return tuple(periods.buckets(period, interval))


def _each(given: object, key: str, read_one: Callable[[Any], T]) -> list[T]:
    """Returns the members of a list in which nothing comes twice. Raises Refused."""
    if not isinstance(given, list):
        raise Refused(f"{key} is a list, not {shown(given)}.")
    found: list[T] = []
    for one in given:
        value = read_one(one)
        if value in found:
            raise Refused(f"{key} has {shown(one)} twice.")
        found.append(value)
    return found


def _dimension(given: object) -> str:
    """Returns a dimension's word as it was written, if there is such a dimension. Raises Refused."""
    if not isinstance(given, str):
        raise Refused(f"A dimension is a text, not {shown(given)}.")
    dimension(given)
    return given


def _include(given: object, period: Period, clock: Clock) -> tuple[dict[str, bool], Period | None]:
    """Returns what an answer has beside its rows, and the period that it is compared with. Raises Refused."""
    if not isinstance(given, dict):
        raise Refused(f"include is an object, not {shown(given)}.")
    found = dict(INCLUDE)
    for key, value in given.items():
        if key == COMPARE:
            continue
        if key not in INCLUDE:
            raise Refused(f"include.{key} is not known. Known: {', '.join((*INCLUDE, COMPARE))}.")
        if not isinstance(value, bool):
            raise Refused(f"include.{key} is true or false, not {shown(value)}.")
        found[key] = value
    if found["imports"]:
        raise Refused("Forebay does not have 'imports': nothing is imported.")
    return found, _compared(given.get(COMPARE), period, clock)


def _compared(given: object, period: Period, clock: Clock) -> Period | None:
    match given:
        case None | False:
            return None
        case "previous_period":
            return periods.compared(period, "previous", clock.now)
        case "year_over_year":
            return periods.compared(period, "year", clock.now)
        case [str(since), str(until)]:
            return periods.cut_off(clock.days(a_date(since), a_date(until)), period, clock.now)
    raise Refused(f"include.compare is previous_period, year_over_year or a list of two dates, not {shown(given)}.")


def _pagination(given: object) -> dict[str, int]:
    """Returns how many rows are asked for, and after how many. Raises Refused."""
    if not isinstance(given, dict):
        raise Refused(f"pagination is an object, not {shown(given)}.")
    found = {"limit": LIMIT, "offset": 0}
    for key, value in given.items():
        if key not in found:
            raise Refused(f"pagination.{key} is not known. Known: limit, offset.")
        least, most = (1, LIMIT) if key == "limit" else (0, OFFSET_MAX)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Refused(f"pagination.{key} is a whole number from {least} to {most:,}, not {shown(value)}.")
        found[key] = value
    return found


def _order(given: object, metrics: Sequence[str], dimensions: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Returns by what rows are ordered: by time if that is a dimension, else the first metric, if nothing was said. Raises Refused."""
    if given is None:
        time = next((name for name in dimensions if name in TIMES), None)
        return ((metrics[0], "desc"),) if time is None else ((time, "asc"),)
    found = []
    for one in _each(given, "order_by", lambda part: part):
        match one:
            case [str(name), "asc" | "desc" as way] if name in metrics or name in dimensions:
                if name == COUNTRY_NAME:
                    raise Refused(f"Rows can't be ordered by {COUNTRY_NAME}: order them by visit:country.")
                found.append((name, way))
            case _:
                raise Refused(
                    f"order_by has pairs of a metric or dimension of this question and asc or desc, not {shown(one)}."
                )
    return tuple(found)
