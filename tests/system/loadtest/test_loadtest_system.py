"""The load test against a real `forebay up`: what it measures from outside, and an outage that it makes."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from loadtest.load.profile import PROFILES
from loadtest.report.progress import Progress
from loadtest.run import Trial, run
from loadtest.settings import Settings
from loadtest.watch.deployment import NoDeploymentError, find
from loadtest.watch.reconcile import VerifyError
from tests.support.system import System, is_alive, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(tmp_path_factory.mktemp("load")) as up:
        yield up


@pytest.mark.asyncio(loop_scope="module")
async def test_an_outage_is_made_measured_and_survived(system: System, tmp_path: Path) -> None:
    """ClickHouse is paused for two seconds: the run is exact in the end, and has the backlog and every process."""
    place = find(data=str(system.data))
    settings = Settings(
        profile=PROFILES["outage"], deployment=place, rate=300, duration_s=8, generators=2, warmup_s=1, cost=True
    )
    found = await Trial(settings, Progress(is_quiet=True), tmp_path / "acknowledged").run()
    figures = found.figures
    assert found.is_exact is True, figures["verify"]
    assert found.all_acknowledged, figures["events"]
    assert figures["verify"]["foreign"] == 0
    assert [one["what"] for one in figures["markers"]] == ["clickhouse paused", "clickhouse resumed"]
    assert figures["outage"]["waiting_max"] > 300
    outage = figures["outage"]
    caught_up_s = outage["ended_s"] + outage["caught_up_after_s"]
    assert outage["catch_up"] > 1 or caught_up_s > settings.duration_s, "while events came, it can't have been slower"
    assert figures["freshness_ms"]["p50"] > 0
    assert figures["freshness_ms"]["max"] > 1_500, "what was accepted while it was stopped waited"
    names = {"redis", "clickhouse", "ingest", "flusher", "supervisors", "generators", "watcher"}
    assert set(figures["cost"]["processes"]) >= names
    assert figures["cost"]["processes"]["ingest"]["cpu_s"] > 0
    assert figures["cost"]["processes"]["clickhouse"]["rss_mb_max"] > 100
    assert 10 < figures["cost"]["disk"]["bytes_per_event"] < 1_000
    assert 10 < figures["cost"]["redis"]["bytes_per_event"] < 1_000
    assert sum(row["acknowledged"] for row in figures["seconds"]) == figures["events"]["acknowledged"]
    assert figures["seconds"][-1]["stored"] == figures["events"]["acknowledged"]
    assert is_alive(system.facts()["pids"]["clickhouse"])
    short = Settings(deployment=place, rate=200, duration_s=1)
    again = await Trial(short, Progress(is_quiet=True), tmp_path / "acknowledged").run()
    assert again.figures["verify"]["foreign"] == 0, "what a run before has left is nobody's"
    assert again.is_exact is True
    with pytest.raises(NoDeploymentError, match="answers at"):
        find(data=str(system.data), url="http://127.0.0.1:9")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_sweep_climbs_until_its_time_is_up(system: System, tmp_path: Path, checkout: Path) -> None:
    """Rungs pass, each exact, and there is a last run with freshness, a table and a page."""
    found, out = await _swept(system.data, tmp_path, checkout)
    assert found["knee_per_s"] >= 50
    assert [one["offered_per_s"] for one in found["rungs"]][:2] in ([50.0], [50.0, 100.0])
    assert found["final"]["freshness_ms"]["p99"] > 0
    assert found["final"]["offered_per_s"] == pytest.approx(found["knee_per_s"] * 0.7)
    assert found["final"]["verify"]["is_exact"]
    assert b"knee " in out
    assert "<h2>Rungs</h2>" in (tmp_path / "knee.html").read_text()


async def _swept(data: Path, place: Path, checkout: Path) -> tuple[dict[str, Any], bytes]:
    """Does a short sweep until its first rung passes, and returns its result and what it printed.

    A machine that is busy with other tests may send late even at 50 events a second. The sweep says so, and is made again.
    """
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest", "--sweep", "--data", str(data), "--rate", "50", "--rung", "1.5",
            "--stored-within", "60", "--sweep-seconds", "12",
            "--json", str(place / "knee.json"), "--report", str(place / "knee.html"), cwd=checkout, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 240)
        found = json.loads((place / "knee.json").read_text())
        if found["rungs"][0]["passed"]:
            assert process.returncode == 0, err.decode()
            return found, out
        assert found["rungs"][0]["verdict"].removesuffix(" (generator)") in {"sent too late", "answered too late"}
    raise AssertionError("none of four sweeps was in time")


def test_without_clickhouse_nothing_is_sent() -> None:
    """Nothing listens on port 9 (discard)."""
    settings = Settings(deployment=find(url="http://127.0.0.1:9", clickhouse_url="http://127.0.0.1:9"))
    with pytest.raises(VerifyError):
        run(settings)
