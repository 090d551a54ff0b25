"""Numbers of several files are joined to one answer. All that is expected here was counted on paper (tests/support/dashboard/hand.py)."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from dashboard.ask.answers import answer
from dashboard.catalogue.contract import Answer, Period, Question, Refused
from dashboard.catalogue.filters import All, Compare, Done, Filter
from dashboard.catalogue.filters import Any as AnyOf
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import EngineAsker, days
from tests.support.dashboard.hand import FIRST, SECOND, THIRD, ZONE
from tests.support.dashboard.seed import moment

SITE = "hand.example"
PERIOD = days(FIRST, THIRD, ZONE)
TOTALS = ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration")


class Site:
    """Asks of the site that was counted on paper."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.asker = EngineAsker(clickhouse)

    def answer(self, metrics: str, dimensions: str = "", **more: Any) -> Answer:
        """Returns the answer to metrics by dimensions, both separated by spaces."""
        named = {"metrics": tuple(metrics.split()), "dimensions": tuple(dimensions.split())}
        fields: dict[str, Any] = {"site": SITE, "period": PERIOD, **named, **more}
        question = Question(**fields)
        return asyncio.run(answer(self.asker, question))

    def rows(self, metrics: str, dimensions: str = "", **more: Any) -> list[list[Any]]:
        """Returns the rows of an answer."""
        return self.answer(metrics, dimensions, **more).rows


@pytest.fixture(scope="module")
def site(seeded: ClickHouse) -> Site:
    """Returns the site, on an engine with all made-up sites."""
    return Site(seeded)


def test_totals(site: Site) -> None:
    """Seven numbers of three days: 9 pageviews of visits by 7, 3 bounces, 1868 s."""
    assert site.rows(" ".join(TOTALS)) == [[9, 7, 10, 16, 1.29, 43, 267]]


@pytest.mark.parametrize("metrics", [" ".join(TOTALS), "total_revenue visitors", "group_conversion_rate visits"])
def test_totals_of_nothing(site: Site, metrics: str) -> None:
    """A site without events has one row of totals as well: counts are 0, rates None and money empty."""
    rows = site.rows(metrics, site="empty.example", order=((metrics.split(maxsplit=1)[0], True),))
    nothing: dict[str, Any] = dict.fromkeys(TOTALS[:4], 0) | {"total_revenue": {}}
    assert rows == [[nothing.get(name) for name in metrics.split()]]


def test_series(site: Site) -> None:
    """Days without anything are there as well, with no rate."""
    period = days(date(2026, 2, 28), SECOND, ZONE)
    assert site.rows(" ".join(TOTALS), "time", period=period, is_filled=True) == [
        ["2026-02-28", 0, 0, 0, 0, None, None, None],
        ["2026-03-01", 3, 3, 4, 5, 1.67, 33, 462],
        ["2026-03-02", 4, 2, 4, 6, 1.0, 50, 180],
    ]
    assert site.rows("visitors", "time:day", period=period) == [["2026-03-01", 3], ["2026-03-02", 4]]
    hours = site.rows("visitors visits pageviews", "time", period=days(FIRST, FIRST, ZONE), is_filled=True)
    assert len(hours) == 24
    assert [row for row in hours if row[1]] == [
        ["2026-03-01 10:00:00", 1, 1, 2],
        ["2026-03-01 12:00:00", 1, 1, 1],
        ["2026-03-01 23:00:00", 1, 1, 1],
    ]
    assert site.rows("visitors", "time:week") == [["2026-03-01", 3], ["2026-03-02", 6]]
    assert site.rows("visitors", "time:month") == [["2026-03-01", 9]]


@pytest.mark.parametrize(
    ("dimension", "rows"),
    [
        ("source", [["Direct / None", 5, 3, 33, 440, 55.6], ["ChatGPT", 1, 1, 100, 3, 11.1]]),
        ("channel", [["Direct", 5, 3, 33, 440, 55.6], ["AI Assistant", 1, 1, 100, 3, 11.1]]),
        ("country", [["NP", 3, 2, 0, 660, 33.3], ["US", 3, 2, 50, 182, 33.3]]),
        ("country city", [["NP", "(not set)", 3, 2, 0, 660, 33.3], ["US", "San Francisco", 3, 2, 50, 182, 33.3]]),
        ("device", [["Desktop", 5, 4, 50, 136, 55.6], ["Laptop", 3, 2, 0, 660, 33.3]]),
        ("utm_source", [["(not set)", 8, 6, 33, 311, 88.9], ["newsletter", 1, 1, 100, 5, 11.1]]),
        ("entry_page", [["/", 5, 4, 50, 346, 55.6], ["/shop", 2, 1, 0, 360, 22.2]]),
        # The rates of a page are those of the visits that began with it.
        ("page", [["/", 4, 4, 50, 346, 44.4], ["/shop", 2, 1, 0, 360, 22.2]]),
        ("page source", [["/", "Direct / None", 2, 2, 50, 600, 22.2], ["/", "ChatGPT", 1, 1, 100, 3, 11.1]]),
    ],
)
def test_tables(site: Site, dimension: str, rows: list[list[Any]]) -> None:
    """The first two rows of each, and how many there are without a limit."""
    found = site.answer("visitors visits bounce_rate visit_duration percentage", dimension, limit=2, with_total=True)
    assert found.rows == rows
    everything = site.rows("visitors", dimension)
    assert found.total == len(everything)
    assert everything[:2] == [row[:-4] for row in rows]


