"""Says what a filter selects, as plain Python over events and visits, and makes filters by chance."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping

from dashboard.catalogue.filters import All, Any, Compare, Done, Filter, Not, Operator
from tests.support.dashboard.reference import Event, Range, Visit, visits_of

EMPTY = {"props.plan": "(none)", "entry_page": "(not set)", "utm_source": "(not set)"}
# Which value an event or a visit has. What both have is the client's.
OF_ROWS: Mapping[str, Callable[[Event], str]] = {
    "page": lambda event: event.path,
    "event": lambda event: event.name,
    "props.plan": lambda event: event.props.get("plan", ""),
    "country": lambda event: event.country,
}
OF_VISITS: Mapping[str, Callable[[Visit], str]] = {
    "entry_page": lambda visit: visit.entry,
    "exit_page": lambda visit: visit.exit,
    "utm_source": lambda visit: visit.utm.get("utm_source", ""),
}
OPERATORS: tuple[Operator, ...] = ("is", "is_not", "contains", "contains_not", "matches", "matches_not", "matches_wildcard")  # fmt: skip


class Selection:
    """Tells which events and visits of one site and period a filter selects."""

    def __init__(self, events: Iterable[Event], asked: Range) -> None:
        self.rows = asked.rows(events)
        self.visits = {visit.session: visit for visit in visits_of(events, asked.site)}
        self._country: dict[int, str] = {}
        for one in events:
            if one.site == asked.site:
                self._country[one.session] = max(one.country, self._country.get(one.session, ""))
        self._deeds: dict[int, list[Event]] = {}
        for one in self.rows:
            if one.is_deed:
                self._deeds.setdefault(one.session, []).append(one)

    def has_row(self, tree: Filter, event: Event) -> bool:
        """Tells whether an event is selected."""
        match tree:
            case Compare():
                if tree.dimension == "goal":
                    return fits(tree, event.name)
                if tree.dimension in OF_ROWS:
                    return fits(tree, OF_ROWS[tree.dimension](event))
                return self.has_visit(tree, self.visits[event.session])
            case All():
                return all(self.has_row(part, event) for part in tree.parts)
            case Any():
                return any(self.has_row(part, event) for part in tree.parts)
            case Not():
                return not self.has_row(tree.part, event)
            case Done():
                return self._has_done(tree.part, event.session) == tree.is_done

    def has_visit(self, tree: Filter, visit: Visit) -> bool:
        """Tells whether a visit is selected: all that is said of its events must be so of one of them."""
        parts = flat(tree)
        of_rows = [part for part in parts if speaks_of_rows(part)]
        as_a_whole = all(self._is(part, visit) for part in parts if part not in of_rows)
        return as_a_whole and (not of_rows or self._has_done(All(tuple(of_rows)), visit.session))

    def _is(self, tree: Filter, visit: Visit) -> bool:
        match tree:
            case Compare():
                is_client = tree.dimension not in OF_VISITS
                return fits(tree, self._country[visit.session] if is_client else OF_VISITS[tree.dimension](visit))
            case All():
                return all(self._is(part, visit) for part in tree.parts)
            case Any():
                return any(self._is(part, visit) for part in tree.parts)
            case Not():
                return not self._is(tree.part, visit)
            case Done():
                return self._has_done(tree.part, visit.session) == tree.is_done

    def _has_done(self, tree: Filter, session: int) -> bool:
        return any(self.has_row(tree, event) for event in self._deeds.get(session, ()))


def flat(tree: Filter) -> list[Filter]:
    """Returns the parts all of which must hold."""
    return [found for part in tree.parts for found in flat(part)] if isinstance(tree, All) else [tree]


def speaks_of_rows(tree: Filter) -> bool:
    """Tells whether a filter names what only an event has."""
    match tree:
        case Compare():
            return tree.dimension in ("page", "event", "props.plan", "goal")
        case All() | Any():
            return any(map(speaks_of_rows, tree.parts))
        case Not():
            return speaks_of_rows(tree.part)
        case Done():
            return False


def fits(compare: Compare, text: str) -> bool:
    """Tells whether a text is what a condition wants."""
    values = ["" if value == EMPTY.get(compare.dimension, "(not set)") else value for value in compare.values]
    operator = compare.operator.removesuffix("_not")
    if not compare.is_case_sensitive and operator in ("is", "contains"):
        text, values = text.lower(), [value.lower() for value in values]
    if operator == "is":
        found = text in values
    elif operator == "contains":
        found = any(value in text for value in values)
    elif operator == "matches":
        found = any(re.search(value, text) for value in values)
    else:
        found = any(re.fullmatch(".*".join(map(re.escape, value.split("*"))), text, re.DOTALL) for value in values)
    return found != compare.operator.endswith("_not")


def by_chance(chance: random.Random, known: Mapping[str, list[str]], depth: int = 3) -> Filter:
    """Returns a filter by dimensions of which values are known."""
    kind = chance.choice(("compare", "compare", "and", "or", "not", "done")) if depth else "compare"
    if kind == "compare":
        dimension = chance.choice(list(known))
        operators = ("is", "is_not") if dimension == "goal" else OPERATORS
        operator = chance.choice(operators)
        values = [_value(chance, operator, chance.choice(known[dimension])) for _ in range(chance.choice((1, 1, 2, 3)))]
        return Compare(operator, dimension, tuple(values), chance.random() < 0.7 or dimension == "goal")
    if kind in ("and", "or"):
        parts = tuple(by_chance(chance, known, depth - 1) for _ in range(chance.choice((2, 2, 3))))
        return All(parts) if kind == "and" else Any(parts)
    inner = by_chance(chance, known, depth - 1)
    return Not(inner) if kind == "not" else Done(inner, chance.random() < 0.5)


def _value(chance: random.Random, operator: str, text: str) -> str:
    if operator.startswith("is"):
        return text.upper() if chance.random() < 0.1 else text
    first = chance.randrange(len(text) + 1)
    piece = text[first : first + chance.randrange(1, 5)] or text[:2] or "x"
    if operator.startswith("contains"):
        return piece
    if operator.startswith("matches_wildcard"):
        return chance.choice((f"{text[:3]}*", f"*{piece}", f"*{piece}*", text, f"{text[:1]}*{text[-1:]}", "*"))
    return chance.choice(
        (f"^{re.escape(text[:3])}", f"{re.escape(piece)}$", re.escape(piece), "^$", f"({re.escape(piece)}|x)")
    )
