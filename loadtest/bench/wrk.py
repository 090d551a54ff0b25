"""Runs wrk, the generator of P1 and P2: closed loop, one thread, its answers checked.

wrk counts an answer of any status, so a server that refuses everything would look fast. The scripts report refusals and
errors; one of them is enough to void a round. The accepted events of Forebay's own metrics are compared with wrk's
count too (`posts.py`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.bench import children
from loadtest.bench.ask import BenchError
from loadtest.bench.config import environment

HERE = Path(__file__).parent
MARK = "FOREBAY "
CONNECTIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Holds what wrk counted. Its latencies are closed-loop: they flatter, and are no target."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def program() -> str | None:
    return shutil.which("wrk")


def post(
    url: str, *, seconds: int, core: int, script: str, arguments: list[str], connections: int = CONNECTIONS
) -> Run:
    """Sends POSTs for so long from that core. Raises BenchError on any answer but 2xx and on any error."""
    words = [program() or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / script), url, "--"]
    with children.on(core):
        said = subprocess.run(
            [*words, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            check=False,
            env=environment(),
        )
    if said.returncode:
        raise BenchError(f"wrk: {said.stderr.strip() or said.stdout.strip()}")
    return parsed(said.stdout)


def parsed(output: str) -> Run:
    """Reads what wrk printed. Raises BenchError if a request failed or no answer came."""
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise BenchError(f"wrk said nothing of its count: {output.strip()[-300:]}")
    found: dict[str, Any] = json.loads(line.removeprefix(MARK))
    faults = {name: found[name] for name in ("status", "connect", "read", "write", "timeout") if found[name]}
    if faults:
        raise BenchError(f"of {found['requests']} requests not answered 2xx: {faults}")
    if not found["requests"]:
        raise BenchError("wrk got no answer at all")
    return Run(
        requests=found["requests"],
        seconds=found["duration_us"] / 1e6,
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
    )
