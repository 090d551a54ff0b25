"""Reads goals and funnels as people write them, on a command line or on a page, and writes them in the same way.

    purchase                        the event `purchase`; events may have blanks in their names
    Visit /thanks                   a pageview of this page; `*` stands for any characters: Visit /blog/*
    Visit /thanks plan=pro          the same with a property; values with blanks are quoted: plan="pro yearly"
    Big order=purchase plan=pro     an event, with a property, under a name of its own
    Thanks=Visit /thanks            a page under a name of its own

A goal without a name of its own is called as it is written, with its page in the form in which pages are stored. What stands before
the first `=` is the name, unless the text begins with `Visit /`. So an event with a property needs a name.

    buy=Visit /cart,purchase        a funnel: its name, and its steps in their order; a step is the name of a goal, or a goal

Not promised: that the events and pages of a goal exist. If nobody sends its event, nobody reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from schemas.acts import NO_ACTS, READ
from schemas.exclusions import path_form
from schemas.site import Funnel, Goal, RegisteredSite

GOALS_MAX, FUNNELS_MAX = 50, 20
STEPS_MIN, STEPS_MAX = 2, 8
TEXT_CHARS_MAX = 2_000
NAME_CHARS_MAX = 120  # as of an event's name (ingest/dialects/event.py)
PROPS_MAX = 8
PROP_KEY_CHARS_MAX, PROP_VALUE_CHARS_MAX = 60, 500
VISIT = "Visit "

_condition = re.compile(r'\s+([^\s="/][^\s="]*)=(?:"([^"]*)"|([^\s"]*))\s*\Z')
_unprintable = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def goal_of(text: str) -> Goal:
    """Returns the goal that a text means. Raises ValueError, whose text tells the author what is wrong."""
    text = text.strip()
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"a goal is written in at most {TEXT_CHARS_MAX} characters")
    if _unprintable.search(text):
        raise ValueError(f"the goal {text[:64]!r} has characters that can't be printed")
    name, rest = "", text
    if not _is_page(text) and "=" in text:
        name, rest = (part.strip() for part in text.split("=", 1))
        _require_name(name, f"the name of the goal {text[:64]!r}")
    what, props = _split(rest)
    if _is_page(what):
        page, event = path_form(what.removeprefix(VISIT)), ""
    else:
        page, event = "", what
        _require_event(event, text)
    return Goal(name=name or _what_text(event, page, props), event=event, page=page, props=props)


def goal_text(goal: Goal) -> str:
    """Returns a goal as it is written, such that `goal_of` reads it again."""
    what = _what_text(goal.event, goal.page, goal.props)
    return what if what == goal.name else f"{goal.name}={what}"


def _what_text(event: str, page: str, props: Mapping[str, str]) -> str:
    said = [
        f'{key}="{value}"' if not value or re.search(r"\s", value) else f"{key}={value}" for key, value in props.items()
    ]
    return " ".join((VISIT + page if page else event, *said))


def funnel_of(text: str) -> Funnel:
    """Returns the funnel that a text means. Raises ValueError as `goal_of` does."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"a funnel is written in at most {TEXT_CHARS_MAX} characters")
    name, sign, rest = text.partition("=")
    if not sign:
        raise ValueError(f"the funnel {text[:64]!r} has no name: write NAME=STEP,STEP")
    return funnel(name.strip(), [step.strip() for step in rest.split(",")])


def funnel(name: str, steps: Iterable[str]) -> Funnel:
    """Returns a funnel with these steps. Raises ValueError."""
    found = tuple(steps)
    _require_name(name, "the name of a funnel")
    if _unprintable.search(name):
        raise ValueError(f"the funnel {name[:64]!r} has characters that can't be printed")
    if not STEPS_MIN <= len(found) <= STEPS_MAX:
        raise ValueError(f"the funnel {name!r} has {len(found)} steps: it may have {STEPS_MIN} to {STEPS_MAX}")
    for step in found:
        goal_of(step)
    return Funnel(name=name, steps=found)


def funnel_text(one: Funnel) -> str:
    """Returns a funnel as it is written."""
    return f"{one.name}={','.join(one.steps)}"


def require_unused(name: str, site: RegisteredSite) -> None:
    """Raises ValueError if a goal can't be removed, because a step of a funnel would mean something else without it."""
    goal = next((one for one in site.goals if one.name == name), None)
    if goal is None or goal_text(goal) == name:
        return
    for one in site.funnels:
        if name in one.steps:
            raise ValueError(f"the funnel {one.name!r} has the goal {name!r} as a step: remove that funnel first")


def _is_page(text: str) -> bool:
    return text.startswith((VISIT + "/", VISIT + "*"))


def _split(text: str) -> tuple[str, dict[str, str]]:
    """Returns what stands before the conditions on properties, and the conditions."""
    props: dict[str, str] = {}
    while (found := _condition.search(text)) is not None:
        key, quoted, plain = found.groups()
        value = plain if quoted is None else quoted
        if len(key) > PROP_KEY_CHARS_MAX or len(value) > PROP_VALUE_CHARS_MAX or len(props) >= PROPS_MAX:
            raise ValueError(
                f"the conditions of {text[:64]!r}: at most {PROPS_MAX}, with {PROP_KEY_CHARS_MAX} characters in a key and"
                f" {PROP_VALUE_CHARS_MAX} in a value"
            )
        props = {key: value, **props}
        text = text[: found.start()]
    return text.strip(), props


def _require_event(event: str, text: str) -> None:
    what = f"the goal {text[:64]!r}"
    if "=" in event:
        raise ValueError(f"{what}: {event[:64]!r} is no event: write NAME=EVENT property=value")
    _require_name(event, f"the event of {what}")
    if event in READ:
        raise ValueError(f"{what}: every page sends `{event}` by itself, so everybody would reach it")
    if event in NO_ACTS:
        raise ValueError(f"{what}: `{event}` says who somebody is, and is no act that anybody could do")


def _require_name(name: str, what: str) -> None:
    """Raises ValueError for a name that is empty or too long."""
    if not name:
        raise ValueError(f"{what} is missing")
    if len(name) > NAME_CHARS_MAX:
        raise ValueError(f"{what} may have {NAME_CHARS_MAX} characters")
