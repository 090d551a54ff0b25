"""No text of a user is ever part of the SQL, and what a question may be is held to its limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any as Any_

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dashboard.ask.files import catalogue, query_of
from dashboard.catalogue.compiler import compiled
from dashboard.catalogue.conditions import ROWS, VISITS
from dashboard.catalogue.contract import EveryName, FileQuestion, Period, Refused, Statement
from dashboard.catalogue.dimensions import DIMENSIONS, NO_DEED
from dashboard.catalogue.filters import All, Any, Compare, Done, Filter, Not, Operator
from dashboard.catalogue.goals import RecordedGoals
from dashboard.catalogue.periods import parameters
from flusher.closing.statements import PARTS
from schemas.site import Goal

PERIOD = Period(since=date(2026, 3, 1), until=date(2026, 3, 31), zone="Asia/Kathmandu")
# What ends a text, a name, a comment, a parameter or a mark somewhere, and what few programs are ready for.
NASTY = "'\"`\\;-/*{}():,.=%_$#@!?[]<>|&^~ \0\n\r\t\x01\x1b01aZ\u00e9\u0131\u202e\ufeff\U0001f600\ud800"
TEXTS = st.one_of(
    st.text(st.sampled_from(NASTY), max_size=8),
    st.text(max_size=6),
    st.sampled_from(("/*filter*/", "{site:String}", "' OR 1 --", "(not set)", "*/ FORMAT JSON", "/blog/*", "*", "\\")),
)
FILES = tuple(name for name, query in catalogue().items() if query.filters != "none" and query.dimensions != "steps")
NAMES = tuple(name for name in DIMENSIONS if not name.startswith("time:"))
OPERATORS: tuple[Operator, ...] = ("is", "is_not", "contains", "contains_not", "matches", "matches_not", "matches_wildcard", "matches_wildcard_not")  # fmt: skip
GOALS = (
    EveryName(),
    RecordedGoals((Goal(name="it's", event="o'er"), Goal(name="Visit /*", page="/*/{p1:String}", props={"'": "\\"}))),
)


SHARED = {"site", "bots", "limit", "offset", "numbers", *parameters(PERIOD)}


@st.composite
def compares(draw: st.DrawFn) -> Compare:
    """Makes one condition, by any dimension; of goals only what they can be asked by."""
    dimension = draw(st.one_of(st.sampled_from(NAMES), st.builds("props.{}".format, TEXTS.filter(bool))))
    operators = ("is", "is_not", "contains") if dimension == "goal" else OPERATORS
    return Compare(
        draw(st.sampled_from(operators)),
        dimension,
        tuple(draw(st.lists(TEXTS, min_size=1, max_size=3))),
        draw(st.booleans()),
    )


TREES = st.recursive(
    compares(),
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Any, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, inner),
        st.builds(Done, inner, st.booleans()),
    ),
    max_leaves=8,
)


def statement(file: str, tree: Filter | None, dimensions: tuple[str, ...] = (), goals: object = GOALS[0]) -> Statement:
    """Returns the statement of one file with a filter."""
    query = query_of(file)
    own = {name: 1 if kind.startswith("UInt") else "x" for name, kind in query.parameters.items() if name not in SHARED}
    fields: dict[str, Any_] = {"dimensions": dimensions, "goals": goals, "parameters": own}
    return compiled(query, FileQuestion(file=file, site="a'b", period=PERIOD, filters=tree, **fields))


def changed(tree: Filter, text: Callable[[str], str]) -> Filter:
    """Returns the tree with each value, and each name of a property, given to `text`."""
    match tree:
        case Compare():
            name = tree.dimension
            if name.startswith("props."):
                name = f"props.{text(name.removeprefix('props.'))}"
            return Compare(tree.operator, name, tuple(map(text, tree.values)), tree.is_case_sensitive)
        case All():
            return All(tuple(changed(part, text) for part in tree.parts))
        case Any():
            return Any(tuple(changed(part, text) for part in tree.parts))
        case Not():
            return Not(changed(tree.part, text))
        case Done():
            return Done(changed(tree.part, text), tree.is_done)


def plain(text: str) -> str:
    """Returns a harmless text of the same kind: a star stays one, because it decides how a pattern is asked for."""
    return re.sub(r"[^*]", "x", text)


def tokens(sql: str) -> set[str]:
    """Returns what the SQL is made of: texts as a whole, words, numbers, signs."""
    return set(
        re.findall(r"'(?:[^'\\]|\\.)*'|\w+|[^\w\s]", re.sub(r"\{p\d+:(String|Array\(String\)|UInt64)\}", "", sql))
    )


# Everything that SQL is made of: the files, the table of dimensions, and the words of operators.
VOCABULARY = tokens(
    " ".join(
        [
            *(query.sql for query in catalogue().values()),
            *(f"{one.row} {one.visit}" for one in DIMENSIONS.values()),
            ROWS.format("e"),
            VISITS,
            NO_DEED,
            "forebay.named_sessions e.props arrayJoin arrayFilter g -> != [] toString if tuple m.r.1",
            "visits deeds :",
            "IN NOT AND OR match startsWith multiSearchAny multiSearchAnyCaseInsensitiveUTF8 lowerUTF8 '' goal",
            "toDateTime 'UTC' mapContains 0",
        ]
    )
)


@pytest.mark.parametrize("goals", GOALS, ids=["no goals", "two goals"])
@given(tree=TREES, file=st.sampled_from(FILES))
def test_values_are_parameters(goals: object, tree: Filter, file: str) -> None:
    """The SQL of a tree is that of the same tree with harmless values, and is made of our own words alone."""
    try:
        asked = statement(file, tree, goals=goals)
        harmless = statement(file, changed(tree, plain), goals=goals)
    except Refused:
        return  # a goal that is not set up
    assert asked.sql == harmless.sql
    assert tokens(asked.sql) <= VOCABULARY, tokens(asked.sql) - VOCABULARY
    assert set(re.findall(r"\{(\w+):", asked.sql)) == set(asked.parameters)


@given(key=TEXTS.filter(bool), site=TEXTS)
def test_names_of_properties_are_parameters(key: str, site: str) -> None:
    """A property is a dimension whose name a visitor of the site chose."""
    asked = statement("events", None, (f"props.{key}", "country"))
    assert "tuple(e.props[{p1:String}], toString(e.country))" in asked.sql
    assert asked.parameters["p1"] == key


def test_the_vocabulary_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that wrote values into the SQL would be found: its tokens are not ours, and differ with the value."""
    monkeypatch.setattr("dashboard.catalogue.values.Values.text", lambda self, value: f"'{value}'")
    tree = Compare("matches", "page", ("' OR sleep(3) --",))
    leaking = statement("events", tree).sql
    assert tokens(leaking) - VOCABULARY
    assert leaking != statement("events", changed(tree, plain)).sql


