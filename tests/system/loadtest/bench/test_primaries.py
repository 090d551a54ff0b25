"""loadtest.bench.primaries: a line for each number of primaries, whose figures are of real appends."""

import subprocess
import sys

from tests.support.redis_cluster import program
from tests.support.system import ROOT


def test_a_short_run() -> None:
    """Every append is answered `ok`, and CPU time of Redis was seen. How it grows is nothing to test on a busy machine."""
    words = ["-m", "loadtest.bench.primaries", "--rounds", "1", "--seconds", "0.3", "--redis-server", program()]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert all(float(line[1].replace(",", "")) > 0 for line in lines)
    assert all(float(line[-1]) > 0 for line in lines)
