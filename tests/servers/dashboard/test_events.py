"""Properties of events, links, pages that were not found, and lengths of visits are what can be counted on paper, and what plain Python counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from forebay.clickhouse import ClickHouse
from tests.support.dashboard.asking import days, rows_of
from tests.support.dashboard.chance import questions, visits
from tests.support.dashboard.hand import FIRST, SECOND, THIRD, ZONE
from tests.support.dashboard.reference import Event, visitors
from tests.support.dashboard.seed import Hit, Site, Visit, insert, moment

PERIOD = days(FIRST, THIRD, ZONE)
SITE = "hand.example"
LINKS = ("Outbound Link: Click", "File Download", "Form: Submission")
BUCKETS = (0, 1, 10, 30, 60, 180, 600, 1_800)
FORMS = Site(
    "forms.example",
    ZONE,
    (
        Visit(
            "ann",
            moment(ZONE, SECOND, 9),
            (
                Hit(0, "/contact", "Form: Submission", props={"path": "/contact", "form": "newsletter"}),
                Hit(1, "/contact", "Form: Submission", props={"path": "/contact"}),
                Hit(2, "/contact", "Form: Submission", props={"path": "/contact"}),
                # An event without the property has the page on which it happened.
                Hit(2, "/contact", "Form: Submission", props={"form": "newsletter"}),
                Hit(2, "/order", "Form: Submission"),
                Hit(3, "/gone", "404", referrer="https://other.example/list?page=2"),
                Hit(4, "/any", "404", props={"path": "/Größe"}),
            ),
        ),
    ),
)


@pytest.fixture(scope="module", name="forms")
def with_forms(seeded: ClickHouse) -> ClickHouse:
    """Returns the tables with one more site."""
    sql, body = insert([FORMS])
    seeded.run(f"{sql}\n{body.decode()}")
    return seeded


@pytest.mark.parametrize(
    ("file", "parameters", "rows"),
    [
        ("properties", {"name": "purchase"}, [["plan", 2, 2]]),
        ("properties", {"name": "pageview"}, []),
        ("links", {"name": "Outbound Link: Click"}, [["https://other.example/x", 1, 1]]),
        ("links", {"name": "File Download"}, [["https://hand.example/a.pdf", 1, 1]]),
        ("links", {"name": "Form: Submission"}, []),
        ("not_found", {}, [["/missing", "", 1, 1]]),
    ],
)
def test_events_of_the_hand_counted_site(
    seeded: ClickHouse, file: str, parameters: dict[str, Any], rows: list[Any]
) -> None:
    """Each file, by the table in hand.py."""
    assert rows_of(seeded, file, SITE, PERIOD, parameters=parameters) == rows


def test_forms_and_lost_pages(forms: ClickHouse) -> None:
    """A form is its page, with its name behind a `#`; a lost page has the address that led to it, without its query."""
    assert rows_of(forms, "links", FORMS.name, PERIOD, parameters={"name": "Form: Submission"}) == [
        ["/contact", 1, 2],
        ["/contact#newsletter", 1, 2],
        ["/order", 1, 1],
    ]
    assert rows_of(forms, "not_found", FORMS.name, PERIOD) == [
        ["/Größe", "", 1, 1],
        ["/gone", "https://other.example/list", 1, 1],
    ]


def test_events_are_what_python_counts(seeded: ClickHouse) -> None:
    """Properties, links and lost pages, over changes of clocks, with filters and without."""
    answers = 0
    for number, one in enumerate(questions(20, seed=10)):
        there, arguments = one.rows, one.arguments
        by_name = grouped(there, lambda event: event.name)
        name = ("purchase", "signup", "File Download")[number % 3]
        values: dict[str, list[str]] = defaultdict(list)
        for event in by_name.get(name, []):
            for key, value in event.props.items():
                values[key].append(value)
        assert rows_of(seeded, "properties", parameters={"name": name}, **arguments) == sorted(
            [key, len(said), len(set(said))] for key, said in values.items()
        ), one

        kind = LINKS[number % 3]
        by_url = grouped(by_name.get(kind, []), lambda event: event.props.get("url") or "/contact#contact")
        assert rows_of(seeded, "links", parameters={"name": kind}, **arguments) == sorted(
            ([url, visitors(rows), len(rows)] for url, rows in by_url.items()), key=lambda row: (-row[1], row[0])
        ), one

        lost = grouped(by_name.get("404", []), lambda event: (event.props["path"], event.referrer))
        assert rows_of(seeded, "not_found", **arguments) == by_most(
            [*address, visitors(rows), len(rows)] for address, rows in lost.items()
        ), one
        answers += bool(values) + bool(by_url) + bool(lost)
    assert answers > 10


def test_durations_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """Seven visits, from one moment to twenty minutes; a length that no visit had is there with 0."""
    assert rows_of(seeded, "durations", SITE, PERIOD) == [
        [0, 1], [1, 2], [10, 0], [30, 0], [60, 1], [180, 2], [600, 1], [1_800, 0]
    ]  # fmt: skip


def test_durations_are_what_python_counts(seeded: ClickHouse) -> None:
    """Each visit is in one bucket, on the day on which it began."""
    for one in questions(12, seed=11, with_filters=False):
        counted = Counter(
            max(bucket for bucket in BUCKETS if bucket <= visit.seconds)
            for visit in visits(one.asked.site)
            if visit.is_counted(one.asked.bots) and one.asked.holds(visit.started)
        )
        assert rows_of(seeded, "durations", **one.arguments) == [[bucket, counted[bucket]] for bucket in BUCKETS], one


def grouped(rows: list[Event], key: Any) -> dict[Any, list[Event]]:
    """Returns events by what a function says of each; None leaves one out."""
    found: dict[Any, list[Event]] = defaultdict(list)
    for event in rows:
        if (name := key(event)) is not None:
            found[name].append(event)
    return found


def by_most(rows: Any) -> list[Any]:
    """Returns rows by their last number, then by their first values."""
    return sorted(rows, key=lambda row: (-row[-1], row[:-1]))
