"""The figures of a run add up, and its weaknesses are named."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.load.generator import Ended, Second
from loadtest.load.generators import Generators
from loadtest.load.profile import PROFILES
from loadtest.load.tally import Tally
from loadtest.processes import Usage
from loadtest.report.progress import line
from loadtest.report.result import Facts, Result, is_generator_limited, result_of, write
from loadtest.report.text import knee, summary
from loadtest.run import orders
from loadtest.settings import Settings, SweepSettings
from loadtest.sweep import _next
from loadtest.watch.outage import outage_of
from loadtest.watch.reconcile import Fate, Verdict, compare


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
    """It is the limit if it was late by itself or out of CPU, and not if the server kept every connection busy."""
    assert is_generator_limited(measured, cpu_share, waited_share) == is_limited


def test_a_tally_crosses_processes_whole() -> None:
    """As JSON and back, it keeps its histograms and counters."""
    one = tally(waited=3, unsent=2)
    one.latency.record(0.25)
    one.refused["503"] += 7
    assert Tally.of(json.loads(json.dumps(one.state()))).state() == one.state()


def settled(ms: float) -> Tally:
    one = Tally(sent=1, answered=1, acknowledged=1)
    one.latency.record(ms / 1000)
    return one


def facts(verdict: Verdict | None = None, **changes: Any) -> Facts:
    """Returns a run of two generators and two seconds, of which the first is warm-up, with one event a second each."""
    settings = Settings(rate=2, duration_s=2, warmup_s=1, generators=2, verify=False)
    plan = settings.plan()
    generators = Generators(orders(settings, plan, [Path("1"), Path("2")]), lambda row: None)
    for told in generators._told:
        told.append(Second(Tally().state(), settled(5).state(), 0.25))
        told.append(Second(settled(20).state(), Tally().state(), 0.25))
    generators._merge(is_last=True)
    ended = Ended(elapsed_s=2.0, cpu_s=0.5, starved_s=0.1, reconnects=0, logged=2, was_stopped=False)
    whole: dict[str, Any] = {
        "plan": plan,
        "settings": settings,
        "generators": generators,
        "ended": [ended, ended],
        "store": None,
        "usage": {"ingest": Usage(cpu_s=2.0, rss_mb=[10.0, 30.0, 20.0]), "generators": Usage(cpu_s=1.0)},
        "looks": [(1.0, {"ingest": {"cpu": 0.5, "rss_mb": 30.0}})],
        "markers": [],
        "verdict": verdict,
        "unverified": "",
    }
    return Facts(**whole | changes)


def test_the_result_keeps_warm_up_out_of_rates_but_not_out_of_the_count(tmp_path: Path) -> None:
    """The server owes what it acknowledged, also in the warm-up."""
    found = result_of(facts(), {})
    figures = found.figures
    assert figures["events"]["acknowledged"] == figures["events"]["logged"] == 4
    assert figures["achieved_per_s"] == 2.0
    assert figures["latency_ms"]["max"] == 20.0
    assert [row["max_ms"] for row in figures["seconds"]] == [5.0, 20.0]
    assert [row["offered"] for row in figures["seconds"]] == [2.0, 2.0]
    assert figures["machine"]["cpu"]
    assert [one["cpu_share"] for one in figures["generators"]] == [0.25, 0.25]
    assert (figures["lost"], figures["duplicated"], figures["verify"]) == (None, None, None)
    assert (found.is_exact, found.exit_status) == (None, 0)
    assert found.is_complete
    late = Result({**figures, "elapsed_s": figures["plan"]["duration_s"] + 1.5})
    assert (late.all_acknowledged, late.is_complete) == (True, False)
    write(tmp_path / "result.json", figures)
    assert json.loads((tmp_path / "result.json").read_text())["latency_ms"] == figures["latency_ms"]


def test_the_cost_is_of_what_is_tested(tmp_path: Path) -> None:
    """CPU per million events leaves the load test's own processes out; memory is the most that was seen."""
    cost = result_of(facts(), {}).figures["cost"]
    assert cost["cpu_s_per_million"] == 500_000.0
    assert cost["processes"]["ingest"]["rss_mb_max"] == 30.0
    assert cost["processes"]["ingest"]["rss_mb_median"] == 20.0
    assert cost["processes"]["generators"]["cpu_s_per_million"] == 250_000.0


def test_the_summary_names_what_is_lost() -> None:
    """It gives the number, and an id to begin with."""
    verdict = compare(["b", "b"], {"lost-one": Fate.ACKNOWLEDGED, "b": Fate.ACKNOWLEDGED})
    found = result_of(facts(verdict), {})
    text = summary(found.figures)
    assert (found.figures["lost"], found.figures["duplicated"], found.exit_status) == (1, 1, 1)
    assert "NOT EXACT: lost 1  duplicated 1" in text
    assert "lost-one" in text
    assert "WARNING" not in text


def test_an_unverified_run_that_should_be_verified_is_not_known() -> None:
    """The exit status is neither 0 nor 1, and the summary says why."""
    found = result_of(facts(settings=Settings(rate=2, duration_s=2), unverified="ClickHouse is gone"), {})
    assert found.exit_status == 2
    assert "reconciled    no: ClickHouse is gone" in summary(found.figures)


def test_the_progress_line_shows_troubles_only_when_there_are_any() -> None:
    """A line without zeros is easier to read."""
    row = result_of(facts(), {}).figures["seconds"][1]
    assert "refused" not in line(row, 2)
    assert "2/2 s" in line(row, 2)
    assert "unclear 3" in line(row | {"unclear": 3}, 2)


