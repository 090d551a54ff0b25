"""Filters in JSON: what they say, what they may have at most, and the sentence for what is none."""

from __future__ import annotations

import contextlib
from typing import Any as Anything

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.catalogue.contract import Refused
from dashboard.catalogue.filter_json import from_json, to_json
from dashboard.catalogue.filters import All, Any, Compare, Done, Filter, Not, compares

PAGE = ["is", "page", ["/"]]
IS_PAGE = Compare("is", "page", ("/",))
COUNTRY = ["contains_not", "country", ["A", "B"], {"case_sensitive": False}]
NO_COUNTRY = Compare("contains_not", "country", ("A", "B"), is_case_sensitive=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ([], None),
        ([PAGE], IS_PAGE),
        ([PAGE, COUNTRY], All((IS_PAGE, NO_COUNTRY))),
        ([["and", [PAGE, COUNTRY]]], All((IS_PAGE, NO_COUNTRY))),
        ([["or", [PAGE, COUNTRY]]], Any((IS_PAGE, NO_COUNTRY))),
        ([["or", [PAGE]]], IS_PAGE),
        ([["not", PAGE]], Not(IS_PAGE)),
        ([["has_done", PAGE]], Done(IS_PAGE)),
        ([["has_not_done", PAGE], COUNTRY], All((Done(IS_PAGE, is_done=False), NO_COUNTRY))),
        ([["is", "page", ["/"], {"case_sensitive": True}]], IS_PAGE),
        ([["matches", "page", ["^/a$"]]], Compare("matches", "page", ("^/a$",))),
        ([["is", "source", [""]]], Compare("is", "source", ("",))),
    ],
)
def test_what_is_written_is_what_is_meant(written: list[Anything], meant: Filter | None) -> None:
    """Each form of the grammar is read as the tree that it stands for."""
    assert from_json(written) == meant


def test_names_are_those_of_whoever_asks() -> None:
    """A face that has names of its own for dimensions gives the way from them, and back."""
    tree = from_json([["is", "event:page", ["/"]]], named=lambda name: name.removeprefix("event:"))
    assert tree == IS_PAGE
    assert to_json(tree, named=lambda name: f"event:{name}") == [["is", "event:page", ["/"]]]


def test_a_segment_is_its_filters() -> None:
    """One of several segments has to hold, and all filters of it."""
    segments = {1: [PAGE, COUNTRY], 2: [PAGE]}
    assert from_json([["is", "segment", [1]]], segments=segments) == All((IS_PAGE, NO_COUNTRY))
    assert from_json([["is", "segment", [1, 2]]], segments=segments) == Any((All((IS_PAGE, NO_COUNTRY)), IS_PAGE))


def deep(levels: int) -> list[Anything]:
    found: list[Anything] = PAGE
    for _ in range(levels - 1):
        found = ["not", found]
    return [found]


