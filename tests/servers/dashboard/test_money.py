"""Money is counted by currency and never added up over currencies, alone and by campaigns."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from dashboard.catalogue.filters import Compare, Filter
from dashboard.catalogue.periods import moments
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import days, rows_of
from tests.support.dashboard.chance import questions, visits
from tests.support.dashboard.hand import FIRST, SECOND, THIRD, ZONE
from tests.support.dashboard.reference import Event, Visit, money, totals
from tests.support.dashboard.seed import Hit, Site, insert, moment
from tests.support.dashboard.seed import Visit as Seen

PERIOD = days(FIRST, THIRD, ZONE)
SITE = "hand.example"
SPRING = "utm_source=news&utm_medium=email&utm_campaign=spring"
MINUTE = 60_000
CAMPAIGNS = Site(
    "campaigns.example",
    ZONE,
    (
        # Ann comes at ten to midnight and buys twenty minutes later, on the next day; and takes half of it back.
        Seen(
            "ann",
            moment(ZONE, FIRST, 23, 50),
            (
                Hit(0, "/", query=SPRING),
                Hit(5 * MINUTE, "/", "purchase", cents=1_000, currency="EUR"),
                Hit(20 * MINUTE, "/", "purchase", cents=5_000, currency="EUR"),
                Hit(21 * MINUTE, "/", "purchase", cents=-2_500, currency="EUR"),
            ),
        ),
        # Bob pays in yen, and what he pays in pounds is nothing in the end.
        Seen(
            "bob",
            moment(ZONE, SECOND, 8),
            (
                Hit(0, "/", query=SPRING),
                Hit(1, "/", "purchase", cents=300, currency="JPY"),
                Hit(2, "/", "purchase", cents=300, currency="GBP"),
                Hit(3, "/", "purchase", cents=-300, currency="GBP"),
            ),
        ),
        Seen("cid", moment(ZONE, SECOND, 9), (Hit(0, "/", query="utm_source=other"),)),
        Seen("dot", moment(ZONE, SECOND, 9), (Hit(0), Hit(1, "/", "purchase", cents=9_900, currency="EUR"))),
    ),
)


@pytest.fixture(scope="module", name="campaigns")
def with_campaigns(seeded: ClickHouse) -> ClickHouse:
    """Returns the tables with one more site."""
    sql, body = insert([CAMPAIGNS])
    seeded.run(f"{sql}\n{body.decode()}")
    return seeded


def test_money_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """Dan paid in two currencies on the second day."""
    assert rows_of(seeded, "revenue", SITE, PERIOD) == [[SITE, "EUR", "5.5", 1, 1], [SITE, "USD", "20", 1, 1]]
    assert rows_of(seeded, "revenue", SITE, PERIOD, dimensions=("props.plan", "time:day")) == [
        [["pro", "2026-03-02"], "USD", "20", 1, 1],
        [["team", "2026-03-02"], "EUR", "5.5", 1, 1],
    ]


def test_money_that_was_given_back(campaigns: ClickHouse) -> None:
    """Is taken from the sum; a currency whose sum is nothing is still one that was paid in."""
    assert rows_of(campaigns, "revenue", CAMPAIGNS.name, PERIOD, dimensions=("time:day",)) == [
        ["2026-03-01", "EUR", "10", 1, 1],
        ["2026-03-02", "EUR", "124", 3, 2],
        ["2026-03-02", "GBP", "0", 2, 1],
        ["2026-03-02", "JPY", "3", 1, 1],
    ]


def test_money_is_what_python_counts(seeded: ClickHouse) -> None:
    """By day and as a whole, over changes of clocks, with filters and without."""
    answers = 0
    for number, one in enumerate(questions(20, seed=4)):
        by_day: dict[str, list[Event]] = defaultdict(list)
        for event in one.rows:
            by_day[str(one.asked.day(event.ms)) if number % 2 else one.asked.site].append(event)
        wanted = []
        for d, rows in sorted(by_day.items()):
            sums, purchases = money(rows)
            for currency in sorted(sums):
                buyers = {event.visitor for event in rows if event.currency == currency}
                wanted.append([d, currency, Decimal(sums[currency]) / 10_000, purchases[currency], len(buyers)])
        found = rows_of(seeded, "revenue", dimensions=("time:day",) if number % 2 else (), **one.arguments)
        assert [[d, currency, Decimal(sum_), *rest] for d, currency, sum_, *rest in found] == wanted, one
        answers += bool(found)
    assert answers > 7


def test_campaigns_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """Ben came from a newsletter, and left at once."""
    assert rows_of(seeded, "campaigns", SITE, PERIOD) == [["newsletter", "email", "spring", 1, 1, 1, {}]]


SPRING_NAMES = ["news", "email", "spring"]


@pytest.mark.parametrize(
    ("since", "until", "rows"),
    [
        (
            FIRST,
            THIRD,
            [
                [*SPRING_NAMES, 3, 2, 0, {"EUR": "35", "GBP": "0", "JPY": "3"}],
                ["other", "", "", 1, 1, 1, {}],
            ],
        ),
        (FIRST, FIRST, [[*SPRING_NAMES, 1, 1, 0, {"EUR": "10"}]]),
        # Ann's visit belongs to the day before; she is a visitor of this one, and her money is of this one.
        (
            SECOND,
            SECOND,
            [
                [*SPRING_NAMES, 2, 1, 0, {"EUR": "25", "GBP": "0", "JPY": "3"}],
                ["other", "", "", 1, 1, 1, {}],
            ],
        ),
        (THIRD, THIRD, []),
    ],
)
def test_campaigns_over_midnight(campaigns: ClickHouse, since: Any, until: Any, rows: list[Any]) -> None:
    """Money counts on the day on which it came in, for the campaign of its visit; money without a campaign is left out."""
    assert rows_of(campaigns, "campaigns", CAMPAIGNS.name, days(since, until, ZONE)) == rows


def test_campaigns_of_minutes(campaigns: ClickHouse) -> None:
    """Money counts at the moment at which it came in, also without its visit."""
    starts, ends = (moment(ZONE, FIRST, 23, minute) // 1000 for minute in (54, 56))
    period = moments(starts, ends, ZONE, ends + 86_400)
    assert rows_of(campaigns, "campaigns", CAMPAIGNS.name, period) == [[*SPRING_NAMES, 0, 0, 0, {"EUR": "10"}]]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Compare("is", "utm_source", ("other",)), ["other"]),
        (Compare("is", "event", ("purchase",)), ["news"]),
        (Compare("is", "channel", ("Email",)), ["news"]),
        (Compare("is", "page", ("/nowhere",)), []),
    ],
)
def test_campaigns_with_a_filter(campaigns: ClickHouse, filters: Filter, names: list[str]) -> None:
    """A filter chooses visits, by what they are and by what they have."""
    rows = rows_of(campaigns, "campaigns", CAMPAIGNS.name, PERIOD, filters=filters)
    assert [row[0] for row in rows] == names
    assert all(row[6]["GBP"] == "0" for row in rows if row[0] == "news")


def test_campaigns_are_what_python_counts(seeded: ClickHouse) -> None:
    """Over changes of clocks and midnights."""

    def names_of(visit: Visit) -> tuple[str, str, str]:
        return tuple(visit.utm.get(f"utm_{name}", "") for name in ("source", "medium", "campaign"))  # type: ignore[return-value]  # three names

    answers = 0
    for one in questions(16, seed=5, with_filters=False):
        there = visits(one.asked.site)
        names = {visit.session: names_of(visit) for visit in there}
        wanted = {}
        for campaign in set(names.values()) - {("", "", "")}:
            found = totals([visit for visit in there if names[visit.session] == campaign], one.asked)
            sums, _ = money(event for event in one.rows if names[event.session] == campaign)
            if found.visitors or found.visits or sums:
                sums_ = {currency: Decimal(amount) / 10_000 for currency, amount in sums.items()}
                wanted[campaign] = [found.visitors, found.visits, found.bounces, sums_]
        rows = rows_of(seeded, "campaigns", **one.arguments)
        assert {
            tuple(row[:3]): [*row[3:6], {name: Decimal(amount) for name, amount in row[6].items()}] for row in rows
        } == wanted, one
        answers += bool(rows)
    assert answers > 8
