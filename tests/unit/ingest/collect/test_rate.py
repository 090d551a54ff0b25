"""ingest/collect/rate.py: visitors that look at more pages in a minute than a person can."""

from __future__ import annotations

from ingest.collect.rate import PAGEVIEWS_MAX, VISITORS_MAX, Rates
from schemas.row import MINUTE_MS

START = 7 * MINUTE_MS


def test_the_first_pageviews_of_a_minute_are_a_persons() -> None:
    """From the one after them on the visitor is too fast, and the place where it became so is said."""
    rates = Rates()
    assert rates.count([1] * PAGEVIEWS_MAX, START) == {}
    assert not rates.is_anybody_fast
    assert rates.count([2, 1, 1], START + 1) == {1: 1}
    assert [rates.is_fast(visitor) for visitor in (1, 2)] == [True, False]


def test_it_holds_for_the_rest_of_the_minute_and_for_the_next() -> None:
    """And then the visitor is one like all others."""
    rates = Rates()
    rates.count([1] * (PAGEVIEWS_MAX + 1), START)
    found = []
    for minute in range(3):
        rates.count([2], START + minute * MINUTE_MS)
        found.append(rates.is_fast(1))
    assert found == [True, True, False]


def test_a_clock_that_jumps_makes_nobody_fast() -> None:
    """Ahead or back: the minute before is another one. What is collected a moment late counts in the minute that has begun."""
    for jump in (3 * MINUTE_MS, -3 * MINUTE_MS):
        rates = Rates()
        rates.count([1] * (PAGEVIEWS_MAX + 1), START)
        rates.count([2], START + jump)
        assert not rates.is_anybody_fast
    rates = Rates()
    rates.count([1] * PAGEVIEWS_MAX, START)
    assert rates.count([1], START - 1) == {1: 0}


def test_a_flood_of_visitors_is_bounded_and_hides_nobody_who_is_often_there() -> None:
    """Drops the visitors with a single page first, so those with many keep their counts."""
    rates = Rates()
    for at in range(PAGEVIEWS_MAX + 1):
        rates.count([1, *range(at * 2_000 + 2, (at + 1) * 2_000 + 2)], START)
    assert rates.is_fast(1)
    assert len(rates._views) <= VISITORS_MAX
    for at in range(3):  # visitors that come twice each
        visitors = range(at * VISITORS_MAX, (at + 1) * VISITORS_MAX)
        rates.count([*visitors, *visitors], START)
    assert len(rates._views) <= VISITORS_MAX


def test_what_ended_is_forgotten() -> None:
    """A visitor is a number under a salt."""
    rates = Rates()
    rates.count([1] * (PAGEVIEWS_MAX + 1), START)
    rates.forget()
    assert not rates.is_anybody_fast
    assert rates.count([1], START) == {}
