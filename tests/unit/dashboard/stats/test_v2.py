"""Questions of the second Stats API as they are read, and answers as they are written."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.catalogue.contract import Answer, EveryName, Refused
from dashboard.catalogue.filters import All, Compare
from dashboard.stats import v2
from dashboard.stats.ranges import Clock
from dashboard.stats.words import DIMENSIONS, METRICS, TIMES

NOW = int(datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp())
CLOCK = Clock(NOW, "Asia/Kathmandu")
SITE = v2.Site(
    name="hand.example",
    goals=EveryName(),
    segments={7: [["is", "country", ["DE"]]]},
    first_day=date(2026, 3, 1),
)
LEAST = {"site_id": "hand.example", "date_range": ["2026-03-01", "2026-03-02"], "metrics": ["visitors"]}


def read(**more: Any) -> v2.Asked:
    return v2.read(LEAST | more, SITE, CLOCK)


def answer(asked: v2.Asked, rows: list[list[Any]], **more: Any) -> dict[str, Any]:
    """Returns what is written for an answer with these rows, as a client reads it."""
    columns = (*asked.question.dimensions, *asked.question.metrics)
    said = v2.written(asked, Answer(columns=columns, rows=rows, as_of=NOW, **more))
    return msgspec.json.decode(msgspec.json.encode(said))  # type: ignore[no-any-return]  # it is any JSON


def test_the_least_that_can_be_asked() -> None:
    """All that was not said has a value, which the answer shows."""
    asked = read()
    question = asked.question
    assert (question.site, question.metrics, question.dimensions, question.filters) == (
        "hand.example", ("visitors",), (), None,
    )  # fmt: skip
    assert (question.limit, question.offset, question.bots, question.with_total) == (10_000, 0, False, False)
    assert (question.order, question.compare, question.is_filled) == ((("visitors", True),), None, False)
    assert answer(asked, [[3]]) == {
        "results": [{"metrics": [3], "dimensions": []}],
        "meta": {},
        "query": {
            "site_id": "hand.example",
            "metrics": ["visitors"],
            "date_range": ["2026-03-01T00:00:00+05:45", "2026-03-02T23:59:59+05:45"],
            "filters": [],
            "dimensions": [],
            "order_by": [["visitors", "desc"]],
            "include": {"imports": False, "time_labels": False, "total_rows": False},
            "pagination": {"limit": 10_000, "offset": 0},
        },
    }


def test_all_that_can_be_asked() -> None:
    """Words become the catalogue's names, and the answer repeats them as they were written."""
    filters = [["contains", "event:page", ["/blog"], {"case_sensitive": False}], ["is", "segment", [7]]]
    asked = read(
        metrics=["visits", "bounce_rate"],
        dimensions=["visit:entry_page_hostname", "visit:country_name", "event:props:plan"],
        filters=filters,
        order_by=[["visit:entry_page_hostname", "asc"], ["bounce_rate", "desc"]],
        include={"total_rows": True, "imports": False, "compare": "previous_period"},
        pagination={"limit": 2, "offset": 4},
    )
    question = asked.question
    assert question.dimensions == ("entry_hostname", "country", "props.plan")
    assert question.filters == All((
        Compare("contains", "page", ("/blog",), is_case_sensitive=False), Compare("is", "country", ("DE",)),
    ))  # fmt: skip
    assert question.order == (("entry_hostname", False), ("bounce_rate", True))
    assert (question.limit, question.offset, question.with_total) == (2, 4, True)
    assert question.compare is not None
    assert (question.compare.since, question.compare.until) == (date(2026, 2, 27), date(2026, 2, 28))
    rows = [["hand.example", "DE", "pro", 4, 50], ["hand.example", "(not set)", "(none)", 0, None]]
    said = answer(asked, rows, compared=[["hand.example", "DE", "pro", 2, 40], None], total=9)
    assert said["results"][0]["dimensions"] == ["hand.example", "Germany", "pro"]
    assert said["results"][0]["comparison"] == {"metrics": [2, 40], "change": [100, 10]}
    assert said["results"][1]["dimensions"] == ["hand.example", "(not set)", "(none)"]
    assert said["meta"] == {"total_rows": 9}
    assert said["query"]["filters"] == filters
    assert said["query"]["dimensions"] == ["visit:entry_page_hostname", "visit:country_name", "event:props:plan"]
    assert said["query"]["include"]["compare"] == ["2026-02-27T00:00:00+05:45", "2026-02-28T23:59:59+05:45"]


