"""Web vitals are what three quarters of the measurements do not exceed, by the nearest rank; what nobody measured is null."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import days, rows_of
from tests.support.dashboard.chance import questions
from tests.support.dashboard.hand import FIRST, SECOND, THIRD, ZONE
from tests.support.dashboard.reference import p75
from tests.support.dashboard.seed import Hit, Site, Visit, insert, moment

NAMES = ("lcp", "inp", "cls", "fcp", "ttfb")
GOOD = {"lcp": 2_500, "inp": 200, "cls": 0.1, "fcp": 1_800, "ttfb": 800}
POOR = {"lcp": 4_000, "inp": 500, "cls": 0.25, "fcp": 3_000, "ttfb": 1_800}
PERIOD = days(FIRST, THIRD, ZONE)
SITE = "hand.example"


def measured(name: str, **of_page: list[float]) -> Site:
    """Returns a site on whose pages one vital was measured, once for each value."""
    hits = [
        Hit(number, f"/{page}", "vitals", vitals={name: value})
        for page, values in of_page.items()
        for number, value in enumerate(values)
    ]
    return Site(f"{name}.example", ZONE, (Visit("ann", moment(ZONE, SECOND, 9), hits),))


# All bounds, and the next value above them that 32 bits can tell apart; and as many values as make a difference.
SITES = (
    measured("cls", bounds=[0.1, 0.1000001, 0.25, 0.2500001]),
    measured("lcp", one=[7.0], three=[3.0, 1.0, 2.0], four=[4.0, 1.0, 3.0, 2.0], five=[5.0, 4.0, 3.0, 2.0, 1.0]),
)


@pytest.fixture(scope="module", name="measurements")
def with_measurements(seeded: ClickHouse) -> ClickHouse:
    """Returns the tables with two more sites."""
    sql, body = insert(SITES)
    seeded.run(f"{sql}\n{body.decode()}")
    return seeded


def test_vitals_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """Eve's browser reported three vitals, that of Gus one; nobody reported the other two."""
    assert rows_of(seeded, "vitals", SITE, PERIOD, dimensions=("page",)) == [
        ["/", 1, 3000, None, None, None, None],
        ["/missing", 1, 1200, 80, 0.25, None, None],
    ]
    assert rows_of(seeded, "vital_shares", SITE, PERIOD) == [
        ["cls", 1, 0.25, 0, 1, 0],
        ["inp", 1, 80, 1, 0, 0],
        ["lcp", 2, 3000, 1, 1, 0],
    ]


def test_the_nearest_rank(measurements: ClickHouse) -> None:
    """Of one value it is that, of three the third, of four the third, of five the fourth."""
    rows = rows_of(measurements, "vitals", "lcp.example", PERIOD, dimensions=("page",))
    assert [row[:3] for row in rows] == [["/five", 5, 4], ["/four", 4, 3], ["/three", 3, 3], ["/one", 1, 7]]


def test_bounds_belong_to_the_better_side(measurements: ClickHouse) -> None:
    """0.1 is good and 0.25 is middling, although neither is exact in 32 bits or both."""
    ((vital, samples, p75_, good, middling, poor),) = rows_of(measurements, "vital_shares", "cls.example", PERIOD)
    assert (vital, samples, good, middling, poor) == ("cls", 4, 1, 2, 1)
    assert p75_ == 0.25


def test_vitals_are_what_python_counts(seeded: ClickHouse) -> None:
    """By page and by day, over changes of clocks, with filters and without."""
    answers = 0
    for number, one in enumerate(questions(20, seed=6)):
        by: dict[str, list[dict[str, float]]] = defaultdict(list)
        for event in one.rows:
            if event.name == "vitals":
                by[event.path if number % 2 else str(one.asked.day(event.ms))].append(event.vitals)
        found = rows_of(seeded, "vitals", dimensions=("page" if number % 2 else "time:day",), **one.arguments)
        wanted = [
            [d, len(said), *(p75([vitals[name] for vitals in said if name in vitals]) for name in NAMES)]
            for d, said in sorted(by.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        ]
        assert found == wanted, one
        answers += bool(found)
    assert answers > 5


def test_shares_are_what_python_counts(seeded: ClickHouse) -> None:
    """Good, middling and poor add up to all."""
    answers = 0
    for one in questions(16, seed=7):
        values: dict[str, list[float]] = defaultdict(list)
        for event in one.rows:
            for name, value in event.vitals.items():
                values[name].append(value)
        wanted = []
        for name, said in sorted(values.items()):
            word = Counter(
                "good" if value <= GOOD[name] else "middling" if value <= POOR[name] else "poor" for value in said
            )
            wanted.append([name, len(said), p75(said), word["good"], word["middling"], word["poor"]])
        assert rows_of(seeded, "vital_shares", **one.arguments) == wanted, one
        answers += bool(wanted)
    assert answers > 5
