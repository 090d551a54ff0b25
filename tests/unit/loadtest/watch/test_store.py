"""The load test looks only as often as it must at what it measures."""

from __future__ import annotations

import pytest

from loadtest.watch.store import GAPS_KEPT, QUIET, Pace

STEP_S = 0.1  # between two looks, where one is due


def looks(arrivals: list[float], until: float) -> tuple[int, float]:
    """Returns how many looks there were, and how late the latest find was, if things come at these times."""
    pace, count, late = Pace(), 0, 0.0
    waiting = sorted(arrivals)
    for step in range(int(until / STEP_S) + 1):
        now = step * STEP_S
        if not pace.is_due(now):
            continue
        count += 1
        found = [at for at in waiting if at <= now]
        late = max([late, *(now - at for at in found)])
        waiting = waiting[len(found) :]
        pace.looked(now, found=bool(found))
    assert not waiting
    return count, late


def test_what_is_regular_is_looked_for_when_it_is_due() -> None:
    """A part a second is seen as soon as by looking all the time, with half of the looks."""
    count, late = looks([0.55 + number for number in range(30)], until=30)
    assert late <= STEP_S
    assert count < 0.5 * 30 / STEP_S


@pytest.mark.parametrize("gap", [0.15, 0.5, 0.65])
def test_what_comes_early_once_is_seen_late_once(gap: float) -> None:
    """After that it looks all the time again: at most QUIET of a gap is lost, once."""
    early = [0.55 + number for number in range(10)]
    more = [early[-1] + gap * number for number in range(1, GAPS_KEPT)]
    _, late = looks([*early, *more], until=20)
    assert late <= QUIET + STEP_S


def test_without_a_rhythm_it_looks_all_the_time() -> None:
    """No look is left out before there are gaps to judge by."""
    pace = Pace()
    assert all(pace.is_due(number * STEP_S) for number in range(100))