def test_null_is_nothing() -> None:
    """Programs write it for what they leave out."""
    nothing = dict.fromkeys(("dimensions", "filters", "order_by", "include", "pagination"))
    assert read(**nothing).question == read().question


@pytest.mark.parametrize(
    "more", [{"dimensions": ["event:goal"]}, {"filters": [["not", ["is", "event:props:plan", ["pro"]]]]}]
)
def test_conversions_are_those_of_goals_or_properties(more: dict[str, Any]) -> None:
    """Either says what a conversion is."""
    assert read(metrics=["conversion_rate"], **more).metrics == ("conversion_rate",)


def test_a_country_by_its_code_and_its_name() -> None:
    """Two words for one dimension are asked once, and written both."""
    asked = read(dimensions=["visit:country", "time:day", "visit:country_name"])
    assert asked.question.dimensions == ("country", "time:day")
    said = answer(asked, [["DE", "2026-03-01", 2]])
    assert said["results"] == [{"metrics": [2], "dimensions": ["DE", "2026-03-01", "Germany"]}]


def test_a_series_has_labels_for_what_is_empty_too() -> None:
    """Buckets without rows are left out of the results, and are among the labels."""
    asked = read(dimensions=["time:day"], include={"time_labels": True})
    assert asked.question.order == (("time:day", False),)
    said = answer(asked, [["2026-03-02", 4]])
    assert said["results"] == [{"metrics": [4], "dimensions": ["2026-03-02"]}]
    assert said["meta"] == {"time_labels": ["2026-03-01", "2026-03-02"]}


def test_labels_are_of_the_unit_that_suits_the_period() -> None:
    """`time` alone is by hours for one day."""
    asked = read(dimensions=["time"], date_range="day", include={"time_labels": True})
    assert asked.labels is not None
    assert (len(asked.labels), asked.labels[1]) == (24, "2026-03-03 01:00:00")


def test_all_is_from_the_first_event() -> None:
    """Only such a question needs to know it."""
    assert v2.needs_first_day({"date_range": "all"})
    assert not v2.needs_first_day({"date_range": "day"})
    assert read(date_range="all").question.period.since == date(2026, 3, 1)


def test_money_has_one_currency_or_none() -> None:
    """A sum is an object; of several currencies, and where there is no money, it is null."""
    asked = read(metrics=["total_revenue", "visitors", "average_revenue"], dimensions=["event:goal"])
    assert asked.question.order == (("total_revenue", True),)
    euros = {"EUR": "20.5000"}
    said = answer(asked, [["a", euros, 2, euros], ["b", {**euros, "USD": "1.0000"}, 1, {}]])
    written = {"value": 20.5, "currency": "EUR", "short": "€20.5", "long": "€20.50"}
    assert [row["metrics"] for row in said["results"]] == [[written, 2, written], [None, 1, None]]
    codes = {name: warning["code"] for name, warning in said["meta"]["metric_warnings"].items()}
    assert codes == {"total_revenue": "no_single_revenue_currency"}