def test_how_many_rows_there_are_takes_no_statement_of_its_own(site: Site) -> None:
    """A table is asked once, and says with its first rows how many it has."""
    site.asker.asked.clear()
    assert (site.answer("visitors visits", "country", limit=1, with_total=True).total or 0) > 1
    assert len(site.asker.asked) == 1


def test_events_and_properties(site: Site) -> None:
    """By the name of the event, and by a property, which some have not."""
    rows = site.rows("visitors events percentage", "event", order=(("events", True), ("event", False)), limit=3)
    assert rows == [["pageview", 9, 10, 100.0], ["purchase", 1, 2, 11.1], ["404", 1, 1, 11.1]]
    found = site.rows("visitors events percentage", "props.plan")
    assert found == [["(none)", 9, 13, 100.0], ["pro", 2, 2, 22.2], ["team", 1, 1, 11.1]]


def test_rates_of_goals_divide_by_different_visitors(site: Site) -> None:
    """One of nine visitors bought; he is one of three from his country, and of all who bought."""
    bought = Compare("is", "goal", ("purchase",))
    metrics = "visitors percentage conversion_rate group_conversion_rate total_revenue average_revenue"
    money = {"EUR": "5.5000", "USD": "20.0000"}
    assert site.rows(metrics, "country", filters=bought) == [["US", 1, 100.0, 11.1, 33.3, money, money]]
    assert ["purchase", 1, 11.1, 11.1, 11.1, money, money] in site.rows(metrics, "goal")
    team = All((bought, Compare("is", "props.plan", ("team",))))
    assert site.rows(metrics, filters=team) == [[1, 100.0, 11.1, 11.1, {"EUR": "5.5000"}, {"EUR": "5.5000"}]]


def test_pages(site: Site) -> None:
    """Two of four visits of the front page ended there; 13 s in use over four views, and 60 percent scrolled once."""
    ordered = (("time_on_page", True),)
    assert site.rows("time_on_page scroll_depth pageviews", "page", order=ordered, limit=3) == [
        ["/pricing", 30, 80, 1],
        ["/blog/hello", 4, 40, 1],
        ["/", 3, 15, 4],
    ]
    assert site.rows("visits exit_rate", "exit_page", limit=2) == [["/", 2, 50.0], ["/blog/hello", 1, 100.0]]
    assert ["/", 4, 50.0] in site.rows("visits exit_rate", "page")
    # Visitors are asked for the first two pages alone, and divided by those of all pages.
    assert site.rows("pageviews visitors percentage", "page", limit=2) == [["/", 4, 4, 44.4], ["/shop", 2, 2, 22.2]]


def test_exits_are_of_the_visits_that_saw_the_page_whatever_is_filtered(site: Site) -> None:
    """A filter by an event or a page chooses visits, and a visit saw its last page, whichever event fits the filter."""
    front = site.rows("visits exit_rate", "exit_page", filters=FRONT)
    assert front == [["/", 2, 50.0], ["/docs", 1, 100.0], ["/pricing", 1, 100.0]]
    bought = Compare("is", "event", ("purchase",))
    assert site.rows("visits exit_rate", "exit_page", filters=bought) == [["/shop", 1, 100.0]]


GOOGLE, FRONT = Compare("is", "source", ("Google",)), Compare("is", "page", ("/",))


@pytest.mark.parametrize(
    ("filters", "visitors", "visits", "pageviews"),
    [
        (GOOGLE, 1, 1, 2),
        (FRONT, 4, 4, 4),
        (Compare("is_not", "page", ("/",)), 6, 5, 6),
        (Compare("is", "source", ("Direct / None",)), 5, 3, 5),
        (All((FRONT, Compare("is", "source", ("(Direct / None)",)))), 2, 2, 2),
        (AnyOf((FRONT, Compare("contains", "country", ("F",)))), 5, 5, 5),
        (Compare("contains", "country", ("f",), is_case_sensitive=False), 1, 1, 1),
        (Compare("matches", "page", ("^/(docs|shop)$",)), 3, 2, 3),
        (Compare("matches_wildcard", "page", ("/blog*",)), 1, 1, 1),
        (Compare("matches_wildcard", "page", ("*o*",)), 4, 3, 4),
        (Compare("is", "utm_source", ("(not set)",)), 8, 6, 9),
        (Compare("is", "props.plan", ("(none)",)), 9, 7, 10),
        (Compare("is", "props.plan", ("pro",)), 2, 2, 0),
        (Done(Compare("is", "goal", ("signup",))), 1, 1, 2),
        (Done(Compare("is", "goal", ("signup",)), is_done=False), 8, 6, 8),
        (All((FRONT, Done(Compare("is", "page", ("/docs",))))), 1, 1, 1),
    ],
)
def test_filters(site: Site, filters: Filter, visitors: int, visits: int, pageviews: int) -> None:
    """Of rows, of visits, of both; a visit fits if one of its events does."""
    assert site.rows("visitors visits pageviews", filters=filters) == [[visitors, visits, pageviews]]