FAULTS: list[tuple[Anything, str]] = [
    ({}, "Filters are a list, not {}"),
    ("is", 'Filters are a list, not "is"'),
    (["is", "page", ["/"]], 'A filter is a list like ["is", "event:page", ["/"]], not "is"'),
    ([[]], "A filter is a list like"),
    ([[1, "page", ["/"]]], "A filter is a list like"),
    ([["is"]], "A filter is a list like"),
    ([["equals", "page", ["/"]]], 'The operator "equals" is not known; known are is, is_not, contains,'),
    ([["is", 3, ["/"]]], "A dimension is a text, not 3"),
    ([["is", "page"]], "A filter has an operator, a dimension and a list of values"),
    ([["is", "page", "/"]], 'The values of a filter by "page" are a list that is not empty, not "/"'),
    ([["is", "page", []]], "are a list that is not empty"),
    ([["is", "city", [2950159]]], 'The values of a filter are texts; 2950159, given for "city", is not'),
    ([["is", "page", ["\ud800"]]], "half of a surrogate pair"),
    ([["is", "page", ["/"], {"case": 1}]], 'stands nothing but {"case_sensitive": false}, not {"case":1}'),
    ([["is", "page", ["/"], {"case_sensitive": 0}]], 'not {"case_sensitive":0}'),
    ([["is", "page", ["/"], {}, {}]], "A filter has an operator, a dimension and a list of values"),
    ([["matches", "page", ["a"], {"case_sensitive": False}]], "begin the pattern with (?i)"),
    ([["is", "time:day", ["2026-01-01"]]], "There is no filter by time: give a date_range"),
    ([["matches", "goal", ["a"]]], "Goals are filtered by is, is_not, contains, not by matches"),
    ([["and", []]], "`and` has one list of filters behind it, which is not empty"),
    ([["or", PAGE, PAGE]], "`or` has one list of filters behind it"),
    ([["not", PAGE, PAGE]], "`not` has one filter behind it"),
    ([["has_done", ["not", ["has_done", PAGE]]]], "`has_done` can't stand within another one"),
    ([["is", "segment", [3]]], "The site has no segment 3"),
    ([["is", "segment", [True]]], "The site has no segment true"),
    ([["is_not", "segment", [1]]], 'A segment is asked for by ["is", "segment", [1]]'),
    ([["is", "segment", [2]]], "A segment can't have another one in it"),
    ([["is", "segment", [4]]], "The segment 4 has no filters"),
    (deep(7), "Filters stand at most 6 deep in each other"),
    ([["or", [PAGE] * 101]], "Filters have at most 100 clauses; these have 101"),
    ([PAGE] * 10_000, "Filters have at most 100 clauses; these have 10,000"),
    ([["is", "page", ["/"] * 501]] * 2, "Filters have at most 1,000 values; these have 1,002"),
    ([["contains", "page", ["/"] * 256]], "`contains` has at most 255 values; this has 256"),
    ([["is", "page", ["x" * 501]]], 'A value has at most 500 characters; one of "page" has 501'),
    ([["matches", "page", ["a"] * 21]], "Filters have at most 20 patterns; these have 21"),
    ([["matches", "page", ["a" * 301]]], "A pattern has at most 300 characters; this has 301"),
    ([["matches", "page", ["("]]], 'RE2 does not take the pattern "(": missing ): ('),
    ([["matches_not", "page", [r"\pL{1,1000}"]]], "pattern too large"),
    ([["matches", "page", ["(((a{100}){100}){100})"]]], "invalid repetition size"),
    ([["matches", "page", ["a\0b"]]], "a pattern can't contain a zero byte"),
    ([["is", "page", [deep(50_000)]]], "The values of a filter are texts"),
]


@pytest.mark.parametrize(("written", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_what_is_no_filter_is_refused_in_words(written: object, said: str) -> None:
    """Each fault and each limit has a sentence that names it."""
    segments = {1: [PAGE], 2: [["is", "segment", [1]]], 4: []}
    with pytest.raises(Refused) as caught:
        from_json(written, segments=segments)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_all_that_is_allowed_at_once() -> None:
    """What is exactly as much as the limits is taken."""
    many = [["contains", "page", ["/" * 500] * 255]] * 3 + [["matches", "page", ["a" * 300] * 20]]
    assert len(compares(from_json([*many, *deep(6), ["or", [PAGE] * 95]]))) == 100


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
conditions = st.builds(
    Compare,
    st.sampled_from(["is", "is_not", "contains", "contains_not"]),
    st.sampled_from(["page", "country", "props.plan"]),
    st.lists(texts, min_size=1, max_size=3).map(tuple),
    st.booleans(),
)


def grown(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(inner, st.builds(All, parts), st.builds(Any, parts), st.builds(Not, inner))


trees = grown(grown(grown(conditions)))


@given(tree=trees, is_done=st.booleans())
def test_what_is_written_out_is_read_as_the_same(tree: Filter, is_done: bool) -> None:
    """A tree survives the way to JSON and back, whatever its values are."""
    whole = Any((Done(tree, is_done), IS_PAGE)) if is_done else tree
    assert from_json(to_json(whole)) == whole


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["is", "and", "not", "segment", "page"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=20,
)


@given(written=anything)
def test_whatever_comes_is_read_or_refused(written: object) -> None:
    """No JSON makes another error than Refused."""
    with contextlib.suppress(Refused):
        from_json(written, segments={1: [PAGE]})
