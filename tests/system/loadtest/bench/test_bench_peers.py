"""The bench of P14 compares CPU of two chains that stored the same, and believes no peer that loses what it took.

The peer here is tests/programs/bulk.py, because the tests build nothing with Go.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench import bodies, bulk, children, peers, wrk
from loadtest.bench.ask import BenchError
from tests.support.programs import PROGRAMS

PROGRAM = PROGRAMS / "bulk.py"
with_wrk = pytest.mark.skipif(
    not wrk.program() or len(os.sched_getaffinity(0)) < 2, reason="needs wrk and two cores: make bench-tools"
)


@with_wrk
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
    assert set(ours) == {"redis", "clickhouse", "ingest", "flusher", "dashboard", "supervisors"}
    assert set(theirs) == {"clickhouse-bulk", "clickhouse"}
    assert figure["value"] == pytest.approx(sum(ours.values()) / sum(theirs.values()), rel=0.01)
    assert "P14" in done.stdout


@with_wrk
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


def test_a_peer_that_cannot_be_built_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Go, and where Go can't have the module, P14 is named with the reason, and its status is not that of a run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bulk.NotThere, match="Go is not installed"):
        bulk.built(tmp_path)
    for name, text in (("go", "#!/bin/sh\necho module not found >&2\nexit 1\n"), ("wrk", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text, "ascii")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(bulk.NotThere, match=r"go install \S+@v[0-9.]+` failed: module not found"):
        bulk.built(tmp_path)
    assert peers.main([]) == 2
    assert "P14 was not run: `go install" in capsys.readouterr().err
