"""Questions of the first Stats API as they are read, and answers as they are written."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.catalogue.contract import Answer, EveryName, Refused
from dashboard.catalogue.filters import All, Compare
from dashboard.stats import v1, v2
from dashboard.stats.ranges import Clock

NOW = int(datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp())
CLOCK = Clock(NOW, "Asia/Kathmandu")
SITE = v2.Site(name="hand.example", goals=EveryName(), segments={})
DAY = {"site_id": "hand.example", "period": "day", "date": "2026-03-02"}


def read(route: str, **given: str) -> v1.Asked:
    return v1.read(route, {"site_id": "hand.example"} | given, SITE, CLOCK)


def written(route: str, asked: v1.Asked, rows: list[list[Any]], **more: Any) -> dict[str, object]:
    columns = (*asked.question.dimensions, *asked.question.metrics)
    return v1.written(route, asked, Answer(columns=columns, rows=rows, as_of=NOW, **more))


def test_an_aggregate() -> None:
    """Without a word it is visitors of today and the thirty days before."""
    asked = read("aggregate")
    assert (asked.question.metrics, asked.question.dimensions) == (("visitors",), ())
    assert (asked.question.period.since, asked.question.period.until) == (date(2026, 2, 1), date(2026, 3, 3))
    assert written("aggregate", asked, [[9]]) == {"results": {"visitors": {"value": 9}}}


def test_an_aggregate_beside_the_period_before() -> None:
    """Each metric has its change."""
    asked = read("aggregate", **DAY, metrics="visitors, bounce_rate", compare="previous_period")
    assert asked.question.compare is not None
    assert asked.question.compare.since == asked.question.compare.until == date(2026, 3, 1)
    assert written("aggregate", asked, [[3, 50]], compared=[[2, 40]]) == {
        "results": {"visitors": {"value": 3, "change": 50}, "bounce_rate": {"value": 50, "change": 10}}
    }


@pytest.mark.parametrize(
    ("given", "dimension"),
    [
        ({"period": "7d"}, "time:day"),
        ({"period": "6mo"}, "time:month"),
        ({"period": "12mo"}, "time:month"),
        ({"period": "12mo", "interval": "date"}, "time:day"),
        ({"period": "7d", "interval": "month"}, "time:month"),
    ],
)
def test_a_series_has_every_bucket(given: dict[str, str], dimension: str) -> None:
    """It is by days, and by months for long periods, unless somebody asks otherwise."""
    question = read("timeseries", **given).question
    assert (question.dimensions, question.order, question.is_filled) == ((dimension,), ((dimension, False),), True)


def test_a_series_is_written_by_dates() -> None:
    """A day on which nothing happened has its row, with rates that are null."""
    asked = read("timeseries", metrics="visitors,bounce_rate")
    rows = [["2026-03-01", 2, 50], ["2026-03-02", 0, None]]
    assert written("timeseries", asked, rows) == {
        "results": [
            {"date": "2026-03-01", "visitors": 2, "bounce_rate": 50},
            {"date": "2026-03-02", "visitors": 0, "bounce_rate": None},
        ]
    }


def test_a_series_of_years_has_room() -> None:
    """What a program that copies everything asks for: each day since 2019."""
    question = read("timeseries", period="custom", date="2019-01-01,2026-03-03").question
    assert (question.period.until - question.period.since).days + 1 == 2_619 < question.limit


@pytest.mark.parametrize(
    ("word", "value", "result"),
    [
        ("visit:source", "Direct / None", {"source": "(Direct / None)", "visitors": 1}),
        ("visit:referrer", "Direct / None", {"referrer": "(Direct / None)", "visitors": 1}),
        ("event:props:plan", "Direct / None", {"plan": "Direct / None", "visitors": 1}),
        ("visit:utm_medium", "(not set)", {"utm_medium": "(not set)", "visitors": 1}),
        ("event:page", "/", {"page": "/", "visitors": 1}),
        ("visit:country_name", "DE", {"country_name": "Germany", "visitors": 1}),
    ],
)
def test_a_breakdown(word: str, value: str, result: dict[str, Any]) -> None:
    """Rows have the last part of the property's name, and the old word for no source."""
    asked = read("breakdown", property=word)
    assert (asked.question.limit, asked.question.offset) == (100, 0)
    assert written("breakdown", asked, [[value, 1]]) == {"results": [result]}


