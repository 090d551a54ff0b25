"""Each number is asked of the file that has it for the least, and never of one in which it means something else."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from dashboard.catalogue.contract import Period, Question
from dashboard.catalogue.filters import All, Compare, Done, Filter, Not
from dashboard.catalogue.plans import needs, without_conversion

PERIOD = Period(since=date(2026, 3, 1), until=date(2026, 3, 31), zone="UTC")
PAGE, SOURCE, COUNTRY = (Compare("is", name, ("x",)) for name in ("page", "source", "country"))
GOAL, PLAN, NAME = (Compare("is", name, ("x",)) for name in ("goal", "props.plan", "event"))


def files(metric: str, dimensions: str = "", filters: Filter | None = None, **more: Any) -> tuple[str, str]:
    """Returns the file of a number and that of its divisor."""
    fields: dict[str, Any] = {"period": PERIOD, **more}
    (need,) = needs(
        Question(site="a.example", metrics=(metric,), dimensions=tuple(dimensions.split()), filters=filters, **fields)
    )
    return need.source.file, need.divisor.file if need.divisor else ""


@pytest.mark.parametrize(
    ("metric", "dimensions", "filters", "more", "file"),
    [
        # Pageviews and events: by time and name from a projection, by page too, all else from rows or with their visits.
        ("pageviews", "", None, {}, "counts"),
        ("events", "time:hour event", NAME, {}, "counts"),
        ("events", "time:day", COUNTRY, {}, "events"),
        ("pageviews", "page", None, {}, "pages"),
        ("pageviews", "page", COUNTRY, {}, "events"),
        ("pageviews", "page", None, {"period": replace(PERIOD, before=1)}, "events"),
        ("pageviews", "source", None, {}, "matched"),
        ("pageviews", "", SOURCE, {}, "events"),
        # Visitors: of visits, unless something is asked that only rows have, or a moment within a day.
        ("visitors", "source time:day", COUNTRY, {}, "visits"),
        ("visitors", "time:hour", None, {}, "events"),
        ("visitors", "page", None, {}, "events"),
        ("visitors", "", PAGE, {}, "events"),
        ("visitors", "", Not(PAGE), {}, "events"),
        ("visitors", "", Done(PAGE), {}, "visits"),
        ("visitors", "source", PAGE, {}, "matched"),
        ("visitors", "page source", None, {}, "matched"),
        ("visitors", "", None, {"bots": True}, "events"),
        ("visitors", "", None, {"period": replace(PERIOD, starts=1, ends=2)}, "events"),
        ("visitors", "", None, {"period": replace(PERIOD, before=1)}, "events"),
        # Visits are visits, whatever the filter; by page those that have one there.
        ("visits", "", PAGE, {}, "visits"),
        ("visits", "page", None, {}, "events"),
        ("visits", "source page", None, {}, "matched"),
        ("bounce_rate", "page", None, {}, "visits"),
        ("time_on_page", "page", SOURCE, {}, "page_times"),
        ("total_revenue", "country", GOAL, {}, "revenue"),
    ],
)
def test_the_file_of_a_number(
    metric: str, dimensions: str, filters: Filter | None, more: dict[str, Any], file: str
) -> None:
    """Depends on dimensions, filters, and where the period begins and ends."""
    assert files(metric, dimensions, filters, **more)[0] == file


def test_pageviews_are_counted_with_visitors_of_rows() -> None:
    """One question has both, unless visitors are counted of visits."""
    for period, file in ((PERIOD, "counts"), (replace(PERIOD, before=1), "events")):
        question = Question(site="a", period=period, metrics=("visitors", "pageviews", "events"))
        assert [need.source.file for need in needs(question)][1:] == [file, file]


def test_a_rate_by_page_is_of_the_visits_that_began_there() -> None:
    """Its source has the entry page in the place of the page."""
    (need,) = needs(Question(site="a", period=PERIOD, metrics=("bounce_rate",), dimensions=("page", "country")))
    assert need.source.dimensions == ("entry_page", "country")


def test_what_a_rate_divides_by() -> None:
    """All rows, all without the filters by goal, the same value without them, or the visits that saw the page."""
    both = All((GOAL, COUNTRY, PLAN))

    def divisor(metric: str, *dimensions: str) -> tuple[str, tuple[str, ...], Filter | None]:
        question = Question(site="a", period=PERIOD, metrics=(metric,), dimensions=dimensions, filters=both)
        (found,) = (need.divisor for need in needs(question))
        assert found is not None
        return found.file, found.dimensions, found.filters

    assert divisor("percentage", "country") == ("events", (), both)
    assert divisor("conversion_rate", "goal", "country") == ("visits", (), COUNTRY)
    assert divisor("group_conversion_rate", "goal", "country", "props.plan") == ("visits", ("country",), COUNTRY)
    assert divisor("conversion_rate", "time:day") == ("visits", ("time:day",), COUNTRY)
    assert divisor("exit_rate", "exit_page") == ("events", ("page",), All((COUNTRY, Done(All((GOAL, PLAN))))))
    assert without_conversion(Not(All((GOAL, PAGE)))) is None
