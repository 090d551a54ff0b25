"""The options of `forebay site add|set` for goals, funnels, exclusions, keys and hosts, and how `forebay site list` shows them.

In one command, funnels are removed first, then goals and rules, and then what is new is added. So a goal or a
funnel can be given another meaning, and a goal can be removed together with the funnel that needs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from schemas.exclusions import KINDS, RULES_MAX, hostname
from schemas.goals import FUNNELS_MAX, GOALS_MAX, funnel_of, funnel_text, goal_of, goal_text, require_unused
from schemas.limits import limit_form
from schemas.site import Exclusions, Funnel, Goal, RegisteredSite
from schemas.site_keys import KEYS_MAX, key_form

Named = TypeVar("Named", bound=Goal | Funnel)
EXAMPLES = {"addresses": "203.0.113.0/24", "paths": "/admin/*", "countries": "DE", "hostnames": "staging.example.com"}


class Missing(Exception):
    """Says that something that is to be removed is not there."""


class Unfit(Exception):
    """Says that a goal, a funnel or a rule can't be one, or that there is no room for another."""


def add_options(action: argparse.ArgumentParser) -> None:
    """Adds two options for goals, for funnels, and for each kind of exclusion: one that adds and one that removes."""
    goals = action.add_argument_group("goals and funnels", "Each option can be given several times.")
    _add_pair(
        goals,
        "--goal",
        "--no-goal",
        "GOAL",
        "count this as a conversion: 'purchase', 'Visit /thanks', 'Big order=purchase plan=pro'",
    )
    _add_pair(goals, "--funnel", "--no-funnel", "FUNNEL", "follow visitors through steps: 'buy=Visit /cart,purchase'")
    rules = action.add_argument_group(
        "exclusions",
        "Events that fit a rule are counted as `excluded`, and not stored. Each option can be given several times.",
    )
    for field, (word, _) in KINDS.items():
        text = f"leave out what fits this {word}: {EXAMPLES[field]}"
        _add_pair(rules, f"--exclude-{word}", f"--no-exclude-{word}", word.upper(), text)
    named = action.add_argument_group("whose events", "Each option can be given several times.")
    text = "take events that another family's SDK sends under this key: 'segment:WK123', 'posthog:phc_...'"
    _add_pair(named, "--key", "--no-key", "FAMILY:KEY", text)
    text = "measure pages of this host (or '*.example.com'), of the site's own name and of its domains, and of no other host"
    _add_pair(named, "--host", "--no-host", "HOST", text)


def _add_pair(group: argparse._ArgumentGroup, adds: str, removes: str, metavar: str, text: str) -> None:
    group.add_argument(adds, action="append", default=[], metavar=metavar, help=text)
    group.add_argument(removes, action="append", default=[], metavar=metavar, help=f"take back {adds}, by its name")


def changed(site: RegisteredSite, options: argparse.Namespace) -> RegisteredSite:
    """Returns the site with the goals, funnels and rules that the command line wants. Raises Missing and Unfit."""
    funnels = _without(site.funnels, options.no_funnel, "funnel")
    site = replace(site, funnels=tuple(funnels))
    for name in options.no_goal:
        _fit(require_unused, name, site)
    goals = _without(site.goals, options.no_goal, "goal")
    goals = _with(goals, [_fit(goal_of, text) for text in options.goal], GOALS_MAX, "goals")
    funnels = _with(funnels, [_fit(funnel_of, text) for text in options.funnel], FUNNELS_MAX, "funnels")
    rules = {
        field: _listed(
            getattr(site.exclusions, field),
            adds=getattr(options, f"exclude_{word}"),
            removes=getattr(options, f"no_exclude_{word}"),
            form=form,
            most=RULES_MAX,
            what=(f"excluded {word}", f"excluded {field}"),
        )
        for field, (word, form) in KINDS.items()
    }
    keys = _listed(
        site.keys, adds=options.key, removes=options.no_key, form=key_form, most=KEYS_MAX, what=("key", "keys")
    )
    hosts = _listed(
        site.hosts, adds=options.host, removes=options.no_host, form=_host, most=RULES_MAX, what=("host", "hosts")
    )
    return replace(
        site, goals=tuple(goals), funnels=tuple(funnels), exclusions=Exclusions(**rules), keys=keys, hosts=hosts
    )


def _without(there: Sequence[Named], names: Iterable[str], what: str) -> list[Named]:
    left = list(there)
    for name in names:
        fit = [one for one in left if one.name == name.strip()]
        if not fit:
            raise Missing(f"there is no {what} {name!r}{_those_there([one.name for one in left])}")
        left.remove(fit[0])
    return left


def _with(there: Sequence[Named], new: Sequence[Named], most: int, what: str) -> list[Named]:
    """Returns those that are there and the new ones, which take the place of those with their names."""
    found: dict[str, Named] = {one.name: one for one in (*there, *new)}
    if len(found) > most:
        raise Unfit(f"a site may have {most} {what}")
    return list(found.values())


def _listed(
    there: Sequence[str],
    *,
    adds: Iterable[str],
    removes: Iterable[str],
    form: Callable[[str], str],
    most: int,
    what: tuple[str, str],
) -> tuple[str, ...]:
    """Returns the texts that are there without some, and with others, each in its one form. `what` are one of them, and several."""
    left = list(there)
    for said in removes:
        # One that is there as it was said is removed, whatever this release would make of it.
        one = said if said in left else _fit(form, said)
        if one not in left:
            raise Missing(f"there is no {what[0]} {one!r}{_those_there(left)}")
        left.remove(one)
    left = list(dict.fromkeys((*left, *(_fit(form, said) for said in adds))))
    if len(left) > most:
        raise Unfit(f"a site may have {most} {what[1]}")
    return tuple(left)


def _host(said: str) -> str:
    """Returns a host with wildcards in its one form. Raises ValueError."""
    if not said.strip().strip("*."):
        raise ValueError(f"{said[:64]!r} is every host, and without --host every host is measured")
    return hostname(said)


def limit(said: str) -> str | None:
    """Returns a limit in its one form; None where the setting of the installation is to count. Raises Unfit."""
    return None if said.strip() == "default" else _fit(limit_form, said)


def _those_there(names: Sequence[str]) -> str:
    return f": there is {', '.join(map(repr, names))}" if names else ": there is none at all"


T = TypeVar("T")


def _fit(read: Callable[..., T], *said: object) -> T:
    """Returns what `read` makes of what was said. Raises Unfit where it raises ValueError."""
    try:
        return read(*said)
    except ValueError as error:
        raise Unfit(str(error)) from error


def lines(site: RegisteredSite) -> Iterator[str]:
    """Yields a line for each goal, funnel, rule, key and host, as it was given."""
    for goal in site.goals:
        yield f"  goal     {goal_text(goal)}"
    for funnel in site.funnels:
        yield f"  funnel   {funnel_text(funnel)}"
    for field, (word, _) in KINDS.items():
        for rule in getattr(site.exclusions, field):
            yield f"  exclude  {word} {rule}"
    for key in site.keys:
        yield f"  key      {key}"
    for host in site.hosts:
        yield f"  host     {host}"