def test_comparison(site: Site) -> None:
    """Rows have those of the other period; buckets of time are compared by their place."""
    period, before = days(SECOND, THIRD, ZONE), days(date(2026, 2, 28), FIRST, ZONE)
    found = site.answer("visitors bounce_rate", "time:day", period=period, compare=before, is_filled=True)
    assert found.rows == [["2026-03-02", 4, 50], ["2026-03-03", 2, 50]]
    assert found.compared == [["2026-02-28", 0, None], ["2026-03-01", 3, 33]]
    found = site.answer("visitors", "source", period=period, compare=before)
    assert found.rows == [["Direct / None", 4], ["ChatGPT", 1], ["X (Twitter)", 1]]
    assert found.compared == [["Direct / None", 1], ["ChatGPT", 0], ["X (Twitter)", 0]]


def test_periods_that_are_no_days(site: Site) -> None:
    """From 23:55 to 09:30 there were the second page of a visit that had begun before, and one visit; and a day up to 12:00."""
    begins, ends = moment(ZONE, FIRST, 23, 55) // 1000, moment(ZONE, SECOND, 9, 30) // 1000
    night = Period(since=FIRST, until=SECOND, zone=ZONE, starts=begins, ends=ends)
    assert site.rows("visitors visits pageviews bounce_rate", period=night) == [[2, 1, 2, 100]]
    assert site.rows("visitors visits pageviews", "page", period=night) == [["/", 1, 1, 1], ["/docs", 1, 0, 1]]
    assert site.rows("visitors", "source", period=night) == [["Direct / None", 2]]
    assert [row[0] for row in site.rows("pageviews", "time:hour", period=night, is_filled=True)] == [
        "2026-03-01 23:00:00", *(f"2026-03-02 {hour:02}:00:00" for hour in range(10)),
    ]  # fmt: skip
    morning = Period(since=SECOND, until=SECOND, zone=ZONE, before=moment(ZONE, SECOND, 12) // 1000)
    assert site.rows("visitors visits pageviews events", period=morning) == [[3, 2, 3, 5]]
    assert site.rows("visitors visits", "country", period=morning) == [["DE", 1, 1], ["NP", 1, 0], ["US", 1, 1]]


@pytest.mark.parametrize(
    ("metrics", "dimensions", "more", "said"),
    [
        ("visitors", "nothing", {}, "dimension 'nothing' is not known"),
        ("nothing", "", {}, "metric 'nothing' is not known"),
        ("", "", {}, "at least one metric"),
        ("bounce_rate", "props.plan", {}, "'bounce_rate' is of visits"),
        ("time_on_page", "source", {}, "'time_on_page' is of events"),
        ("exit_rate", "source", {}, "by page or exit_page"),
        ("visitors", "page page", {}, "named once"),
        ("visitors", "page", {"order": (("visits", True),)}, "can't be ordered by 'visits'"),
        ("visitors", "page", {"limit": 10_001}, "limit is from 1 to 10,000"),
        ("visitors", "page", {"limit": 0}, "limit is from 1 to 10,000"),
        ("visitors", "page", {"offset": -1}, "offset from 0"),
        ("visitors", "", {"period": days(THIRD, FIRST, ZONE)}, "begins before it ends"),
        ("visitors", "", {"period": days(date(1990, 1, 1), FIRST, ZONE)}, "at most 7,320 days"),
        ("visitors", "", {"period": days(FIRST, THIRD, "Asia/Katmandoo")}, "not a known time zone"),
        ("visitors", "time:hour", {"period": days(date(2020, 1, 1), FIRST, ZONE)}, "choose a longer interval"),
        ("visitors", "", {"filters": Compare("is", "time:day", ("2026-03-01",))}, "no filter by time"),
    ],
)
def test_what_cannot_be_asked(site: Site, metrics: str, dimensions: str, more: dict[str, Any], said: str) -> None:
    """Is refused with a sentence that names what is wrong."""
    with pytest.raises(Refused, match=said):
        site.rows(metrics, dimensions, **more)