OF_ROWS = [name for name, query in catalogue().items() if "first_day" in query.parameters]


@pytest.mark.parametrize("name", [name for name in OF_ROWS if name not in ("pages", "assistants", "visits")])
def test_every_file_reads_the_same_rows(name: str) -> None:
    """Which rows a period has is written in each file, and nowhere otherwise; those of bots read what people do not."""
    text = " ".join(catalogue()[name].sql.split())
    rows = ROWS.format("r" if "/*acts:*/" in text else "e")
    assert (rows if "bots" in catalogue()[name].parameters else rows.partition("bot = '') ")[2]) in text


@pytest.mark.parametrize("name", ["assistants", "durations"])
def test_every_file_reads_the_same_visits(name: str) -> None:
    """A visit counts on the day on which it began, and over midnight its visitors on the days of what they did."""
    text = " ".join(catalogue()[name].sql.split())
    assert f"WHERE {VISITS} AND toDate(part.2, {{zone:String}}) BETWEEN {{since:Date}} AND {{until:Date}}" in text
    assert "AND part.2 < toDateTime({before:UInt32}, 'UTC')" in text
    if name != "durations":  # it counts no visitors
        assert "s.is_visit AND ({bots:UInt8} OR s.bot = '') AS is_counted" in text
        over_midnight = (
            "s.first_visitor = s.last_visitor"
            " AND toDate(s.last_active_at, {zone:String}) = toDate(s.started_at, {zone:String})"
        )
        assert f"if( {over_midnight}, [" in text


def test_campaigns_read_the_parts_of_visits_that_the_file_of_visits_reads() -> None:
    """With the same words, and all columns that a filter may name."""
    here, there = (
        [
            line.strip().rstrip(",")
            for line in catalogue()[name]
            .sql.partition("/*parts:*/")[2]
            .partition("/*:parts*/")[0]
            .partition("/*sooner:*/")[0]
            .splitlines()
            if "--" not in line
        ]
        for name in ("campaigns", "visits")
    )
    left_out = {line.rpartition(" AS ")[2] for line in there if line not in here}
    assert left_out == {"last_day", "last_active_at", "seconds", "pageviews", "engaged_ms"}
    assert here == [line for line in there if line in here]


