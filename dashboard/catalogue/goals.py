"""Makes the SQL conditions under which an event reaches a goal of a site, or is a step of a funnel.

A goal is an event by its name, or a pageview of a page, in which `*` stands for any characters. Both may require properties.
schemas/goals.py says how people write goals. Every text goes through `Values`, so none of it becomes SQL.
"""

from __future__ import annotations

from collections.abc import Iterable

from dashboard.catalogue.conditions import wildcard
from dashboard.catalogue.contract import EveryName, Goals, Refused
from dashboard.catalogue.values import Values
from schemas.goals import goal_of
from schemas.site import Goal


class RecordedGoals:
    """Holds the goals of a site's record, in its order."""

    def __init__(self, goals: Iterable[Goal]) -> None:
        self._goals = {one.name: one for one in goals}

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of the goals."""
        return tuple(self._goals)

    def condition(self, name: str, values: Values) -> str:
        """Returns the condition under which a row `e` reaches the goal with this name, or the goal that this text means.

        Raises Refused if the record has no such goal.
        """
        goal = self._goals.get(name) or self._written(name)
        if goal is None:
            known = ", ".join(f"'{one}'" for one in self._goals)
            raise Refused(
                f"The goal '{name[:100]}' is not set up; these are: {known}. `forebay site set --goal` sets one up."
            )
        return condition_of(goal, values)

    def _written(self, text: str) -> Goal | None:
        """Returns the goal that has another name than this text, and means the same."""
        try:
            meant = goal_of(text)
        except ValueError:
            return None
        same = (meant.event, meant.page, meant.props)
        return next((one for one in self._goals.values() if (one.event, one.page, one.props) == same), None)


def goals_of(goals: Iterable[Goal]) -> Goals:
    """Returns the goals of a site's record. If it has none, every event with a name of the site's own is a goal."""
    recorded = RecordedGoals(goals)
    return recorded if recorded.names else EveryName()


def step(text: str, goals: Goals, values: Values) -> str:
    """Returns the condition of a funnel's step: that of the goal with this name, else that of the goal that the text means.

    A step need not be a goal of the record. Raises Refused if it can't be read.
    """
    if text in goals.names:
        return goals.condition(text, values)
    try:
        return condition_of(goal_of(text), values)
    except ValueError as error:
        raise Refused(f"The step '{text[:100]}' can't be read: {error}.") from error


def condition_of(goal: Goal, values: Values) -> str:
    """Returns the condition under which a row `e` reaches a goal: an expression in brackets that is 0 or 1."""
    if goal.page:
        parts = ["e.name = 'pageview'", wildcard("e.path", goal.page, values)]
    else:
        parts = [f"e.name = {values.text(goal.event)}"]
    for key, value in goal.props.items():
        named = values.text(key)
        # A property that is missing reads as an empty text.
        parts += [f"mapContains(e.props, {named})", f"e.props[{named}] = {values.text(value)}"]
    return f"({' AND '.join(parts)})"