def test_no_money_at_all_has_a_warning() -> None:
    """A null is explained where no row has money."""
    said = answer(read(metrics=["total_revenue"], include={"compare": "year_over_year"}), [[{}]], compared=[None])
    assert said["results"] == [
        {"metrics": [None], "dimensions": [], "comparison": {"metrics": [None], "change": [None]}}
    ]
    assert said["meta"]["metric_warnings"]["total_revenue"]["code"] == "no_revenue_goals_matching"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"metrcs": []}, 'The key "metrcs" is not known. Known: site_id, date_range, metrics,'),
        ({"metrics": []}, "Missing metrics: give at least one of visitors,"),
        ({"metrics": "visitors"}, 'metrics is a list, not "visitors".'),
        ({"metrics": ["visitors", "visitors"]}, 'metrics has "visitors" twice.'),
        ({"metrics": ["clicks"]}, 'The metric "clicks" is not known.'),
        ({"metrics": ["group_conversion_rate"], "filters": [["is", "event:page", ["/"]]]}, "needs event:goal or event:props:NAME"),
        ({"dimensions": {}}, "dimensions is a list, not {}."),
        ({"dimensions": [3]}, "A dimension is a text, not 3."),
        ({"dimensions": ["visit:planet"]}, 'The dimension "visit:planet" is not known.'),
        ({"dimensions": [f"event:props:{number}" for number in range(9)]}, "at most 8 dimensions; this has 9"),
        ({"filters": [["is", "visit:planet", ["Mars"]]]}, 'The dimension "visit:planet" is not known.'),
        ({"filters": [["is", "segment", [8]]]}, "The site has no segment 8."),
        ({"include": []}, "include is an object, not []."),
        ({"include": {"imports": True}}, "Forebay does not have 'imports': nothing is imported."),
        ({"include": {"total_rows": 1}}, "include.total_rows is true or false, not 1."),
        ({"include": {"colours": True}}, "include.colours is not known. Known: imports, time_labels, total_rows, compare."),
        ({"include": {"time_labels": True}}, "include.time_labels needs a dimension of time."),
        ({"include": {"compare": "last_week"}}, "include.compare is previous_period, year_over_year or a list"),
        ({"pagination": 3}, "pagination is an object, not 3."),
        ({"pagination": {"page": 3}}, "pagination.page is not known. Known: limit, offset."),
        ({"pagination": {"limit": 0}}, "pagination.limit is a whole number from 1 to 10,000, not 0."),
        ({"pagination": {"limit": 10_001}}, "pagination.limit is a whole number from 1 to 10,000, not 10001."),
        ({"pagination": {"offset": True}}, "pagination.offset is a whole number from 0 to 1,000,000, not true."),
        ({"order_by": "visitors"}, 'order_by is a list, not "visitors".'),
        ({"order_by": [["visits", "desc"]]}, 'a metric or dimension of this question and asc or desc, not ["visits","desc"].'),
        ({"order_by": [["visitors", "down"]]}, "asc or desc, not"),
        ({"order_by": [["visitors", "asc"], ["visitors", "asc"]]}, "twice"),
        (
            {"dimensions": ["visit:country_name"], "order_by": [["visit:country_name", "asc"]]},
            "order them by visit:country.",
        ),
        ({"date_range": "century"}, 'The date_range "century" is not known.'),
    ],
)  # fmt: skip
def test_what_can_not_be_asked(more: dict[str, Any], said: str) -> None:
    """Each is one sentence with the name of what is wrong."""
    with pytest.raises(Refused) as caught:
        read(**more)
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["date_range", "metrics"])
def test_what_is_missing_is_named(key: str) -> None:
    """The required keys are required."""
    with pytest.raises(Refused, match=f"Missing {key}: give site_id, date_range, metrics."):
        v2.read({name: value for name, value in LEAST.items() if name != key}, SITE, CLOCK)


words = st.sampled_from(
    [*v2.KEYS, *METRICS, *DIMENSIONS, *TIMES, "is", "and", "not", "limit", "compare", "total_rows", "7d", "2026-03-01"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)


@given(more=st.dictionaries(words, anything, max_size=4))
def test_whatever_is_sent_is_read_or_refused(more: dict[str, Any]) -> None:
    """No JSON makes another error than Refused, and whatever is read can be written."""
    with contextlib.suppress(Refused):
        msgspec.json.encode(read(**more).echo)
