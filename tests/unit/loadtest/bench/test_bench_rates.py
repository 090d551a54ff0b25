"""CPU at low rates: which seconds count, of which processes, and which rates are left out."""

from typing import Any

import pytest

from loadtest.bench import knee, rates
from loadtest.bench.ask import BenchError


def second(**cores: float) -> dict[str, Any]:
    return {"processes": {name: {"cpu": used, "rss_mb": 1.0} for name, used in cores.items()}}


def run(*seconds: dict[str, Any], duration_s: float) -> dict[str, Any]:
    return {"offered_per_s": 100.0, "plan": {"duration_s": duration_s}, "seconds": list(seconds)}


def final(rate: float) -> dict[str, Any]:
    """Returns a sweep's run at 70 % of its knee, in which ingest takes 50 us an event."""
    used = {"ingest": 50.0, "flusher": 10.0, "generators": 30.0}
    return {
        "offered_per_s": rate,
        "latency_ms": {"p99": 5.0, "p99.9": 9.0},
        "freshness_ms": None,
        "cost": {
            "cpu_s_per_million": 60.0,
            "processes": {name: {"cpu_s_per_million": one, "rss_mb_max": 80.0} for name, one in used.items()},
        },
    }


def test_a_run_counts_while_it_sends() -> None:
    """Its first second is left out, before anything is stored, and so is the wait for the last block after its end."""
    found = rates.sending(run(second(a=9.0), second(a=0.1), second(a=0.3), second(a=9.0), second(), duration_s=3.0))
    assert found == {"rate_per_s": 100.0, "cores": {"a": 0.2}}


def test_a_look_that_came_late_is_not_nothing() -> None:
    """A second without its row says nothing of the processes, and does not count as one without CPU."""
    found = rates.sending(run(second(), second(a=0.1), second(), second(a=0.3), duration_s=4.0))
    assert found["cores"] == {"a": 0.2}


def test_the_load_tests_own_processes_are_left_out() -> None:
    """A deployment has neither generators nor a watcher."""
    assert rates.sending(run(second(), second(a=0.1, generators=1.0, watcher=0.1), duration_s=2.0))["cores"] == {
        "a": 0.1
    }
    assert rates.until_stored(final(1_000.0))["cores"] == {"ingest": 0.05, "flusher": 0.01}


def test_nothing_seen_is_no_point() -> None:
    """A point without any CPU would be the cheapest machine."""
    with pytest.raises(BenchError, match="100 events/s"):
        rates.sending(run(second(), second(generators=1.0), duration_s=2.0))


@pytest.mark.parametrize(
    ("rate", "left"), [(10_000.0, [0.0, 100.0, 5_000.0, 10_000.0]), (3_000.0, [0.0, 100.0, 3_000.0])]
)
def test_the_last_point_is_at_the_knees_share(rate: float, left: list[float]) -> None:
    """P7 has the points in order. On a slow machine P9's 5,000 a second is more than it can take, and is left out."""
    lower = [{"rate_per_s": rate, "cores": {"ingest": 0.01}} for rate in (0.0, 100.0, 5_000.0)]
    figures = {figure.name: figure for figure in knee.beside({"final": final(rate)}, lower)}
    points = figures["P7"].detail["points"]
    assert [one["rate_per_s"] for one in points] == left
    assert points[-1]["cores"] == pytest.approx({"ingest": rate * 50e-6, "flusher": rate * 10e-6})
