"""Goals and funnels are what can be counted on paper, and what plain Python counts of the same rows."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from dashboard.ask.answers import answer, answer_file
from dashboard.catalogue.contract import EveryName, FileQuestion, Question
from dashboard.catalogue.goals import goals_of
from forebay.clickhouse import ClickHouse
from schemas.goals import goal_of
from tests.support.dashboard.asking import EngineAsker, days, rows_of
from tests.support.dashboard.chance import questions
from tests.support.dashboard.hand import FIRST, SECOND, THIRD, ZONE
from tests.support.dashboard.reference import funnel, reached

PERIOD = days(FIRST, THIRD, ZONE)
SITE = "hand.example"
GOALS = goals_of(map(goal_of, ("signup", "purchase", "Visit /shop", "Pro=purchase plan=pro", "nothing", "Visit /*p*g")))
FITS = (
    lambda event: event.name == "signup",
    lambda event: event.name == "purchase",
    lambda event: event.name == "pageview" and event.path == "/shop",
    lambda event: event.name == "purchase" and event.props.get("plan") == "pro",
    lambda event: event.name == "nothing",
    lambda event: event.name == "pageview" and "p" in event.path[1:-1] and event.path.endswith("g"),
)


def test_goals_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """Dan bought twice, in two currencies that are not added up; `fast` was a person when she looked at the shop."""
    assert rows_of(seeded, "goals", SITE, PERIOD, goals=GOALS) == [
        [1, 1, 1, {}, {}],
        [2, 1, 2, {"EUR": "5.5", "USD": "20"}, {"EUR": 1, "USD": 1}],
        [3, 2, 2, {}, {}],
        [4, 1, 1, {"USD": "20"}, {"USD": 1}],
        [6, 1, 1, {}, {}],
    ]


def test_a_site_without_goals_reaches_none(seeded: ClickHouse) -> None:
    """Has no rows, and no error."""
    assert rows_of(seeded, "goals", SITE, PERIOD, goals=EveryName()) == []


def test_goals_are_what_python_counts(seeded: ClickHouse) -> None:
    """Over changes of clocks, with filters, with what looks automated, and up to a quarter of an hour."""
    answers = 0
    for one in questions(30, seed=1):
        wanted: list[list[Any]] = []
        there = one.rows
        for number, fits in enumerate(FITS, 1):
            counted = reached(there, fits)
            if counted.conversions:
                sums = {name: Decimal(amount) / 10_000 for name, amount in counted.money.items()}
                wanted.append([number, counted.visitors, counted.conversions, sums, counted.purchases])
        found = rows_of(seeded, "goals", goals=GOALS, **one.arguments)
        for row in found:
            row[3] = {name: Decimal(amount) for name, amount in row[3].items()}
        assert found == wanted, one
        answers += bool(found)
    assert answers > 12


@pytest.mark.parametrize(
    ("steps", "window_s", "levels"),
    [
        # Ada looks at "/", a minute later at the prices, and another minute later she signs up. Her second day, Cleo and Gus have "/" alone.
        (("Visit /", "Visit /pricing", "signup"), 3_600, [[1, 3], [3, 1]]),
        (("Visit /", "Visit /pricing", "signup"), 120, [[1, 3], [3, 1]]),
        (("Visit /", "Visit /pricing", "signup"), 119, [[1, 3], [2, 1]]),
        # In the other order she took the first step of two.
        (("signup", "Visit /"), 3_600, [[1, 1]]),
        # Cleo read the docs after midnight: that is another visitor.
        (("Visit /", "Visit /docs"), 86_400, [[1, 4]]),
        # Dan bought for EUR after he bought for USD. An event may be two steps.
        (("Visit /shop", "x=purchase plan=pro", "x=purchase plan=team"), 360, [[1, 1], [3, 1]]),
        (("Visit /shop", "x=purchase plan=team", "x=purchase plan=pro"), 360, [[1, 1], [2, 1]]),
        (("Visit /shop", "Pro", "purchase"), 360, [[1, 1], [3, 1]]),
        (("nothing", "Visit /"), 3_600, []),
    ],
)
def test_funnels_of_the_hand_counted_site(
    seeded: ClickHouse, steps: tuple[str, ...], window_s: int, levels: list[list[int]]
) -> None:
    """A level has whoever took so many steps and no more; the window ends with the second that it has."""
    asked: dict[str, Any] = {"goals": GOALS, "steps": steps, "parameters": {"window_ms": window_s * 1_000}}
    assert rows_of(seeded, "funnel", SITE, PERIOD, **asked) == levels


def test_goals_by_name_are_the_same_numbers(seeded: ClickHouse) -> None:
    """The page asks other files for visitors, events and money by goal: they say what this one says."""
    asker, period = EngineAsker(seeded), days(date(2026, 2, 4), date(2026, 3, 31), "Europe/Berlin")
    shared: dict[str, Any] = {"site": "shop.example", "period": period, "goals": GOALS}
    metrics = ("visitors", "events", "total_revenue")
    by_name = asyncio.run(answer(asker, Question(metrics=metrics, dimensions=("goal",), **shared))).rows
    of_file = asyncio.run(answer_file(asker, FileQuestion(file="goals", **shared))).rows
    assert {name: [visitors, events, money] for name, visitors, events, money in by_name} == {
        name: [visitors, events, {currency: f"{Decimal(sum_):.4f}" for currency, sum_ in money.items()}]
        for name, visitors, events, money, _ in of_file
    }
    assert len(of_file) > 3


def test_funnels_are_what_python_counts(seeded: ClickHouse) -> None:
    """Steps k and beyond add up to who took step k."""
    steps: dict[str, Any] = {
        "Visit /*": lambda event: event.name == "pageview",
        "Visit /pricing": lambda event: event.name == "pageview" and event.path == "/pricing",
        "Visit /docs*": lambda event: event.name == "pageview" and event.path.startswith("/docs"),
        "signup": FITS[0],
        "purchase": FITS[1],
    }
    orders = [tuple(steps), tuple(reversed(steps)), ("Visit /pricing", "signup"), ("Visit /*", "Visit /*", "purchase")]
    answers = 0
    for number, one in enumerate(questions(32, seed=2)):
        order, window_ms = orders[number % len(orders)], (20_000, 3_600_000)[number // 4 % 2]
        rows = rows_of(seeded, "funnel", goals=GOALS, steps=order, parameters={"window_ms": window_ms}, **one.arguments)
        found = [sum(count for level, count in rows if level > at) for at in range(len(order))]
        assert found == funnel(one.rows, [steps[name] for name in order], window_ms), (one, order)
        answers += found[1] > 0
    assert answers > 8


def test_a_funnel_is_of_one_day_of_a_visitor(seeded: ClickHouse) -> None:
    """Asked for one day, it has that day's events alone."""
    one_day = days(SECOND, SECOND, ZONE)
    asked: dict[str, Any] = {
        "goals": GOALS,
        "steps": ("Visit /", "Visit /docs"),
        "parameters": {"window_ms": 86_400_000},
    }
    assert rows_of(seeded, "funnel", SITE, one_day, **asked) == [[1, 1]]
    assert (
        rows_of(seeded, "funnel", SITE, days(THIRD + timedelta(days=1), THIRD + timedelta(days=9), ZONE), **asked) == []
    )
