"""ingest/metrics.py: workers add up over their generations, in files that outlive them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.programs import program


def test_workers_add_up_over_generations(tmp_path: Path) -> None:
    """Two slots, one of them started twice: counters go on, gauges are the last generation's."""
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def run(name: str, *words: object) -> str:
        # The library chooses its mode when it is imported, so each is a process.
        return subprocess.run(program(name, *words), env=environment, check=True, capture_output=True, text=True).stdout

    for slot in (0, 1, 0):
        run("metrics_worker", slot)
    shown = run("metrics_reader")
    assert 'forebay_events_accepted_total{dialect="native",site="a"} 6.0' in shown
    assert 'forebay_request_seconds_count{code="202",route="/f"} 3.0' in shown
    assert "forebay_spool_bytes 20.0" in shown
    assert "forebay_ready 0.0" in shown