def test_rows_that_reach_no_goal_are_left_out_before_goals_are_looked_at() -> None:
    """A row has an array of goals only if it reaches one. Without goals of the site's own every act is one."""
    for file in ("events", "revenue"):
        sql = statement(file, None, ("goal",), GOALS[1]).sql
        assert re.search(r"WHERE \(\(e\.name = \{p\d+:String\}\) OR \(e\.name = 'pageview' AND match\(e\.path, ", sql)
    assert "WHERE 1\n" in statement("events", None, ("goal",), GOALS[0]).sql


def test_a_bound_that_a_period_does_not_have_is_not_asked() -> None:
    """No row is later than a period's last day, unless the period is cut off within it."""
    cut = replace(PERIOD, before=1_772_600_400)
    for file in FILES:
        for period in (PERIOD, cut):
            own = {name: "x" for name in query_of(file).parameters if name not in SHARED}
            question = FileQuestion(file=file, site="a", period=period, parameters=own)
            names_it = "before" in query_of(file).parameters
            assert ("{before:" in compiled(query_of(file), question).sql) == (names_it and period is cut), file


def test_parts_of_visits_are_those_that_are_copied() -> None:
    """Who reads rows divides a visit over midnight as the flusher does where it copies."""
    text = " ".join(catalogue()["visits"].sql.split())
    assert f"WHERE {VISITS.replace('s.', 'v.')} " in text
    columns = r"\b(first_visitor|last_visitor|first_active_at|last_active_at|started_at)\b"
    assert re.sub(columns, r"v.\1", " ".join(PARTS.split())).removeprefix("if( ") in text


@pytest.mark.parametrize(
    ("file", "fields", "said"),
    [
        ("counts", {"dimensions": ("source",)}, "can't be asked by 'source'"),
        ("visits", {"dimensions": ("page",)}, "can't be asked by 'page'"),
        ("pages", {"dimensions": ("country",)}, "can't be asked by 'country'"),
        ("pages", {"filters": Compare("is", "page", ("/",))}, "takes no filters"),
        ("not_found", {"dimensions": ("page",)}, "has no dimension"),
        ("events", {"order": (("nothing", True),)}, "can't be ordered by 'nothing'"),
        ("counts", {"order": (("events", True),)}, "an order of its own"),
        ("events", {"parameters": {"unit": "week"}}, "these parameters of its own: none"),
        ("events", {"dimensions": ("props.",)}, "name of a property"),
        ("events", {"dimensions": (f"props.{'k' * 301}",)}, "name of a property"),
        ("events", {"dimensions": tuple(f"props.{number}" for number in range(11))}, "at most 10 dimensions"),
        ("events", {"filters": Compare("is", "page", ())}, "at least one value"),
        ("events", {"filters": Compare("contains", "page", ("x",) * 256)}, "at most 255 values"),
        ("events", {"filters": All((Compare("is", "page", ("/",)),) * 201)}, "at most 200 clauses"),
        ("events", {"filters": Compare("matches", "goal", ("x",))}, "Goals are filtered by"),
        ("events", {"filters": Compare("is", "city_of", ("x",))}, "dimension 'city_of' is not known"),
        ("funnel", {"steps": ("a",), "parameters": {"window_ms": 1}}, "has 2 to 8 steps"),
    ],
)
def test_what_a_file_cannot_be_asked(file: str, fields: dict[str, Any_], said: str) -> None:
    """Is refused in words before ClickHouse hears of it."""
    question = FileQuestion(**{"file": file, "site": "a.example", "period": PERIOD, **fields})
    with pytest.raises(Refused, match=said):
        compiled(query_of(file), question)


def test_alternatives_of_visits_are_one_subquery() -> None:
    """Each subquery puts the visits of the period together, which is what takes the time."""
    of_visits = tuple(Compare("is", name, ("x",)) for name in ("source", "entry_page", "utm_medium"))
    sql = statement("events", Any((*of_visits, Compare("is", "page", ("/",))))).sql
    assert sql.count("FROM forebay.named_sessions AS s") == 1
    assert "forebay.sessions AS s" not in sql