def test_pages_of_a_breakdown() -> None:
    """They are counted from 1, and ordered by the first metric."""
    question = read("breakdown", property="event:page", limit="20", page="3", metrics="pageviews,visitors").question
    assert (question.dimensions, question.limit, question.offset) == (("page",), 20, 40)
    assert question.order == (("pageviews", True),)


def test_filters_have_the_catalogues_names() -> None:
    """Their text is read, and so are the words in it."""
    question = read("aggregate", filters="event:page==/blog/*;visit:country_name!=France").question
    assert question.filters == All(
        (Compare("matches_wildcard", "page", ("/blog/*",)), Compare("is_not", "country", ("FR",)))
    )


@pytest.mark.parametrize(
    ("route", "given", "said"),
    [
        ("aggregate", {"metrics": "visitors,clicks"}, 'The metric "clicks" is not known.'),
        ("aggregate", {"metrics": ""}, 'The metric "" is not known.'),
        ("aggregate", {"metrics": "visits,visits"}, "metrics has visits twice."),
        ("aggregate", {"metrics": "total_revenue"}, "is money, which only POST /api/v2/query has."),
        ("aggregate", {"property": "event:page"}, 'The parameter "property" is not known. Known: site_id, period,'),
        ("aggregate", {"compare": "year"}, 'compare is previous_period, not "year".'),
        ("aggregate", {"with_imported": "true"}, "Forebay does not have 'imports': nothing is imported."),
        ("aggregate", {"period": "91d"}, 'The period "91d" is not known. Known: day, 7d, 30d, month'),
        ("aggregate", {"filters": "event:page"}, "A filter is like visit:country==FR"),
        ("aggregate", {"filters": "event:colour==red"}, 'The dimension "event:colour" is not known.'),
        ("timeseries", {"metrics": "conversion_rate"}, "needs event:goal or event:props:NAME"),
        (
            "breakdown",
            {"metrics": "conversion_rate", "property": "visit:source"},
            "needs event:goal or event:props:NAME",
        ),
        ("timeseries", {"interval": "hour"}, 'The interval "hour" is not known. Known: day, date, month.'),
        ("breakdown", {}, "Missing property: give one, like visit:source."),
        ("breakdown", {"property": "time:day"}, "time:day is no property: ask timeseries."),
        ("breakdown", {"property": "visit:medium"}, "Did you mean visit:utm_medium?"),
        ("breakdown", {"property": "event:page", "limit": "1001"}, "limit is a whole number from 1 to 1,000"),
        ("breakdown", {"property": "event:page", "page": "0"}, "page is a whole number from 1 to 1,000"),
        ("breakdown", {"property": "event:page", "page": "9" * 5_000}, "page is a whole number"),
        ("breakdown", {"property": "event:page", "limit": "²"}, "limit is a whole number"),
    ],
)
def test_what_can_not_be_asked(route: str, given: dict[str, str], said: str) -> None:
    """Each is one sentence with the name of what is wrong."""
    with pytest.raises(Refused) as caught:
        read(route, **given)
    assert said in str(caught.value)


texts = st.text(max_size=8) | st.sampled_from(
    [
        "custom",
        "6mo",
        "2026-02-30,x",
        "0001-01-01",
        "9999-12-31",
        "visit:source",
        "visitors",
        "event:page==/;x",
        "-1",
        "1e9",
    ]
)


@given(route=st.sampled_from(list(v1.PARAMETERS)[1:]), given=st.dictionaries(st.sampled_from(
    ["period", "date", "metrics", "filters", "compare", "interval", "property", "limit", "page", "with_imported"]
), texts, max_size=5))  # fmt: skip
def test_whatever_is_sent_is_read_or_refused(route: str, given: dict[str, str]) -> None:
    """No address makes another error than Refused."""
    with contextlib.suppress(Refused):
        read(route, **given)
