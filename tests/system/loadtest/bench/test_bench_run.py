"""The bench itself, as short as it can be, leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from loadtest.bench import low_rate, nginx, rates, stand, wrk

pytestmark = pytest.mark.skipif(
    not (wrk.program() and nginx.program()) or len(os.sched_getaffinity(0)) < 2,
    reason="needs wrk, nginx and two cores: make bench-tools",
)

PROCESSES = {"redis", "clickhouse", "ingest", "flusher", "dashboard", "supervisors"}


def begun(checkout: Path, place: Path, *options: str) -> subprocess.Popen[bytes]:
    """Starts the bench as a terminal does, however the tests were started.

    A shell without job control, as of make or cron, starts background processes with SIGINT ignored, and children
    inherit that. The bench leaves it so: ctrl-C is then for another process, and SIGTERM ends the bench.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "loadtest.bench", *options],
        cwd=checkout,
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it waits for no other thread
    )


def descendants(place: Path) -> list[str]:
    """Returns the processes whose command line names the temporary directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # ended meanwhile
            continue
        if os.fsencode(place) in words:
            found.append(words.decode("utf-8", "replace"))
    return found


def test_a_short_run_has_its_figure(checkout: Path, place: Path, tmp_path: Path) -> None:
    """P1 and P1c are measured beside nginx, as JSON and as a table; afterwards nothing runs and no file is left."""
    process = begun(checkout, place, "--only", "P1", "--rounds", "1", "--seconds", "1", "--json", str(tmp_path / "x"))
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 0, output
    found = json.loads((tmp_path / "x").read_text("utf-8"))
    assert [figure["name"] for figure in found["figures"]] == ["P1", "P1c"]
    assert found["figures"][0]["beside"] > found["figures"][0]["measured"] > 0
    assert 0 < found["figures"][1]["beside"] < found["figures"][1]["measured"]
    assert "P1" in output
    assert not descendants(place)


@pytest.fixture(scope="module")
def tested(checkout: Path, shared_place: Path) -> Iterator[stand.Stand]:
    """Runs a stand for the tests that measure it at some rate."""
    with stand.running(shared_place, sys.executable, checkout) as started:
        yield started


def test_cpu_is_seen_idle_and_at_a_trickle(tested: stand.Stand, tmp_path: Path) -> None:
    """It is the CPU of every tested process and of no other; an event of the trickle that is not stored is a fault."""
    before = tested.stored()
    idle, trickle = rates.idle(tested, 0.5), rates.trickle(tested, tmp_path, 3)
    assert tested.stored() > before + rates.TRICKLE_PER_S
    assert (idle["rate_per_s"], trickle["rate_per_s"]) == (0, rates.TRICKLE_PER_S)
    assert set(idle["cores"]) == set(trickle["cores"]) == PROCESSES
    assert trickle["cores"]["ingest"] > 0


def test_a_low_rate_is_measured_beside_nginx(tested: stand.Stand, tmp_path: Path) -> None:
    """CPU and latency at both rates have nginx's beside them, and every process of the stand has its part of the CPU."""
    with nginx.running(tmp_path, *os.sched_getaffinity(0)) as baseline:
        figures, points = low_rate.measure(tested, baseline, tmp_path, rounds=1, seconds=2)
    assert [figure.name for figure in figures] == ["P13", "P13c", "P13b", "P13d"]
    assert all(figure.value > figure.beside > 0 for figure in figures)
    assert [one["rate_per_s"] for one in points] == [500, 2000]
    assert set(points[0]["cores"]) == PROCESSES


def test_an_interrupt_leaves_nothing(checkout: Path, place: Path) -> None:
    """After ctrl-C while everything runs, all of it ends in bounded time."""
    process = begun(checkout, place, "--only", "P1", "--rounds", "50")
    deadline = time.monotonic() + 60
    while not any("nginx" in one for one in descendants(place)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 130, output
    assert not descendants(place)