def test_a_catch_up_is_measured_from_the_counts() -> None:
    """With 1 000/s live, ten seconds without a row, then 10 000/s, the backlog is gone after 1.1 s."""
    seconds = [{"second": second, "acknowledged": 1_000, "p99_ms": 5.0} for second in range(40)]
    counts: list[tuple[float, int]] = []
    rows = 0.0
    for tenth in range(400):
        at = tenth / 10
        live = 1_000 * at
        if not 10 <= at < 20:
            rows = min(live, rows + 1_000) if at >= 20 else live
        counts.append((100 + at, int(rows)))
    found = outage_of([(10.0, "clickhouse paused"), (20.0, "clickhouse resumed")], seconds, counts, 100.0)
    assert found is not None
    assert found["waiting_max"] == pytest.approx(9_950, rel=0.05)
    assert found["catch_up"] == pytest.approx(10, rel=0.15)
    assert found["caught_up_after_s"] == pytest.approx(1.1, abs=0.2)
    assert found["live_per_s"] == 1_000
    assert (found["latency_p99_ms_before"], found["latency_p99_ms_during"]) == (5.0, 5.0)


def test_a_catch_up_beyond_the_end_is_not_invented() -> None:
    """If no row came back, there is no rate."""
    seconds = [{"second": second, "acknowledged": 1_000, "p99_ms": 5.0} for second in range(20)]
    counts = [(at / 10, int(min(at / 10, 10.0) * 1_000)) for at in range(200)]
    found = outage_of([(10.0, "clickhouse paused"), (15.0, "clickhouse resumed")], seconds, counts, 0.0)
    assert found is not None
    assert (found["catch_up"], found["drain_per_s"], found["caught_up_after_s"]) == (None, None, None)


def test_without_a_fault_there_is_no_outage() -> None:
    """A run without a fault has no figures of one."""
    assert outage_of([], [], [], 0.0) is None


def test_a_sweep_grows_then_halves_the_interval_then_ends() -> None:
    """Whatever the knee is, it is found to within a tenth, from below or above."""
    for first, true_knee in ((2_000.0, 23_456), (2_000.0, 300), (16_000.0, 17_000)):
        passed, failed, rate, rungs = 0.0, 0.0, first, 0
        while True:
            rungs += 1
            if rate <= true_knee:
                passed = max(passed, rate)
            else:
                failed = min(failed or rate, rate)
            following = _next(passed, failed)
            if following is None:
                break
            rate = following
        assert passed <= true_knee <= failed <= passed * 1.1
        assert rungs <= 10


def test_every_profile_can_be_asked_for() -> None:
    """Each has its name, and the outage profiles have a fault."""
    assert list(PROFILES) == ["smoke", "single", "batch", "mixed", "spike", "soak", "outage", "redis-outage"]
    assert [name for name, one in PROFILES.items() if one.fault] == ["outage", "redis-outage"]
    for profile in PROFILES.values():
        plan = Settings(profile=profile).plan()
        assert plan.rate == profile.rate
        assert list(plan.spans())[-1][1] == pytest.approx(profile.duration_s)


def test_generators_share_the_rate_and_nothing_else(tmp_path: Path) -> None:
    """Ids, visitors and logs are their own; together they have the connections that were asked for, rounded up."""
    settings = Settings(rate=900, generators=3, connections=64)
    made = orders(settings, settings.plan(), [tmp_path / str(number) for number in range(3)])
    assert [one.plan.rate for one in made] == [300.0, 300.0, 300.0]
    assert len({one.plan.seed for one in made}) == len({one.plan.run for one in made}) == 3
    assert [one.connections for one in made] == [22, 22, 22]


def test_two_runs_have_no_id_in_common() -> None:
    """The server remembers ids for a day, and would take the same ones again for resends."""
    assert Settings().plan().run != Settings().plan().run


def test_the_knee_says_when_the_generator_was_the_limit() -> None:
    """The text says so if the knee is not the server's."""
    rung = {
        "offered_per_s": 2_000.0, "achieved_per_s": 2_000.0, "p50_ms": 1.0, "p99_ms": 2.0, "stored_after_s": 1.0,
        "cpu_s_per_million": None, "generator_cpu_share": 0.99, "verdict": "sent too late (generator)",
    }  # fmt: skip
    figures = {
        "rungs": [rung], "knee_per_s": 1_000.0, "failed_per_s": 2_000.0, "generator_limited": True, "final": None,
        "settings": {"stored_within_s": 5.0},
    }  # fmt: skip
    text = knee(figures)
    assert "1,000 events/s stored within 5 s" in text
    assert "the generator was the limit" in text
    assert SweepSettings(settings=Settings()).rung_s == 20.0


async def test_generators_that_cannot_start_leave_no_process(tmp_path: Path) -> None:
    """They can be closed at any moment."""
    settings = Settings(rate=10, duration_s=1)
    generators = Generators(orders(settings, settings.plan(), [tmp_path / "log"]), lambda row: None)
    generators.stop()
    async with asyncio.timeout(60):
        await generators.close()
    assert generators.pids() == []


def test_a_spike_that_a_generator_could_not_make_is_not_hidden_by_the_mean() -> None:
    """A generator is out of CPU for two seconds of ten: these seconds say nothing about the server."""
    whole = facts()
    for number in (0, 1):
        whole.generators.cpu_shares[number] = [0.2] * 8 + [0.99] * 2 + [0.1]
    assert result_of(whole, {}).figures["generator_limited"]
    for number in (0, 1):
        whole.generators.cpu_shares[number] = [0.2] * 9 + [0.99] + [0.1]
    assert not result_of(whole, {}).figures["generator_limited"]
