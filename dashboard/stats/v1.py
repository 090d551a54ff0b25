"""Reads questions of the Stats API v1, whose parameters are in the address, and writes their answers.

    realtime/visitors   site_id                                                     21
    aggregate           period date metrics filters compare                         {"results": {"visitors": {"value": 1, "change": 5}}}
    timeseries          period date metrics filters interval                        {"results": [{"date": "2026-03-01", "visitors": 0}]}
    breakdown           period date metrics filters property limit page             {"results": [{"source": "(Direct / None)", "visitors": 3}]}

A series has a row for each day or month of the period. Where nothing happened, counts are 0 and rates are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dashboard.catalogue import measures, periods
from dashboard.catalogue.contract import Answer, Question, Refused
from dashboard.catalogue.dimensions import DIRECT
from dashboard.catalogue.filter_json import shown
from dashboard.stats import v1_filters
from dashboard.stats.ranges import Clock, of_v1
from dashboard.stats.v2 import Site, check_conversions, read_filters, value_of
from dashboard.stats.words import MONEY, TIMES, dimension, metric

COMMON = ("site_id", "period", "date", "metrics", "filters", "with_imported")
PARAMETERS = {
    "realtime/visitors": ("site_id",),
    "aggregate": (*COMMON, "compare"),
    "timeseries": (*COMMON, "interval"),
    "breakdown": (*COMMON, "property", "limit", "page"),
}
INTERVALS = {"day": "day", "date": "day", "month": "month"}
BY_MONTH = ("6mo", "12mo")
LIMIT, LIMIT_MAX, PAGE_MAX = 100, 1_000, 1_000
DIGITS_MAX = 6
DIRECT_IN_V1 = f"({DIRECT})"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Holds a question as it was read, and the word that its dimension had."""

    question: Question
    word: str = ""


def read(route: str, given: Mapping[str, str], site: Site, clock: Clock) -> Asked:
    """Returns what is asked by `aggregate`, `timeseries` or `breakdown`. Raises Refused for whatever can't be asked."""
    check_names(route, given)
    if given.get("with_imported", "false") != "false":
        raise Refused("Forebay does not have 'imports': nothing is imported.")
    word = given.get("period", "30d")
    period = of_v1(word, given.get("date", ""), clock)
    metrics = _metrics(given.get("metrics", "visitors"))
    filters = read_filters(v1_filters.to_json(given.get("filters", "")), site.segments)
    question = Question(
        site=site.name, period=period, metrics=metrics, filters=filters, goals=site.goals, limit=periods.BUCKETS_MAX
    )
    match route:
        case "timeseries":
            interval = given.get("interval", "month" if word in BY_MONTH else "day")
            if interval not in INTERVALS:
                raise Refused(f"The interval {shown(interval)} is not known. Known: {', '.join(INTERVALS)}.")
            time = f"time:{INTERVALS[interval]}"
            question = msgspec.structs.replace(question, dimensions=(time,), order=((time, False),), is_filled=True)
        case "breakdown":
            return _breakdown(given, question)
        case _:
            compare = given.get("compare")
            if compare not in (None, "previous_period"):
                raise Refused(f"compare is previous_period, not {shown(compare)}.")
            if compare:
                question = msgspec.structs.replace(question, compare=periods.compared(period, "previous", clock.now))
    check_conversions(question)
    return Asked(question=question)


def check_names(route: str, given: Mapping[str, str]) -> None:
    """Raises Refused for a parameter that a route does not have."""
    for name in given:
        if name not in PARAMETERS[route]:
            raise Refused(f"The parameter {shown(name)} is not known. Known: {', '.join(PARAMETERS[route])}.")


def written(route: str, asked: Asked, answer: Answer) -> dict[str, object]:
    """Returns the answer to a question as JSON has it."""
    metrics = asked.question.metrics
    match route:
        case "timeseries":
            return {"results": [{"date": row[0], **dict(zip(metrics, row[1:], strict=True))} for row in answer.rows]}
        case "breakdown":
            key = asked.word.rpartition(":")[2]
            return {
                "results": [
                    {key: _value_of(asked.word, row[0]), **dict(zip(metrics, row[1:], strict=True))}
                    for row in answer.rows
                ]
            }
    now = answer.rows[0]
    results = {name: {"value": value} for name, value in zip(metrics, now, strict=True)}
    if answer.compared is not None:
        for name, value, other in zip(metrics, now, answer.compared[0] or [None] * len(now), strict=True):
            results[name]["change"] = measures.change(name, value, other)
    return {"results": results}


def _metrics(text: str) -> tuple[str, ...]:
    names = tuple(metric(name.strip()) for name in text.split(","))
    for name in names:
        if name in MONEY:
            raise Refused(f"The metric {name} is money, which only POST /api/v2/query has.")
        if names.count(name) > 1:
            raise Refused(f"metrics has {name} twice.")
    return names


def _breakdown(given: Mapping[str, str], question: Question) -> Asked:
    word = given.get("property", "")
    if not word:
        raise Refused("Missing property: give one, like visit:source.")
    if word in TIMES:
        raise Refused(f"{word} is no property: ask timeseries.")
    limit = _number(given, "limit", LIMIT, LIMIT_MAX)
    page = _number(given, "page", 1, PAGE_MAX)
    question = msgspec.structs.replace(
        question,
        dimensions=(dimension(word),),
        order=((question.metrics[0], True),),
        limit=limit,
        offset=limit * (page - 1),
    )
    check_conversions(question)
    return Asked(question=question, word=word)


def _number(given: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = given.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX and 1 <= int(text) <= most):
        raise Refused(f"{name} is a whole number from 1 to {most:,}, not {shown(text)}.")
    return int(text)


def _value_of(word: str, value: Any) -> Any:
    return DIRECT_IN_V1 if value == DIRECT and word in ("visit:source", "visit:referrer") else value_of(word, value)
