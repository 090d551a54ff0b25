"""Rates divide by what they have to divide by, and are rounded as people do it: as plain Python says, for questions made by chance."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from dashboard.ask.answers import answer
from dashboard.catalogue.contract import Question
from dashboard.catalogue.filters import All, Compare
from dashboard.catalogue.goals import goals_of
from forebay.clickhouse import ClickHouse
from schemas.goals import goal_of
from tests.support.dashboard.asking import EngineAsker, days
from tests.support.dashboard.chance import Chance, events, questions, visits
from tests.support.dashboard.hand import FIRST, THIRD, ZONE
from tests.support.dashboard.reference import (
    Event,
    conversion_rate,
    group_conversion_rate,
    mean,
    pages,
    percentage,
    share,
    totals,
    visitors,
)

GOALS = goals_of(map(goal_of, ("signup", "purchase", "Visit /pricing")))
SIGNED_UP = Compare("is", "goal", ("signup",))


def asked(clickhouse: ClickHouse, one: Chance, metrics: str, dimension: str, **more: Any) -> dict[str, list[Any]]:
    """Returns the numbers of an answer by the value of its dimension."""
    fields: dict[str, Any] = {**one.arguments, "goals": GOALS, **more}
    question = Question(metrics=tuple(metrics.split()), dimensions=(dimension,) if dimension else (), **fields)
    rows = asyncio.run(answer(EngineAsker(clickhouse), question)).rows
    return {row[0]: row[1:] for row in rows} if dimension else {"": rows[0]} if rows else {}


def by(rows: Iterable[Event], value: Callable[[Event], str]) -> dict[str, list[Event]]:
    """Returns what somebody did, by a value that it has."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in rows:
        if event.is_deed:
            found[value(event)].append(event)
    return found


def plain(number: Decimal | None) -> float | None:
    """Returns a number as JSON has it."""
    return None if number is None else float(number)


def test_percentages_are_of_everybody_with_the_same_filters(seeded: ClickHouse) -> None:
    """By country and by page, with filters and without; visitors of several pages make more than 100 % together."""
    over = 0
    for number, one in enumerate(questions(16, seed=21)):
        dimension, value = (("country", country_of), ("page", path_of))[number % 2]
        rows = one.rows
        wanted = {
            name or "(not set)": [visitors(those), plain(percentage(visitors(those), visitors(rows)))]
            for name, those in by(rows, value).items()
        }
        found = asked(seeded, one, "visitors percentage", dimension)
        assert found == wanted, one
        over += sum(row[1] for row in found.values()) > 101
    assert over > 3


def test_conversions_are_of_everybody_or_of_the_same_group(seeded: ClickHouse) -> None:
    """Without the filters by goal and property, and with all others."""
    different = 0
    for number, one in enumerate(questions(16, seed=22, with_filters=False)):
        dimension, value = (("country", country_of), ("page", path_of))[number % 2]
        country = Compare("is_not", "country", ("FR",))
        filters = All((SIGNED_UP, country)) if number % 3 else SIGNED_UP
        everybody = [event for event in one.rows if not number % 3 or event.country != "FR"]
        groups = by(everybody, value)
        wanted = {}
        for name, those in by((event for event in everybody if event.name == "signup"), value).items():
            converted = visitors(those)
            wanted[name] = [
                converted,
                plain(conversion_rate(converted, visitors(everybody))),
                plain(group_conversion_rate(converted, visitors(groups[name]))),
            ]
        found = asked(seeded, one, "visitors conversion_rate group_conversion_rate", dimension, filters=filters)
        assert found == wanted, one
        different += any(row[1] != row[2] for row in found.values())
    assert different > 3


