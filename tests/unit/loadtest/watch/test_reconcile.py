"""What is owed is compared with what is stored."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.load.acklog import AckLog
from loadtest.watch.reconcile import Fate, Verdict, Verifier, VerifyError, compare, owed_by

A, U, R = Fate.ACKNOWLEDGED, Fate.UNCLEAR, Fate.REFUSED


@pytest.mark.parametrize(
    ("owed", "stored", "lost", "duplicated", "foreign"),
    [
        ({}, [], 0, 0, 0),
        ({"a": A, "b": A}, ["b", "a"], 0, 0, 0),
        ({"a": A, "b": A}, ["b"], 1, 0, 0),
        ({"a": A}, ["a", "a"], 0, 1, 0),
        ({"a": A}, ["a", "a", "a"], 0, 1, 0),
        ({"a": A, "b": A}, ["a", "a"], 1, 1, 0),
        ({"a": A, "u": U, "r": R}, ["a"], 0, 0, 0),
        ({"a": A, "u": U, "r": R}, ["a", "u", "r"], 0, 0, 0),
        ({"u": U}, ["u", "u"], 0, 1, 0),
        ({"a": A}, ["a", "x", "", ""], 0, 0, 3),
    ],
)
def test_what_is_owed_is_struck_off(
    owed: dict[str, Fate], stored: list[str], lost: int, duplicated: int, foreign: int
) -> None:
    """Cases of lost, duplicated and foreign ids; unclear and refused ids may be stored or not."""
    verdict = compare(stored, owed)
    assert (verdict.lost, verdict.duplicated, verdict.foreign) == (lost, duplicated, foreign)
    assert verdict.is_exact == (not lost and not duplicated)


IDS = st.integers(0, 30).map(str)


@given(st.dictionaries(IDS, st.sampled_from(Fate)), st.lists(IDS, max_size=60))
def test_the_verdict_is_what_counting_would_say(owed: dict[str, Fate], stored: list[str]) -> None:
    """It equals the plain definition, for any log and any table."""
    times = Counter(stored)
    verdict = compare(stored, dict(owed))
    assert verdict.lost == sum(times[name] == 0 for name, fate in owed.items() if fate is A)
    assert verdict.duplicated == sum(times[name] > 1 for name in owed)
    assert verdict.foreign == sum(count for name, count in times.items() if name not in owed)
    for fate in Fate:
        assert verdict.sent[fate.value] == sum(one is fate for one in owed.values())
        assert verdict.stored[fate.value] == sum(one is fate and times[name] > 0 for name, one in owed.items())
    assert set(verdict.lost_sample) <= set(owed)


def test_a_log_says_what_is_owed(tmp_path: Path) -> None:
    """Its three files are the three fates."""
    with AckLog(tmp_path / "log") as log:
        log.acknowledged(["a"])
        log.unclear(["u"])
        log.refused(["r"])
    assert owed_by(tmp_path / "log") == {"a": A, "u": U, "r": R}


@pytest.mark.parametrize(
    ("found", "is_exact"),
    [
        ({}, True),
        ({"events": 5, "daily_events": 5, "sessions_events": 5, "pageviews": 3, "sessions_pageviews": 3}, True),
        ({"events": 5, "daily_events": 10, "sessions_events": 5, "pageviews": 3, "sessions_pageviews": 3}, False),
        ({"events": 5, "daily_events": 5, "sessions_events": 4, "pageviews": 3, "sessions_pageviews": 3}, False),
        ({"events": 5, "daily_events": 5, "sessions_events": 5, "pageviews": 3, "sessions_pageviews": 2}, False),
    ],
)
def test_rollups_that_do_not_add_up_are_no_exact_result(found: dict[str, int], is_exact: bool) -> None:
    """Raw rows may be right while a view has them twice."""
    assert Verdict(sent={}, stored={}, rollups=found).is_exact == is_exact


def test_without_clickhouse_nothing_is_claimed(tmp_path: Path) -> None:
    """Nothing listens on port 9 (discard), which proves neither that events are lost nor that they are not."""
    with AckLog(tmp_path / "log") as log:
        log.acknowledged(["a"])
    verifier = Verifier("http://127.0.0.1:9", sites=("demo",), since_s=0)
    with pytest.raises(VerifyError):
        verifier.verify(tmp_path / "log", ended_s=0, timeout_s=0.1)
