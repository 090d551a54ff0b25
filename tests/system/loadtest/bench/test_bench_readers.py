"""The bench of twelve questions: all of them are answered, from rows that look like events."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from forebay.clickhouse import ClickHouse
from loadtest.bench.readers import FILL, QUESTIONS, SITE, Dashboard
from tests.support.engine import EngineProcess
from tests.support.system import ROOT


def test_what_is_refused_is_a_fault(tmp_path: Path) -> None:
    """Without tables every question is named, with ClickHouse's words."""
    engine = EngineProcess(tmp_path)
    try:
        dashboard = Dashboard(f"http://127.0.0.1:{engine.port}")
        dashboard.close()
    finally:
        engine.close()
    assert {fault.partition(":")[0] for fault in dashboard.faults} == set(QUESTIONS)
    assert all("Code: " in fault for fault in dashboard.faults)


def test_each_question_finds_rows(clickhouse: ClickHouse) -> None:
    """The rows are of thirty days, half of them of one site, as the questions ask."""
    clickhouse.run(FILL.format(first=0, rows=20_000))
    days = clickhouse.run(f"SELECT uniq(toDate(ts)), countIf(site = '{SITE}') FROM forebay.events").split()
    assert 29 <= int(days[0]) <= 32
    assert 8_000 < int(days[1]) < 12_000
    assert [name for name, sql in QUESTIONS.items() if not clickhouse.run(sql)] == []


def test_a_small_run_measures_both(tmp_path: Path) -> None:
    """One pair gives a p99 of each, their ratio, and how long each question took."""
    path = tmp_path / "result.json"
    words = ["--rows", "3000", "--rate", "50", "--seconds", "3", "--pairs", "1", "--json", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.readers", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text("utf-8"))
    (one,) = found["pairs"]
    assert one["faults"] == []
    assert set(one["questions_s"]) == set(QUESTIONS)
    assert one["alone"]["acknowledged"] > 0
    assert one["asked"]["acknowledged"] > 0
    assert one["ratio_p99"] == pytest.approx(
        one["asked"]["latency_ms"]["p99"] / one["alone"]["latency_ms"]["p99"], abs=0.001
    )