def test_goals_divide_by_everybody(seeded: ClickHouse) -> None:
    """A goal's conversion rate is of all visitors, whatever else they did; a property filter does not make them fewer."""
    answers = 0
    for number, one in enumerate(questions(12, seed=23, with_filters=False)):
        plan = Compare("is", "props.plan", ("pro",)) if number % 2 else None
        reached = {
            "signup": [event for event in one.rows if event.name == "signup"],
            "purchase": [event for event in one.rows if event.name == "purchase"],
            "Visit /pricing": [event for event in one.rows if event.name == "pageview" and event.path == "/pricing"],
        }
        if plan:
            reached = {
                name: [event for event in those if event.props.get("plan") == "pro"] for name, those in reached.items()
            }
        wanted = {
            name: [visitors(those), len(those), plain(conversion_rate(visitors(those), visitors(one.rows)))]
            for name, those in reached.items()
            if those
        }
        assert asked(seeded, one, "visitors events conversion_rate", "goal", filters=plan) == wanted, one
        answers += len(wanted) > 1
    assert answers > 2


def test_numbers_of_visits_are_means_of_visits(seeded: ClickHouse) -> None:
    """Bounces, durations and views of each visit; by page those of the visits that began there."""
    metrics = "visits bounce_rate visit_duration views_per_visit"
    for number, one in enumerate(questions(16, seed=24, with_filters=False)):
        there = visits(one.asked.site)
        groups: dict[str, list[Any]] = {"": there}
        if number % 2:
            groups = {
                path: [visit for visit in there if visit.entry == path] for path in {visit.entry for visit in there}
            }
        wanted = {}
        for name, those in groups.items():
            of_visits = totals(those, one.asked)
            if of_visits.visits or not number % 2:
                wanted[name] = [
                    of_visits.visits,
                    plain(mean(100 * of_visits.bounces, of_visits.visits)),
                    plain(mean(of_visits.seconds, of_visits.visits)),
                    plain(mean(of_visits.pageviews, of_visits.visits, 2)),
                ]
        wanted.pop("", None) if number % 2 else None
        found = asked(seeded, one, metrics, "entry_page" if number % 2 else "")
        assert {name: row for name, row in found.items() if row[0] or not name} == wanted, one


def test_exits_are_of_the_visits_that_saw_the_page(seeded: ClickHouse) -> None:
    """Asked by the last page; times and depths of a page are means over the visits that viewed it."""
    for one in questions(12, seed=25, with_filters=False):
        if one.asked.bots or one.asked.before != 4_294_967_295:
            continue
        viewed = pages(events(), one.asked)
        found = asked(seeded, one, "time_on_page scroll_depth", "page")
        assert {name: row for name, row in found.items() if row[0] is not None} == {
            name: [plain(rounded_half(page.seconds)), plain(rounded_half(page.depth))] for name, page in viewed.items()
        }, one
        left: dict[str, int] = defaultdict(int)
        exits: dict[str, int] = defaultdict(int)
        for visit in visits(one.asked.site):
            if visit.is_counted(False) and one.asked.holds(visit.started) and visit.exit:
                left[visit.exit] += 1
                exits[visit.exit] += one.asked.day(visit.parts[-1][0]) <= one.asked.until
        for name, row in asked(seeded, one, "visits exit_rate", "exit_page").items():
            if row[0] and name in viewed:
                assert row == [left[name], plain(share(exits[name], viewed[name].visits))], (one, name)


@pytest.mark.parametrize("order", [(), (("events", True), ("visits", True))], ids=["one file", "two files"])
def test_totals_of_nothing_are_one_row(seeded: ClickHouse, order: Any) -> None:
    """A site without events has 0 visitors and no rate, and not no answer."""
    asked_ = Question(
        site="empty.example",
        period=days(FIRST, THIRD, ZONE),
        metrics=("visitors", "visits", "events", "bounce_rate", "percentage"),
        order=order,
    )
    assert asyncio.run(answer(EngineAsker(seeded), asked_)).rows == [[0, 0, 0, None, None]]


def rounded_half(number: float) -> Decimal:
    """Returns a whole number, halves away from zero."""
    return Decimal(repr(number)).quantize(Decimal(1), "ROUND_HALF_UP")


def country_of(event: Event) -> str:
    """Returns the country of an event."""
    return event.country


def path_of(event: Event) -> str:
    """Returns the path of an event."""
    return event.path
