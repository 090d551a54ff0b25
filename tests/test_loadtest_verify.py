"""The comparison of what is owed with what is stored, and the report on it."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import report
from loadtest.account import Account, Flight
from loadtest.acklog import AckLog
from loadtest.generate import Plan, Request
from loadtest.tally import Tally
from loadtest.verify import Fate, Verdict, Verifier, VerifyError, compare, owed_by

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
    """Lost, duplicated and foreign, case by case; unclear and refused may go either way."""
    verdict = compare(stored, owed)
    assert (verdict.lost, verdict.duplicated, verdict.foreign) == (lost, duplicated, foreign)
    assert verdict.is_exact == (not lost and not duplicated)


IDS = st.integers(0, 30).map(str)


@given(st.dictionaries(IDS, st.sampled_from(Fate)), st.lists(IDS, max_size=60))
def test_the_verdict_is_what_counting_would_say(owed: dict[str, Fate], stored: list[str]) -> None:
    """Against the plain definition, for any log and any table."""
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
    """Its three files are its three fates."""
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
    """Raw rows may be right and a view doubled."""
    assert Verdict(sent={}, stored={}, rollups=found).is_exact == is_exact


def test_without_clickhouse_nothing_is_claimed(tmp_path: Path) -> None:
    """Port 9 (discard) has nobody on it: that is no proof of loss, and none of its absence."""
    with AckLog(tmp_path / "log") as log:
        log.acknowledged(["a"])
    verifier = Verifier("http://127.0.0.1:9", sites=("demo",), since_s=0)
    with pytest.raises(VerifyError):
        verifier.verify(tmp_path / "log", ended_s=0, timeout_s=0.1)


def tally(*, lag_ms: float = 0.5, waited: int = 0, unsent: int = 0) -> Tally:
    one = Tally(sent=100, waited=waited, unsent=unsent)
    for _ in range(100):
        one.lag.record(lag_ms / 1000)
    return one


@pytest.mark.parametrize(
    ("measured", "cpu_share", "waited_share", "is_limited"),
    [
        (tally(), 0.5, 0.0, False),
        (tally(lag_ms=50), 0.5, 0.0, True),
        (tally(), 0.95, 0.0, True),
        (tally(unsent=5), 0.5, 0.0, True),
        (tally(unsent=5), 0.5, 0.5, False),
    ],
)
def test_a_slow_generator_says_so(measured: Tally, cpu_share: float, waited_share: float, is_limited: bool) -> None:
    """Late by its own fault or out of CPU; not when the server kept every connection busy."""
    assert report.is_generator_limited(measured, cpu_share, waited_share) == is_limited


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """Two seconds, the first of them warm-up: one event each, acknowledged after 5 and 20 ms."""
    account = Account(AckLog(tmp_path / "log"), warmup_s=1)
    for at, name, ms in ((0.0, "a", 5), (1.0, "b", 20)):
        flight = Flight(0.0, 0.0, 0, Request(at, b"", b"", [name]))
        account.sent(flight, 0.0)
        account.answered(flight, ms / 1000)
        account.acknowledged(flight, b"", ms / 1000)
        account.close_second()
    return account


def run_of(account: Account) -> report.Run:
    return report.Run(
        url="http://127.0.0.1:8000",
        connections=4,
        timeout_s=1.0,
        warmup_s=1,
        resends=0,
        elapsed_s=2.0,
        cpu_s=0.5,
        reconnects=0,
        was_stopped=False,
        logged=2,
    )


def test_the_result_keeps_warm_up_out_of_rates_but_not_out_of_the_count(tmp_path: Path, account: Account) -> None:
    """What was acknowledged is owed, warm-up or not."""
    result = report.of(Plan(rate=1, duration_s=2), run_of(account), account, None)
    assert result["events"]["acknowledged"] == 2
    assert result["achieved_per_s"] == 1.0
    assert result["latency_ms"]["max"] == 20.0
    assert [row["max_ms"] for row in result["seconds"]] == [5.0, 20.0]
    assert result["machine"]["cpu"]
    assert result["generator_cpu_share"] == 0.25
    assert (result["lost"], result["duplicated"], result["verify"]) == (None, None, None)
    report.write(tmp_path / "result.json", result)
    assert json.loads((tmp_path / "result.json").read_text())["latency_ms"] == result["latency_ms"]


def test_the_summary_names_what_is_lost(account: Account) -> None:
    """A number to be alarmed at and an id to begin with."""
    verdict = compare(["b", "b"], {"lost-one": A, "b": A})
    result = report.of(Plan(rate=1, duration_s=2), run_of(account), account, verdict)
    text = report.summary(result)
    assert (result["lost"], result["duplicated"]) == (1, 1)
    assert "lost 1  duplicated 1" in text
    assert "lost-one" in text
    assert "WARNING" not in text


def test_the_progress_line_shows_troubles_only_when_there_are_any(account: Account) -> None:
    """A line without zeros is read."""
    row = account.seconds[1]
    assert "refused" not in report.progress(row, 2)
    assert "2/2 s" in report.progress(row, 2)
    assert "unclear 3" in report.progress(row | {"unclear": 3}, 2)
