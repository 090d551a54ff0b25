"""Goals of a record and steps of a funnel become conditions on an event, with every text of a user as a parameter."""

from __future__ import annotations

import pytest

from dashboard.catalogue.contract import EveryName, Refused
from dashboard.catalogue.goals import goals_of, step
from dashboard.catalogue.values import Values
from schemas.goals import goal_of
from schemas.site import Goal

GOALS = goals_of(map(goal_of, ("signup", "Visit /blog/*", "Visit /*/thanks", "Big order=purchase plan=pro size=")))


def filled(condition: str, values: Values) -> str:
    """Returns a condition with its values in it, for people to read."""
    for name, value in values.parameters.items():
        condition = condition.replace(f"{{{name}:String}}", repr(value))
    return condition


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("signup", "(e.name = 'signup')"),
        ("Visit /blog/*", "(e.name = 'pageview' AND startsWith(e.path, '/blog/'))"),
        ("Visit /*/thanks", "(e.name = 'pageview' AND match(e.path, '(?s)^/.*/thanks$'))"),
        (
            "Big order",
            (
                "(e.name = 'purchase' AND mapContains(e.props, 'plan') AND e.props['plan'] = 'pro'"
                " AND mapContains(e.props, 'size') AND e.props['size'] = '')"
            ),
        ),
    ],
)
def test_a_goal_of_the_record(name: str, condition: str) -> None:
    """Is an event by its name or a page by its path, with its properties."""
    values = Values()
    assert filled(GOALS.condition(name, values), values) == condition


def test_no_text_of_a_user_is_sql() -> None:
    """The SQL has no letter of a goal that somebody made up."""
    hostile = goals_of([Goal(name="x", event="') OR 1 --", props={"') OR 1": "'; DROP"})])
    sql = hostile.condition("x", Values())
    assert "DROP" not in sql
    assert "OR 1" not in sql


def test_a_goal_may_be_asked_by_what_it_means() -> None:
    """Takes `purchase plan=pro size=""` for the goal `Big order`."""
    by_name, by_text = Values(), Values()
    assert GOALS.condition("Big order", by_name) == GOALS.condition('x=purchase plan=pro size=""', by_text)
    assert by_name.parameters == by_text.parameters


@pytest.mark.parametrize("name", ["purchase", "Visit /other", "", "Visit ", "engagement"])
def test_a_goal_that_is_not_set_up_is_refused(name: str) -> None:
    """Names those that are."""
    with pytest.raises(Refused, match=r"is not set up; these are: 'signup', 'Visit /blog/\*'"):
        GOALS.condition(name, Values())


def test_a_record_without_goals_has_every_event() -> None:
    """Any name of an event is a goal then."""
    assert isinstance(goals_of(()), EveryName)


def test_a_step_is_a_goal_or_what_it_says() -> None:
    """Takes a goal of the record by its name first; and needs no goal for a page or an event."""
    values = Values()
    assert filled(step("Big order", GOALS, values), values).startswith("(e.name = 'purchase' AND")
    assert filled(step("Visit /cart", GOALS, values), values) == "(e.name = 'pageview' AND e.path = '/cart')"
    assert filled(step("Visit /cart", EveryName(), values), values) == "(e.name = 'pageview' AND e.path = '/cart')"


def test_a_step_that_nobody_can_read_is_refused() -> None:
    """Says what is wrong with it."""
    with pytest.raises(Refused, match=r"^The step 'engagement' can't be read: .+\.$"):
        step("engagement", EveryName(), Values())
