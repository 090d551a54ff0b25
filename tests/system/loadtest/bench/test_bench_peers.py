"""The bench of P14 compares CPU of two chains that stored the same, and believes no peer that loses what it took.

The peer here is programs/bulk.py, because the tests build nothing with Go.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench import bodies, bulk, children, wrk
from loadtest.bench.ask import BenchError

PROGRAM = Path(__file__).parent / "programs" / "bulk.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not wrk.program() or len(os.sched_getaffinity(0)) < 2, reason="needs wrk and two cores: make bench-tools"
    ),
]


def test_a_short_run_has_its_figure(checkout: Path, place: Path, tmp_path: Path) -> None:
    """One pair gives both costs by process, their ratio is the figure, and nothing is left in the temporary directory."""
    words = ["--program", str(PROGRAM), "--rounds", "1", "--seconds", "1", "--json", str(tmp_path / "x")]
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.peers", *words],
        cwd=checkout,
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (figure,) = json.loads((tmp_path / "x").read_text("utf-8"))["figures"]
    (found,) = figure["detail"]["rounds"]
    ours, theirs = found["forebay"]["cpu_us"], found["clickhouse-bulk"]["cpu_us"]
    assert set(ours) == {"redis", "clickhouse", "ingest", "flusher", "supervisors"}
    assert set(theirs) == {"clickhouse-bulk", "clickhouse"}
    assert figure["value"] == pytest.approx(sum(ours.values()) / sum(theirs.values()), rel=0.01)
    assert "P14" in done.stdout


def test_a_peer_that_loses_events_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not store costs it nothing, so its CPU would flatter it."""
    monkeypatch.setenv("FORGETS", "1")
    monkeypatch.setattr(bulk, "DRAIN_SECONDS", 2)
    first, second = children.cores()
    with (
        bulk.running(tmp_path, PROGRAM, first=first, second=second) as peer,
        pytest.raises(BenchError, match=r"acknowledged [0-9,]+ events and stored"),
    ):
        peer.round(bodies.fixed(tmp_path, 1), 1, second)
